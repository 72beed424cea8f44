//! How a program ends: the exit codes, and a `main` that uses them.

use std::fmt;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::config::ConfigError;
use crate::logging;

/// The most time to write the last lines of the log.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a program ended, as a number for scripts and service managers (from 64 on, those of BSD's
/// `sysexits.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// A document that a command was given has errors.
    Invalid = 1,
    /// What a command compared differs.
    Different = 2,
    /// Bad arguments or configuration: a restart does not help.
    Config = 64,
    /// A database, a port or a certificate that the program needs is not available.
    Unavailable = 69,
    /// A fault of the program itself.
    Internal = 70,
}

/// A failure that ends the program: the attempt, its object, and what to do.
#[derive(Debug)]
pub struct ExitError {
    /// The exit code of the process.
    pub code: Code,
    /// One line for the operator.
    pub message: String,
}

/// The `main` of a program: parses the arguments, runs, and turns an [`ExitError`] into its exit code.
///
/// First it makes *ring* the TLS provider of the process: rustls does not choose one when it finds features
/// for none or several. Wrong arguments exit with [`Code::Config`], help and version with 0, a panic with
/// [`Code::Internal`].
pub fn main<Arguments: Parser>(run: impl FnOnce(Arguments) -> Result<(), ExitError>) -> ExitCode {
    crate::install_tls_provider();
    logging::log_panics();
    // Nothing that a panic may have broken is used after it.
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| parse().and_then(run)));
    let code = match outcome {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => report(&failure),
        // The log already has the panic.
        Err(_panic) => Code::Internal.into(),
    };
    logging::flush(FLUSH_TIMEOUT);
    code
}

/// Ends the process with success, from any thread. Only for a program that does not serve yet: it waits for
/// nothing but the log.
#[expect(clippy::disallowed_methods, reason = "its main thread may be busy with a slow step of the start")]
pub fn end_at_once() -> ! {
    logging::flush(FLUSH_TIMEOUT);
    std::process::exit(0)
}

impl ExitError {
    /// Bad arguments or configuration.
    pub fn config(message: impl fmt::Display) -> Self {
        Self { code: Code::Config, message: message.to_string() }
    }

    /// A resource that the program needs is not available.
    pub fn unavailable(message: impl fmt::Display) -> Self {
        Self { code: Code::Unavailable, message: message.to_string() }
    }

    /// A fault of the program.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self { code: Code::Internal, message: message.to_string() }
    }
}

impl From<ConfigError> for ExitError {
    fn from(error: ConfigError) -> Self {
        Self::config(error)
    }
}

impl From<anyhow::Error> for ExitError {
    /// Keeps the code of a failure or configuration error inside an `anyhow` error, with its context. Any
    /// other error is internal.
    fn from(error: anyhow::Error) -> Self {
        let code = if let Some(failure) = error.downcast_ref::<ExitError>() {
            failure.code
        } else if error.downcast_ref::<ConfigError>().is_some() {
            Code::Config
        } else {
            Code::Internal
        };
        Self { code, message: format!("{error:#}") }
    }
}

impl fmt::Display for ExitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ExitError {}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

fn parse<Arguments: Parser>() -> Result<Arguments, ExitError> {
    Arguments::try_parse().map_err(|error| {
        if !error.use_stderr() {
            // The user asked for help or the version: it goes to the standard output.
            error.exit()
        }
        logging::print_line(error.render().to_string().trim_end());
        // clap has printed the message already, over several lines and without the leading "error: ".
        ExitError { code: Code::Config, message: String::new() }
    })
}

/// Prints the output of a command. A closed pipe is not a failure: its reader has seen enough.
///
/// # Errors
/// The standard output cannot be written for another reason, such as a full disk.
pub fn print(text: &str) -> Result<(), ExitError> {
    match write_line(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(unprintable),
    }
}

/// Prints output that cannot be produced a second time, such as a new secret.
///
/// # Errors
/// The standard output cannot be written, for whatever reason.
pub fn print_once(text: &str) -> Result<(), ExitError> {
    write_line(text).map_err(unprintable)
}

fn write_line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

fn unprintable(error: io::Error) -> ExitError {
    ExitError::unavailable(format!("cannot write to the standard output: {error}"))
}

fn report(failure: &ExitError) -> ExitCode {
    if !failure.message.is_empty() {
        logging::print_line(&format!("error: {}", failure.message));
    }
    failure.code.into()
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_failure_keeps_its_code_inside_anyhow() {
        let error =
            anyhow::Error::from(ExitError::unavailable("port 8001 is in use")).context("cannot start");
        let failure = ExitError::from(error);
        assert_eq!(failure.code, Code::Unavailable);
        assert_eq!(failure.message, "cannot start: port 8001 is in use");

        let error = std::fs::read("/nonexistent").context("cannot read").unwrap_err();
        assert_eq!(ExitError::from(error).code, Code::Internal);
    }
}
