//! What becomes of files that break, move, vanish and meet.

use super::*;
use proptest::prelude::*;

#[test]
fn a_broken_file_serves_its_last_good_version_until_it_is_repaired() {
    let mut play = Play::new();
    play.write("a.yaml", gateway("a"));
    let before = play.snapshot();
    play.write("a.yaml", broken("a"));
    assert!(Arc::ptr_eq(&before, &play.snapshot()));
    assert_eq!((play.gateway("a").phase, play.is_serving("a")), (Phase::Invalid, true));
    assert_eq!((play.was_told(NoteKind::Invalid), play.was_told(NoteKind::Removed)), (1, 0));
    play.write("a.yaml", gateway("a"));
    assert_eq!(
        (play.gateway("a").phase, play.was_told(NoteKind::Repaired)),
        (Phase::Of(rollout::Phase::Stable), 1)
    );
    assert!(Arc::ptr_eq(&before, &play.snapshot()));
}

#[test]
fn a_broken_file_is_shown_under_the_name_that_serves() {
    let mut play = Play::new();
    play.write("a.yaml", gateway("a"));
    play.write("a.yaml", broken("other"));
    assert_eq!((play.gateway("a").phase, play.is_serving("a")), (Phase::Invalid, true));
    assert_eq!(play.world.view().gateways.len(), 1);
}

#[test]
fn every_file_is_shown_also_without_a_name_or_with_that_of_another() {
    let mut play = Play::new();
    play.write("a.yaml", broken("x"));
    play.write("b.yaml", broken("x"));
    play.write("c.yaml", "- nothing".into());
    let names: Vec<_> = play.world.view().gateways.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["b.yaml", "c.yaml", "x"]);
}

#[test]
fn a_vanished_file_serves_on_for_the_grace_and_not_longer() {
    let mut play = Play::new();
    play.files(&[("a.yaml", Some(gateway("a"))), ("b.yaml", Some(gateway("b")))]);
    let before = play.snapshot();
    play.remove("a.yaml");
    assert_eq!(play.was_told(NoteKind::Vanished), 1);
    let moment = Duration::from_millis(1);
    play.wait(GRACE.saturating_sub(moment));
    assert!(Arc::ptr_eq(&before, &play.snapshot()));
    play.wait(moment);
    assert!(!play.routes_say("/a") && play.routes_say("/b"));
    assert_eq!(play.names(Kind::Cluster), ["a/v1", "b/v1"], "its cluster lingers");
    play.wait(LINGER);
    assert_eq!(
        (play.names(Kind::Cluster), play.names(Kind::Endpoint)),
        (vec!["b/v1".into()], vec!["b/v1".into()])
    );
    assert_eq!((play.was_told(NoteKind::Removed), play.world.deadline()), (1, None));
}

#[test]
fn a_file_that_is_back_in_time_was_never_away() {
    let mut play = Play::new();
    play.files(&[("a.yaml", Some(gateway("a"))), ("b.yaml", Some(gateway("b")))]);
    let before = play.snapshot();
    play.remove("a.yaml");
    play.wait(GRACE / 2);
    play.write("a.yaml", gateway("a"));
    play.wait(GRACE * 2);
    assert!(Arc::ptr_eq(&before, &play.snapshot()));
    assert_eq!(play.was_told(NoteKind::Removed), 0);
}

#[test]
fn when_all_files_are_gone_everything_serves_on_until_one_is_back() {
    let mut play = Play::new();
    play.files(&[("a.yaml", Some(gateway("a"))), ("b.yaml", Some(gateway("b")))]);
    let before = play.snapshot();
    play.remove("a.yaml");
    play.remove("b.yaml");
    assert!(play.world.view().all_vanished);
    assert_eq!(play.was_told(NoteKind::Alarm), 1);
    play.wait(GRACE * 100);
    assert!(Arc::ptr_eq(&before, &play.snapshot()) && play.world.deadline().is_none());
    play.write("a.yaml", gateway("a"));
    assert!(!play.world.view().all_vanished);
    play.wait(GRACE + LINGER);
    assert_eq!(play.names(Kind::Cluster), ["a/v1"], "the other one is really gone");
}

#[test]
fn a_renamed_file_is_no_interruption() {
    for at_once in [true, false] {
        let mut play = Play::new();
        play.write("a.yaml", gateway("a"));
        let before = play.snapshot();
        if at_once {
            play.files(&[("a.yaml", None), ("z.yaml", Some(gateway("a")))]);
        } else {
            play.write("z.yaml", gateway("a"));
            play.remove("a.yaml");
        }
        play.wait(GRACE * 2);
        assert!(Arc::ptr_eq(&before, &play.snapshot()));
        assert_eq!(
            (&*play.gateway("a").file, play.gateway("a").phase),
            ("z.yaml", Phase::Of(rollout::Phase::Stable))
        );
        assert_eq!(play.was_told(NoteKind::Removed), 0);
    }
}

#[test]
fn of_two_files_with_one_name_the_first_serves_and_then_the_second() {
    let mut play = Play::new();
    play.write("b.yaml", gateway("x"));
    play.write("a.yaml", gateway("x").replace("/x", "/second"));
    assert!(play.routes_say("/x") && !play.routes_say("/second"));
    assert_eq!((play.codes("x"), play.codes("a.yaml")), (vec![], vec!["C001"]));
    play.remove("b.yaml");
    assert!(play.routes_say("/x") && !play.routes_say("/second"), "it may come back");
    play.wait(GRACE);
    assert!(!play.routes_say("/x") && play.routes_say("/second"), "there is somebody to take over");
    assert_eq!((play.codes("x"), &*play.gateway("x").file), (vec![], "a.yaml"));
}

#[test]
fn a_second_file_is_told_every_conflict() {
    let mut play = Play::new();
    play.write("a.yaml", gateway("x"));
    play.write("b.yaml", gateway("x"));
    assert_eq!(play.codes("b.yaml"), ["C001", "C002"]);
}

#[test]
fn who_has_a_place_keeps_it_against_an_older_file_that_moves_there() {
    let mut play = Play::new();
    play.write("a.yaml", gateway("a"));
    play.write("b.yaml", gateway("b"));
    let before = play.snapshot();
    play.write("a.yaml", gateway("a").replace("/a", "/b"));
    assert_eq!((play.codes("a"), play.codes("b")), (vec!["C002"], vec![]));
    assert!(Arc::ptr_eq(&before, &play.snapshot()), "a serves on where it was");
    play.write("c.yaml", gateway("c").replace("/c", "/a"));
    assert_eq!(play.codes("c"), ["C002"], "and nobody else gets that place");
    assert!(Arc::ptr_eq(&before, &play.snapshot()));
}

#[test]
fn two_files_may_change_places_in_one_change() {
    let mut play = Play::new();
    play.files(&[("a.yaml", Some(gateway("a"))), ("b.yaml", Some(gateway("b")))]);
    let swapped = [
        ("a.yaml", Some(gateway("a").replace("/a", "/b"))),
        ("b.yaml", Some(gateway("b").replace("/b", "/a"))),
    ];
    play.files(&swapped);
    assert_eq!((play.codes("a"), play.codes("b")), (vec![], vec![]));
}

#[test]
fn a_broken_senior_keeps_its_place() {
    let mut play = Play::new();
    play.write("a.yaml", gateway("x"));
    play.write("a.yaml", broken("x"));
    play.write("b.yaml", gateway("x"));
    assert_eq!((&*play.gateway("x").file, play.is_serving("x")), ("a.yaml", true));
    assert_eq!(play.codes("b.yaml").first(), Some(&"C001"));
}

#[test]
fn a_changed_certificate_is_a_changed_gateway() {
    let pem = |tag: &str| {
        let text = format!("-----BEGIN CERTIFICATE-----\n{tag}\n-----END CERTIFICATE-----\n");
        Attachment::private(text.as_bytes())
    };
    let text =
        "apiVersion: serin/v1\nname: a\nupstreams: { v1: { url: https://a, tls: { caFile: ca.pem } } }\n";
    let mut play = Play::new();
    play.attach("ca.pem", pem("AAAA"));
    play.write("a.yaml", text.into());
    let before = play.snapshot();
    play.attach("ca.pem", pem("BBBB"));
    assert_eq!(changed(&before, &play.snapshot()), [(Kind::Secret, "ca/a/v1".into())]);
    let before = play.snapshot();
    play.attach("ca.pem", Attachment::Missing);
    assert!(Arc::ptr_eq(&before, &play.snapshot()) && play.gateway("a").phase == Phase::Invalid);
}

/// A control plane with one listener of the given number of certificates: `/1.crt` and `/1.key`, and so on.
fn with_certificates(count: usize) -> Play {
    let files =
        |n| CertificateFiles { cert_file: format!("/{n}.crt").into(), key_file: format!("/{n}.key").into() };
    let tls = ListenerTls { certificates: (1..=count).map(files).collect() };
    let listener = Listener { address: [127, 0, 0, 1].into(), port: 8443, tls: Some(tls) };
    let listeners = [(ListenerName::new("default").unwrap(), listener)].into();
    Play::with(Settings { listeners, ..Settings::default() })
}

/// A new certificate and its key.
fn made() -> (Attachment, Attachment) {
    let made = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
    let file = |text: String| Attachment::private(text.into_bytes());
    (file(made.cert.pem()), file(made.signing_key.serialize_pem()))
}

#[test]
fn a_listener_keeps_the_last_certificate_that_could_be_used() {
    let mut play = with_certificates(1);
    let ((first, its_key), (second, other_key)) = (made(), made());
    play.attach("/1.crt", first);
    play.attach("/1.key", its_key);
    play.write("a.yaml", gateway("a"));
    assert_eq!(play.names(Kind::Secret), ["tls/default"]);
    let before = play.snapshot();
    let alarms = play.was_told(NoteKind::Alarm);
    play.attach("/1.key", Attachment::Missing);
    assert_eq!(play.was_told(NoteKind::Alarm), alarms + 1);
    // One half of the new pair: nobody is shown a certificate without its key.
    play.attach("/1.key", other_key);
    assert_eq!(play.was_told(NoteKind::Alarm), alarms + 2);
    assert!(Arc::ptr_eq(&before, &play.snapshot()));
    play.attach("/1.crt", second);
    assert_eq!(changed(&before, &play.snapshot()), [(Kind::Secret, "tls/default".into())]);
    assert!(play.told.last().unwrap().1.contains("is right"), "{:?}", play.told);
}

#[test]
fn one_broken_certificate_keeps_no_other_host_from_its_clients() {
    let mut play = with_certificates(2);
    let ((first, its_key), (second, other_key)) = (made(), made());
    play.attach("/1.crt", first);
    play.attach("/1.key", its_key);
    play.attach("/2.crt", second);
    play.write("a.yaml", gateway("a"));
    assert_eq!(play.names(Kind::Secret), ["tls/default", "tls/default/2"], "the first stands in");
    let before = play.snapshot();
    play.attach("/2.key", other_key);
    assert_eq!(changed(&before, &play.snapshot()), [(Kind::Secret, "tls/default/2".into())]);
}

#[test]
fn a_new_upstream_is_known_before_it_gets_traffic_and_an_old_one_after() {
    let mut play = Play::new();
    play.write("a.yaml", gateway("a"));
    play.write("a.yaml", split("a", 90));
    assert_eq!(play.names(Kind::Cluster), ["a/v1", "a/v2"]);
    assert!(!play.routes_say("a/v2"), "not warm yet");
    play.wait(WARM_UP);
    assert!(play.routes_say("a/v2"));
    play.write("a.yaml", gateway("a"));
    assert!(!play.routes_say("a/v2"));
    assert_eq!(play.names(Kind::Cluster), ["a/v1", "a/v2"]);
    play.wait(LINGER);
    assert_eq!(
        (play.names(Kind::Cluster), play.names(Kind::Endpoint)),
        (vec!["a/v1".into()], vec!["a/v1".into()])
    );
}

#[test]
fn new_weights_change_one_resource() {
    let mut play = Play::new();
    play.files(&[("a.yaml", Some(split("a", 95))), ("b.yaml", Some(split("b", 95)))]);
    let before = play.snapshot();
    play.write("a.yaml", split("a", 75));
    assert_eq!(changed(&before, &play.snapshot()), [(Kind::Route, "default".into())]);
    assert!(play.told.last().unwrap().1.contains("traffic was v1 95 %, v2 5 %, is v1 75 %, v2 25 %"));
    assert!(Arc::ptr_eq(before.set(Kind::Cluster), play.snapshot().set(Kind::Cluster)));
}

#[test]
fn gateways_for_some_envoys_are_seen_by_those() {
    let mut play = Play::new();
    let edge = gateway("a").replace("path:", "proxies: [edge]\npath:");
    play.files(&[("a.yaml", Some(edge)), ("b.yaml", Some(gateway("b")))]);
    let fleet = play.world.fleet();
    let clusters = |audience: &str| -> Vec<String> {
        fleet.snapshot(audience).set(Kind::Cluster).resources().map(|r| r.name().to_string()).collect()
    };
    assert_eq!(
        (clusters("edge"), clusters("any")),
        (vec!["a/v1".into(), "b/v1".into()], vec!["b/v1".to_owned()])
    );
    play.write("a.yaml", gateway("a"));
    play.wait(LINGER);
    assert!(play.world.fleet().named.is_empty());
    assert_eq!(play.names(Kind::Cluster), ["a/v1", "b/v1"]);
}

proptest! {
    /// Files in any order, with detours: what is served depends on what they say in the end.
    #[test]
    fn equal_content_is_equal_versions(
        detour in prop::collection::vec((0usize..4, 0u32..4), 0..12),
        end in prop::collection::vec(1u32..100, 4).prop_shuffle(),
        order in Just(vec![0usize, 1, 2, 3]).prop_shuffle(),
    ) {
        let text = |i: usize, weight: u32| split(&format!("g{i}"), weight);
        let mut direct = Play::new();
        let all: Vec<(String, String)> = (0..4).map(|i| (format!("{i}.yaml"), text(i, end[i]))).collect();
        let files: Vec<_> = all.iter().map(|(path, text)| (path.as_str(), Some(text.clone()))).collect();
        direct.files(&files);

        let mut long = Play::new();
        for (i, what) in detour {
            let path = format!("{i}.yaml");
            match what {
                0 => long.remove(&path),
                1 => long.write(&path, broken(&format!("g{i}"))),
                2 => long.write(&path, gateway(&format!("g{i}"))),
                _ => long.wait(GRACE),
            }
        }
        for i in order {
            long.write(&format!("{i}.yaml"), text(i, end[i]));
        }
        long.wait(GRACE + LINGER);
        direct.wait(GRACE + LINGER);
        prop_assert_eq!(versions(&long.snapshot()), versions(&direct.snapshot()));
    }
}

#[test]
fn what_was_good_before_the_start_serves_while_the_file_is_broken() {
    let good = |name: &str| -> Arc<str> { gateway(name).into() };
    let remembered =
        || [("a.yaml".into(), good("a")), ("b.yaml".into(), good("b")), ("c.yaml".into(), good("c"))];
    let start = || {
        let world = World::new(Settings::default()).with_last_good(remembered().into());
        Play { world, ..Play::new() }
    };
    let mut play = start();
    play.files(&[("a.yaml", Some(broken("a"))), ("b.yaml", Some(split("b", 40)))]);
    assert!(play.is_serving("a"));
    assert_eq!(
        (play.gateway("a").phase, play.gateway("b").phase),
        (Phase::Invalid, Phase::Of(rollout::Phase::Stable))
    );
    let kept = play.world.take_documents();
    let kept: Vec<_> = kept.iter().map(|(path, text)| (&**path, text.as_deref())).collect();
    let b = split("b", 40);
    assert_eq!(kept, [("b.yaml", Some(b.as_str()))], "a's stays, c may be back");
    play.wait(GRACE);
    let kept = play.world.take_documents();
    assert_eq!(kept.into_iter().collect::<Vec<_>>(), [("c.yaml".into(), None)]);
    play.write("a.yaml", gateway("a"));
    assert!(play.world.take_documents().is_empty(), "it is what it was");
    play.write("a.yaml", split("a", 10));
    assert_eq!(play.world.take_documents().len(), 1);
    play.remove("a.yaml");
    assert!(play.world.take_documents().is_empty(), "it may come back");
    play.wait(GRACE);
    assert_eq!(play.world.take_documents(), [("a.yaml".into(), None)].into());

    // A directory that is not mounted yet is no reason to forget.
    let mut play = start();
    play.files(&[]);
    assert!(play.world.take_documents().is_empty());
}

#[test]
fn what_cannot_be_listed_is_not_taken_for_nothing() {
    let mut play = Play::new();
    let unlisted =
        |directories: &[(&'static str, &'static str)]| directories.iter().copied().collect::<Unlisted>();
    // At the start nobody is told that there is nothing, though keys and certificates are read.
    play.event(Event::Unlisted(unlisted(&[("", "permission denied")])));
    play.attach("keys", Attachment::Missing);
    assert!(!play.world.has_begun());
    assert_eq!(
        play.world.take_unlisted().and_then(|u| u.everything().cloned()).as_deref(),
        Some("permission denied")
    );
    assert!(play.told[0].0 == NoteKind::Alarm && play.told[0].1.contains("Envoys are answered nothing"));
    // It can be, but a part of it cannot.
    play.event(Event::Unlisted(unlisted(&[("team", "permission denied")])));
    play.write("a.yaml", gateway("a"));
    assert!(play.world.has_begun() && play.is_serving("a"));
    assert_eq!((play.was_told(NoteKind::Alarm), play.was_told(NoteKind::Repaired)), (2, 1));
    // Later what serves goes on; each is told once.
    for reason in ["too many open files", "permission denied"] {
        play.event(Event::Unlisted(unlisted(&[("", reason), ("team", reason)])));
    }
    assert_eq!(play.was_told(NoteKind::Alarm), 3);
    assert!(play.told.last().unwrap().1.ends_with("stay as they were"), "{:?}", play.told);
    assert!(play.is_serving("a"));
    play.event(Event::Unlisted(unlisted(&[])));
    assert_eq!(play.was_told(NoteKind::Repaired), 3);
    assert_eq!(play.world.take_unlisted().map(|unlisted| unlisted.count()), Some(0));
    assert!(play.world.take_unlisted().is_none(), "nothing is new");
}

/// Files that are gone are missing since the first look that sees anything, not since one that sees nothing.
#[test]
fn a_look_that_sees_nothing_is_not_the_first_one() {
    let mut play = Play::new();
    let good = [("a.yaml", gateway("a")), ("gone.yaml", gateway("gone"))];
    let good = good.map(|(path, text)| (Arc::from(path), Arc::from(text))).into();
    play.world = World::new(Settings::default()).with_last_good(good);
    play.event(Event::Unlisted([("", "permission denied")].into_iter().collect()));
    play.attach("keys", Attachment::Missing);
    play.event(Event::Unlisted(Unlisted::default()));
    play.write("a.yaml", gateway("a"));
    assert!(play.is_serving("gone"), "as if it had gone now");
    play.wait(GRACE);
    let kept = play.world.take_documents();
    assert_eq!(kept.get("gone.yaml"), Some(&None));
}
