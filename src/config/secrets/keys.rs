//! A keys file: lines `client:key`.

use super::{Fault, Faults, SecretEditError, is_name, is_visible, lines, with_line};
use crate::diag::{Code, Severity};
use crate::model::{Key, KeySource, Secret};
use std::collections::BTreeMap;

/// Shorter keys can be guessed.
const SAFE: usize = 16;
/// Longer ones do not fit every header.
const MOST: usize = 4096;
const NEW: &str = "make one with `serin keys new FILE CLIENT`";

/// Reads a keys file for requests that carry their key in this place.
pub(in crate::config) fn parse(text: &str, source: &KeySource) -> (Vec<Key>, Faults) {
    let (mut keys, mut faults) = (Vec::new(), Faults::default());
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, line) in lines(text) {
        let (client, key) = match entry(line, source) {
            Ok(entry) => entry,
            Err(fault) => {
                faults.add(number, fault);
                continue;
            }
        };
        if let Some(first) = seen.get(key) {
            let what = format!("the key of line {first} comes again");
            faults.add(number, Fault::error(Code::KeysFile, what, "give each line a key of its own"));
            continue;
        }
        seen.insert(key, number);
        if key.len() < SAFE {
            let what = format!("the key has fewer than {SAFE} characters and can be guessed");
            faults.add(number, Fault { severity: Severity::Warning, code: Code::ShortKey, what, help: NEW });
        }
        keys.push(Key { client: client.to_owned(), key: Secret::new(key) });
    }
    (keys, faults)
}

fn entry<'l>(line: &'l str, source: &KeySource) -> Result<(&'l str, &'l str), Fault> {
    let Some((client, key)) = line.split_once(':') else {
        return Err(Fault::error(Code::KeysFile, "it is not of the form `client:key`", NEW));
    };
    if !is_name(client) {
        let help = "use letters, digits and signs of ASCII, without spaces: it becomes a header";
        return Err(Fault::error(Code::KeysFile, "what stands before the colon cannot name a client", help));
    }
    if key.is_empty() {
        return Err(Fault::error(Code::KeysFile, "the key is empty", NEW));
    }
    if !is_visible(key) || key.len() > MOST {
        let help = "use letters, digits and signs of ASCII, at most 4096, and no space, also not at the end";
        return Err(Fault::error(Code::KeysFile, "what follows the colon cannot be a key", help));
    }
    let (place, signs) = match source {
        KeySource::Default | KeySource::Header(_) => return Ok((client, key)),
        KeySource::Query(_) => ("a query", "&#+%"),
        KeySource::Cookie(_) => ("a cookie", ";,\"\\"),
    };
    if key.contains(|c| signs.contains(c)) {
        let what = format!("the key has a sign that {place} cannot carry as it is");
        return Err(Fault::error(Code::KeysFile, what, NEW));
    }
    Ok((client, key))
}

/// A keys file with one more key. Every line stays.
pub fn add_key(text: &str, client: &str, key: &str) -> Result<String, SecretEditError> {
    if !is_name(client) {
        return Err(SecretEditError::Name);
    }
    Ok(with_line(text, &format!("{client}:{key}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "0123456789abcdef";

    fn faults(text: &str, source: &KeySource) -> Vec<String> {
        let (_, faults) = parse(text, source);
        faults.told("it").map(|(fault, text)| format!("{} {text}", fault.code)).collect()
    }

    #[test]
    fn a_client_may_have_several_keys_and_a_key_may_have_colons() {
        let (keys, faults) = parse(&format!("acme:{LONG}\r\n# old\nacme:x:{LONG}:\n"), &KeySource::Default);
        assert_eq!(faults, Faults::default());
        let read: Vec<_> = keys.iter().map(|k| (k.client.as_str(), k.key.expose().to_owned())).collect();
        assert_eq!(read, [("acme", LONG.to_owned()), ("acme", format!("x:{LONG}:"))]);
    }

    #[test]
    fn what_is_wrong_is_told_by_line() {
        for (line, why) in [
            (LONG.to_owned(), "A007 line 1 of it: it is not of the form"),
            (format!("a b:{LONG}"), "A007 line 1 of it: what stands before the colon cannot name a client"),
            (format!(":{LONG}"), "A007 line 1 of it: what stands before"),
            ("a:".to_owned(), "A007 line 1 of it: the key is empty"),
            (format!("a: {LONG}"), "A007 line 1 of it: what follows the colon cannot be a key"),
            (format!("a:{LONG} "), "A007 line 1 of it: what follows"),
            (format!("a:{LONG}é"), "A007 line 1 of it: what follows"),
            (format!("a:{LONG}\nb:{LONG}"), "A007 line 2 of it: the key of line 1 comes again"),
            ("a:short".to_owned(), "A008 line 1 of it: the key has fewer than 16 characters"),
        ] {
            let said = faults(&line, &KeySource::Default);
            assert!(said.len() == 1 && said[0].starts_with(why), "{line}: {said:?}");
            assert!(!said[0].contains(LONG) && !said[0].contains("short"), "{said:?}");
        }
    }

    #[test]
    fn a_key_fits_where_it_is_carried() {
        let line = format!("a:{LONG}%;");
        assert!(faults(&line, &KeySource::Header("x-key".into())).is_empty());
        assert!(faults(&line, &KeySource::Query("key".into()))[0].contains("that a query cannot carry"));
        assert!(faults(&line, &KeySource::Cookie("key".into()))[0].contains("that a cookie cannot carry"));
    }

    #[test]
    fn a_new_key_comes_last() {
        assert_eq!(add_key("", "acme", "k").as_deref(), Ok("acme:k\n"));
        assert_eq!(add_key("# x\r\na:b", "acme", "k").as_deref(), Ok("# x\r\na:b\r\nacme:k\r\n"));
        assert_eq!(add_key("", "a b", "k"), Err(SecretEditError::Name));
    }
}
