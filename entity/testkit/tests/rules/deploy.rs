//! The programs that read the files of `deploy/` accept them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::process::Program;

use crate::root;

/// The highest exposure in `systemd-analyze security` that passes, in tenths.
const EXPOSURE: &str = "--threshold=20";

#[test]
fn the_sample_configurations_are_valid() {
    for (program, file) in [(Program::control(), "control.toml"), (Program::gateway(), "gateway.toml")] {
        let sample = deploy("config").join(file);
        run(Command::new(program.path()).arg("check").arg("--config").arg(sample));
    }
}

#[test]
fn the_units_are_valid_and_hardened() {
    for program in [Program::control(), Program::gateway()] {
        let binary = program.path();
        let name =
            format!("{}.service", binary.file_name().and_then(OsStr::to_str).expect("a program has a name"));
        let unit = deploy("systemd").join(&name);
        run(Command::new("systemd-analyze").args(["security", "--offline=true", EXPOSURE]).arg(&unit));

        // It requires an executable at the path that the unit has after the installation.
        let installed = Path::new("/usr/local/bin").join(binary.file_name().expect("a program has a name"));
        let text = fs::read_to_string(&unit).expect("the unit can be read");
        let here = text.replace(path(&installed), path(binary));
        assert_ne!(text, here, "{name} starts {}", installed.display());
        let folder = tempfile::tempdir().expect("a folder can be made");
        fs::write(folder.path().join(&name), here).expect("a unit can be written");
        run(Command::new("systemd-analyze").arg("verify").arg(folder.path().join(&name)));
    }
}

#[test]
fn the_alerts_fire_when_they_should() {
    let folder = deploy("prometheus");
    run(promtool().args(["check", "config"]).arg(folder.join("prometheus.yml")));
    run(promtool().args(["test", "rules"]).arg(folder.join("alerts_test.yml")));
}

fn deploy(folder: &str) -> PathBuf {
    root().join("deploy").join(folder)
}

/// `make tools` installs it under target/ where the machine has none.
fn promtool() -> Command {
    let installed = root().join("target/tools/bin/promtool");
    Command::new(if installed.exists() { installed } else { "promtool".into() })
}

/// `systemd-analyze verify` exits with 0 whatever it finds, but prints it.
fn run(command: &mut Command) {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; `make tools` installs it"));
    let said = String::from_utf8_lossy(&output.stderr);
    let quiet = !path(Path::new(command.get_program())).ends_with("systemd-analyze") || said.is_empty();
    assert!(
        output.status.success() && quiet,
        "{command:?}: {}\n{}{said}",
        output.status,
        String::from_utf8_lossy(&output.stdout)
    );
}

fn path(path: &Path) -> &str {
    path.to_str().expect("the path is UTF-8")
}
