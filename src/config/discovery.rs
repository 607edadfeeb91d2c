//! What a provider of logins says of itself (OpenID Connect Discovery 1.0).

use super::spelling::shorten;
use super::trust;
use crate::model::{Endpoints, Metadata, TokenEndpoint};
use serde_json::Value;

/// Where an issuer publishes it (section 4.1).
pub fn discovery_url(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

/// Reads it. `Err` says how a sentence about the answer ends.
pub fn read_metadata(issuer: &str, text: &str) -> Result<Metadata, String> {
    let said: Value = serde_json::from_str(text)
        .map_err(|e| format!("is not JSON: look at line {}, column {}", e.line(), e.column()))?;
    let member = |name: &str| said.get(name).and_then(Value::as_str);
    // Section 4.3: else one issuer could pose as another.
    match member("issuer") {
        Some(named) if named == issuer => {}
        Some(named) => return Err(format!("is of another issuer: `{}`", shorten(named))),
        None => return Err("does not name its issuer".to_owned()),
    }
    let url = |name: &str| match member(name) {
        None => Err(format!("has no `{name}`")),
        Some(text) => trust::url(text)
            .map(|_| text.to_owned())
            .map_err(|why| format!("has a `{name}` that {}", why.what())),
    };
    let token = url("token_endpoint")?;
    let mut token = token_endpoint(&token).map_err(|what| format!("has a `token_endpoint` that {what}"))?;
    token.secret_in_body = secret_in_body(&said)?;
    let end_session = match member("end_session_endpoint") {
        Some(_) => Some(url("end_session_endpoint")?),
        None => None,
    };
    let endpoints = Endpoints { authorization: url("authorization_endpoint")?, token, end_session };
    Ok(Metadata { endpoints, jwks_uri: url("jwks_uri")? })
}

/// HTTP Basic, unless the provider takes the secret in the body alone (section 3,
/// `token_endpoint_auth_methods_supported`).
fn secret_in_body(said: &Value) -> Result<bool, String> {
    let Some(methods) = said.get("token_endpoint_auth_methods_supported").and_then(Value::as_array) else {
        return Ok(false);
    };
    let takes = |method: &str| methods.iter().any(|m| m == method);
    match (takes("client_secret_basic"), takes("client_secret_post")) {
        (true, _) => Ok(false),
        (false, true) => Ok(true),
        (false, false) => Err("takes no client secret at its `token_endpoint`".to_owned()),
    }
}

/// Takes a URL apart for those who connect to it. `Err` says how a sentence about it ends.
pub(super) fn token_endpoint(text: &str) -> Result<TokenEndpoint, &'static str> {
    let url = trust::url(text).map_err(trust::Distrust::what)?;
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(trust::Distrust::NotUrl.what());
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let tls = url.scheme() == "https";
    Ok(TokenEndpoint { uri: text.to_owned(), host, port, tls, secret_in_body: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said() -> Value {
        json!({
            "issuer": "https://idp.test",
            "authorization_endpoint": "https://idp.test/authorize",
            "token_endpoint": "https://[::1]:8443/token",
            "jwks_uri": "https://idp.test/keys",
            "end_session_endpoint": "https://idp.test/logout",
        })
    }

    fn read(change: &Value) -> Result<Metadata, String> {
        let mut said = said();
        said.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        read_metadata("https://idp.test", &said.to_string())
    }

    #[test]
    fn a_provider_is_what_it_says() {
        let token = TokenEndpoint {
            uri: "https://[::1]:8443/token".into(),
            host: "::1".into(),
            port: 8443,
            tls: true,
            secret_in_body: false,
        };
        let endpoints = Endpoints {
            authorization: "https://idp.test/authorize".into(),
            token,
            end_session: Some("https://idp.test/logout".into()),
        };
        assert_eq!(read(&json!({})), Ok(Metadata { endpoints, jwks_uri: "https://idp.test/keys".into() }));
        let in_body = json!({ "token_endpoint_auth_methods_supported": ["client_secret_post"] });
        assert!(read(&in_body).unwrap().endpoints.token.secret_in_body);
        assert_eq!(read(&json!({ "end_session_endpoint": null })).unwrap().endpoints.end_session, None);
    }

    #[test]
    fn one_that_could_be_another_is_not_believed() {
        for (change, why) in [
            (json!({ "issuer": "https://idp.test/" }), "is of another issuer: `https://idp.test/`"),
            (json!({ "issuer": null }), "does not name its issuer"),
            (json!({ "jwks_uri": null }), "has no `jwks_uri`"),
            (
                json!({ "token_endpoint": "http://idp.test/" }),
                "has a `token_endpoint` that is plain text to another machine",
            ),
            (
                json!({ "authorization_endpoint": "https://a:b@idp.test/" }),
                "has a `authorization_endpoint` that has a user name or a password",
            ),
            (
                json!({ "end_session_endpoint": "ftp://a" }),
                "has a `end_session_endpoint` that is not a URL of http or https",
            ),
            (
                json!({ "token_endpoint_auth_methods_supported": ["private_key_jwt"] }),
                "takes no client secret at its `token_endpoint`",
            ),
        ] {
            assert_eq!(read(&change), Err(why.to_owned()), "{change}");
        }
        assert_eq!(read_metadata("a", "{"), Err("is not JSON: look at line 1, column 1".to_owned()));
    }

    #[test]
    fn it_stands_below_the_issuer() {
        for issuer in ["https://idp.test/realms/a", "https://idp.test/realms/a/"] {
            let expected = "https://idp.test/realms/a/.well-known/openid-configuration";
            assert_eq!(discovery_url(issuer), expected);
        }
    }
}
