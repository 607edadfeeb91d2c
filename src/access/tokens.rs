//! The file of tokens: a line `name:role:sha256:hash` for each. The tokens themselves are nowhere.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::Digest as _;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The longest name, in bytes.
const MAX_NAME: usize = 64;
/// With this they begin, so that those who look for lost secrets recognise them.
const PREFIX: &str = "serin_";

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// See everything that is no secret.
    Viewer,
    /// And change it.
    Operator,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Viewer, Self::Operator];

    /// The word of the file and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}

/// Somebody who has a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// For the journal. Several tokens may have one name.
    pub name: Arc<str>,
    /// What they may do.
    pub role: Role,
}

/// The SHA-256 of a secret. To look one up by it takes a time that says nothing about the secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of a token, or of what a cookie holds.
    pub fn of(secret: &[u8]) -> Self {
        Self(sha2::Sha256::digest(secret).into())
    }

    fn read(hex: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest")
    }
}

/// Everybody who has a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens(BTreeMap<Digest, Identity>);

impl Tokens {
    /// Reads a file: the tokens of all lines that are right, and a sentence about each that is not. Empty lines and those
    /// that begin with `#` say nothing. A sentence never shows what is in the line: it may be a token.
    pub fn read(bytes: &[u8]) -> (Self, Vec<String>) {
        let (mut tokens, mut wrong) = (Self::default(), Vec::new());
        let lines = bytes.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).zip(1..);
        for (line, number) in lines.filter(|(line, _)| !line.is_empty() && !line.starts_with(b"#")) {
            match entry(line) {
                Ok((digest, identity)) => drop(tokens.0.insert(digest, identity)),
                Err(why) => wrong.push(format!(
                    "line {number} {why}; a line is `name:role:sha256:hash`, as `serin tokens new` writes it"
                )),
            }
        }
        (tokens, wrong)
    }

    /// Who has a token of this hash.
    pub fn find(&self, digest: &Digest) -> Option<&Identity> {
        self.0.get(digest)
    }
}

fn entry(line: &[u8]) -> Result<(Digest, Identity), &'static str> {
    let text = str::from_utf8(line).map_err(|_| "is not UTF-8")?;
    let mut parts = text.split(':').map(str::trim);
    let (Some(name), Some(role), Some("sha256"), Some(hash), None) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("does not have four parts");
    };
    if !is_name(name) {
        return Err("has no proper name");
    }
    let role = Role::ALL.into_iter().find(|r| r.as_str() == role);
    let role = role.ok_or("has another role than `viewer` or `operator`")?;
    let digest = Digest::read(hash).ok_or("has no SHA-256 of 64 hexadecimal digits")?;
    Ok((digest, Identity { name: name.into(), role }))
}

/// Names stand in the journal, beside `file`, `engine`, `envoy` and `serin`, which are nobody's.
fn is_name(name: &str) -> bool {
    let is_reserved = ["file", "engine", "envoy", "serin"].contains(&name);
    let sound = |b: u8| b.is_ascii_alphanumeric() || b"._@+-".contains(&b);
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(sound) && !is_reserved
}

/// A name that no token can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name has 1 to {MAX_NAME} letters, digits or `._@+-`, and is not one of the words of the journal: file, engine, \
     envoy, serin"
)]
pub struct WrongName;

/// A new token of random bytes.
pub fn token(random: [u8; 32]) -> String {
    format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(random))
}

/// The line of the file that lets a token in.
pub fn line(name: &str, role: Role, token: &str) -> Result<String, WrongName> {
    let digest = Digest::of(token.as_bytes());
    if is_name(name) { Ok(format!("{name}:{}:sha256:{digest}", role.as_str())) } else { Err(WrongName) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_the_line_that_was_made_for_it() {
        let (mine, other) = (token([7; 32]), token([8; 32]));
        assert!(mine.starts_with("serin_") && mine.len() == 49, "{mine}");
        let line = line("ann@example.com", Role::Operator, &mine).unwrap();
        assert!(!line.contains(&mine[6..]));
        let (tokens, wrong) = Tokens::read(format!("# people\r\n\r\n{line}\r\n").as_bytes());
        assert_eq!(wrong, [""; 0]);
        let ann = tokens.find(&Digest::of(mine.as_bytes())).unwrap();
        assert_eq!((&*ann.name, ann.role), ("ann@example.com", Role::Operator));
        assert_eq!(tokens.find(&Digest::of(other.as_bytes())), None);
        assert!(!format!("{tokens:?}").contains(&line[line.len() - 64..]));
    }

    #[test]
    fn a_wrong_line_lets_nobody_in_and_harms_no_other() {
        let good = line("ann", Role::Viewer, "x").unwrap();
        let hash = &good[good.len() - 64..];
        for (text, why) in [
            ("secret".to_owned(), "four parts"),
            (format!("{good}:x"), "four parts"),
            (format!("ann:viewer:md5:{hash}"), "four parts"),
            (format!("a b:viewer:sha256:{hash}"), "no proper name"),
            (format!("engine:viewer:sha256:{hash}"), "no proper name"),
            (format!("ann:root:sha256:{hash}"), "another role"),
            (format!("ann:viewer:sha256:{}", &hash[1..]), "no SHA-256"),
            ("ann:viewer:sha256:secret".to_owned(), "no SHA-256"),
        ] {
            let (tokens, wrong) = Tokens::read(format!("{text}\n{good}\n").as_bytes());
            assert_eq!((tokens.0.len(), wrong.len()), (1, 1), "{text}");
            assert!(wrong[0].starts_with("line 1 ") && wrong[0].contains(why), "{}", wrong[0]);
            assert!(!wrong[0].contains("secret"));
        }
        assert_eq!(line("", Role::Viewer, "x"), Err(WrongName));
        assert_eq!(Tokens::read(b"\xff\n").1.len(), 1);
    }
}
