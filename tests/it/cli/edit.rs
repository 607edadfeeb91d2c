//! `set-weight` and `promote`: the user's hand in the user's file, so nothing but the weights may change.

use super::{directory, finish, serin_in, without_rights};
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

/// Comments, quotes, blank lines, odd spaces and a line without an end.
const FRAUD: &str = "# Ask risk@example.com first.
apiVersion: 'serin/v1'
name:   \"fraud\"   # cards

upstreams:
    v1: { url: \"http://fraud-v1:8080\", version: '1.10' } # \u{201c}old\u{201d}
    v2: http://fraud-v2:8080
traffic: { v1: 95,   'v2': 5 } # since Monday
labels: {v1: \"95\"}";

fn read(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("fraud.yaml")).unwrap()
}

#[test]
fn every_other_byte_stays() {
    let block = "traffic:   # who gets what\r\n  v1: 95 # stable\r\n  \"v2\":   5.00\r\n";
    let in_lines =
        FRAUD.replace("traffic: { v1: 95,   'v2': 5 } # since Monday\n", block).replace('\n', "\r\n");
    let in_lines = in_lines.replace("\r\r\n", "\r\n");
    for before in [FRAUD.to_owned(), in_lines] {
        let after = before.replace("v1: 95", "v1: 75").replace(": 5 ", ": 25 ").replace("5.00", "25");
        assert_ne!(before, after);
        let folder = directory(&[("fraud.yaml", &before), ("notes.txt", "mine")]);
        let path = folder.path().join("fraud.yaml");
        set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let run = serin_in(folder.path(), &["set-weight", "fraud", "v2=25", "--gateways", "."]);
        assert_eq!((run.code, &*run.out), (0, ""), "{}", run.err);
        assert!(run.err.ends_with("gateway fraud is now v2 25 %, v1 75 %\n"), "{}", run.err);
        assert_eq!(read(folder.path()), after);
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o640);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside");
    }
}

#[test]
fn the_owner_stays() {
    let folder = directory(&[("fraud.yaml", FRAUD)]);
    let path = folder.path().join("fraud.yaml");
    if path.metadata().unwrap().uid() == 0 {
        // Only root may give files away, and only root could change the owner by mistake.
        chown(&path, Some(65_534), Some(65_534)).unwrap();
    }
    let owner = || path.metadata().map(|m| (m.uid(), m.gid(), m.mode())).unwrap();
    let before = owner();
    assert_eq!(serin_in(folder.path(), &["set-weight", "fraud", "v2=6", "--gateways", "."]).code, 0);
    assert_eq!(owner(), before);
    assert_ne!(read(folder.path()), FRAUD);
}

#[test]
fn promote_goes_to_and_fro() {
    let folder = directory(&[("fraud.yaml", FRAUD)]);
    let promote = |to: &str| serin_in(folder.path(), &["promote", "fraud", "--to", to, "--gateways", "."]);
    promote("v2");
    assert_eq!(read(folder.path()), FRAUD.replace("v1: 95,   'v2': 5", "v1: 0,   'v2': 100"));
    promote("v1");
    assert_eq!(read(folder.path()), FRAUD.replace("v1: 95,   'v2': 5", "v1: 100,   'v2': 0"));
    let number = || folder.path().join("fraud.yaml").metadata().unwrap().ino();
    let before = number();
    let again = promote("v1");
    assert!(again.code == 0 && again.err.ends_with("says so already\n"), "{}", again.err);
    assert_eq!(number(), before, "a file that is right already is not written again");
}

#[test]
fn a_link_stays_a_link() {
    let folder = directory(&[("real/fraud.txt", FRAUD), ("gateways/other.yaml", "")]);
    let link = folder.path().join("gateways/fraud.yaml");
    symlink("../real/fraud.txt", &link).unwrap();
    let run = serin_in(folder.path(), &["set-weight", "fraud", "v2=6"]);
    assert_eq!(run.code, 0, "{}", run.err);
    assert_eq!(std::fs::read_link(&link).unwrap(), Path::new("../real/fraud.txt"));
    let text = std::fs::read_to_string(folder.path().join("real/fraud.txt")).unwrap();
    assert_eq!(text, FRAUD.replace("v1: 95,   'v2': 5", "v1: 94,   'v2': 6"));
}

#[test]
fn what_cannot_be_right_is_refused_and_nothing_is_written() {
    let three = FRAUD.replace("    v2:", "    v3: http://c\n    v2:").replace("'v2': 5", "'v2': 5, v3: 0");
    let sum = FRAUD.replace("95", "96");
    let twice = [("fraud.yaml", FRAUD), ("copy.yaml", FRAUD)];
    for (files, arguments, why) in [
        (
            &[("fraud.yaml", FRAUD)][..],
            &["set-weight", "fraud", "v9=5"][..],
            "has no upstream v9, but v1, v2",
        ),
        (&[("fraud.yaml", FRAUD)], &["promote", "fraud", "--to", "v9"], "has no upstream v9"),
        (&[("fraud.yaml", FRAUD)], &["set-weight", "iris", "v2=5"], "no file in . describes a gateway iris"),
        (&[("fraud.yaml", FRAUD)], &["set-weight", "fraud", "v2"], "nor of the form UPSTREAM=PERCENT"),
        (&[("fraud.yaml", FRAUD)], &["set-weight", "fraud", "v2=101"], "not between 0 and 100"),
        (&[("fraud.yaml", FRAUD)], &["set-weight", "fraud", "v1=60", "v2=60"], "more than 100"),
        (&[("fraud.yaml", FRAUD)], &["set-weight", "fraud", "v1=60", "v2=30"], "leave 10 % to nobody"),
        (&[("fraud.yaml", &three)], &["set-weight", "fraud", "v2=30"], "more than one upstream was left out"),
        (&[("fraud.yaml", &sum)], &["set-weight", "fraud", "v2=5"], "correct it first"),
        (&twice, &["set-weight", "fraud", "v2=5"], "correct one of them first"),
    ] {
        let folder = directory(files);
        let said = serin_in(folder.path(), &[arguments, &["--gateways", "."]].concat()).fails(1);
        assert!(said.contains(why), "{why} is not in {said}");
        for (name, text) in files {
            assert_eq!(&std::fs::read_to_string(folder.path().join(name)).unwrap(), text);
        }
    }
    let said =
        serin_in(Path::new("/"), &["promote", "fraud", "--to", "v1", "--gateways", "/nowhere"]).fails(1);
    assert!(said.contains("/nowhere is not a directory"), "{said}");
}

#[test]
fn a_directory_that_is_not_ours_stays_as_it_is() {
    let folder = directory(&[("fraud.yaml", FRAUD)]);
    set_permissions(folder.path(), Permissions::from_mode(0o555)).unwrap();
    let reach = tempfile::tempdir().unwrap();
    set_permissions(reach.path(), Permissions::from_mode(0o755)).unwrap();
    let edit = ["set-weight", "fraud", "v2=6", "--gateways", "."];
    let said = finish(without_rights(reach.path(), folder.path(), &edit)).fails(2);
    assert!(said.contains("change the file where it comes from"), "{said}");
    assert_eq!(read(folder.path()), FRAUD);
    set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
}
