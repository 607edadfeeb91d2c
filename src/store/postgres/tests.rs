//! With a real server: the contract, the token, and what becomes of it when the world fails.

#[path = "../../../tests/it/postgres.rs"]
mod server;

use super::*;
use crate::model::Endpoint;
use crate::store::contract::{commit, contract, entry, gateway, state};
use crate::store::lease::{Answer, Ask, Row};
use crate::store::measured::{MOST, Mark, Measured};
use server::{PASSWORD, Server};
use std::sync::atomic::{AtomicU32, Ordering};

fn database(server: &Server, name: &str) -> Database {
    Database {
        hosts: vec![Endpoint { host: "127.0.0.1".into(), port: server.port }],
        user: "serin".into(),
        name: name.into(),
        password_file: Some(server.path("password")),
        tls: None,
        cache: None,
    }
}

fn open(server: &Server) -> Postgres {
    Postgres::new(database(server, "postgres")).unwrap()
}

impl Postgres {
    /// Takes the lease from whoever has it.
    fn take(&mut self) -> u64 {
        let answer = self.ask(ANSWER, async |client| {
            let Answer::Is(row) = lease::ask(client, &Ask::Look, "here").await? else { unreachable!() };
            lease::ask(client, &Ask::Take(row), "here").await
        });
        let Answer::Done(token) = answer.unwrap() else { panic!("somebody was faster") };
        token
    }
}

/// A store whose commits carry its token.
struct Led(Postgres, u64);

impl Led {
    fn new(mut store: Postgres) -> Self {
        let token = store.take();
        Self(store, token)
    }
}

impl Store for Led {
    fn load(&mut self) -> Result<Restored, Error> {
        self.0.load()
    }

    fn commit(&mut self, commits: &[Commit]) -> Vec<Result<Option<u64>, Error>> {
        let commits = commits.iter().map(|commit| Commit { token: Some(self.1), ..commit.clone() });
        self.0.commit(&commits.collect::<Vec<_>>())
    }

    fn entries(&mut self, query: &Query) -> Result<Vec<Entry>, Error> {
        self.0.entries(query)
    }

    fn secret(&mut self, name: &str, new: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.secret(name, new)
    }

    fn prune(&mut self, before: Timestamp, most: u64) -> Result<u64, Error> {
        self.0.prune(before, most)
    }
}

#[test]
fn it_keeps_the_contract() {
    let server = Server::start();
    let count = AtomicU32::new(0);
    let empty = || {
        let name = format!("d{}", count.fetch_add(1, Ordering::Relaxed));
        server.ask(&format!("CREATE DATABASE {name}"));
        Led::new(Postgres::new(database(&server, &name)).unwrap())
    };
    contract(empty, |Led(store, token)| Led(Postgres::new(store.at.clone()).unwrap(), token));
}

#[test]
fn only_the_newest_token_writes() {
    let server = Server::start();
    let (mut first, mut second) = (Led::new(open(&server)), open(&server));
    assert_eq!(first.commit(&[commit(vec![state("fraud", None, 1, 5)], vec![])]), [Ok(None)]);
    let old = first.1;
    let mut second = Led(second_take(&mut second, old), old + 1);
    let late = commit(vec![state("fraud", Some(1), 2, 50)], vec![entry(Some("fraud"), "advanced", 1)]);
    assert_eq!(
        first.commit(&[late.clone(), commit(vec![], vec![entry(None, "alarm", 1)])]),
        [Err(Error::Fenced), Err(Error::Fenced)]
    );
    assert_eq!(first.prune(Timestamp(i64::MAX), 0), Ok(0), "nor does it remove anything");
    assert_eq!(second.0.commit(std::slice::from_ref(&late)), [Err(Error::Fenced)], "nor does who has none");
    assert!(second.commit(&[late])[0].is_ok());
    assert_eq!(first.load().unwrap().states[&gateway("fraud")].0, 2, "but all read");
    // Given back, nobody writes.
    second.0.ask(ANSWER, async |client| lease::leave(client, old + 1).await).unwrap();
    assert_eq!(second.commit(&[commit(vec![], vec![entry(None, "alarm", 1)])]), [Err(Error::Fenced)]);
}

fn second_take(store: &mut Postgres, old: u64) -> Postgres {
    assert_eq!(store.take(), old + 1);
    Postgres::new(store.at.clone()).unwrap()
}

#[test]
fn who_is_frozen_in_a_transaction_holds_nobody_up() {
    let server = Server::start();
    let (mut frozen, mut next) = (Led::new(open(&server)), open(&server));
    let token_of_frozen = frozen.1;
    let at = frozen.0.at.clone();
    let runtime = frozen.0.runtime.as_ref().unwrap();
    let mut link = runtime.block_on(Link::open(&at)).unwrap();
    // It has checked its token, and then nothing more is heard of it.
    let Link { client, wire } = &mut link;
    let begun = async {
        let transaction = begin(client).await?;
        transaction.batch_execute("SELECT 1 FROM serin.lease FOR SHARE").await?;
        // Otherwise it would be taken back as soon as anything is said.
        std::mem::forget(transaction);
        Ok(())
    };
    runtime.block_on(wire.drive(ANSWER, begun)).unwrap();
    assert_eq!(next.take(), token_of_frozen + 1);
    let write = async { Ok(client.batch_execute("NOTIFY serin; COMMIT").await?) };
    let woken = runtime.block_on(wire.drive(ANSWER, write));
    assert!(matches!(woken, Err(Error::Unavailable { .. })), "{woken:?}");
    assert_eq!(frozen.commit(&[commit(vec![], vec![entry(None, "alarm", 1)])]), [Err(Error::Fenced)]);
}

#[test]
fn who_takes_the_lease_waits_for_what_the_one_before_is_writing() {
    let server = Server::start();
    let (mut first, mut next) = (Led::new(open(&server)), open(&server));
    // Connected before the writer begins, who waits for 5 seconds only.
    next.load().unwrap();
    // Nobody writes the journal for a while: the token was checked, and the commit has not ended.
    let mut holder = server.ask_beside("LOCK TABLE serin.journal IN EXCLUSIVE MODE; SELECT pg_sleep(60)");
    let held = "pg_locks WHERE granted AND relation = 'serin.journal'::regclass AND mode = 'ExclusiveLock'";
    let until = |sql: &str, wanted: &str| {
        let asked = (0..600).any(|_| server.ask(sql) == wanted);
        assert!(asked, "never {wanted}: {sql}");
    };
    until(&format!("SELECT count(*) FROM {held}"), "1");
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    std::thread::scope(|scope| {
        let change = commit(vec![state("fraud", None, 1, 5)], vec![entry(Some("fraud"), "advanced", 1)]);
        let writer = scope.spawn(move || first.commit(&[change]));
        until(waiting, "1");
        let taker = scope.spawn(move || (next.take(), next.load().unwrap()));
        until(waiting, "2");
        assert_eq!(server.ask(&format!("SELECT count(pg_terminate_backend(pid)) FROM {held}")), "1");
        assert!(!holder.wait().unwrap().success());
        assert_eq!(writer.join().unwrap(), [Ok(Some(1))]);
        let (token, found) = taker.join().unwrap();
        assert_eq!((token, found.states.len()), (2, 1), "it begins with all that the one before wrote");
    });
}

#[test]
fn followers_read_what_changed_and_what_was_forgotten() {
    let server = Server::start();
    let (mut leader, mut follower) = (Led::new(open(&server)), open(&server));
    let mut read = |after: Option<i64>| {
        follower.ask(ANSWER, async |client| lease::states(client, after, "it").await).unwrap()
    };
    assert!(
        leader.commit(&[commit(vec![state("a", None, 1, 5), state("b", None, 1, 5)], vec![])])[0].is_ok()
    );
    let (all, mark) = read(None);
    assert_eq!((all.all, all.states.len()), (true, 2));
    assert_eq!(read(Some(mark)).0, super::super::Kept::default(), "nothing has changed");
    let forget = StateChange { state: None, ..state("a", Some(1), 2, 5) };
    assert!(leader.commit(&[commit(vec![forget, state("b", Some(1), 2, 50)], vec![])])[0].is_ok());
    let (changed, _) = read(Some(mark));
    assert!(!changed.all);
    assert_eq!(changed.states[&gateway("a")], None);
    assert_eq!(changed.states[&gateway("b")].as_ref().map(|(revision, _)| *revision), Some(2));
}

#[test]
fn a_server_that_comes_back_is_used_again() {
    let server = Server::start();
    let mut store = Led::new(open(&server));
    let first = commit(vec![state("fraud", None, 1, 5)], vec![entry(Some("fraud"), "started", 1)]);
    assert!(store.commit(&[first])[0].is_ok());
    server.down();
    let answer = store.commit(&[commit(vec![], vec![entry(None, "alarm", 1)])]).remove(0);
    let Err(error @ Error::Unavailable { .. }) = answer else { panic!("{answer:?}") };
    let place = format!("postgres://serin@127.0.0.1:{}/postgres cannot be used now: ", server.port);
    assert!(error.to_string().starts_with(&place), "{error}");
    assert!(matches!(store.load(), Err(Error::Unavailable { .. })));
    server.up();
    assert_eq!(store.load().unwrap().states.len(), 1);
    assert!(store.commit(&[commit(vec![], vec![entry(None, "alarm", 1)])])[0].is_ok());
}

#[test]
fn a_start_waits_once_for_a_server_that_is_away() {
    let server = Server::start();
    let mut store = open(&server);
    assert_eq!(store.secret("cookies", b"first"), Ok(b"first".into()));
    server.down();
    let away = store.load().unwrap_err();
    assert!(matches!(away, Error::Unavailable { .. }), "{away:?}");
    server.up();
    assert_eq!(store.secret("cookies", b"other"), Err(away), "it is not asked again");
    assert_eq!(store.entries(&Query::default()), Ok(vec![]));
    assert_eq!(store.secret("cookies", b"other"), Ok(b"first".into()), "it has answered since");
}

#[test]
fn a_password_is_read_from_its_file_and_never_shown() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let at = Database { password_file: Some(file.clone()), ..database(&server, "postgres") };
    let mut store = Postgres::new(at).unwrap();
    let said = store.load().unwrap_err().to_string();
    assert!(said.contains("No such file") && said.contains("password"), "{said}");
    std::fs::write(&file, format!("{PASSWORD}x\n")).unwrap();
    let said = store.load().unwrap_err().to_string();
    assert!(said.contains("password authentication failed") && !said.contains(PASSWORD), "{said}");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    assert_eq!(store.load(), Ok(Restored::default()), "without a restart");
    assert!(!format!("{store:?}").contains(PASSWORD));
}

#[test]
fn a_server_proves_who_it_is() {
    let authority = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = parameters.self_signed(&authority).unwrap();
    let issuer = rcgen::Issuer::new(parameters, authority);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let files = [("server.crt", leaf.pem()), ("server.key", key.serialize_pem())];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let settings = ["ssl = on", "ssl_cert_file = '../server.crt'", "ssl_key_file = '../server.key'"];
    let server = Server::with(&files, &settings);
    let folder = tempfile::tempdir().unwrap();
    let load = |host: &str, root: &str| {
        let path = folder.path().join("root.pem");
        std::fs::write(&path, root).unwrap();
        let tls = Some(crate::model::DatabaseTls { root_file: Some(path) });
        let hosts = vec![Endpoint { host: host.into(), port: server.port }];
        Postgres::new(Database { hosts, tls, ..database(&server, "postgres") }).unwrap().load()
    };
    assert_eq!(load("localhost", &root.pem()), Ok(Restored::default()));
    let said = |loaded: Result<Restored, Error>| loaded.unwrap_err().to_string();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let stranger = said(load("localhost", &other.cert.pem()));
    assert!(stranger.contains("invalid peer certificate"), "{stranger}");
    let other_name = said(load("127.0.0.1", &root.pem()));
    assert!(other_name.contains("certificate not valid for name"), "{other_name}");
    assert!(said(load("localhost", "")).contains("it holds no certificate"));
}

#[test]
fn each_version_is_brought_up_to_date_and_a_newer_one_says_who_may_use_it() {
    let server = Server::start();
    // Several at once, as a deployment starts them.
    let starts: Vec<_> = (0..4)
        .map(|_| {
            let at = database(&server, "postgres");
            std::thread::spawn(move || Postgres::new(at).unwrap().load())
        })
        .collect();
    starts.into_iter().for_each(|start| assert_eq!(start.join().unwrap(), Ok(Restored::default())));
    let mut store = open(&server);
    let change = "ALTER TABLE serin.rollout ADD COLUMN note TEXT";
    let broken = "ALTER TABLE serin.nobody ADD COLUMN note TEXT";
    let migrate = |store: &mut Postgres, more: &[&'static str], oldest: i64| {
        let all = [schema::MIGRATIONS, more].concat();
        store.ask(ANSWER, async |client| schema::migrate(client, &all, oldest, "it").await)
    };
    assert!(migrate(&mut store, &[change, broken], 1).is_err());
    let columns = "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'serin' AND column_name = 'note'";
    assert_eq!(server.ask(columns), "0", "all or none");
    // One that runs goes on while a newer one changes the tables, and one that starts can use them.
    let mut running = Led::new(open(&server));
    assert!(running.commit(&[commit(vec![state("fraud", None, 1, 5)], vec![])])[0].is_ok());
    let version = "SELECT version, oldest FROM serin.schema_version";
    let known = schema::MIGRATIONS.len();
    assert_eq!(server.ask(version), format!("{known}|{}", schema::OLDEST));
    migrate(&mut store, &[change], 1).unwrap();
    assert_eq!((server.ask(columns), server.ask(version)), ("1".to_owned(), format!("{}|1", known + 1)));
    let next = [commit(vec![state("fraud", Some(1), 2, 50)], vec![entry(Some("fraud"), "advanced", 1)])];
    assert!(running.commit(&next)[0].is_ok());
    let mut started = Led::new(open(&server));
    assert_eq!(started.load().unwrap().states[&gateway("fraud")].0, 2);
    assert!(started.commit(&[commit(vec![state("fraud", Some(2), 3, 60)], vec![])])[0].is_ok());
    assert_eq!(server.ask(version), format!("{}|1", known + 1), "and leaves them as they are");
    // Until something was changed that it does not know how to use.
    let oldest = i64::try_from(known).unwrap() + 1;
    migrate(&mut store, &[change, "CREATE TABLE serin.other ()"], oldest).unwrap();
    let error = open(&server).load().unwrap_err();
    assert!(matches!(error, Error::TooNew { found, .. } if found == oldest + 1), "{error}");
    assert!(started.load().is_ok(), "it is asked at each connection only");
    server.ask("CREATE DATABASE other");
    let mut other = Postgres::new(database(&server, "other")).unwrap();
    let mut first = Postgres::new(database(&server, "other")).unwrap();
    first.load().unwrap();
    first
        .ask(ANSWER, async |client| Ok(client.batch_execute("DROP TABLE serin.schema_version").await?))
        .unwrap();
    assert!(other.load().unwrap_err().to_string().contains("its schema `serin` is not one of Serin"));
}

#[test]
fn a_row_of_the_lease_is_what_the_machine_thinks_it_is() {
    let server = Server::start();
    let mut store = open(&server);
    let mut ask = |question: Ask| {
        store.ask(ANSWER, async |client| lease::ask(client, &question, "10.0.0.1:18000").await).unwrap()
    };
    let fresh = Row { token: 0, beat: 0, holder: None };
    assert_eq!(ask(Ask::Look), Answer::Is(fresh.clone()));
    assert_eq!(ask(Ask::Renew(0)), Answer::Refused, "nobody has it");
    assert_eq!(ask(Ask::Take(fresh.clone())), Answer::Done(1));
    assert_eq!(ask(Ask::Take(fresh)), Answer::Refused, "it is another by now");
    assert_eq!(ask(Ask::Renew(1)), Answer::Done(1));
    let held = Row { token: 1, beat: 2, holder: Some("10.0.0.1:18000".into()) };
    assert_eq!(ask(Ask::Look), Answer::Is(held.clone()));
    // A newer Serin has made what this one does not know how to use.
    server.ask(&format!("UPDATE serin.schema_version SET oldest = {}", schema::known() + 1));
    assert_eq!((ask(Ask::Renew(1)), ask(Ask::Take(held.clone()))), (Answer::Refused, Answer::Refused));
    server.ask(&format!("UPDATE serin.schema_version SET oldest = {}", schema::known()));
    assert_eq!((ask(Ask::Renew(1)), ask(Ask::Take(held))), (Answer::Done(1), Answer::Refused));
}

/// What an order that was carried out leaves.
fn settled(ticket: Option<&str>, key: bool) -> crate::store::Settled {
    crate::store::Settled {
        ticket: ticket.map(Arc::from),
        paper: "{}".into(),
        is_keyed: key,
        answer: "done".into(),
        is_binding: true,
    }
}

fn order(ticket: &str) -> orders::Order {
    orders::Order { ticket: ticket.into(), paper: "{}".into(), is_keyed: false }
}

const LONG: f64 = 60.0;

impl Postgres {
    /// So many seconds before it is over; less than 0: after that.
    fn put(&mut self, ticket: &str, seconds: f64) {
        let put = self.ask(ANSWER, async |client| {
            let now = orders::clock(client).await?;
            orders::put(client, &order(ticket), now + seconds).await
        });
        put.unwrap();
    }

    fn end(&mut self, ticket: &str) -> orders::End {
        self.ask(ANSWER, async |client| orders::give_up(client, ticket).await).unwrap()
    }

    fn open_orders(&mut self) -> Vec<String> {
        let nothing = std::collections::BTreeSet::new();
        let left = Duration::from_secs(2);
        let open = self.ask(ANSWER, async |client| orders::open(client, &nothing, left, 64).await);
        open.unwrap().into_iter().map(|(ticket, _)| ticket.to_string()).collect()
    }
}

#[test]
fn an_order_is_carried_out_once_or_withdrawn() {
    let server = Server::start();
    let (mut leader, mut asker) = (Led::new(open(&server)), open(&server));
    let decide = |leader: &mut Led, revision: u64, ticket: &str| {
        let states = vec![state("fraud", (revision > 1).then_some(revision - 1), revision, 5)];
        let commit = Commit { settled: vec![settled(Some(ticket), false)], ..commit(states, vec![]) };
        leader.commit(&[commit]).remove(0)
    };
    for ticket in ["a-1", "a-2", "a-3", "a-4"] {
        asker.put(ticket, LONG);
        asker.put(ticket, LONG);
    }
    asker.put("a-5", 1.0);
    asker.put("a-6", -0.001);
    assert_eq!(
        asker.open_orders(),
        ["a-1", "a-2", "a-3", "a-4"],
        "nobody waits long enough for the last ones"
    );
    assert_eq!(decide(&mut leader, 1, "a-1"), Ok(None));
    assert_eq!(decide(&mut leader, 2, "a-1"), Err(Error::Late), "once");
    assert_eq!(asker.end("a-1"), orders::End::Answered("done".into()));
    // Given up, it is never carried out, and neither is anything that was decided with it.
    assert_eq!(asker.end("a-2"), orders::End::Removed);
    assert_eq!(decide(&mut leader, 2, "a-2"), Err(Error::Late));
    assert_eq!(leader.load().unwrap().states[&gateway("fraud")].0, 1);
    assert_eq!(asker.end("a-2"), orders::End::Unknown);
    // By the clock of the database alone.
    server.ask("UPDATE serin.orders SET until = clock_timestamp() WHERE ticket = 'a-3'");
    assert_eq!(decide(&mut leader, 2, "a-3"), Err(Error::Late));
    assert_eq!(decide(&mut leader, 2, "a-6"), Err(Error::Late), "it came late");
    // A refusal is written by who leads now, and by nobody else.
    let answer = |store: &mut Postgres, token| {
        store.ask(ANSWER, async |client| orders::answer(client, "a-4", "refused", token).await).unwrap();
    };
    answer(&mut asker, leader.1 + 1);
    assert_eq!(asker.open_orders(), ["a-4"]);
    answer(&mut leader.0, leader.1);
    assert_eq!(asker.end("a-4"), orders::End::Answered("refused".into()));
    // Who led before carries nothing out.
    asker.put("b-1", LONG);
    let mut next = open(&server);
    let token = next.take();
    assert_eq!(decide(&mut leader, 2, "b-1"), Err(Error::Fenced));
    assert_eq!(decide(&mut Led(next, token), 2, "b-1"), Ok(None));
}

#[test]
fn keys_are_known_to_the_next_leader_for_some_minutes() {
    let server = Server::start();
    let mut leader = Led::new(open(&server));
    let keyed =
        Commit { settled: vec![settled(None, true)], ..commit(vec![state("fraud", None, 1, 5)], vec![]) };
    assert_eq!(leader.commit(&[keyed]), [Ok(None)]);
    let replies = |leader: &mut Led, all: bool| {
        let after = (!all).then_some(0);
        let kept = leader.0.ask(ANSWER, async |client| lease::states(client, after, "here").await);
        kept.unwrap().0.replies
    };
    let found = replies(&mut leader, true);
    assert_eq!(found.len(), 1);
    assert_eq!((&*found[0].1, &*found[0].2), ("{}", "done"));
    assert_eq!(replies(&mut leader, false), [], "only with all that is kept");
    let prune = |leader: &mut Led| leader.0.ask(ANSWER, async |client| orders::prune(client).await).unwrap();
    let count = || server.ask("SELECT count(*) FROM serin.orders");
    leader.0.put("a-1", LONG);
    for (age, left) in [("9 minutes", "2"), ("11 minutes", "1")] {
        server.ask(&format!(
            "UPDATE serin.orders SET until = clock_timestamp() - interval '{age}' WHERE is_keyed"
        ));
        prune(&mut leader);
        assert_eq!(count(), left, "{age}");
    }
    server.ask("UPDATE serin.orders SET until = clock_timestamp() - interval '2 minutes'");
    prune(&mut leader);
    assert_eq!(count(), "0");
    // Only so many, and those of the last minute: of 1,100, the newest 600 are of that.
    server.ask(
        "INSERT INTO serin.orders SELECT 'c-' || n, '{}', true, \
         clock_timestamp() - (n + 0.5) * interval '0.1 seconds', 'done' FROM generate_series(1, 1100) AS n",
    );
    prune(&mut leader);
    assert_eq!(count(), "1000");
    assert_eq!(server.ask("SELECT count(*) FROM serin.orders WHERE ticket = 'c-1000'"), "1", "the newest");
    server.ask("UPDATE serin.orders SET until = clock_timestamp() - interval '30 seconds'");
    server.ask(
        "INSERT INTO serin.orders SELECT 'd-' || n, '{}', true, clock_timestamp(), 'done' \
                FROM generate_series(1, 1000) AS n",
    );
    prune(&mut leader);
    assert_eq!(count(), "2000", "somebody may ask for the answer still");
}

#[test]
fn who_is_there_is_one_row_each_and_who_was_removed_comes_back() {
    let server = Server::start();
    let (mut leader, mut other) = (open(&server), open(&server));
    let token = leader.take();
    let entry = |id: &str| roster::Entry {
        id: id.into(),
        name: format!("{id} on host"),
        version: "1.0.0",
        since: Timestamp(1_790_000_000_123),
    };
    let copies = |tag: &str| [("fraud".into(), Arc::from("1")), ("spam".into(), Arc::from(tag))].into();
    for (store, id, token, tag) in
        [(&mut leader, "a", Some(token), "1"), (&mut other, "b", Some(token - 1), "2")]
    {
        store
            .ask(ANSWER, async |client| roster::register(client, &entry(id), token, &copies(tag)).await)
            .unwrap();
    }
    let rows = other.ask(ANSWER, async |client| roster::rows(client).await).unwrap();
    assert_eq!(rows.iter().map(|row| (&*row.id, row.leads)).collect::<Vec<_>>(), [("a", true), ("b", false)]);
    assert_eq!((rows[0].since, rows[0].gateways, rows[0].beat), (Timestamp(1_790_000_000_123), 2, 0));
    let differing = |store: &mut Postgres| {
        store.ask(ANSWER, async |client| roster::differing(client, "a").await).unwrap()
    };
    assert_eq!((differing(&mut other)["b"].count, &*differing(&mut other)["b"].names[0]), (1, "spam"));
    let changed = [("spam".into(), Some("1".into())), ("fraud".into(), None)].into();
    let beat = other.ask(ANSWER, async |client| roster::beat(client, "b", None, &changed, 1).await);
    assert_eq!(beat, Ok(true));
    assert_eq!(&*differing(&mut other)["b"].names[0], "fraud");
    let rows = other.ask(ANSWER, async |client| roster::rows(client).await).unwrap();
    assert_eq!((rows[1].beat, rows[1].copy, rows[1].gateways), (1, 1, 1));
    // One that was heard of just now stays.
    let remove = |store: &mut Postgres, beat| {
        store.ask(ANSWER, async |client| roster::remove(client, "b", Some(beat)).await).unwrap();
        store.ask(ANSWER, async |client| roster::rows(client).await).unwrap().len()
    };
    assert_eq!((remove(&mut leader, 0), remove(&mut leader, 1)), (2, 1));
    let nothing = std::collections::BTreeMap::new();
    let beat = other.ask(ANSWER, async |client| roster::beat(client, "b", None, &nothing, 1).await);
    assert_eq!(beat, Ok(false), "it has to register anew");
    assert_eq!(server.ask("SELECT count(*) FROM serin.copies WHERE replica = 'b'"), "0");
}

#[test]
fn rows_are_there_until_what_they_came_to_is_kept() {
    let server = Server::start();
    let mut led = Led::new(open(&server));
    let (mut writer, mut reader) = (open(&server), open(&server));
    let length = Duration::from_secs(1);
    let row = |stage| Measured { gateway: gateway("fraud"), stage, length, text: "{}".into() };
    let mut write = |last, count: u64| {
        let rows: Vec<_> = (0..count).map(|n| (Duration::from_millis(500), row(n))).collect();
        writer.ask(ANSWER, async |client| {
            measured::write(client, Mark { source: 5, sequence: last }, &rows).await
        })
    };
    let mut read = |seen: &[(i64, i64)]| {
        let seen = seen.iter().copied().collect();
        let found = reader.ask(ANSWER, async |client| measured::read(client, &seen).await).unwrap();
        found.into_iter().map(|f| (f.mark.sequence, f.measured.stage, f.ago)).collect::<Vec<_>>()
    };
    let numbers = |found: &[(i64, u64, Duration)]| found.iter().map(|f| (f.0, f.1)).collect::<Vec<_>>();
    assert_eq!(write(3, 3), Ok(0));
    let found = read(&[]);
    assert_eq!(numbers(&found), [(1, 0), (2, 1), (3, 2)]);
    assert!(found.iter().all(|f| f.2 >= Duration::from_millis(500)), "{found:?}");
    assert_eq!(numbers(&read(&[(5, 2), (6, 9)])), [(3, 2)], "what was read is not read again");
    assert!(write(3, 1).is_err(), "a number is used once");

    let taken = |sequence| {
        let taken = vec![Mark { source: 5, sequence }];
        Commit { taken, ..commit(vec![], vec![entry(None, "alarm", 1)]) }
    };
    let conflict = Commit { states: vec![state("fraud", Some(9), 10, 5)], ..taken(2) };
    let results = led.commit(&[taken(1), conflict]);
    assert!(results[0].is_ok() && results[1].is_err(), "{results:?}");
    assert_eq!(numbers(&read(&[])), [(2, 1), (3, 2)], "what was not kept is not counted");
    let old = led.1;
    let mut next = Led(second_take(&mut open(&server), old), old + 1);
    assert_eq!(led.commit(&[taken(2)]), [Err(Error::Fenced)]);
    assert_eq!(numbers(&read(&[])), [(2, 1), (3, 2)], "nor does it count for who leads no more");
    assert!(next.commit(&[taken(2), taken(2)]).iter().all(Result::is_ok));
    assert_eq!(numbers(&read(&[])), [(3, 2)]);

    // Bounded by number, each source for itself, and by age.
    let most = i64::try_from(MOST).unwrap();
    assert_eq!(write(most + 3, 1), Ok(1));
    assert_eq!(numbers(&read(&[])), [(most + 3, 0)]);
    let prune = || open(&server).ask(ANSWER, async |client| measured::prune(client).await);
    assert_eq!(prune(), Ok(0));
    server.ask("UPDATE serin.measured SET written = written - interval '61 seconds'");
    assert_eq!((prune(), numbers(&read(&[]))), (Ok(1), vec![]));
}

#[test]
fn what_is_healthy_elsewhere_is_what_others_said_just_now() {
    let server = Server::start();
    let mut store = open(&server);
    let mut say = |source, healthy: &[(&str, u32)]| {
        let healthy = healthy.iter().map(|(name, n)| (gateway(name), *n)).collect();
        store.ask(ANSWER, async |client| measured::sight(client, source, &healthy).await).unwrap();
    };
    say(1, &[("fraud", 3), ("other", 1)]);
    say(2, &[("fraud", 2)]);
    say(3, &[("fraud", 1)]);
    say(3, &[("fraud", 9)]);
    let mut store = open(&server);
    let mut seen = |source| {
        let seen = store.ask(ANSWER, async |client| measured::sighted(client, source).await).unwrap();
        seen.into_iter().map(|(name, n)| (name.to_string(), n)).collect::<Vec<_>>()
    };
    let all = |fraud, other: Option<u32>| {
        let other = other.map(|n| ("other".to_owned(), n));
        [("fraud".to_owned(), fraud)].into_iter().chain(other).collect::<Vec<_>>()
    };
    assert_eq!((seen(9), seen(1), seen(2)), (all(2, Some(1)), all(2, None), all(3, Some(1))));
    server.ask("UPDATE serin.sighted SET written = written - interval '4 seconds' WHERE source = 2");
    assert_eq!(seen(9), all(3, Some(1)));
}
