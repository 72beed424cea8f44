//! `gibbon-control`: the control plane.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use control::config::Config;
use control::{app, pki};
use node::exit::Failure;
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
    /// Run the control plane until it is told to stop
    Run(ConfigFile),
    /// Bring the database's schema up to date, and end
    Migrate(ConfigFile),
    /// Check the configuration and print it, each key with where its value came from
    Check(ConfigFile),
    /// Certificates for the cluster
    #[command(subcommand)]
    Pki(Pki),
}

#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// A TOML file; without one, defaults and the environment count alone
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Pki {
    /// Make the key pair that all nodes of a cluster hold in the `shared` mode (EC P-384)
    GenCert {
        /// Where the certificate goes
        #[arg(default_value = "cluster.crt")]
        cert: PathBuf,
        /// Where the private key goes (mode 0600)
        #[arg(default_value = "cluster.key")]
        key: PathBuf,
        /// For how many days it is valid
        #[arg(long, default_value_t = 1095, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: u32,
        /// Replace files that are there
        #[arg(long)]
        force: bool,
    },
}

fn main() -> ExitCode {
    node::exit::main(|arguments: Arguments| match arguments.command {
        Command::Run(file) => app::run(load(file.config.as_deref())?),
        Command::Migrate(file) => app::migrate(&load(file.config.as_deref())?),
        Command::Check(file) => check(file.config.as_deref()),
        Command::Pki(Pki::GenCert { cert, key, days, force }) => {
            pki::gen_cert(&cert, &key, days, force).map_err(Failure::unavailable)?;
            print(&format!(
                "made {} and {}: copy both to every node of the cluster",
                cert.display(),
                key.display()
            ));
            Ok(())
        }
    })
}

fn load(file: Option<&Path>) -> Result<Config, Failure> {
    let config = Config::load(file)?;
    logging::init(&config.log);
    Ok(config)
}

fn check(file: Option<&Path>) -> Result<(), Failure> {
    let loaded = node::config::load(file)?;
    Config::parse(&loaded)?;
    print(loaded.print_effective().trim_end());
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what these commands are asked for is what they print")]
fn print(text: &str) {
    println!("{text}");
}
