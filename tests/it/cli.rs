//! The real binary, as people and pipelines call it: what it prints, what it writes, and its exit codes.
#![cfg(test)]

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

mod edit;
mod offline;
mod secrets;
mod simulate;

/// What a run left.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    /// Standard output of a run that succeeded without a word beside.
    pub(crate) fn good(self) -> String {
        assert!(self.code == 0 && self.err.is_empty(), "{}: {}", self.code, self.err);
        self.out
    }

    /// Standard error of a run that failed with this code and printed no data.
    pub(crate) fn fails(self, code: i32) -> String {
        assert!(self.code == code && self.out.is_empty(), "{}: {}{}", self.code, self.out, self.err);
        self.err
    }
}

/// Runs serin.
pub(crate) fn serin(arguments: &[&str]) -> Run {
    finish(command(Path::new("."), arguments))
}

/// Runs serin in a directory.
fn serin_in(directory: &Path, arguments: &[&str]) -> Run {
    finish(command(directory, arguments))
}

/// A command that does not see the settings of whoever runs the tests.
pub(crate) fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_serin"));
    command.current_dir(directory).args(arguments);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SERIN_") {
            command.env_remove(name);
        }
    }
    command
}

/// A command that may only do what everybody may. Root may do everything, so where the tests are root's, Serin runs as nobody,
/// from a copy in `reach`, which everybody can search; elsewhere a copy may be out of reach.
pub(crate) fn without_rights(reach: &Path, directory: &Path, arguments: &[&str]) -> Command {
    let command = command(directory, arguments);
    if !rustix::process::geteuid().is_root() {
        return command;
    }
    let copy = reach.join("serin");
    if !copy.exists() {
        std::fs::copy(command.get_program(), &copy).unwrap();
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut as_nobody = Command::new(copy);
    as_nobody.args(arguments).current_dir(directory).env_clear().uid(65534).gid(65534);
    as_nobody
}

/// Sets the rights of a path.
pub(crate) fn rights(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn finish(mut command: Command) -> Run {
    let run = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: run.status.code().unwrap(), out: text(run.stdout), err: text(run.stderr) }
}

/// A directory with these files.
fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        let parent = path.parent().unwrap();
        std::fs::create_dir_all(parent).unwrap();
        std::fs::write(&path, text).unwrap();
        // Whatever the umask of who runs the tests.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        if parent != directory.path() {
            std::fs::set_permissions(parent, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    directory
}

#[test]
fn without_a_server_the_world_has_failed() {
    let nobody = ["--server", "http://127.0.0.1:1"];
    let commands =
        ["get", "get fraud", "proxies", "diff docs", "status fraud", "history fraud", "events", "events -f"];
    let orders = ["promote fraud", "abort fraud", "set-weight fraud 25", "undo fraud --to-revision 3"];
    for line in commands.iter().chain(&orders) {
        let command: &[&str] = &line.split(' ').collect::<Vec<_>>();
        let said = serin(&[command, &nobody].concat()).fails(2);
        assert!(
            said.starts_with("error: no answer from http://127.0.0.1:1; is `serin serve` running"),
            "{said}"
        );
    }
}

#[test]
fn wrong_usage_is_the_users_input() {
    for command in
        [&["no-such"][..], &["get", "--no-such"], &["translate"], &["up", "/nowhere"], &["promote"]]
    {
        serin(command).fails(1);
    }
    for (port, lacks) in
        [("--xds", "is plain text; use a loopback address"), ("--http", "wants a `tokensFile`")]
    {
        let said = serin(&["serve", port, "0.0.0.0:0"]).fails(2);
        assert!(said.contains(lacks), "{said}");
    }
}

#[test]
fn each_command_has_a_help_of_whole_lines() {
    let help = serin(&["--help"]).good();
    let commands = help
        .lines()
        .skip_while(|l| *l != "Commands:")
        .skip(1)
        .take_while(|l| !l.trim().is_empty() && !l.contains(" help "));
    let names: Vec<&str> = commands.map(|l| l.split_whitespace().next().unwrap()).collect();
    assert!(names.len() >= 14, "{help}");
    for name in names {
        let help = serin(&[name, "--help"]).good();
        assert!(help.contains("Usage: serin"), "{help}");
    }
}

#[test]
fn shells_and_manual_readers_are_served() {
    for (shell, sign) in
        [("bash", "complete -F _serin"), ("zsh", "#compdef serin"), ("fish", "complete -c serin")]
    {
        let script = serin(&["completions", shell]).good();
        assert!(script.contains(sign) && script.contains("set-weight"), "{shell}");
    }
    let page = serin(&["man"]).good();
    assert!(page.contains(".TH serin 1") && page.contains(".SH SUBCOMMANDS"), "{page}");
}

#[test]
fn a_flag_without_an_effect_is_refused() {
    for line in [&["up", ".", "--gateways", "x"][..], &["promote", "a", "--to", "b", "--xds", "127.0.0.1:1"]]
    {
        assert!(serin(line).fails(1).contains("unexpected argument"), "{line:?}");
    }
}
