//! The commands `gibbon-control config …`: the configuration as one document. They are clients of
//! `POST /config` and `GET /config`, so that the running control plane checks, compares and writes.

mod dump;
mod merge;
mod progress;
mod report;
mod source;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use form_urlencoded::Serializer;
use node::exit::{Code, ExitError, print};
use serde_json::Value;

use self::progress::Progress;
use self::source::Source;
use crate::admin_client::{AdminClient, AdminOptions};

/// The configuration as one document.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check files, without changing anything: exit code 1 if they have errors
    Validate(Files),
    /// Show what `sync` would change: exit code 2 if there is anything, 1 if the files have errors
    Diff(Files),
    /// Make the configuration equal to the files, at one revision
    Sync(Files),
    /// Write the configuration in the form that `sync` reads
    Dump(DumpOptions),
}

/// Files in Kong's declarative form.
#[derive(Debug, Args)]
pub struct Files {
    /// Files in JSON or YAML, `-` for the standard input; several are one configuration
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Compare, change and delete only entities that carry this tag; several: all of them
    #[arg(long = "select-tag", value_name = "TAG")]
    select_tags: Vec<String>,
    /// Print the answer of the Admin API
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminOptions,
}

/// What is written, and where.
#[derive(Debug, Args)]
pub struct DumpOptions {
    /// The file; else the standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The format; else that of the file's ending, else YAML
    #[arg(long)]
    format: Option<DumpFormat>,
    /// Write ids and times of creation, and refer by id
    #[arg(long)]
    with_ids: bool,
    /// Only entities that carry this tag; several: all of them
    #[arg(long = "select-tag", value_name = "TAG")]
    select_tags: Vec<String>,
    #[command(flatten)]
    admin: AdminOptions,
}

/// The format of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DumpFormat {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// Carries out a command.
///
/// # Errors
/// With [`Code::Invalid`] when a document has errors, with [`Code::Different`] when `diff` finds changes, and
/// when the Admin API cannot be reached or refuses.
pub fn run(command: Command) -> Result<(), ExitError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ExitError::internal(format!("cannot start a runtime: {error}")))?;
    runtime.block_on(async {
        match command {
            Command::Validate(files) => validate(&files).await,
            Command::Diff(files) => diff(&files).await,
            Command::Sync(files) => sync(&files).await,
            Command::Dump(options) => dump::run(&options).await,
        }
    })
}

async fn validate(files: &Files) -> Result<(), ExitError> {
    let answer = post(files, true).await?;
    match files.json {
        true => print(&answer.to_string()),
        false => print(&report::valid(&answer)),
    }
}

async fn diff(files: &Files) -> Result<(), ExitError> {
    let answer = post(files, true).await?;
    match files.json {
        true => print(&answer.to_string())?,
        false => print(&report::changes(&answer))?,
    }
    match report::is_empty(&answer) {
        true => Ok(()),
        false => Err(ExitError { code: Code::Different, message: String::new() }),
    }
}

async fn sync(files: &Files) -> Result<(), ExitError> {
    let answer = post(files, false).await?;
    match files.json {
        true => print(&answer.to_string()),
        false => print(&report::done(&answer)),
    }
}

/// Sends the files, and returns the answer if it is a success.
async fn post(files: &Files, dry_run: bool) -> Result<Value, ExitError> {
    let client = AdminClient::new(&files.admin)?;
    let source = Source::open(&files.files).await?;
    let mut query = Serializer::new(String::new());
    query.append_pair("flatten_errors", "true");
    query.append_pair("dry_run", if dry_run { "true" } else { "false" });
    append_tags(&mut query, &files.select_tags)?;
    let path = format!("/config?{}", query.finish());
    let progress = Progress::new(source.length());
    let (content_type, length) = (source.content_type(), source.length());
    let exchange = async {
        let body = source.into_body(progress.clone());
        let answer = client.post(&path, content_type, length, body).await?;
        Ok((answer.status, answer.whole().await?))
    };
    let exchange = tokio::time::timeout(client.timeout, exchange);
    let (status, body) = progress.during(exchange).await.unwrap_or_else(|_| Err(client.too_late()))?;
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status.is_success() {
        return Ok(answer);
    }
    if files.json {
        print(&answer.to_string())?;
    }
    Err(report::failure(status, &answer))
}

/// Adds the tags that select entities to a query.
fn append_tags(query: &mut Serializer<'_, String>, tags: &[String]) -> Result<(), ExitError> {
    // An empty one is a variable without a value: it must not select everything.
    if let Some(tag) = tags.iter().find(|tag| tag.contains(',') || tag.is_empty()) {
        return Err(ExitError::config(format!("--select-tag '{tag}': a tag is not empty and has no comma")));
    }
    if !tags.is_empty() {
        query.append_pair("select_tags", &tags.join(","));
    }
    Ok(())
}
