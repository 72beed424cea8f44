//! Collectors that are called over HTTP.

use std::fmt::Debug;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Method};
use uuid::Uuid;

use super::{Collector, Delivering, DeliveryFailure};
use crate::outbound::{Call, CallTimeouts, Destination, Outbound};

/// A collector that is called over HTTP, once for each batch.
pub struct HttpCollector {
    /// The name of the plugin.
    pub plugin: &'static str,
    /// The method.
    pub method: Method,
    /// Where it is.
    pub destination: Destination,
    /// The fields, the type of the content included. They may hold secrets.
    pub fields: Box<[(HeaderName, HeaderValue)]>,
    /// Bounds of time.
    pub timeouts: CallTimeouts,
    /// Makes a body of a batch.
    pub body: Box<dyn Assemble>,
}

/// Makes the body of a request of a batch.
pub trait Assemble: Debug + Send + Sync {
    /// The body with these entries, at least one.
    fn assemble(&self, batch: &[Bytes]) -> Bytes;
}

/// Bodies of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonBody {
    /// The one entry of a batch.
    One,
    /// An array of the entries, even if there is one.
    Array,
}

impl Assemble for JsonBody {
    fn assemble(&self, batch: &[Bytes]) -> Bytes {
        match (self, batch) {
            (Self::One, [one]) => one.clone(),
            _ => array(batch),
        }
    }
}

fn array(batch: &[Bytes]) -> Bytes {
    let mut body = BytesMut::with_capacity(batch.iter().map(|entry| entry.len() + 1).sum::<usize>() + 1);
    for (number, entry) in batch.iter().enumerate() {
        body.put_u8(if number == 0 { b'[' } else { b',' });
        body.extend_from_slice(entry);
    }
    body.put_u8(b']');
    body.freeze()
}

impl Collector for HttpCollector {
    fn plugin(&self) -> &'static str {
        self.plugin
    }

    fn deliver<'a>(&'a self, id: Uuid, batch: &'a [Bytes], outbound: &'a Outbound) -> Delivering<'a> {
        let call = Call {
            plugin: id,
            method: self.method.clone(),
            destination: &self.destination,
            fields: &self.fields,
            body: self.body.assemble(batch),
            timeouts: self.timeouts,
            max_answer: None,
            // An entry may come twice rather than never.
            may_repeat: true,
        };
        Box::pin(async move {
            let status = outbound.send(call).await?.status;
            if status.is_success() { Ok(()) } else { Err(DeliveryFailure::Status(status.as_u16())) }
        })
    }
}

/// Without the fields, which may hold secrets.
impl Debug for HttpCollector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("HttpCollector");
        shown.field("plugin", &self.plugin).field("destination", &self.destination).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_one_entry_or_an_array() {
        let entries = ["{\"a\":1}", "{\"b\":2}"].map(Bytes::from);
        assert_eq!(JsonBody::One.assemble(&entries[..1]), "{\"a\":1}");
        assert_eq!(JsonBody::Array.assemble(&entries[..1]), "[{\"a\":1}]");
        assert_eq!(JsonBody::Array.assemble(&entries), "[{\"a\":1},{\"b\":2}]");
    }
}
