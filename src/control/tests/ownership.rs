//! Which of two files has a name, or a host and path, and that no order of events gives a closed place to an open gateway.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const KEYS: &str = "team:3b9d1f7c5a8e4d2f9c6b7a1e0d4f8c2b\n";

/// A gateway on the path `/shared` for holders of a key.
fn locked(name: &str) -> String {
    at("/shared", name).replace("upstreams:", "authentication: { accessKey: { keysFile: keys } }\nupstreams:")
}

/// An open gateway on a path.
fn at(path: &str, name: &str) -> String {
    gateway(name).replace(&format!("path: /{name}"), &format!("path: {path}"))
}

/// A control plane that remembers the texts that were good before its start.
fn started(remembered: BTreeMap<Arc<str>, Arc<str>>) -> Play {
    let mut play = Play::new();
    play.world = World::new(Settings::default()).with_last_good(remembered);
    // The keys are read before the first look at the files counts as one.
    play.event(Event::Unlisted([("", "not yet")].into_iter().collect()));
    play.attach("keys", Attachment::private(KEYS.as_bytes()));
    play.event(Event::Unlisted(Unlisted::default()));
    play.told.clear();
    play
}

/// The store after the commits of a control plane.
fn keep(store: &mut BTreeMap<Arc<str>, Arc<str>>, play: &mut Play) {
    for (path, text) in play.world.take_documents() {
        match text {
            Some(text) => drop(store.insert(path, text)),
            None => drop(store.remove(&path)),
        }
    }
}

fn serves(play: &mut Play, name: &str) -> bool {
    play.world.view().gateways.iter().any(|(id, view)| &**id == name && view.serving)
}

#[test]
fn restart_keeps_the_owner_whatever_the_names_of_files() {
    let (claims, trial) = (locked("claims"), at("/shared", "trial"));
    let mut play = started(BTreeMap::new());
    play.write("z-claims.yaml", claims.clone());
    play.write("a-trial.yaml", trial.clone());
    assert_eq!((serves(&mut play, "claims"), play.codes("trial")), (true, vec!["C002"]));
    let mut store = BTreeMap::new();
    keep(&mut store, &mut play);
    assert_eq!(store.len(), 1, "only what was accepted is kept: {store:?}");

    for remembered in [store, BTreeMap::new()] {
        let mut play = started(remembered);
        play.files(&[("a-trial.yaml", Some(trial.clone())), ("z-claims.yaml", Some(claims.clone()))]);
        assert_eq!((serves(&mut play, "claims"), play.codes("trial")), (true, vec!["C002"]));
    }
}

#[test]
fn restart_moves_no_traffic_between_open_gateways() {
    let mut play = started(BTreeMap::new());
    play.write("z.yaml", at("/shared", "old"));
    play.write("a.yaml", at("/shared", "new"));
    let mut store = BTreeMap::new();
    keep(&mut store, &mut play);
    let mut play = started(store);
    play.files(&[("a.yaml", Some(at("/shared", "new"))), ("z.yaml", Some(at("/shared", "old")))]);
    assert_eq!((serves(&mut play, "old"), play.codes("new")), (true, vec!["C002"]));
}

#[test]
fn restart_after_an_edit_that_lost_keeps_both_where_they_were() {
    let mut play = started(BTreeMap::new());
    play.write("a.yaml", at("/one", "a"));
    play.write("b.yaml", at("/two", "b"));
    let mut store = BTreeMap::new();
    keep(&mut store, &mut play);
    play.write("a.yaml", at("/two", "a"));
    assert_eq!((play.codes("a"), play.codes("b")), (vec!["C002"], vec![]));
    let before = versions(&play.snapshot());
    keep(&mut store, &mut play);
    let mut play = started(store);
    play.files(&[("a.yaml", Some(at("/two", "a"))), ("b.yaml", Some(at("/two", "b")))]);
    assert_eq!((play.codes("a"), play.codes("b")), (vec!["C002"], vec![]));
    assert_eq!(versions(&play.snapshot()), before, "a serves on where it was");
}

#[test]
fn restart_with_a_broken_owner_keeps_its_place() {
    let mut store = BTreeMap::new();
    store.insert(Arc::from("z.yaml"), Arc::from(locked("claims")));
    let broken = locked("claims").replace("http://10.0.0.1:80", "nonsense");
    let mut play = started(store);
    play.files(&[("a.yaml", Some(at("/shared", "trial"))), ("z.yaml", Some(broken.clone()))]);
    assert_eq!((serves(&mut play, "claims"), play.codes("trial")), (true, vec!["C002"]));
    // Nothing is remembered: the place is kept, closed.
    let mut play = started(BTreeMap::new());
    play.files(&[("a.yaml", Some(at("/shared", "trial"))), ("z.yaml", Some(broken))]);
    assert_eq!((serves(&mut play, "trial"), play.codes("trial")), (false, vec!["C002"]));
}

#[test]
fn broken_newcomer_takes_no_place_from_an_accepted_gateway() {
    let mut store = BTreeMap::new();
    store.insert(Arc::from("z.yaml"), Arc::from(at("/shared", "old")));
    let broken = locked("claims").replace("http://10.0.0.1:80", "nonsense");
    let mut play = started(store);
    play.files(&[("a.yaml", Some(broken)), ("z.yaml", Some(at("/shared", "old")))]);
    assert!(serves(&mut play, "old"));
}

#[test]
fn harmless_edit_of_the_owner_gives_nothing_to_a_waiting_file() {
    let mut play = started(BTreeMap::new());
    play.write("open.yaml", at("/shared", "open"));
    play.write("locked.yaml", locked("claims"));
    assert_eq!(
        play.codes("claims"),
        ["C002"],
        "who was first is not replaced by a gateway with authentication"
    );
    play.write("open.yaml", at("/shared", "open").replace(":80", ":81"));
    assert_eq!((play.codes("open"), play.codes("claims")), (vec![], vec!["C002"]));
    // The owner may even ask for more, whatever waits for what it has.
    let more = at("/shared", "open").replace("path:", "hosts: [\"*\", more.example.com]\npath:");
    play.write("open.yaml", more);
    assert_eq!((play.codes("open"), play.codes("claims")), (vec![], vec!["C002"]));
}

#[test]
fn missing_file_with_authentication_keeps_its_place_from_open_gateways_for_the_grace() {
    let mut play = started(BTreeMap::new());
    play.write("z.yaml", locked("claims"));
    play.write("a.yaml", at("/shared", "trial"));
    play.remove("z.yaml"); // as an editor does that replaces a file
    assert!(serves(&mut play, "claims") && !serves(&mut play, "trial"));
    play.write("z.yaml", locked("claims"));
    assert_eq!((serves(&mut play, "claims"), play.codes("trial")), (true, vec!["C002"]));
    play.remove("z.yaml");
    play.wait(GRACE);
    assert_eq!((serves(&mut play, "trial"), play.codes("trial")), (true, vec![]), "it was removed");
    assert_eq!(play.was_told(NoteKind::Repaired), 1, "{:?}", play.told);
}

#[test]
fn missing_open_file_keeps_its_place_for_the_grace_and_comes_back_to_it() {
    let mut play = started(BTreeMap::new());
    play.write("z.yaml", at("/shared", "old"));
    play.write("a.yaml", at("/shared", "new"));
    play.remove("z.yaml");
    assert!(serves(&mut play, "old") && !serves(&mut play, "new"));
    play.write("z.yaml", at("/shared", "old"));
    assert!(serves(&mut play, "old") && !serves(&mut play, "new"));
}

#[test]
fn file_that_was_succeeded_comes_back_as_a_newcomer() {
    let mut play = started(BTreeMap::new());
    let mut store = BTreeMap::new();
    play.write("a.yaml", locked("claims"));
    play.files(&[("a.yaml", None), ("z.yaml", Some(locked("claims")))]);
    keep(&mut store, &mut play);
    play.write("a.yaml", locked("claims")); // a copy
    keep(&mut store, &mut play);
    assert_eq!((&*play.gateway("claims").file, play.codes("a.yaml")), ("z.yaml", vec!["C001", "C002"]));
    assert_eq!(store.keys().map(|path| &**path).collect::<Vec<_>>(), ["z.yaml"]);
    let mut play = started(store);
    play.files(&[("a.yaml", Some(locked("claims"))), ("z.yaml", Some(locked("claims")))]);
    assert_eq!(&*play.gateway("claims").file, "z.yaml");
}

#[test]
fn renamed_file_that_loses_its_authentication_waits_for_the_grace() {
    let mut play = started(BTreeMap::new());
    play.write("a.yaml", locked("claims"));
    let before = versions(&play.snapshot());
    play.files(&[("a.yaml", None), ("z.yaml", Some(at("/shared", "claims")))]);
    assert_eq!(versions(&play.snapshot()), before);
    play.wait(GRACE);
    assert_eq!((&*play.gateway("claims").file, play.codes("claims")), ("z.yaml", vec![]));
}

#[test]
fn rename_to_a_place_that_is_taken_gives_the_old_place_to_no_waiting_file() {
    let mut play = started(BTreeMap::new());
    play.write("a.yaml", locked("claims"));
    play.write("b.yaml", at("/two", "b"));
    play.write("w.yaml", at("/shared", "trial"));
    let before = versions(&play.snapshot());
    play.files(&[("a.yaml", None), ("z.yaml", Some(locked("claims").replace("/shared", "/two")))]);
    assert_eq!(versions(&play.snapshot()), before, "the missing file serves on for the grace");
    assert_eq!(play.codes("trial"), ["C002"]);
    play.write("a.yaml", locked("claims"));
    assert_eq!((versions(&play.snapshot()), play.codes("claims")), (before, vec![]));
}

#[test]
fn missing_file_keeps_its_place_beside_a_file_of_its_name_that_wants_another() {
    let elsewhere = || locked("claims").replace("/shared", "/other");
    for waits in [true, false] {
        let mut play = started(BTreeMap::new());
        play.write("a.yaml", locked("claims"));
        play.write("w.yaml", at("/shared", "trial"));
        if waits {
            play.write("z.yaml", elsewhere());
            play.remove("a.yaml");
        } else {
            play.files(&[("a.yaml", None), ("z.yaml", Some(elsewhere()))]);
        }
        assert!(!serves(&mut play, "trial"), "{waits}");
        play.write("a.yaml", locked("claims"));
        assert_eq!((&*play.gateway("claims").file, serves(&mut play, "trial")), ("a.yaml", false), "{waits}");
    }
}

#[test]
fn missing_file_whose_place_is_only_kept_closed_keeps_it_from_open_gateways_for_the_grace() {
    let mut play = started(BTreeMap::new());
    play.write("z.yaml", locked("claims").replace("http://10.0.0.1:80", "nonsense"));
    play.write("a.yaml", at("/shared", "trial"));
    assert!(!serves(&mut play, "trial"));
    play.remove("z.yaml");
    assert!(!serves(&mut play, "trial"));
    play.write("z.yaml", locked("claims"));
    assert_eq!((serves(&mut play, "claims"), play.codes("trial")), (true, vec!["C002"]));
}

#[test]
fn renamed_file_with_authentication_is_no_interruption() {
    let mut play = started(BTreeMap::new());
    play.write("a.yaml", locked("claims"));
    let before = play.snapshot();
    play.files(&[("a.yaml", None), ("z.yaml", Some(locked("claims")))]);
    assert!(Arc::ptr_eq(&before, &play.snapshot()));
    assert_eq!((&*play.gateway("claims").file, play.codes("claims")), ("z.yaml", vec![]));
}

#[test]
fn file_that_is_missing_at_a_start_keeps_its_place_for_the_grace() {
    for claims in [locked("claims"), at("/shared", "claims")] {
        let mut play = started(BTreeMap::new());
        play.write("z.yaml", claims.clone());
        play.write("a.yaml", at("/shared", "trial"));
        let mut store = BTreeMap::new();
        keep(&mut store, &mut play);
        let before = versions(&play.snapshot());

        let mut play = started(store.clone());
        play.files(&[("a.yaml", Some(at("/shared", "trial")))]);
        assert!(serves(&mut play, "claims") && !serves(&mut play, "trial"));
        assert_eq!(versions(&play.snapshot()), before, "Envoys are sent nothing");
        assert_eq!(play.was_told(NoteKind::Vanished), 1, "{:?}", play.told);
        keep(&mut store, &mut play);
        assert!(store.contains_key("z.yaml"), "another restart finds it");
        play.write("z.yaml", claims);
        assert!(serves(&mut play, "claims") && !serves(&mut play, "trial"));
        play.remove("z.yaml");
        play.wait(GRACE);
        assert!(serves(&mut play, "trial"));
        keep(&mut store, &mut play);
        assert!(!store.contains_key("z.yaml"));
    }
}

#[test]
fn nothing_is_removed_when_all_files_are_missing_at_a_start() {
    let mut play = started(BTreeMap::new());
    play.write("a.yaml", locked("claims"));
    let mut store = BTreeMap::new();
    keep(&mut store, &mut play);
    let before = versions(&play.snapshot());
    let mut play = started(store.clone());
    play.files(&[]);
    play.wait(GRACE + GRACE);
    assert_eq!(versions(&play.snapshot()), before);
    assert!(play.world.view().all_vanished);
    keep(&mut store, &mut play);
    assert_eq!(store.len(), 1);
    play.write("b.yaml", at("/b", "b"));
    assert!(serves(&mut play, "claims"), "the others may be on their way");
    play.wait(GRACE);
    assert!(!serves(&mut play, "claims"));
}

#[test]
fn when_the_first_of_all_files_is_back_the_others_have_their_time() {
    let mut play = started(BTreeMap::new());
    play.files(&[("a.yaml", Some(locked("claims"))), ("b.yaml", Some(at("/b", "b")))]);
    play.files(&[("a.yaml", None), ("b.yaml", None)]);
    play.wait(GRACE * 10);
    play.write("b.yaml", at("/b", "b"));
    play.event(Event::Tick);
    assert!(serves(&mut play, "claims") && serves(&mut play, "b"));
    play.write("a.yaml", locked("claims"));
    play.wait(GRACE);
    assert!(serves(&mut play, "claims"));
}

#[test]
fn file_whose_users_are_missing_at_a_start_keeps_its_place_from_all_others() {
    let other = locked("trial").replace("keysFile: keys", "keysFile: others");
    let mut play = started(BTreeMap::new());
    play.attach("others", Attachment::private(KEYS.as_bytes()));
    play.write("z.yaml", locked("claims"));
    play.write("a.yaml", other.clone());
    let mut store = BTreeMap::new();
    keep(&mut store, &mut play);

    let mut play = started(store.clone());
    play.attach("keys", Attachment::Missing);
    play.attach("others", Attachment::private(KEYS.as_bytes()));
    play.files(&[("a.yaml", Some(other)), ("z.yaml", Some(locked("claims")))]);
    assert!(!serves(&mut play, "trial"), "{:?}", play.world.view().gateways);
    play.attach("keys", Attachment::private(KEYS.as_bytes()));
    play.files(&[("z.yaml", Some(locked("claims")))]);
    assert!(serves(&mut play, "claims") && !serves(&mut play, "trial"));
}

#[test]
fn copy_that_was_there_before_takes_nothing_over_while_a_file_is_replaced() {
    let mut play = started(BTreeMap::new());
    play.write("a.yaml", locked("claims"));
    play.write("copy.yaml", locked("claims").replace("10.0.0.1", "10.0.0.9"));
    let before = versions(&play.snapshot());
    play.wait(Duration::from_secs(1));
    play.remove("a.yaml"); // as an editor does that replaces a file
    assert_eq!(versions(&play.snapshot()), before);
    play.write("a.yaml", locked("claims"));
    assert_eq!((&*play.gateway("claims").file, versions(&play.snapshot())), ("a.yaml", before));
    play.remove("a.yaml");
    play.wait(GRACE);
    assert_eq!(&*play.gateway("claims").file, "copy.yaml", "it was removed");
}

/// What may happen to one of three files.
#[derive(Clone, Debug)]
enum Step {
    Write(usize, bool),
    Remove(usize),
    Wait,
    Restart { with_store: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0usize..3, any::<bool>()).prop_map(|(file, has_keys)| Step::Write(file, has_keys)),
        2 => (0usize..3).prop_map(Step::Remove),
        1 => Just(Step::Wait),
        2 => any::<bool>().prop_map(|with_store| Step::Restart { with_store }),
    ];
    prop::collection::vec(step, 1..24)
}

proptest! {
    /// Files that all want one place are written, removed and read anew by restarts in any order. As long as the file
    /// of the gateway that owns the place stays with authentication, no open gateway gets it, and a restart with the
    /// store changes no owner.
    #[test]
    fn no_order_of_events_opens_a_place(steps in steps()) {
        const PATHS: [&str; 3] = ["a.yaml", "m.yaml", "z.yaml"];
        let text = |file: usize, has_keys: bool| {
            let name = format!("g{file}");
            if has_keys { locked(&name) } else { at("/shared", &name) }
        };
        let (mut disk, mut last): (BTreeMap<usize, bool>, BTreeMap<usize, bool>) = Default::default();
        let mut store = BTreeMap::new();
        let mut play = started(BTreeMap::new());
        let owner = |play: &mut Play| (0..3usize).find(|file| serves(play, &format!("g{file}")));
        for step in steps {
            let before = owner(&mut play);
            // Whether the place must not be open after this step.
            let mut is_guarded = before.is_some_and(|file| last.get(&file) == Some(&true));
            match step {
                Step::Write(file, has_keys) => {
                    is_guarded &= before != Some(file);
                    disk.insert(file, has_keys);
                    last.insert(file, has_keys);
                    play.write(PATHS[file], text(file, has_keys));
                }
                Step::Remove(file) => {
                    if disk.len() > 1 && disk.remove(&file).is_some() {
                        play.remove(PATHS[file]);
                    }
                }
                Step::Wait => {
                    is_guarded &= before.is_some_and(|file| disk.contains_key(&file));
                    play.wait(GRACE + LINGER);
                }
                Step::Restart { with_store } => {
                    is_guarded &= with_store || before.is_some_and(|file| disk.contains_key(&file));
                    keep(&mut store, &mut play);
                    if !with_store {
                        store.clear();
                    }
                    play = started(store.clone());
                    let files: Vec<_> = disk.iter().map(|(f, keys)| (PATHS[*f], Some(text(*f, *keys)))).collect();
                    play.files(&files);
                    if with_store {
                        prop_assert_eq!(owner(&mut play), before);
                    }
                }
            }
            keep(&mut store, &mut play);
            let after = owner(&mut play);
            if is_guarded {
                let is_locked = after.is_some_and(|file| last.get(&file) == Some(&true));
                prop_assert!(is_locked, "{before:?} had the place, now {after:?} of {last:?}");
            }
            prop_assert_eq!(after.is_some(), !disk.is_empty(), "somebody serves the place");
        }
    }
}
