//! Where a body ends, for a reader and for a writer.

use std::fmt::Write;
use std::io;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::WrongLength;
use super::chunked::{Chunked, Malformed};
use super::output::Output;
use crate::message::Framing;

/// Why a body cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The stream failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The connection ended within the body.
    #[error("the connection ended within a body")]
    Broken,
    /// The body breaks the rules of chunks.
    #[error("a chunked body is malformed")]
    Malformed,
}

impl From<Malformed> for BodyError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// The state of a body that is read.
#[derive(Debug, Default)]
pub(super) enum BodyReader {
    #[default]
    Done,
    /// Bytes left.
    Length(u64),
    Chunked(Box<Chunked>),
    Close,
}

impl BodyReader {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Empty | Framing::Length(0) => Self::Done,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Box::default()),
            Framing::Close => Self::Close,
        }
    }

    /// Whether the body has been read to its end. Its trailers may still be here.
    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::Done => true,
            Self::Chunked(chunked) => chunked.is_complete(),
            Self::Length(_) | Self::Close => false,
        }
    }

    /// Takes the next part out of `input`; `None` if more bytes are needed, or none will follow.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, BodyError> {
        match self {
            Self::Chunked(chunked) => Ok(chunked.next(input)?),
            Self::Length(left) if !input.is_empty() => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= here as u64;
                if *left == 0 {
                    *self = Self::Done;
                }
                Ok(Some(input.split_to(here).freeze()))
            }
            Self::Close if !input.is_empty() => Ok(Some(input.split().freeze())),
            Self::Done | Self::Length(_) | Self::Close => Ok(None),
        }
    }

    /// The number of bytes that one read may bring.
    pub(super) fn expects(&self) -> usize {
        /// Bytes of one read when the size is not known.
        const SOME: usize = 16 * 1024;
        match self {
            Self::Done => 0,
            Self::Length(left) => usize::try_from(*left).unwrap_or(usize::MAX),
            Self::Chunked(chunked) => chunked.expects().max(SOME),
            Self::Close => SOME,
        }
    }

    /// Handles the end of the connection.
    pub(super) fn end(&mut self) -> Result<(), BodyError> {
        match self {
            Self::Done => Ok(()),
            Self::Close => {
                *self = Self::Done;
                Ok(())
            }
            Self::Length(_) | Self::Chunked(_) => Err(BodyError::Broken),
        }
    }

    pub(super) fn take_trailers(&mut self) -> Option<HeaderMap> {
        let Self::Chunked(chunked) = self else { return None };
        chunked.is_complete().then(|| chunked.take_trailers()).flatten()
    }
}

/// The state of a body that is written.
#[derive(Debug, Default)]
pub(super) enum BodyWriter {
    #[default]
    Done,
    /// Bytes left.
    Length(u64),
    /// More bytes came than were announced.
    TooLong,
    Chunked,
    Close,
}

impl BodyWriter {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Empty | Framing::Length(0) => Self::Done,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked,
            Framing::Close => Self::Close,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    pub(super) fn queue(&mut self, mut part: Bytes, output: &mut Output) {
        match self {
            // An empty chunk would end the body.
            _ if part.is_empty() => {}
            Self::Done | Self::TooLong => *self = Self::TooLong,
            Self::Length(left) => {
                let excess = (part.len() as u64).saturating_sub(*left);
                *left -= part.len() as u64 - excess;
                part.truncate(part.len() - usize::try_from(excess).unwrap_or(part.len()));
                output.push(part);
                if excess > 0 {
                    *self = Self::TooLong;
                }
            }
            Self::Chunked => {
                // Writing to a buffer in memory cannot fail.
                write!(output.small(), "{:x}\r\n", part.len()).ok();
                output.push(part);
                output.small().extend_from_slice(b"\r\n");
            }
            Self::Close => output.push(part),
        }
    }

    pub(super) fn end(
        &mut self,
        trailers: Option<&HeaderMap>,
        output: &mut Output,
    ) -> Result<(), WrongLength> {
        match self {
            Self::Length(1..) | Self::TooLong => return Err(WrongLength),
            Self::Done | Self::Length(0) => {}
            Self::Chunked => {
                let text = output.small();
                text.extend_from_slice(b"0\r\n");
                for (name, value) in trailers.into_iter().flatten() {
                    for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                        text.extend_from_slice(part);
                    }
                }
                text.extend_from_slice(b"\r\n");
            }
            Self::Close => output.end(),
        }
        *self = Self::Done;
        Ok(())
    }
}
