//! Writes the configuration to a file or the standard output.

mod file;

use std::io::{self, Write};
use std::path::Path;

use form_urlencoded::Serializer;
use node::exit::ExitError;

use self::file::DumpFile;
use super::progress::Progress;
use super::{DumpFormat, DumpOptions, append_tags, report};
use crate::admin_client::{AdminClient, Answer};

pub(super) async fn run(options: &DumpOptions) -> Result<(), ExitError> {
    let client = AdminClient::new(&options.admin)?;
    let mut query = Serializer::new(String::new());
    query.append_pair("format", if format(options) == DumpFormat::Json { "json" } else { "yaml" });
    query.append_pair("ids", if options.with_ids { "true" } else { "false" });
    append_tags(&mut query, &options.select_tags)?;
    let path = format!("/config?{}", query.finish());
    let progress = Progress::new(0);
    // Before the request: the Admin API does not wait for the reader of a FIFO.
    let output = options.output.as_deref().map(open).transpose()?;
    let exchange = async {
        let answer = client.get(&path).await?;
        if !answer.status.is_success() {
            let status = answer.status;
            let body = answer.whole().await?;
            return Err(report::failure(status, &serde_json::from_slice(&body).unwrap_or_default()));
        }
        match output {
            Some((path, file)) => to_file(answer, path, file, &progress).await,
            None => to_output(answer, &progress).await,
        }
    };
    let exchange = tokio::time::timeout(client.timeout, exchange);
    progress.during(exchange).await.unwrap_or_else(|_| Err(client.too_late()))
}

fn format(options: &DumpOptions) -> DumpFormat {
    let is_json = options.output.as_deref().and_then(Path::extension).is_some_and(|end| end == "json");
    options.format.unwrap_or(if is_json { DumpFormat::Json } else { DumpFormat::Yaml })
}

async fn to_output(mut answer: Answer, progress: &Progress) -> Result<(), ExitError> {
    let mut out = io::stdout().lock();
    while let Some(part) = answer.part().await? {
        progress.received(part.len());
        match out.write_all(&part) {
            // Its reader has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.map_err(|error| {
                ExitError::unavailable(format!("cannot write to the standard output: {error}"))
            })?,
        }
    }
    out.flush()
        .map_err(|error| ExitError::unavailable(format!("cannot write to the standard output: {error}")))
}

fn open(path: &Path) -> Result<(&Path, DumpFile), ExitError> {
    Ok((path, DumpFile::create(path).map_err(|error| unwritable(path, &error))?))
}

async fn to_file(
    mut answer: Answer,
    path: &Path,
    mut file: DumpFile,
    progress: &Progress,
) -> Result<(), ExitError> {
    while let Some(part) = answer.part().await? {
        progress.received(part.len());
        file.write(&part).map_err(|error| unwritable(path, &error))?;
    }
    file.finish().map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &io::Error) -> ExitError {
    ExitError::unavailable(format!("cannot write {}: {error}", path.display()))
}
