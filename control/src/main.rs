//! `gibbon-control`: the control plane.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use control::config::Config;
use control::{app, config_command, pki, token};
use node::exit::{ExitError, print};
use node::logging;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The control plane of Gibbon.
#[derive(Debug, Parser)]
#[command(name = "gibbon-control", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the control plane until it gets a signal to stop
    Run(ConfigFile),
    /// Bring the database's schema up to date, and end
    Migrate(ConfigFile),
    /// Check the configuration and print it, each key with where its value came from
    Check(ConfigFile),
    /// What the control planes do with their data planes
    #[command(subcommand)]
    Cluster(Cluster),
    /// The configuration as one document: check, compare, apply and write it, through the Admin API
    #[command(subcommand)]
    Config(config_command::Command),
    /// Certificates for the cluster
    #[command(subcommand)]
    Pki(pki::Command),
    /// Tokens for the Admin API and the status listeners
    #[command(subcommand)]
    Token(token::Command),
}

#[derive(Debug, Subcommand)]
enum Cluster {
    /// Confirm the configuration in the database, which control planes hold back from their data planes
    Confirm(ConfigFile),
}

#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// A TOML file; without one, defaults and the environment count alone
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn main() -> ExitCode {
    node::exit::main(|arguments: Arguments| match arguments.command {
        Command::Run(file) => app::run(|| load(file.config.as_deref())),
        Command::Migrate(file) => app::migrate(&load(file.config.as_deref())?),
        Command::Check(file) => check(file.config.as_deref()),
        Command::Cluster(Cluster::Confirm(file)) => {
            let epoch = app::confirm(&load(file.config.as_deref())?)?;
            print(&format!(
                "confirmed epoch {epoch}: control planes send it to their data planes within seconds"
            ))
        }
        Command::Config(command) => config_command::run(command),
        Command::Pki(command) => print(&pki::run(command)?),
        Command::Token(command) => token::run(command),
    })
}

fn load(file: Option<&Path>) -> Result<Config, ExitError> {
    let config = Config::load(file)?;
    logging::init(&config.log);
    Ok(config)
}

fn check(file: Option<&Path>) -> Result<(), ExitError> {
    let loaded = node::config::load(file)?;
    Config::parse(&loaded)?;
    print(loaded.print_effective().trim_end())
}
