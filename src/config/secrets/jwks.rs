//! A JSON Web Key Set (RFC 7517) with the public keys of an issuer.

use crate::diag::Code;
use serde_json::{Map, Value};

/// Members that only the owner of a key may know (RFC 7518 sections 6.2.2, 6.3.2 and 6.4).
const PRIVATE: &[&str] = &["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// What is wrong with a set: the code, how a sentence about it ends, and what to do.
pub(in crate::config) type Fault = (Code, String, &'static str);

/// Checks a set of public keys that was fetched. `Err` says how a sentence about it ends.
pub fn check_jwks(text: &str) -> Result<(), String> {
    check(text).map_err(|(_, what, _)| what)
}

/// Checks a set of public keys.
pub(in crate::config) fn check(text: &str) -> Result<(), Fault> {
    let wrong = |what: String, help| Err((Code::JwksFile, what, help));
    let set: Value = match serde_json::from_str(text) {
        Ok(set) => set,
        Err(e) => {
            let what = format!("is not JSON: look at line {}, column {}", e.line(), e.column());
            return wrong(what, "copy the key set again from the issuer");
        }
    };
    let keys = match set.get("keys").and_then(Value::as_array) {
        Some(keys) if !keys.is_empty() => keys,
        Some(_) => return wrong("has no key".to_owned(), "copy the key set again from the issuer"),
        None => {
            let help = "a JSON Web Key Set is an object with a list `keys`; put a single key into one";
            return wrong("is not a JSON Web Key Set".to_owned(), help);
        }
    };
    for (i, key) in keys.iter().enumerate() {
        let n = i + 1;
        let Some((key, kind)) = key.as_object().and_then(|k| Some((k, k.get("kty")?.as_str()?))) else {
            return wrong(format!("has no `kty` in key {n}"), "copy the key set again from the issuer");
        };
        if kind == "oct" || PRIVATE.iter().any(|member| key.contains_key(*member)) {
            let what = format!("has a private key: key {n}");
            return Err((
                Code::PrivateKey,
                what,
                "give the public keys; the private ones stay with the issuer",
            ));
        }
    }
    // Envoy passes over the others, and would let nobody in.
    if !keys.iter().filter_map(Value::as_object).any(is_known) {
        let help =
            "use RSA keys with `n` and `e`, EC keys with `crv`, `x` and `y`, or OKP keys with `crv` and `x`";
        return wrong("has no key that Envoy knows".to_owned(), help);
    }
    Ok(())
}

fn is_known(key: &Map<String, Value>) -> bool {
    let has = |members: &[&str]| members.iter().all(|m| key.get(*m).is_some_and(Value::is_string));
    match key.get("kty").and_then(Value::as_str) {
        Some("RSA") => has(&["n", "e"]),
        Some("EC") => has(&["crv", "x", "y"]),
        Some("OKP") => has(&["crv", "x"]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_set_of_public_keys_is_good() {
        let good = r#"{ "keys": [{ "kty": "RSA", "n": "AQAB", "e": "AQAB" }, { "kty": "new" }] }"#;
        assert_eq!(check(good), Ok(()));
        for (text, code, why) in [
            ("", Code::JwksFile, "is not JSON: look at line 1, column 0"),
            ("{ \"keys\": [secret", Code::JwksFile, "is not JSON: look at line 1, column 12"),
            ("[]", Code::JwksFile, "is not a JSON Web Key Set"),
            (r#"{ "keys": {} }"#, Code::JwksFile, "is not a JSON Web Key Set"),
            (r#"{ "keys": [] }"#, Code::JwksFile, "has no key"),
            (r#"{ "keys": [{}] }"#, Code::JwksFile, "has no `kty` in key 1"),
            (r#"{ "keys": [{ "kty": "RSA" }] }"#, Code::JwksFile, "has no key that Envoy knows"),
            (r#"{ "keys": [{ "kty": "oct" }] }"#, Code::PrivateKey, "has a private key: key 1"),
            (
                r#"{ "keys": [{ "kty": "EC" }, { "kty": "EC", "d": "secret" }] }"#,
                Code::PrivateKey,
                "has a private key: key 2",
            ),
        ] {
            let (found, what, _) = check(text).unwrap_err();
            assert_eq!((found, what.as_str()), (code, why), "{text}");
        }
    }
}
