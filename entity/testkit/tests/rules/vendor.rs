//! Vendored code is the published code and a patch that can be read, nothing more.

use std::path::Path;
use std::process::Command;

use crate::root;

#[test]
fn vendored_crates_are_the_published_ones_and_a_patch() {
    for name in ["pingora-core", "pingora-http", "pingora-proxy", "pingora-timeout"] {
        let vendored = root().join("gateway/vendor").join(name);
        let folder = tempfile::tempdir().unwrap();
        run(Command::new("cp").arg("-r").arg(vendored.join("src")).arg(folder.path()));
        take_off(&vendored.join("gibbon.patch"), folder.path());
        is_exactly(folder.path(), &vendored.join("published.sha256"));
    }
}

fn take_off(patch: &Path, folder: &Path) {
    // Inside a checkout, git would look for the paths in its index.
    let mut git = Command::new("git");
    git.args(["apply", "--reverse"]).arg(patch).current_dir(folder).env("GIT_CEILING_DIRECTORIES", folder);
    run(&mut git);
}

fn is_exactly(folder: &Path, published: &Path) {
    run(Command::new("sha256sum").args(["--check", "--quiet"]).arg(published).current_dir(folder));
    let files = Command::new("find").args(["src", "-type", "f"]).current_dir(folder).output().unwrap();
    let (found, named) =
        (String::from_utf8(files.stdout).unwrap(), std::fs::read_to_string(published).unwrap());
    assert_eq!(found.lines().count(), named.lines().count(), "{found}");
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
