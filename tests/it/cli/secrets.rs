//! `keys new`, `tokens new` and `users set`: what they write, who may read it, and that gateways take it.

use super::{Run, command, directory, serin_in};
use std::fs::{Permissions, set_permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;

const GATEWAY: &str = "apiVersion: serin/v1\nname: a\nupstreams: { v1: http://a }\nauthentication:\n  ";

fn read(directory: &Path, name: &str) -> String {
    std::fs::read_to_string(directory.join(name)).unwrap()
}

fn mode(directory: &Path, name: &str) -> u32 {
    directory.join(name).metadata().unwrap().mode() & 0o7777
}

/// `serin users set` with something on its standard input.
fn set(directory: &Path, arguments: &[&str], input: &[u8]) -> Run {
    let mut command = command(directory, &[&["users", "set"], arguments].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that does not want it may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input);
    let run = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: run.status.code().unwrap(), out: text(run.stdout), err: text(run.stderr) }
}

#[test]
fn a_new_key_is_printed_once_and_kept_for_its_owner() {
    let folder = directory(&[("a.yaml", &format!("{GATEWAY}accessKey: {{ keysFile: a.keys }}\n"))]);
    let new = |client: &str| {
        let run = serin_in(folder.path(), &["keys", "new", "a.keys", client]);
        assert_eq!(run.code, 0, "{}", run.err);
        assert!(run.err.starts_with(&format!("a.keys: {client} has a new key")), "{}", run.err);
        assert!(!run.err.contains(run.out.trim()));
        run.out.trim().to_owned()
    };
    let first = new("acme");
    assert!(
        first.len() == 43 && first.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)),
        "{first}"
    );
    assert_eq!(
        (read(folder.path(), "a.keys"), mode(folder.path(), "a.keys")),
        (format!("acme:{first}\n"), 0o600)
    );
    set_permissions(folder.path().join("a.keys"), Permissions::from_mode(0o640)).unwrap();
    let second = new("acme");
    assert_ne!(first, second);
    assert_eq!(read(folder.path(), "a.keys"), format!("acme:{first}\nacme:{second}\n"));
    assert_eq!(mode(folder.path(), "a.keys"), 0o640);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside");
    let run = serin_in(folder.path(), &["validate", "a.yaml"]);
    assert_eq!((run.code, &*run.err), (0, "1 file: no problems\n"));
}

#[test]
fn a_file_that_everyone_may_read_is_warned_of() {
    let folder = directory(&[("a.keys", ""), ("users", "")]);
    let exposed = |name: &str, mode| {
        set_permissions(folder.path().join(name), Permissions::from_mode(mode)).unwrap();
    };
    let warning =
        |name: &str| format!("warning: every user of the machine may read {name}; run `chmod o-r {name}`");
    exposed("a.keys", 0o644);
    exposed("users", 0o604);
    let run = serin_in(folder.path(), &["keys", "new", "a.keys", "acme"]);
    assert!(run.code == 0 && run.err.contains(&warning("a.keys")), "{}", run.err);
    let run = set(folder.path(), &["users", "ann"], b"password");
    assert!(run.code == 0 && run.err.contains(&warning("users")), "{}", run.err);
}

/// Asks for a password on a terminal of its own, and types this; prints whether the terminal shows what is typed,
/// while it is asked and afterwards, and the exit code.
const TERMINAL: &str = "
import os, pty, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], 'users', 'set', 'users', 'ann'])
shows = lambda: bool(termios.tcgetattr(terminal)[3] & termios.ECHO)
said = b''
while b'Password of ann: ' not in said:
    said += os.read(terminal, 100)
while shows():
    pass
during = shows()
os.write(terminal, sys.argv[2].encode().decode('unicode_escape').encode('latin-1'))
_, status = os.waitpid(pid, 0)
print(during, shows(), os.waitstatus_to_exitcode(status))
";

#[test]
fn a_terminal_shows_what_is_typed_again_whatever_ends_the_question() {
    let folder = directory(&[]);
    let type_in = |keys: &str| {
        let mut command = std::process::Command::new("python3");
        command.args(["-c", TERMINAL, env!("CARGO_BIN_EXE_serin"), keys]).current_dir(folder.path());
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert_eq!(type_in("secret\\x03"), "False True 1\n", "Ctrl-C");
    assert!(!folder.path().join("users").exists());
    // A line that was mended: backspace, and everything taken back.
    assert_eq!(type_in("wrong\\x15passs\\x7fword\\r"), "False True 0\n");
    assert_eq!(read(folder.path(), "users"), "ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
}

#[test]
fn a_password_is_hashed_as_envoy_takes_it() {
    let folder = directory(&[
        ("a.yaml", &format!("{GATEWAY}basicAuth: {{ usersFile: users }}\n")),
        ("users", "# people\r\nann:$2y$old\r\n"),
    ]);
    set_permissions(folder.path().join("users"), Permissions::from_mode(0o600)).unwrap();
    for (user, input) in [("ann", &b"password\r\nmore"[..]), ("bob", b"password")] {
        let run = set(folder.path(), &["users", user], input);
        assert_eq!(
            (run.code, run.out, run.err),
            (0, String::new(), format!("users: {user} has a new password\n"))
        );
    }
    let hash = "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=";
    assert_eq!(read(folder.path(), "users"), format!("# people\r\nann:{hash}\r\nbob:{hash}\r\n"));
    let run = serin_in(folder.path(), &["validate", "a.yaml"]);
    assert_eq!((run.code, &*run.err), (0, "1 file: no problems\n"));
    assert_eq!(set(folder.path(), &["new", "ann"], b"password\n").code, 0);
    assert_eq!((read(folder.path(), "new"), mode(folder.path(), "new")), (format!("ann:{hash}\n"), 0o600));
}

#[test]
fn what_cannot_be_right_is_refused_and_nothing_is_written() {
    let folder = directory(&[("latin", "")]);
    std::fs::write(folder.path().join("latin"), b"caf\xe9:x\n").unwrap();
    for (said, why) in [
        (serin_in(folder.path(), &["keys", "new", "k", "a:b"]).fails(1), "without a colon"),
        (serin_in(folder.path(), &["keys", "new", "latin", "a"]).fails(1), "latin is not UTF-8"),
        (
            serin_in(folder.path(), &["keys", "new", "no/such/k", "a"]).fails(1),
            "run `mkdir -p -m 700 no/such`",
        ),
        (set(folder.path(), &["u", "a b"], b"x\n").fails(1), "or a space"),
        (set(folder.path(), &["u", "ann"], b"\n").fails(1), "the password is empty"),
        (set(folder.path(), &["u", "ann"], b"").fails(1), "the password is empty"),
        (set(folder.path(), &["u", "ann"], b"\xff\n").fails(1), "the password is not UTF-8"),
    ] {
        assert!(said.contains(why), "{why} is not in {said}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn keys_may_come_from_the_environment_and_are_never_shown() {
    let folder =
        directory(&[("a.yaml", &format!("{GATEWAY}accessKey: {{ keysFile: {{ env: FRAUD_KEYS }} }}\n"))]);
    let validate = |keys: Option<&str>| {
        let mut command = command(folder.path(), &["validate", "a.yaml"]);
        command.env_remove("FRAUD_KEYS").envs(keys.map(|keys| ("FRAUD_KEYS", keys)));
        super::finish(command)
    };
    assert_eq!(validate(Some("acme:0123456789abcdef")).code, 0);
    assert!(validate(None).fails(1).contains("the variable `FRAUD_KEYS` is not set"));
    let said = validate(Some("0123456789abcdef")).fails(1);
    assert!(
        said.contains("line 1 of the variable `FRAUD_KEYS`") && !said.contains("0123456789abcdef"),
        "{said}"
    );
}

#[test]
fn a_new_token_is_printed_once_and_its_hash_is_kept() {
    let folder = directory(&[]);
    let new = |words: &[&str]| serin_in(folder.path(), &[&["tokens", "new", "tokens"], words].concat());
    let ann = new(&["ann", "--role", "operator"]);
    assert_eq!(ann.code, 0, "{}", ann.err);
    assert!(ann.err.starts_with("tokens: ann has a new token (operator)"), "{}", ann.err);
    let token = ann.out.trim();
    assert!(token.starts_with("serin_") && token.len() == 49, "{token}");
    assert_eq!(mode(folder.path(), "tokens"), 0o600);
    let before = read(folder.path(), "tokens");
    assert!(before.starts_with("ann:operator:sha256:") && !before.contains(&token[6..]), "{before}");
    assert_eq!(new(&["bob"]).code, 0);
    let after = read(folder.path(), "tokens");
    assert!(after.starts_with(&before) && after.lines().nth(1).unwrap().starts_with("bob:viewer:sha256:"));
    for wrong in [&["a b"][..], &["engine"], &["eve", "--role", "root"]] {
        assert_eq!(new(wrong).code, 1, "{wrong:?}");
    }
    assert_eq!(read(folder.path(), "tokens"), after);
}
