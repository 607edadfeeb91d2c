//! One fetch: bounded in time and size, and checked before anyone sees it.

use crate::client::{self, reason};
use crate::config;
use std::sync::Arc;
use std::time::Duration;

/// For the whole of one fetch.
const TIMEOUT: Duration = Duration::from_secs(5);
/// More than the keys of any issuer.
const MAX_SIZE: usize = 256 << 10;

pub(super) fn client() -> reqwest::Result<reqwest::Client> {
    // No redirects: keys are trusted because of where they come from.
    client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build()
}

/// The same for this machine, past any proxy: plain text is trusted only because it goes nowhere.
pub(super) fn local_client() -> reqwest::Result<reqwest::Client> {
    client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).no_proxy().build()
}

/// The JSON Web Key Set at a URL; else a sentence that says why not.
pub(super) async fn keys(client: &reqwest::Client, uri: &str) -> Result<Arc<str>, String> {
    let mut answer = client.get(uri).send().await.map_err(|e| reason(e, TIMEOUT))?;
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
    let text = String::from_utf8(bytes).map_err(|_| "the answer is not text")?;
    config::check_jwks(&text).map_err(|what| format!("the answer {what}"))?;
    Ok(text.into())
}
