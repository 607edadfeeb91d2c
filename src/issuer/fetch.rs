//! One fetch: bounded in time and size, and checked before anyone sees it.

use crate::client;
use serde_json::Value;
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

/// The JSON Web Key Set at a URL; else a sentence that says why not.
pub(super) async fn keys(client: &reqwest::Client, uri: &str) -> Result<Arc<str>, String> {
    let mut answer = client.get(uri).send().await.map_err(|e| reason(&e))?;
    if !answer.status().is_success() {
        return Err(format!("the answer was {}", answer.status()));
    }
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|e| reason(&e))? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > MAX_SIZE {
            return Err(format!("the answer has more than {MAX_SIZE} bytes"));
        }
    }
    let text = String::from_utf8(bytes).map_err(|_| "the answer is not text")?;
    check(&text)?;
    Ok(text.into())
}

/// The innermost cause is what people can act on.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("there was no answer within {TIMEOUT:?}");
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// RFC 7517 section 5: an object with a list of keys, each of a type.
fn check(text: &str) -> Result<(), String> {
    let set: Value = serde_json::from_str(text).map_err(|_| "the answer is not JSON")?;
    let keys = set.get("keys").and_then(Value::as_array).ok_or("the answer has no list `keys`")?;
    if keys.is_empty() {
        return Err("the answer has no keys".into());
    }
    if !keys.iter().all(|k| k.get("kty").is_some_and(Value::is_string)) {
        return Err("the answer has a key without a type (`kty`)".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_key_sets_pass() {
        assert_eq!(check(r#"{"keys":[{"kty":"RSA","n":"x","e":"AQAB"}]}"#), Ok(()));
        for (text, part) in [
            ("<html>", "not JSON"),
            ("{}", "no list"),
            (r#"{"keys":[]}"#, "no keys"),
            (r#"{"keys":[{}]}"#, "kty"),
        ] {
            assert!(check(text).unwrap_err().contains(part), "{text}");
        }
    }
}
