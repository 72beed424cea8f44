//! Where plugins report what became of requests.

use std::sync::Arc;

use crate::delivery::Queues;
use crate::line_files::LineFiles;

/// Where plugins report what became of requests, and what they say of this node.
#[derive(Clone, Debug)]
pub struct Reports {
    /// What is sent to collectors.
    pub queues: Arc<Queues>,
    /// What is written to files.
    pub files: Arc<LineFiles>,
    /// The name of the machine.
    pub hostname: Arc<str>,
    /// The id of this process among those that report.
    pub instance: uuid::Uuid,
}
