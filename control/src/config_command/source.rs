//! The document that a command sends: a file as it is, or several as one.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use node::exit::ExitError;
use tokio::fs::File;
use tokio_util::io::ReaderStream;

use super::merge::merged;
use super::progress::Progress;
use crate::admin_client::Body;
use crate::declarative::Format;

/// Bytes that are read and sent at once.
const PART: usize = 64 << 10;

/// A document.
#[derive(Debug)]
pub(super) struct Source {
    format: Format,
    length: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    File(File),
    Text(Vec<u8>),
}

impl Source {
    /// Opens files. One alone is sent while it is read; several are merged in memory.
    pub(super) async fn open(files: &[PathBuf]) -> Result<Self, ExitError> {
        match files {
            [file] if file != Path::new("-") => Self::file(file).await,
            [_] => {
                let text = read(Path::new("-"))?;
                let format = Format::of_text(&text);
                Ok(Self::text(text, format))
            }
            files => {
                let texts = files.iter().map(|file| Ok((file.as_path(), read(file)?)));
                let texts = texts.collect::<Result<Vec<_>, ExitError>>()?;
                let merged = merged(texts)
                    .map_err(|message| ExitError { code: node::exit::Code::Invalid, message })?;
                Ok(Self::text(merged, Format::Json))
            }
        }
    }

    async fn file(path: &Path) -> Result<Self, ExitError> {
        let format = match Format::of_path(path) {
            Some(format) => format,
            None => {
                let text = read(path)?;
                let format = Format::of_text(&text);
                return Ok(Self::text(text, format));
            }
        };
        let file = File::open(path).await.map_err(|error| unreadable(path, &error))?;
        let length = file.metadata().await.map_err(|error| unreadable(path, &error))?.len();
        Ok(Self { format, length, content: Content::File(file) })
    }

    fn text(text: Vec<u8>, format: Format) -> Self {
        Self { format, length: text.len() as u64, content: Content::Text(text) }
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn content_type(&self) -> &'static str {
        match self.format {
            Format::Json => "application/json",
            Format::Yaml => "application/yaml",
        }
    }

    /// The body of a request.
    pub(super) fn into_body(self, progress: Progress) -> Body {
        let counted = move |part: &Bytes| progress.sent(part.len());
        match self.content {
            Content::File(file) => {
                let parts = ReaderStream::with_capacity(file, PART).inspect_ok(counted).map_ok(Frame::data);
                StreamBody::new(parts).boxed()
            }
            Content::Text(text) => {
                let text = Bytes::from(text);
                let starts = (0..text.len()).step_by(PART);
                let parts = starts.map(move |start| Ok(text.slice(start..text.len().min(start + PART))));
                let parts = futures_util::stream::iter(parts.collect::<Vec<io::Result<Bytes>>>());
                StreamBody::new(parts.inspect_ok(counted).map_ok(Frame::data)).boxed()
            }
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ExitError> {
    let read = match path == Path::new("-") {
        true => {
            let mut text = Vec::new();
            io::stdin().lock().read_to_end(&mut text).map(|_| text)
        }
        false => std::fs::read(path),
    };
    read.map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> ExitError {
    ExitError::config(format!("cannot read {}: {error}", path.display()))
}
