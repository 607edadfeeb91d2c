//! Tokens of one issuer.

use super::trusted;
use crate::config::check::attached::{Privacy, content};
use crate::config::check::{Surroundings, Wrong, header, report};
use crate::config::problems::{At, Problems};
use crate::config::secrets::jwks;
use crate::config::{raw, spelling::shorten};
use crate::diag::Code;
use crate::model::{ClaimValue, Jwks, Jwt};
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

/// Nothing after a complaint.
pub(super) fn jwt(
    raw: &raw::Jwt,
    at: &At<'_>,
    around: &Surroundings<'_>,
    problems: &mut Problems<'_>,
) -> Option<Jwt> {
    let issuer = raw
        .issuer
        .as_deref()
        .and_then(|text| report(text_of("the issuer", text), Code::Issuer, &at.at("issuer"), problems));
    let jwks = jwks(raw, at, around, problems);
    let audiences = audiences(raw.audiences.as_ref(), &at.at("audiences"), problems);
    let claim_headers = claim_headers(raw.claim_headers.as_ref(), &at.at("claimHeaders"), problems);
    let require = require(raw, &at.at("require"), problems);
    Some(Jwt {
        issuer: issuer?,
        jwks: jwks?,
        audiences: audiences?,
        claim_headers: claim_headers?,
        require: require?,
    })
}

/// A text that somebody else compares byte by byte.
fn text_of(what: &str, text: &str) -> Result<String, Wrong> {
    if text.is_empty() {
        return Err(Wrong::new(format!("{what} is empty"), "write it as it stands in the tokens"));
    }
    if text.trim() != text || text.contains(char::is_control) {
        let message = format!("{what} `{}` has space around it, or a control character in it", shorten(text));
        return Err(Wrong::new(message, "write it as it stands in the tokens"));
    }
    Ok(text.to_owned())
}

fn jwks(raw: &raw::Jwt, at: &At<'_>, around: &Surroundings<'_>, problems: &mut Problems<'_>) -> Option<Jwks> {
    match (at.at("jwksUri").is_there(), at.at("jwksFile").is_there()) {
        (true, false) => {
            let uri = raw.jwks_uri.as_deref()?;
            report(jwks_uri(uri), Code::JwksUri, &at.at("jwksUri"), problems)
                .map(|uri| Jwks::Uri { uri, keys: None })
        }
        (false, true) => {
            let at = at.at("jwksFile");
            let content = content(raw.jwks_file.as_ref()?, &at, around, Privacy::Public, problems)?;
            if let Err((code, what, help)) = jwks::check(content.text) {
                problems.error(code, &at, format!("{} {what}", content.origin), help);
                return None;
            }
            Some(Jwks::Inline(content.text.into()))
        }
        (true, true) => {
            let help = "keep the one where the issuer's public keys are";
            let message = "`jwksUri` and `jwksFile` exclude each other";
            problems.error(Code::JwksSource, &at.key("jwksFile"), message, help);
            None
        }
        (false, false) => {
            let help = "add `jwksUri` with the `jwks_uri` of the issuer, or `jwksFile` with a copy of it";
            problems.error(Code::JwksSource, at, "the keys of the issuer are not known", help);
            None
        }
    }
}

/// Whoever can change what stands there can sign tokens, so nobody on the way may.
fn jwks_uri(text: &str) -> Result<String, Wrong> {
    let help = "write the `jwks_uri` of the issuer, such as `https://idp.example.com/jwks.json`";
    trusted(text, "anybody on the way could give other keys", help).map(|_| text.to_owned())
}

/// Nothing after a complaint, an empty list where nothing is said.
pub(super) fn audiences(
    raw: Option<&Vec<Option<String>>>,
    at: &At<'_>,
    problems: &mut Problems<'_>,
) -> Option<Vec<String>> {
    match raw {
        None => (!at.is_there()).then(Vec::new),
        Some(list) => {
            distinct(list, Code::Audiences, at, problems, |text: &String| text_of("an audience", text))
        }
    }
}

fn claim_value(raw: &raw::ClaimValue) -> Result<ClaimValue, Wrong> {
    match raw {
        raw::ClaimValue::Text(text) => text_of("the value", text).map(ClaimValue::Text),
        raw::ClaimValue::Number(number) => Ok(ClaimValue::Number(*number)),
        raw::ClaimValue::Truth(truth) => Ok(ClaimValue::Truth(*truth)),
    }
}

/// A list of values, at least one, each once.
fn distinct<R, T: Clone + Ord + Display>(
    list: &[Option<R>],
    code: Code,
    at: &At<'_>,
    problems: &mut Problems<'_>,
    check: impl Fn(&R) -> Result<T, Wrong>,
) -> Option<Vec<T>> {
    if list.is_empty() {
        problems.error(code, at, "the list is empty", "write at least one, or remove the key");
        return None;
    }
    let mut seen = BTreeSet::new();
    let checked: Vec<Option<T>> = list
        .iter()
        .enumerate()
        .map(|(i, item)| {
            let value = report(check(item.as_ref()?), code, &at.item(i), problems)?;
            if seen.insert(value.clone()) {
                return Some(value);
            }
            let message = format!("`{}` comes twice", shorten(&value.to_string()));
            problems.error(code, &at.item(i), message, "keep it once");
            None
        })
        .collect();
    checked.into_iter().collect()
}

/// Nothing after a complaint, an empty map where nothing is said.
pub(super) fn claim_headers(
    raw: Option<&IndexMap<String, Option<String>>>,
    at: &At<'_>,
    problems: &mut Problems<'_>,
) -> Option<BTreeMap<String, String>> {
    let Some(map) = raw else { return (!at.is_there()).then(BTreeMap::new) };
    let mut headers = BTreeMap::new();
    let mut good = true;
    for (written, claim) in map {
        let header = report(header::told(written), Code::HeaderName, &at.key(written), problems);
        let claim = claim
            .as_deref()
            .and_then(|claim| report(text_of("the claim", claim), Code::Claim, &at.at(written), problems));
        let (Some(header), Some(claim)) = (header, claim) else {
            good = false;
            continue;
        };
        if headers.insert(header, claim).is_some() {
            let message = format!("the header `{}` comes twice", shorten(written));
            problems.error(Code::HeaderName, &at.key(written), message, "keep it once");
        }
    }
    good.then_some(headers)
}

fn require(
    raw: &raw::Jwt,
    at: &At<'_>,
    problems: &mut Problems<'_>,
) -> Option<BTreeMap<String, Vec<ClaimValue>>> {
    let Some(map) = &raw.require else { return (!at.is_there()).then(BTreeMap::new) };
    if map.is_empty() {
        let help = "write at least one claim and its value, or remove `require`";
        problems.error(Code::Claim, at, "`require` says nothing", help);
        return None;
    }
    let checked: Vec<Option<(String, Vec<ClaimValue>)>> = map
        .iter()
        .map(|(claim, values)| {
            let name = report(text_of("the claim", claim), Code::Claim, &at.key(claim), problems);
            let here = at.at(claim);
            let values = match values.as_ref()? {
                raw::OneOrMore::One(value) => {
                    report(claim_value(value), Code::Claim, &here, problems).map(|v| vec![v])
                }
                raw::OneOrMore::More(list) => distinct(list, Code::Claim, &here, problems, claim_value),
            };
            Some((name?, values?))
        })
        .collect();
    checked.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_by_a_safe_way() {
        for good in [
            "https://idp.example.com/keys?v=1",
            "http://localhost:1/",
            "http://127.0.0.1/",
            "http://[::1]:9/k",
        ] {
            assert_eq!(jwks_uri(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "idp.example.com",
            "ftp://a",
            "http://a.com",
            "https://",
            "https://u:pass@a",
            "https://a#b",
            "http://127.0.0.1.a.com",
        ] {
            let wrong = jwks_uri(bad).expect_err(bad);
            assert!(!wrong.message.contains("pass@"), "{wrong:?}");
        }
    }
}
