//! Finds the programs, and builds them once per test process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The path of `gibbon-gateway`.
pub(super) fn gateway() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| ensure("gateway", "gibbon-gateway"))
}

/// The path of `gibbon-control`.
pub(super) fn control() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| ensure("control", "gibbon-control"))
}

fn ensure(package: &str, binary: &str) -> PathBuf {
    let path = match std::env::var_os("GIBBON_TEST_BIN_DIR") {
        // Relative to the top of the checkout, for `target/release`: tests run in their package's folder.
        Some(folder) => top().join(folder).join(binary),
        None => build(package, binary),
    };
    assert!(path.is_file(), "there is no {}", path.display());
    path
}

/// Cargo builds a package's own binaries for its integration tests, but not those of another package.
fn build(package: &str, binary: &str) -> PathBuf {
    let folder = profile_folder();
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--package", package, "--bin", binary, "--profile", profile])
        .arg("--manifest-path")
        .arg(top().join("Cargo.toml"))
        .arg("--target-dir")
        .arg(folder.parent().expect("a profile's folder lies in the target folder"))
        .status();
    assert!(status.is_ok_and(|status| status.success()), "cannot build {binary}");
    folder.join(binary)
}

/// `target/<profile>`, of `target/<profile>/deps/<test>`.
fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it lies");
    let folder = test.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
    folder.expect("a test lies in a folder").to_owned()
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
