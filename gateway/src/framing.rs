//! How an upstream's answer is framed for the client, where Pingora leaves that as it came.

use http::Version;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

/// Sees to it that the client can tell where the answer ends.
pub fn frame(session: &mut Session, response: &mut ResponseHeader) -> Result<()> {
    // The version is that of who sends, not of who sent before (RFC 9112, section 2.3).
    if response.version < Version::HTTP_11 {
        response.set_version(Version::HTTP_11);
    }
    if session.req_header().version < Version::HTTP_11 && response.remove_header(&TRANSFER_ENCODING).is_some()
    {
        // It knows no chunks: the body ends with the connection (section 6.1).
        session.set_keepalive(None);
    }
    if response.headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        // All are the same, or Pingora would have refused them; one is sent on (section 6.3).
        let length = response.headers.get(CONTENT_LENGTH).cloned();
        if let Some(length) = length {
            response.insert_header(CONTENT_LENGTH, length)?;
        }
    }
    Ok(())
}
