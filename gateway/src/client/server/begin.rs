//! Tells the two versions of HTTP apart on a connection without TLS, where no handshake did: by its first
//! bytes.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

/// The preface that an HTTP/2 client sends first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of one read: a header and a small body fit.
const FIRST_READ: usize = 4 * 1024;

/// The first bytes on a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begin {
    Http1(BytesMut),
    /// They include the preface.
    Http2(BytesMut),
}

/// Reads until the version is certain; `None` when the client ends the connection before. Holds no buffer
/// while nothing has come.
pub(super) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Begin> {
    let mut input = BytesMut::new();
    poll_fn(|context| poll_read(stream, &mut input, context)).await
}

fn poll_read<S: AsyncRead + Unpin>(
    stream: &mut S,
    input: &mut BytesMut,
    context: &mut Context<'_>,
) -> Poll<Option<Begin>> {
    loop {
        let mut space = [MaybeUninit::uninit(); FIRST_READ];
        let mut buffer = ReadBuf::uninit(&mut space);
        let read = ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer));
        if read.is_err() || buffer.filled().is_empty() {
            return Poll::Ready(None);
        }
        input.extend_from_slice(buffer.filled());
        if input.starts_with(PREFACE) {
            return Poll::Ready(Some(Begin::Http2(std::mem::take(input))));
        }
        if !PREFACE.starts_with(input) {
            return Poll::Ready(Some(Begin::Http1(std::mem::take(input))));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn the_preface_of_http2_is_found_in_pieces_of_every_size() {
        let http2 = [PREFACE, b"frames"].concat();
        for (sent, is_http2) in [(&http2[..], true), (b"PRI * HTTP/1.1\r\n", false), (b"POST /", false)] {
            for size in 1..=sent.len() {
                let (mut near, mut far) = tokio::io::duplex(size);
                let all = async {
                    far.write_all(sent).await.ok();
                    far.shutdown().await.ok();
                };
                let (begin, ()) = tokio::join!(
                    async {
                        let begin = read(&mut near).await;
                        drop(near);
                        begin
                    },
                    all
                );
                match begin {
                    Some(Begin::Http2(input)) => assert!(is_http2 && sent.starts_with(&input)),
                    Some(Begin::Http1(input)) => assert!(!is_http2 && sent.starts_with(&input)),
                    None => panic!("{size}"),
                }
            }
        }
        assert_eq!(read(&mut &b"PRI * HTTP/2.0\r\n\r\n"[..]).await, None);
        assert_eq!(read(&mut &b""[..]).await, None);
    }
}
