//! Names, checked at birth: whoever holds one knows that it is well formed.
//!
//! Gateways, upstreams and listeners are named by DNS-1123 labels (RFC 1123 section 2.1): they become parts
//! of Envoy's resource names and statistics, where a dot or a slash would mean something else.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// The longest name, in bytes (RFC 1123 through RFC 1035: one label).
pub const MAX_NAME: usize = 63;

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Nothing there.
    Empty,
    /// More than [`MAX_NAME`] bytes.
    TooLong(usize),
    /// A character that a DNS-1123 label does not have.
    Character(char),
    /// A hyphen at the first or last place.
    Hyphen,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "it is empty"),
            Self::TooLong(n) => write!(f, "it has {n} characters, {MAX_NAME} are allowed"),
            Self::Character(c) if c.is_ascii_uppercase() => write!(f, "it has the capital letter {c:?}"),
            Self::Character(c) => write!(f, "it has the character {c:?}"),
            Self::Hyphen => write!(f, "it begins or ends with a hyphen"),
        }
    }
}

impl std::error::Error for NameError {}

/// Checks a DNS-1123 label: lower-case letters, digits and inner hyphens, 1 to 63 of them.
pub fn check_label(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if let Some(c) = text.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-')) {
        return Err(NameError::Character(c));
    }
    if text.len() > MAX_NAME {
        return Err(NameError::TooLong(text.len()));
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err(NameError::Hyphen);
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and takes a name.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check_label(text).map(|()| Self(text.into()))
            }
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                Self::new(&String::deserialize(d)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// The name of a gateway: what one file describes.
    GatewayName
);
name!(
    /// The name of an upstream: one deployed version of a model, within its gateway.
    UpstreamName
);
name!(
    /// The name of a listener of `serin.yaml`.
    ListenerName
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_rfc_1123_are_names() {
        for good in ["a", "0", "fraud-v2", &"x".repeat(63)] {
            assert_eq!(check_label(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn anything_else_says_why() {
        assert_eq!(check_label(""), Err(NameError::Empty));
        assert_eq!(check_label("Fraud"), Err(NameError::Character('F')));
        assert_eq!(check_label("a.b"), Err(NameError::Character('.')));
        assert_eq!(check_label("-a"), Err(NameError::Hyphen));
        assert_eq!(check_label("a-"), Err(NameError::Hyphen));
        assert_eq!(check_label(&"x".repeat(64)), Err(NameError::TooLong(64)));
    }
}
