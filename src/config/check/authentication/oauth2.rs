//! A login by a browser.

use super::{Privacy, content, jwt, trusted};
use crate::config::check::{Surroundings, Wrong, address, report};
use crate::config::discovery::token_endpoint;
use crate::config::problems::{At, Problems};
use crate::config::{raw, spelling::shorten};
use crate::diag::Code;
use crate::model::{Endpoints, Host, Listener, OAuth2, Provider, Secret};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The scope of OpenID Connect, for which a provider says who somebody is.
const OPENID: &str = "openid";
const ENDPOINTS: [&str; 3] = ["authorizationEndpoint", "tokenEndpoint", "endSessionEndpoint"];
/// More than any provider gives.
const MAX_CLIENT: usize = 1000;

/// Nothing after a complaint.
pub(super) fn oauth2(
    raw: &raw::OAuth2,
    (gateway, root): (&raw::Gateway, &At<'_>),
    hosts: &[Host],
    around: &Surroundings<'_>,
    problems: &mut Problems<'_>,
) -> Option<OAuth2> {
    let at = &root.at("authentication").at("oauth2");
    let scopes = scopes(raw, &at.at("scopes"), problems);
    let provider = provider(raw, at, problems);
    let client_id = raw
        .client_id
        .as_deref()
        .and_then(|text| report(client_id(text), Code::OAuth2Client, &at.at("clientId"), problems));
    let client_secret = client_secret(raw, &at.at("clientSecretFile"), around, problems);
    let cookie_domain = match &raw.cookie_domain {
        Some(text) => {
            let domain = cookie_domain(text, hosts);
            report(domain, Code::CookieDomain, &at.at("cookieDomain"), problems).map(Some)
        }
        None => (!at.at("cookieDomain").is_there()).then_some(None),
    };
    let audiences = jwt::audiences(raw.audiences.as_ref(), &at.at("audiences"), problems);
    let claim_headers = jwt::claim_headers(raw.claim_headers.as_ref(), &at.at("claimHeaders"), problems);
    needs(raw, scopes.as_deref(), at, problems);
    warn(gateway, root, hosts, around, problems);
    let (client_id, audiences) = (client_id?, audiences?);
    let audiences = if audiences.is_empty() { vec![client_id.clone()] } else { audiences };
    let accepts = raw.accept_bearer.or_else(|| (!at.at("acceptBearer").is_there()).then_some(false))?;
    Some(OAuth2 {
        provider: provider?,
        client_id,
        client_secret: client_secret?,
        scopes: scopes?,
        cookie_domain: cookie_domain?,
        bearer: accepts.then_some(audiences),
        claim_headers: claim_headers?,
        session_secret: None,
    })
}

fn provider(raw: &raw::OAuth2, at: &At<'_>, problems: &mut Problems<'_>) -> Option<Provider> {
    let said: Vec<_> = ENDPOINTS.into_iter().filter(|key| at.at(key).is_there()).collect();
    if at.at("issuer").is_there() {
        if let Some(key) = said.first() {
            let message = format!("`issuer` and `{key}` exclude each other");
            let help = "keep `issuer`, from which the endpoints are found, or the endpoints";
            problems.error(Code::OAuth2Provider, &at.key(key), message, help);
            return None;
        }
        let issuer = issuer(raw.issuer.as_deref()?);
        return report(issuer, Code::OAuth2Url, &at.at("issuer"), problems)
            .map(|issuer| Provider::Discovered { issuer, metadata: None, keys: None });
    }
    if said.is_empty() {
        let help = "add `issuer` with the URL of a provider of OpenID Connect, or `authorizationEndpoint` and `tokenEndpoint`";
        problems.error(Code::OAuth2Provider, at, "nothing says where people log in", help);
        return None;
    }
    if let Some(missing) = ENDPOINTS.iter().take(2).find(|key| !at.at(key).is_there()) {
        let message = format!("`{missing}` is missing");
        problems.error(
            Code::OAuth2Provider,
            at,
            message,
            "a login needs `authorizationEndpoint` and `tokenEndpoint`",
        );
    }
    let mut url = |key: &str, text: &str| {
        let help = "write it as the provider documents it, such as `https://idp.example.com/authorize`";
        let url = trusted(text, "anybody on the way could log in as others", help);
        report(url, Code::OAuth2Url, &at.at(key), problems).map(|_| text.to_owned())
    };
    let [authorization, token, end_session] = ENDPOINTS;
    let authorization = raw.authorization_endpoint.as_deref().and_then(|text| url(authorization, text));
    let token = raw.token_endpoint.as_deref().and_then(|text| url(token, text));
    let end_session = match &raw.end_session_endpoint {
        Some(text) => url(end_session, text).map(Some),
        None => (!at.at(end_session).is_there()).then_some(None),
    };
    Some(Provider::Endpoints(Endpoints {
        authorization: authorization?,
        token: token_endpoint(&token?).ok()?,
        end_session: end_session?,
    }))
}

fn issuer(text: &str) -> Result<String, Wrong> {
    let help = "write the `issuer` of the provider as it says it itself, such as `https://idp.example.com`";
    let url = trusted(text, "anybody on the way could log in as others", help)?;
    if url.query().is_some() {
        return Err(Wrong::new(format!("the issuer `{}` has a query", shorten(text)), help));
    }
    Ok(text.to_owned())
}

fn client_id(text: &str) -> Result<String, Wrong> {
    // RFC 6749 appendix A.1, without the space at the ends that nobody sees.
    if is_printable(text) && text.trim() == text {
        return Ok(text.to_owned());
    }
    let help = "write the client id that the provider shows for this gateway";
    Err(Wrong::new(format!("`{}` cannot be a client id", shorten(text)), help))
}

fn is_printable(text: &str) -> bool {
    (1..=MAX_CLIENT).contains(&text.len()) && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

fn client_secret(
    raw: &raw::OAuth2,
    at: &At<'_>,
    around: &Surroundings<'_>,
    problems: &mut Problems<'_>,
) -> Option<Secret> {
    let content = content(raw.client_secret_file.as_ref()?, at, around, Privacy::Secret, problems)?;
    // Editors and `echo` end the line.
    let secret = content.text.strip_suffix('\n').unwrap_or(content.text);
    let secret = secret.strip_suffix('\r').unwrap_or(secret);
    let wrong = match secret {
        "" => "is empty",
        text if text.contains('\n') => "has several lines",
        text if text.trim() != text => "has space around the secret",
        text if !is_printable(text) => "has characters that no client secret has",
        text => return Some(Secret::new(text)),
    };
    let help = "write just the client secret into it, on one line";
    problems.error(Code::OAuth2Client, at, format!("{} {wrong}", content.origin), help);
    None
}

fn scopes(raw: &raw::OAuth2, at: &At<'_>, problems: &mut Problems<'_>) -> Option<Vec<String>> {
    let Some(list) = &raw.scopes else { return (!at.is_there()).then(|| vec![OPENID.to_owned()]) };
    if list.is_empty() {
        let help = "write at least one, such as `openid`, or remove the key";
        problems.error(Code::Scopes, at, "the list is empty", help);
        return None;
    }
    let mut seen = BTreeSet::new();
    let checked: Vec<Option<String>> = list
        .iter()
        .enumerate()
        .map(|(i, scope)| {
            let scope = report(scope_token(scope.as_deref()?), Code::Scopes, &at.item(i), problems)?;
            if seen.insert(scope.clone()) {
                return Some(scope);
            }
            let message = format!("`{}` comes twice", shorten(&scope));
            problems.error(Code::Scopes, &at.item(i), message, "keep it once");
            None
        })
        .collect();
    checked.into_iter().collect()
}

/// RFC 6749 section 3.3.
fn scope_token(text: &str) -> Result<String, Wrong> {
    let good = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    if !text.is_empty() && text.len() <= MAX_CLIENT && text.bytes().all(good) {
        return Ok(text.to_owned());
    }
    let help = if text.contains([' ', ',']) {
        "write each scope as an item of its own: `[openid, email]`"
    } else {
        "write letters, digits and signs of ASCII, as the provider documents its scopes"
    };
    Err(Wrong::new(format!("`{}` is not a scope", shorten(text)), help))
}

/// Browsers give a cookie to the hosts of its domain, and take none for a whole top-level domain (RFC 6265).
fn cookie_domain(text: &str, hosts: &[Host]) -> Result<String, Wrong> {
    let shown = shorten(text);
    if let Some(bare) = text.strip_prefix('.') {
        let help = format!("write `{}`, which covers all hosts below it too", shorten(bare));
        return Err(Wrong::new(format!("the domain `{shown}` begins with a dot"), help));
    }
    let is_name = address::dns_name(text).is_ok() && text.parse::<IpAddr>().is_err() && text.contains('.');
    if !is_name || text.chars().any(char::is_uppercase) {
        let help = "write a domain in lower case, such as `example.com`, or remove the key";
        return Err(Wrong::new(format!("`{shown}` is not a domain that hosts can share"), help));
    }
    let below = format!(".{text}");
    let outside = hosts.iter().find(|host| match host {
        Host::Exact(name) => name != text && !name.ends_with(&below),
        Host::Suffix(suffix) => !suffix.ends_with(&below),
        Host::Any => true,
    });
    match outside {
        None => Ok(text.to_owned()),
        Some(host) => Err(Wrong::new(
            format!("the domain `{shown}` does not cover the host `{host}`"),
            "write the part that all hosts of the gateway end with, or remove the key: each host then has its own login",
        )),
    }
}

/// What one key needs of another.
fn needs(raw: &raw::OAuth2, scopes: Option<&[String]>, at: &At<'_>, problems: &mut Problems<'_>) {
    let verifies = [("acceptBearer", raw.accept_bearer == Some(true)), ("claimHeaders", true)];
    for (key, _) in verifies.into_iter().filter(|(key, on)| *on && at.at(key).is_there()) {
        if !at.at("issuer").is_there() {
            let message = format!("`{key}` needs the public keys of the provider");
            let help = "write `issuer` in place of the endpoints, or remove the key";
            problems.error(Code::OAuth2Tokens, &at.key(key), message, help);
        }
    }
    if at.at("audiences").is_there()
        && raw.accept_bearer != Some(true)
        && !at.at("acceptBearer").is_doubtful()
    {
        let message = "`audiences` are those of tokens, and none is accepted";
        let help = "add `acceptBearer: true`, or remove the key";
        problems.error(Code::OAuth2Tokens, &at.key("audiences"), message, help);
    }
    let Some(scopes) = scopes else { return };
    for key in ["claimHeaders", "endSessionEndpoint"] {
        if at.at(key).is_there() && !scopes.iter().any(|s| s == OPENID) {
            let message = format!("`{key}` needs the scope `{OPENID}`");
            let help = "add `openid` to `scopes`: only then the provider says who has logged in";
            problems.error(Code::Scopes, &at.key(key), message, help);
        }
    }
}

/// What works here and perhaps not for people.
fn warn(
    gateway: &raw::Gateway,
    root: &At<'_>,
    hosts: &[Host],
    around: &Surroundings<'_>,
    problems: &mut Problems<'_>,
) {
    let at = root.at("authentication").key("oauth2");
    let name = gateway.listener.as_deref().unwrap_or("default");
    let to_others = |l: &Listener| l.tls.is_none() && !l.address.is_loopback();
    if around.listeners.get(name).is_some_and(to_others) {
        let message = format!("the listener `{name}` has no TLS, and browsers keep logins for HTTPS only");
        let help = "name a listener with `tls` under `listener`";
        problems.warning(Code::LoginInTheClear, &at, message, help);
    }
    if hosts.contains(&Host::Any) {
        let message =
            "the gateway answers for every host, and a provider sends people back to known ones only";
        let help = "name the host under `host`, and register it with `/oauth2/callback` below the path of the gateway";
        problems.warning(Code::LoginAnywhere, &at, message, help);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_domain_covers_all_hosts() {
        let hosts = [Host::Exact("a.example.com".into()), Host::Suffix(".b.example.com".into())];
        assert_eq!(cookie_domain("example.com", &hosts).as_deref(), Ok("example.com"));
        assert_eq!(cookie_domain("b.example.com", &hosts[1..]).as_deref(), Ok("b.example.com"));
        for bad in ["a.example.com", "b.example.com", "xample.com", ".example.com", "com", "Example.com", ""]
        {
            assert!(cookie_domain(bad, &hosts).is_err(), "{bad}");
        }
        assert!(cookie_domain("example.com", &[Host::Any]).is_err());
        assert!(cookie_domain("10.0.0.1", &[Host::Exact("10.0.0.1".into())]).is_err());
    }

    #[test]
    fn a_scope_is_one_word() {
        assert_eq!(scope_token("https://a/b.read").as_deref(), Ok("https://a/b.read"));
        for bad in ["", "openid email", "a,b c", "a\"", "a\\", "é"] {
            assert!(scope_token(bad).is_err(), "{bad}");
        }
    }
}
