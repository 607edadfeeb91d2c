//! One fetch: bounded in time and size, and checked before anyone sees it.

use crate::client::{self, reason};
use crate::config;
use crate::control::{Fetch, Fetched};
use std::time::Duration;

/// For the whole of one fetch.
const TIMEOUT: Duration = Duration::from_secs(5);
/// More than any issuer has to say.
const MAX_SIZE: usize = 256 << 10;

pub(super) fn client() -> reqwest::Result<reqwest::Client> {
    // No redirects: keys are trusted because of where they come from.
    client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build()
}

/// The same for this machine, past any proxy: plain text is trusted only because it goes nowhere.
pub(super) fn local_client() -> reqwest::Result<reqwest::Client> {
    client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).no_proxy().build()
}

/// What is wanted; else a sentence that says why not.
pub(super) async fn fetch(client: &reqwest::Client, what: &Fetch) -> Result<Fetched, String> {
    let checked = match what {
        Fetch::Keys(uri) => {
            let text = text(client, uri).await?;
            config::check_jwks(&text).map(|()| Fetched::Keys(text.into()))
        }
        Fetch::Metadata(issuer) => {
            let text = text(client, &config::discovery_url(issuer)).await?;
            config::read_metadata(issuer, &text).map(|metadata| Fetched::Metadata(metadata.into()))
        }
    };
    checked.map_err(|what| format!("the answer {what}"))
}

/// The text at a URL.
async fn text(client: &reqwest::Client, url: &str) -> Result<String, String> {
    let mut answer = client.get(url).send().await.map_err(|e| reason(e, TIMEOUT))?;
    if !answer.status().is_success() {
        return Err(format!("the answer was {}", answer.status()));
    }
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|e| reason(e, TIMEOUT))? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > MAX_SIZE {
            return Err(format!("the answer has more than {MAX_SIZE} bytes"));
        }
    }
    String::from_utf8(bytes).map_err(|_| "the answer is not text".to_owned())
}
