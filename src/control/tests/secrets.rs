//! Secrets that change.

use super::super::file::File;
use super::super::files::Files;
use super::*;
use crate::clock::Timestamp;
use crate::config::{Attachment, Content, Document, Reference};
use crate::model::{Authentication, Routing};

const GATEWAY: &str = "apiVersion: serin/v1
name: a
upstreams: { v1: http://a }
authentication: { accessKey: { keysFile: a.keys } }
";

/// Tells of a file of keys, and of the gateway that refers to it; says which keys open that gateway.
fn play(files: &mut Files, gateway: Option<&str>, keys: Attachment) -> Option<Vec<String>> {
    let document =
        |text: &str| Document { path: "a.yaml".into(), content: Content::Text(text.as_bytes().into()) };
    let documents = gateway.map(|text| ("a.yaml".into(), Some(document(text).into()))).into_iter().collect();
    let attached = [(Reference::File("a.keys".into()), keys)].into();
    let listeners = &Settings::default().listeners;
    files.apply(Changes { documents, attached }, listeners, Routing::Plain, Timestamp::default());
    let chosen = files.settle(files.paths()).chosen.into_values().next()?;
    match &chosen.gateway.authentication {
        Authentication::AccessKey(keys) => {
            Some(keys.keys.iter().map(|k| k.key.expose().to_owned()).collect())
        }
        Authentication::Closed => Some(Vec::new()),
        other => panic!("the gateway is {}", other.as_str()),
    }
}

#[test]
fn a_new_key_opens_its_gateway_at_once_and_a_broken_file_changes_nothing() {
    let keys = |text: &str| Attachment::private(text.as_bytes());
    let (old, new) = ("0123456789abcdef".to_owned(), "fedcba9876543210".to_owned());
    let mut files = Files::default();
    assert_eq!(
        play(&mut files, Some(GATEWAY), Attachment::Missing),
        Some(vec![]),
        "without keys nobody is let in"
    );
    assert_eq!(play(&mut files, None, keys(&format!("a:{old}"))), Some(vec![old.clone()]));
    let both = format!("a:{old}\na:{new}");
    assert_eq!(play(&mut files, None, keys(&both)), Some(vec![old, new.clone()]));
    assert_eq!(play(&mut files, None, keys(&format!("a:{new}"))), Some(vec![new.clone()]));
    for broken in [Attachment::Missing, keys("a"), Attachment::Unreadable("denied".into())] {
        assert_eq!(play(&mut files, None, broken), Some(vec![new.clone()]));
    }
    assert_eq!(files.get("a.yaml").map(File::lets_in_as_before), Some(true));
    for nobody in ["", "# all of them are revoked\n\n"] {
        assert_eq!(play(&mut files, None, keys(&format!("a:{new}"))), Some(vec![new.clone()]));
        assert_eq!(play(&mut files, None, keys(nobody)), Some(vec![]), "{nobody:?}");
        // What is wrong after it opens nothing again.
        assert_eq!(play(&mut files, None, keys("a")), Some(vec![]), "{nobody:?}");
    }
}

#[test]
fn a_place_that_is_for_some_only_is_kept_closed_whatever_is_wrong_with_it() {
    let open = "apiVersion: serin/v1\nname: open\nupstreams: { v1: http://10.0.0.1 }\n";
    let broken = "apiVersion: serin/v1\nname: a\npath: /a\nupstreams: { v1: 5 }\nunknown: 1\n";
    let locked = "authentication: { accessKey: { keysFile: missing } }\n";
    for (rest, closed) in [
        (locked, true),
        ("authentication: 5\n", true),
        ("authentication: { oauth3: {} }\n", true),
        ("authentication: { none: {} }\n", false),
        ("", false),
    ] {
        let mut play = Play::new();
        play.files(&[("open.yaml", Some(open.into())), ("a.yaml", Some(format!("{broken}{rest}")))]);
        assert_eq!(play.routes_say("/a"), closed, "{rest}");
        assert!(play.is_serving("open"));
    }
    // The place moves with its file, and opens when the file is right.
    let mut play = Play::new();
    play.write("a.yaml", format!("{broken}{locked}"));
    play.write("a.yaml", format!("{broken}{locked}").replace("/a", "/b"));
    assert!(play.routes_say("/b") && !play.routes_say("/a"));
    play.write("a.yaml", gateway("a"));
    assert!(play.routes_say("/a") && !play.routes_say("/b"));
}
