//! A users file: lines `user:{SHA}hash`, as `htpasswd -s` writes them.

use super::{Fault, Faults, SecretEditError, is_name, lines, with_line};
use crate::diag::Code;
use crate::model::{Secret, User};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::collections::BTreeMap;

/// How a hash that Envoy takes begins.
const SHA: &str = "{SHA}";
/// The bytes of a SHA-1.
const LENGTH: usize = 20;
const SET: &str = "write the line anew with `serin users set FILE USER`";

/// Hashes that other servers take, by how they begin.
const OTHERS: &[(&str, &str)] = &[
    ("$2", "bcrypt"),
    ("$apr1$", "MD5"),
    ("$1$", "MD5"),
    ("$5$", "SHA-256"),
    ("$6$", "SHA-512"),
    ("$y$", "yescrypt"),
    ("$argon2", "Argon2"),
    ("{SSHA}", "salted SHA-1"),
    ("{SHA256}", "SHA-256"),
    ("{SHA512}", "SHA-512"),
];

/// Reads a users file.
pub(in crate::config) fn parse(text: &str) -> (Vec<User>, Faults) {
    let (mut users, mut faults) = (Vec::new(), Faults::default());
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, line) in lines(text) {
        match user(line) {
            Err(fault) => faults.add(number, fault),
            Ok((name, hash)) => match seen.insert(name, number) {
                Some(first) => {
                    let what = format!("the user of line {first} comes again");
                    faults.add(number, Fault::error(Code::UsersFile, what, "keep one line for each user"));
                }
                None => users.push(User { name: name.to_owned(), hash: Secret::new(hash) }),
            },
        }
    }
    (users, faults)
}

fn user(line: &str) -> Result<(&str, &str), Fault> {
    let Some((name, hash)) = line.split_once(':') else {
        return Err(Fault::error(Code::UsersFile, "it is not of the form `user:{SHA}hash`", SET));
    };
    if !is_name(name) {
        let help = "use letters, digits and signs of ASCII, without spaces";
        return Err(Fault::error(Code::UsersFile, "what stands before the colon cannot be a user", help));
    }
    if let Some(base64) = hash.strip_prefix(SHA) {
        return match BASE64_STANDARD.decode(base64) {
            Ok(bytes) if bytes.len() == LENGTH => Ok((name, hash)),
            _ => Err(Fault::error(
                Code::PasswordHash,
                "what follows `{SHA}` is not the base64 of a SHA-1",
                SET,
            )),
        };
    }
    let what = match OTHERS.iter().find(|(begin, _)| hash.starts_with(begin)) {
        Some((_, kind)) => format!("the hash is {kind}, and Envoy takes `{{SHA}}` only"),
        None => "the password is not hashed as `{SHA}`, the one form that Envoy takes".to_owned(),
    };
    Err(Fault::error(Code::PasswordHash, what, SET))
}

/// A users file with this SHA-1 of a user's password. Every other line stays; the user's other lines go.
pub fn set_user(text: &str, user: &str, sha1: &[u8; LENGTH]) -> Result<String, SecretEditError> {
    if !is_name(user) {
        return Err(SecretEditError::Name);
    }
    let new = format!("{user}:{SHA}{}", BASE64_STANDARD.encode(sha1));
    let is_own = |line: &str| line.split_once(':').is_some_and(|(name, _)| name == user);
    let (mut out, mut done) = (String::with_capacity(text.len() + new.len()), false);
    for whole in text.split_inclusive('\n') {
        let line = whole.trim_end_matches(['\r', '\n']);
        if !is_own(line.trim_start_matches('\u{feff}')) {
            out.push_str(whole);
        } else if !done {
            done = true;
            out.push_str(&new);
            out.push_str(&whole[line.len()..]);
        }
    }
    Ok(if done { out } else { with_line(&out, &new) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: &str = "ann:{SHA}UerAMSLQqYbz6Llq6MIZZr8lHaw=";

    fn faults(text: &str) -> Vec<String> {
        let (_, faults) = parse(text);
        faults.told("it").map(|(fault, text)| format!("{} {text}", fault.code)).collect()
    }

    #[test]
    fn comments_blank_lines_and_every_line_end_are_fine() {
        let text = format!("\u{feff}# people\r\n\r\n{ANN}\r\n  \nbob:{{SHA}}2jmj7l5rSw0yVb/vlWAYkK/YBwk=");
        let (users, faults) = parse(&text);
        assert_eq!(faults, Faults::default());
        let read: Vec<_> = users.iter().map(|u| format!("{}:{}", u.name, u.hash.expose())).collect();
        assert_eq!(read, [ANN, "bob:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk="]);
    }

    #[test]
    fn each_other_form_is_named_and_never_shown() {
        for (hash, kind) in [
            ("$2y$05$secret", "is bcrypt"),
            ("$apr1$secret", "is MD5"),
            ("$5$secret", "is SHA-256"),
            ("$6$secret", "is SHA-512"),
            ("{SSHA}secret", "is salted SHA-1"),
            ("{SHA256}secret", "is SHA-256"),
            ("secret", "is not hashed"),
            ("", "is not hashed"),
            ("{SHA}secret", "is not the base64"),
            ("{SHA}c2VjcmV0", "is not the base64"),
            ("{sha}UerAMSLQqYbz6Llq6MIZZr8lHaw=", "is not hashed"),
        ] {
            let said = faults(&format!("{ANN}\nbob:{hash}\n"));
            let [said] = said.as_slice() else { panic!("{said:?}") };
            assert!(said.starts_with("A005 line 2 of it: ") && said.contains(kind), "{said}");
            assert!(!said.contains("secret") && !said.contains("bob"), "{said}");
        }
    }

    #[test]
    fn lines_with_the_same_fault_are_told_together() {
        let many = "x:$2y$\n".repeat(8);
        let expected =
            "A005 lines 1, 2, 3, 4, 5 and 3 more of it: the hash is bcrypt, and Envoy takes `{SHA}` only";
        assert_eq!(faults(&many), [expected]);
        assert_eq!(faults(&format!("{ANN}\n{ANN}\n")), ["A004 line 2 of it: the user of line 1 comes again"]);
        for line in ["ann", " ann:x", ":x", "a b:x", "é:x"] {
            assert!(faults(line)[0].starts_with("A004 line 1"), "{line}");
        }
    }

    #[test]
    fn setting_a_user_changes_nothing_else() {
        let sha = [0; LENGTH];
        let set = |text: &str| set_user(text, "ann", &sha).unwrap();
        let new = "ann:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        assert_eq!(set(""), format!("{new}\n"));
        assert_eq!(set("bob:x"), format!("bob:x\n{new}\n"));
        assert_eq!(set("# a\r\nann:y\r\nbob:x \r\n"), format!("# a\r\n{new}\r\nbob:x \r\n"));
        assert_eq!(set("bob:x\r\n"), format!("bob:x\r\n{new}\r\n"));
        assert_eq!(set("ann:1\nanna:2\nann:3"), format!("{new}\nanna:2\n"));
        for bad in ["", "a:b", "a b", "#a", "a\n"] {
            assert_eq!(set_user("", bad, &sha), Err(SecretEditError::Name), "{bad:?}");
        }
    }
}
