//! Certificates for the cluster: the commands `gibbon-control pki …`.
//!
//! For the `shared` mode, [`gen_cert`] creates the one pair that all nodes hold. For the `pki` mode, an
//! [`Authority`] in a folder issues each node a certificate with the node's role and id. Revocations go into
//! the database that the control planes share. No command here changes a running node.

mod authority;
mod files;
mod issue;
mod pair;
mod revoke;
mod show;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use node::exit::ExitError;
use node::identity::Role;
use time::OffsetDateTime;
use uuid::Uuid;

pub use self::authority::Authority;
pub use self::files::PkiError;
pub use self::issue::{CertificateRequest, Issued, issue, renew};
pub use self::pair::gen_cert;
use crate::revocation::Subject;

/// Certificates for the cluster.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the key pair that all nodes of a cluster hold in the `shared` mode (EC P-384)
    GenCert {
        /// Where the certificate goes
        #[arg(default_value = "cluster.crt")]
        cert: PathBuf,
        /// Where the private key goes (mode 0600)
        #[arg(default_value = "cluster.key")]
        key: PathBuf,
        /// For how many days it is valid
        #[arg(long, default_value_t = 1095, value_parser = days())]
        days: u32,
        /// Replace files that are there
        #[arg(long)]
        force: bool,
    },
    /// Make an authority for the `pki` mode: ca.crt and ca.key in a folder (EC P-256)
    Init {
        #[command(flatten)]
        authority: Folder,
        /// For how many days it is valid
        #[arg(long, default_value_t = 3650, value_parser = days())]
        days: u32,
        /// Replace files that are there
        #[arg(long)]
        force: bool,
    },
    /// Make a key pair for one node, with a certificate of the authority
    Issue(Issue),
    /// Replace a node's certificate by one that names the same node and is valid for longer
    Renew {
        /// The node's certificate; it is replaced
        cert: PathBuf,
        #[command(flatten)]
        authority: Folder,
        /// For how many days it is valid
        #[arg(long, default_value_t = 365, value_parser = days())]
        days: u32,
        /// Make a new private key too, in the file beside the certificate that ends in .key; else the node
        /// keeps its key, which is not needed here
        #[arg(long)]
        new_key: bool,
    },
    /// Have all control planes refuse a node, or one certificate, from now on; live connections are closed
    Revoke {
        #[command(flatten)]
        database: Database,
        /// A node id (all certificates of that node), a fingerprint or a serial number, as `pki show` prints
        subject: Subject,
        /// Why, for whoever reads the log of the node or `pki show`
        #[arg(long)]
        reason: Option<String>,
    },
    /// Take a revocation back
    Unrevoke {
        #[command(flatten)]
        database: Database,
        /// As it was revoked
        subject: Subject,
    },
    /// Print what certificates say: role, node id, validity, fingerprint
    Show {
        /// Certificates, or folders of them; without any, the revocations, or the folder pki without a
        /// database
        paths: Vec<PathBuf>,
        /// The configuration of a control plane, to show revocations from its database
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// The arguments of `pki issue`.
#[derive(Debug, Args)]
pub struct Issue {
    /// Which program the node runs
    role: Role,
    #[command(flatten)]
    authority: Folder,
    /// A name for people, and for the files; without one, the role and the beginning of the node id
    #[arg(long)]
    name: Option<String>,
    /// The id of the node, such as a data plane's from /clustering/data-planes; without one, a new one
    #[arg(long)]
    node_id: Option<Uuid>,
    /// The folder that the pair goes to; without one, that of the authority
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// For how many days it is valid
    #[arg(long, default_value_t = 365, value_parser = days())]
    days: u32,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

/// The folder of the authority.
#[derive(Debug, Args)]
pub struct Folder {
    /// The folder of the authority
    #[arg(long, default_value = "pki", value_name = "FOLDER")]
    dir: PathBuf,
}

/// The database of the revocations.
#[derive(Debug, Args)]
pub struct Database {
    /// The configuration of a control plane: its database is used; without one, defaults and the environment
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Carries out a command and returns the text to print.
///
/// # Errors
/// When a file or the database is missing, a file exists already, or the cluster's mode does not know the
/// subject.
pub fn run(command: Command) -> Result<String, ExitError> {
    match command {
        Command::GenCert { cert, key, days, force } => {
            gen_cert(&cert, &key, days, force)?;
            let (cert, key) = (cert.display(), key.display());
            Ok(format!("made {cert} and {key}: copy both to every node of the cluster"))
        }
        Command::Init { authority, days, force } => {
            let made = Authority::init(&authority.dir, days, force)?;
            Ok(format!(
                "made {} and {}: copy the first to every node of the cluster, keep the second away from all of \
                 them; `gibbon-control pki issue` gives a node its pair",
                made.certificate_path().display(),
                made.key_path().display()
            ))
        }
        Command::Issue(arguments) => run_issue(arguments),
        Command::Renew { cert, authority, days, new_key } => {
            let issued = renew(&Authority::load(&authority.dir)?, &cert, days, new_key)?;
            let files = if new_key { "both" } else { "it, without the key," };
            Ok(format!("renewed {issued}\ncopy {files} to that node, which takes it without a restart"))
        }
        Command::Revoke { database, subject, reason } => {
            revoke::revoke(database.config.as_deref(), &subject, reason.as_deref())
        }
        Command::Unrevoke { database, subject } => revoke::unrevoke(database.config.as_deref(), &subject),
        Command::Show { paths, config } => show::show(paths, config.as_deref()),
    }
}

fn run_issue(arguments: Issue) -> Result<String, ExitError> {
    let Issue { role, authority, name, node_id, out, days, force } = arguments;
    let order = CertificateRequest { role, node_id: node_id.unwrap_or_else(Uuid::new_v4), name, days };
    let folder = out.unwrap_or_else(|| authority.dir.clone());
    let authority = Authority::load(&authority.dir)?;
    let issued = issue(&authority, order, &folder, force)?;
    Ok(format!(
        "made {issued}\ncopy both and {} to that node, and set there cluster.mtls = \"pki\", cluster.cert, \
         cluster.key and cluster.ca",
        authority.certificate_path().display()
    ))
}

fn days() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=36_500)
}

impl From<PkiError> for ExitError {
    fn from(error: PkiError) -> Self {
        Self::unavailable(error)
    }
}

/// Formats a time in UTC, to the second.
fn moment(seconds: i64) -> String {
    let Ok(at) = OffsetDateTime::from_unix_timestamp(seconds) else { return seconds.to_string() };
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", at.hour(), at.minute(), at.second())
}
