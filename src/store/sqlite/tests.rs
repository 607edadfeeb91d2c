//! The file: who may have it, and what becomes of it when the world fails.

use super::*;
use crate::store::contract::{commit, contract, entry, state};

fn reopen(path: &Path) -> Sqlite {
    Sqlite::open(path).unwrap()
}

#[test]
fn it_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    let path = |n: i32| folder.path().join(format!("{n}.db"));
    contract(
        || {
            count += 1;
            reopen(&path(count))
        },
        |store| {
            let path = store.connection.path().map(std::path::PathBuf::from).unwrap();
            drop(store);
            reopen(&path)
        },
    );
    // What is in memory is not there again, so it stays open.
    contract(|| Sqlite::in_memory().unwrap(), |store| store);
}

#[test]
fn others_than_owner_and_group_are_kept_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("serin.db");
    let mode = |p: &Path| p.metadata().unwrap().permissions().mode() & 0o777;
    let mut store = reopen(&path);
    store.secret("cookies", b"secret").unwrap();
    let modes: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|f| mode(&f.unwrap().path())).collect();
    assert_eq!(modes, vec![0o600; modes.len()]);
    drop(store);
    // As a backup that was put back may be.
    std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    drop(reopen(&path));
    assert_eq!(mode(&path), 0o640);
}

#[test]
fn a_full_disk_takes_nothing_half_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = reopen(&folder.path().join("serin.db"));
    let pages: i64 = store.connection.query_row("PRAGMA page_count", [], |r| r.get(0)).unwrap();
    let limit = |store: &Sqlite, most: i64| {
        store.connection.query_row(&format!("PRAGMA max_page_count = {most}"), [], |_| Ok(())).unwrap();
    };
    limit(&store, pages + 4);
    let large = || {
        let text: Arc<str> = "x".repeat(200_000).into();
        let mut commit = commit(vec![state("large", None, 1, 5)], vec![entry(None, "alarm", 1)]);
        commit.documents.insert("large.yaml".into(), Some(text));
        commit
    };
    let small = |name| commit(vec![state(name, None, 1, 5)], vec![]);
    let answers = store.commit(&[small("before"), large(), small("after")]);
    let Err(Error::Unavailable { why, .. }) = &answers[1] else { panic!("{answers:?}") };
    assert_eq!(why, "the disk is full");
    assert_eq!((&answers[0], &answers[2]), (&Ok(None), &Ok(None)), "there is room for these");
    let names = |store: &mut Sqlite| {
        let restored = store.load().unwrap();
        restored.states.keys().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(names(&mut store), ["after", "before"]);
    assert_eq!(store.load().unwrap().documents, BTreeMap::new());
    limit(&store, 10_000);
    assert!(store.commit(&[large()])[0].is_ok(), "when there is room again");
    assert_eq!(names(&mut store), ["after", "before", "large"]);
}

#[test]
fn a_damaged_file_is_named_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("serin.db");
    std::fs::write(&path, "name: not a database, but long enough to look like one\n".repeat(50)).unwrap();
    let text = Sqlite::open(&path).unwrap_err().to_string();
    assert!(text.starts_with(&format!("{} is damaged: it is not a database", path.display())), "{text}");
    assert!(text.contains("put a backup in its place"), "{text}");
    std::fs::remove_file(&path).unwrap();

    let mut store = reopen(&path);
    for i in 0..300 {
        assert!(store.commit(&[commit(vec![], vec![entry(Some("fraud"), "changed", i)])])[0].is_ok());
    }
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    assert!(bytes.len() > 5 * 4096, "{}", bytes.len());
    let middle = bytes.len() - 2 * 4096;
    bytes[middle..middle + 4096].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(Sqlite::open(&path), Err(Error::Corrupt { .. })));
}

#[test]
fn a_second_one_is_refused_under_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("serin.db");
    let first = reopen(&path);
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for name in [&path, &link] {
        let error = Sqlite::open(name).unwrap_err();
        let Error::InUse { holder, .. } = &error else { panic!("{error}") };
        assert_eq!(*holder, Some(std::process::id()));
        assert!(error.to_string().contains("in use by another serin (process "), "{error}");
    }
    drop(first);
    assert!(Sqlite::open(&path).is_ok(), "its end frees it");
}

#[test]
fn a_file_of_a_newer_serin_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("serin.db");
    drop(reopen(&path));
    Connection::open(&path).unwrap().execute("UPDATE serin_schema SET version = 99", []).unwrap();
    let error = Sqlite::open(&path).unwrap_err();
    assert!(matches!(error, Error::TooNew { found: 99, .. }), "{error}");
    assert!(error.to_string().contains("run the newer one"), "{error}");
}

#[test]
fn a_database_of_something_else_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photos.db");
    Connection::open(&path).unwrap().execute("CREATE TABLE photo (name TEXT)", []).unwrap();
    let error = Sqlite::open(&path).unwrap_err();
    assert!(error.to_string().contains("not one of Serin"), "{error}");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let error = Sqlite::open(Path::new("/nowhere/at/all/serin.db")).unwrap_err();
    assert!(error.to_string().contains("there is no folder /nowhere/at/all"), "{error}");
}

#[test]
fn each_version_since_the_first_is_brought_up_to_date() {
    let change = "ALTER TABLE rollout ADD COLUMN note TEXT";
    let broken = "ALTER TABLE nobody ADD COLUMN note TEXT";
    for first in 1..=schema::MIGRATIONS.len() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection, &schema::MIGRATIONS[..first], "it").unwrap();
        let put = "INSERT INTO rollout (gateway, revision, state) VALUES ('fraud', 3, '{}')";
        connection.execute(put, []).unwrap();
        let count = |connection: &Connection| -> (i64, i64) {
            let select = "SELECT (SELECT count(*) FROM rollout), (SELECT version FROM serin_schema)";
            connection.query_row(select, [], |r| Ok((r.get(0)?, r.get(1)?))).unwrap()
        };
        let next = |last| [schema::MIGRATIONS, &[change, last]].concat();
        let released = i64::try_from(schema::MIGRATIONS.len()).unwrap();
        // One that fails takes back those before it.
        assert!(schema::migrate(&mut connection, &next(broken), "it").is_err());
        assert_eq!(count(&connection), (1, i64::try_from(first).unwrap()));
        schema::migrate(&mut connection, schema::MIGRATIONS, "it").unwrap();
        assert_eq!(count(&connection), (1, released));
        schema::migrate(&mut connection, &next("SELECT 1"), "it").unwrap();
        assert_eq!(count(&connection), (1, released + 2));
        connection.execute("UPDATE rollout SET note = 'kept'", []).unwrap();
    }
}

#[test]
fn it_is_read_by_others_while_it_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("serin.db");
    let mut store = reopen(&path);
    assert!(store.commit(&[commit(vec![], vec![entry(Some("fraud"), "changed", 0)])])[0].is_ok());
    let reader = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let line: String = reader
        .query_row("SELECT time || ' ' || gateway || ' ' || message FROM journal", [], |r| r.get(0))
        .unwrap();
    assert_eq!(line, "1970-01-01T00:00:00.000Z fraud changed happened");
    // An open reader does not hold up a commit.
    reader.execute_batch("BEGIN; SELECT * FROM journal;").unwrap();
    assert!(store.commit(&[commit(vec![], vec![entry(Some("fraud"), "changed", 1)])])[0].is_ok());
}

#[test]
fn what_may_only_be_read_is_loaded_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("serin.db");
    let mut store = reopen(&path);
    assert!(store.commit(&[commit(vec![state("fraud", None, 1, 25)], vec![])])[0].is_ok());
    // What the system says to a user without the right; whoever tests as root has every right.
    store.connection.pragma_update(None, "query_only", true).unwrap();
    let answer = store.commit(&[commit(vec![state("fraud", Some(1), 2, 50)], vec![])]).remove(0);
    let Err(Error::Unavailable { why, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!(why, "it may only be read");
    assert_eq!(store.load().unwrap().states.values().next().unwrap().0, 1);
}
