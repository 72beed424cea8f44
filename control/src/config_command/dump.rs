//! Writes the configuration to a file or the standard output.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use form_urlencoded::Serializer;
use node::exit::ExitError;

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
    let exchange = async {
        let answer = client.get(&path).await?;
        if !answer.status.is_success() {
            let status = answer.status;
            let body = answer.whole().await?;
            return Err(report::failure(status, &serde_json::from_slice(&body).unwrap_or_default()));
        }
        match &options.output {
            Some(file) => to_file(answer, file, &progress).await,
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

/// Replaces the file when the dump is complete.
async fn to_file(mut answer: Answer, file: &Path, progress: &Progress) -> Result<(), ExitError> {
    let failed =
        |error: io::Error| ExitError::unavailable(format!("cannot write {}: {error}", file.display()));
    let unfinished = Unfinished::new(file);
    let mut out = io::BufWriter::new(std::fs::File::create(&unfinished.0).map_err(failed)?);
    while let Some(part) = answer.part().await? {
        progress.received(part.len());
        out.write_all(&part).map_err(failed)?;
    }
    let out = out.into_inner().map_err(|error| failed(error.into_error()))?;
    out.sync_all().map_err(failed)?;
    std::fs::rename(&unfinished.0, file).map_err(failed)
}

/// A file beside the one that it becomes; removed when it does not.
struct Unfinished(PathBuf);

impl Unfinished {
    fn new(file: &Path) -> Self {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        Self(file.with_file_name(name))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}
