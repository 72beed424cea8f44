//! The program `gibbon-gateway`: arguments and exit codes.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use gateway::config::{Config, RawConfig};
use gateway::drain::Signals;
use gateway::{app, echo, health};
use node::exit::{ExitError, print};
use node::{config, logging};

/// Made for many small allocations on many threads, which is what requests are.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The data plane of Gibbon: proxies, by the configuration of its control plane
#[derive(Debug, Parser)]
#[command(name = "gibbon-gateway", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the data plane
    Run(WithConfig),
    /// Check the configuration and print each key with its value and origin
    Check(WithConfig),
    /// Ask the data plane on this machine whether it is ready; exit 0 if so, 1 if not
    Health(WithConfig),
    /// Run an origin that answers with what it received
    Echo {
        /// Where to listen
        #[arg(long, default_value = "127.0.0.1:9000")]
        listen: SocketAddr,
    },
}

#[derive(Debug, Args)]
struct WithConfig {
    /// The configuration, TOML; each key can also be set by environment, as GIBBON_PROXY__LISTEN
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn main() -> ExitCode {
    let healthy = Cell::new(true);
    let code = node::exit::main(|arguments: Arguments| match arguments.command {
        Command::Run(with) => run(with.config.as_deref()),
        Command::Check(with) => check(with.config.as_deref()),
        Command::Health(with) => {
            let health = health::ask(Config::load(with.config.as_deref())?.status.listen);
            healthy.set(health.is_ok());
            print(&health.unwrap_or_else(|reason| reason))
        }
        Command::Echo { listen } => echo::run(listen),
    });
    if healthy.get() { code } else { ExitCode::from(1) }
}

fn run(file: Option<&Path>) -> Result<(), ExitError> {
    let signals = Signals::listen()?;
    let config = Config::load(file)?;
    logging::init(&config.log);
    app::run(config, signals)
}

fn check(file: Option<&Path>) -> Result<(), ExitError> {
    let loaded = config::load::<RawConfig>(file)?;
    Config::parse(&loaded)?;
    print(loaded.print_effective().trim_end())
}
