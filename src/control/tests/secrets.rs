//! Secrets that change.

use super::super::files::Files;
use super::*;
use crate::clock::Timestamp;
use crate::config::{Attachment, Content, Document, Reference};
use crate::model::Authentication;

const GATEWAY: &str = "apiVersion: serin/v1
name: a
upstreams: { v1: http://a }
authentication: { accessKey: { keysFile: a.keys } }
";

/// Tells of a file of keys, and of the gateway that refers to it; says which keys open that gateway.
fn play(files: &mut Files, gateway: Option<&str>, keys: Attachment) -> Option<Vec<String>> {
    let document =
        |text: &str| Document { path: "a.yaml".into(), content: Content::Text(text.as_bytes().into()) };
    let documents = gateway.map(|text| ("a.yaml".into(), Some(document(text)))).into_iter().collect();
    let attached = [(Reference::File("a.keys".into()), keys)].into();
    files.apply(Changes { documents, attached }, &Settings::default().listeners, Timestamp::default());
    let chosen = files.settle().into_values().next()?;
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
    for broken in [Attachment::Missing, keys(""), keys("a"), Attachment::Unreadable("denied".into())] {
        assert_eq!(play(&mut files, None, broken), Some(vec![new.clone()]));
    }
}
