//! URLs whose answers are believed, because nobody on the way can change them.

use url::{Host, Url};

/// Why the answers of a URL are not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Distrust {
    /// It is none, or of another scheme than http and https.
    NotUrl,
    /// It holds a user name or a password.
    Password,
    /// It has a fragment, which no server ever sees.
    Fragment,
    /// It is plain text to another machine.
    Clear,
}

impl Distrust {
    /// How a sentence about the URL ends.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::NotUrl => "is not a URL of http or https",
            Self::Password => "has a user name or a password",
            Self::Fragment => "has a fragment",
            Self::Clear => "is plain text to another machine",
        }
    }
}

/// A URL of https, or of http to this machine.
pub(super) fn url(text: &str) -> Result<Url, Distrust> {
    let url = Url::parse(text).ok().filter(|u| u.has_host() && matches!(u.scheme(), "http" | "https"));
    let url = url.ok_or(Distrust::NotUrl)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Distrust::Password);
    }
    if url.fragment().is_some() {
        return Err(Distrust::Fragment);
    }
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() == "http" && !is_here { Err(Distrust::Clear) } else { Ok(url) }
}
