//! The commands `gibbon-control token …`: tokens for the Admin API and the status listeners.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use node::exit::{ExitError, print_once};
use node::tokens::{TokenFile, TokenRole, create};

/// Tokens for the Admin API and the status listeners.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a token and print it: it is not kept anywhere, only its hash goes into the file
    Create {
        /// Who will hold it, for the log
        #[arg(long)]
        name: String,
        /// What the holder may do
        #[arg(long, value_enum)]
        role: TokenRole,
        /// The file of admin.tokens or status.tokens, made with mode 0600 if it is not there; without it, the
        /// line for the file is printed, too
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// Carries out a command.
///
/// # Errors
/// When the name is invalid or in use, or the file or the standard output cannot be written.
pub fn run(command: Command) -> Result<(), ExitError> {
    let Command::Create { name, role, file } = command;
    let token = create(&name, role).map_err(ExitError::config)?;
    let Some(file) = file else {
        return print_once(&format!("token: {}\nline for the file: {}", token.secret, token.line));
    };
    check(&file, &token.line)?;
    // Before its hash is in the file: a token that was never printed must not be valid.
    print_once(&token.secret)?;
    append(&file, &token.line)
        .map_err(|error| ExitError::unavailable(format!("cannot write {}: {error}", file.display())))
}

/// Checks the file with the new line: an error would otherwise show only later.
fn check(file: &Path, line: &str) -> Result<(), ExitError> {
    if !file.exists() {
        return Ok(());
    }
    TokenFile::open(file).map_err(ExitError::unavailable)?;
    let text = std::fs::read_to_string(file).map_err(ExitError::unavailable)?;
    let together = format!("{text}\n{line}").parse::<node::tokens::Tokens>();
    together.map(drop).map_err(|reason| {
        ExitError::config(format!("the token cannot be added to {}: {reason}", file.display()))
    })
}

/// Appends in one write, so that a program that reads the file sees the whole line or none of it.
fn append(file: &Path, line: &str) -> io::Result<()> {
    let ends_well = std::fs::read(file).map_or(true, |text| text.is_empty() || text.ends_with(b"\n"));
    let mut out = OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
    let begin = if ends_well { "" } else { "\n" };
    out.write_all(format!("{begin}{line}\n").as_bytes())?;
    out.sync_all()
}
