//! Who may read, and who may change something.
//!
//! With a file of tokens: whoever shows one, in `Authorization: Bearer` or by the cookie of a session. Without: everyone on
//! this machine may read, and change things if that was said at the start. Not everyone on this machine is a person: a page
//! of some other site in a browser here can send requests to loopback addresses as well. It cannot send JSON
//! without asking first (Fetch standard, "CORS-safelisted request-header"), and what it asks is not answered; and a name
//! that its own DNS server points to 127.0.0.1 shows in `Host`, under which nothing is answered then. The browser of somebody who is logged in says where a
//! request comes from.

use super::Sources;
use super::problem::Problem;
use crate::access::run::Handle;
use crate::access::{Denied, Digest, Identity, Key, Role};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// How the journal names who came in without a token; nobody can prove to be anyone in particular then.
const EVERYONE: &str = "operator";
/// The cookie of a session in plain HTTP.
pub(super) const COOKIE: &str = "serin-session";
/// The same with TLS: browsers take a cookie of this name from this very host only, and by TLS only, so no page of a
/// neighbouring name can put in its own (RFC 6265bis section 4.1.3.2).
pub(super) const SECURE_COOKIE: &str = "__Host-serin-session";

/// What is asked of those who come in.
#[derive(Clone, Debug)]
pub struct Access {
    /// Set: everyone has to show a token.
    pub door: Option<Handle>,
    /// Without tokens: whether everyone on this machine may change things.
    pub insecure_admin: bool,
    /// Whether the port speaks TLS.
    pub tls: bool,
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Who asks for a change and may.
#[derive(Clone, Debug)]
pub(super) struct Actor(pub(super) Arc<str>);

/// Who asks.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// Nobody that we know, from this address.
    Nobody(IpAddr),
    /// Somebody, and by what we know them.
    Known(Identity, Key),
}

impl Caller {
    pub(super) fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Nobody(_) => None,
            Self::Known(identity, _) => Some(identity),
        }
    }

    /// Whether they may look only, where others may do more. Without tokens all who come in see the same.
    pub(super) fn is_viewer(&self) -> bool {
        self.identity().is_some_and(|identity| identity.role < Role::Operator)
    }
}

/// Lets those in who may read, and for other methods those who may change what there is.
pub(super) async fn guard(State(sources): State<Sources>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let admitted = async {
        let caller = caller(&sources.access, &parts).await?;
        may_read(&sources.access, &caller)?;
        if matches!(parts.method, Method::GET | Method::HEAD) {
            return Ok::<_, Problem>((caller, None));
        }
        let actor = may_change(&sources.access, &caller, &parts.headers)?;
        Ok((caller, Some(actor)))
    };
    match admitted.await {
        Ok((caller, actor)) => {
            parts.extensions.insert(caller);
            if let Some(actor) = actor {
                parts.extensions.insert(actor);
            }
            next.run(Request::from_parts(parts, body)).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Without tokens, refuses whoever asks under another name than one of this machine: a page in a browser here whose own
/// name leads to a loopback address is of the same origin as we then, and could read everything (DNS rebinding).
pub(super) async fn neighbours(State(sources): State<Sources>, request: Request, next: Next) -> Response {
    // HTTP/2 has the host in `:authority`, and need not have it in `Host` (RFC 9113 section 8.3.1).
    let host = text(request.headers(), &header::HOST);
    let host = host.or_else(|| request.uri().authority().map(Authority::as_str));
    if sources.access.door.is_none() && !is_loopback(host.unwrap_or_default()) {
        let why =
            "without tokens, questions are answered under the name localhost or a loopback address only";
        return Problem::new(StatusCode::FORBIDDEN, why).into_response();
    }
    next.run(request).await
}

/// Lets those in who may read, whatever the method; the request says who could also change something.
pub(super) async fn readers(State(sources): State<Sources>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let admitted = async {
        let caller = caller(&sources.access, &parts).await?;
        may_read(&sources.access, &caller)?;
        Ok::<_, Problem>(may_change(&sources.access, &caller, &parts.headers).ok())
    };
    match admitted.await {
        Ok(actor) => {
            if let Some(actor) = actor {
                parts.extensions.insert(actor);
            }
            next.run(Request::from_parts(parts, body)).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Where a request comes from.
pub(super) fn peer(parts: &Parts) -> IpAddr {
    let peer = parts.extensions.get::<ConnectInfo<Peer>>();
    peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |ConnectInfo(Peer(address))| address.ip())
}

/// Who asks. What is shown and wrong is refused; an old cookie is as none.
pub(super) async fn caller(access: &Access, parts: &Parts) -> Result<Caller, Problem> {
    let headers = &parts.headers;
    let nobody = Caller::Nobody(peer(parts));
    let Some(door) = &access.door else { return Ok(nobody) };
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().unwrap_or_default();
        let token = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let Some((_, token)) = token else {
            return Err(unknown("`Authorization` is the word Bearer and a token"));
        };
        let key = Key::Token(Digest::of(token.trim().as_bytes()));
        return door.who(key).await.map(|identity| Caller::Known(identity, key)).map_err(denied);
    }
    let Some(cookie) = cookie(headers, access.tls) else { return Ok(nobody) };
    let key = Key::Session(cookie);
    Ok(door.who(key).await.map_or(nobody, |identity| Caller::Known(identity, key)))
}

/// The session that a browser shows; none when it shows several, of which somebody else may have set one. Whether we speak
/// TLS ourselves; if not, a proxy may do it for us, and then the cookie that nobody else can set goes first.
pub(super) fn cookie(headers: &HeaderMap, tls: bool) -> Option<Digest> {
    let shown = |wanted: &str| -> BTreeSet<&str> {
        let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = all.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.filter(|(name, _)| *name == wanted).map(|(_, value)| value).collect()
    };
    let secure = shown(SECURE_COOKIE);
    let mut values = if tls || !secure.is_empty() { secure } else { shown(COOKIE) }.into_iter();
    let (first, second) = (values.next(), values.next());
    first.filter(|_| second.is_none()).map(|cookie| Digest::of(cookie.as_bytes()))
}

/// The answer to those who are not let in.
pub(super) fn denied(denied: Denied) -> Problem {
    match denied {
        Denied::Unknown => unknown("there is no such token"),
        Denied::TooMany(wait) => {
            let seconds = wait.as_secs() + 1;
            let why = format!("too many wrong tokens came from this address; try again in {seconds} s");
            Problem::new(StatusCode::TOO_MANY_REQUESTS, why).with(header::RETRY_AFTER, seconds)
        }
    }
}

fn unknown(why: &str) -> Problem {
    let challenge = axum::http::HeaderValue::from_static("Bearer realm=\"serin\"");
    Problem::new(StatusCode::UNAUTHORIZED, why).with(header::WWW_AUTHENTICATE, challenge)
}

/// Without tokens everyone on this machine may read: others cannot reach the port, and see [`neighbours`].
pub(super) fn may_read(access: &Access, caller: &Caller) -> Result<(), Problem> {
    match (&access.door, caller) {
        (Some(_), Caller::Nobody(_)) => Err(unknown("this page is for those who show a token")),
        _ => Ok(()),
    }
}

/// Says who acts, or why nobody may.
pub(super) fn may_change(access: &Access, caller: &Caller, headers: &HeaderMap) -> Result<Actor, Problem> {
    let refuse = |why: &str| Err(Problem::new(StatusCode::FORBIDDEN, why));
    let Some(identity) = caller.identity() else {
        if access.door.is_some() {
            return Err(unknown("changes are for those who show the token of an operator"));
        }
        if !access.insecure_admin {
            return refuse(
                "this Serin takes no orders: name a `tokensFile` in serin.yaml, or start it with --insecure-admin to let \
                 everyone on its machine give them",
            );
        }
        is_from_here(headers)?;
        return Ok(Actor(EVERYONE.into()));
    };
    if identity.role != Role::Operator {
        let why = format!("{} may look, and changes want the token of an operator", identity.name);
        return Err(Problem::new(StatusCode::FORBIDDEN, why));
    }
    is_from_here(headers)?;
    // Browsers say one of both with every request that could be a forged one (Fetch standard, "append a request `Origin`
    // header"; Fetch Metadata section 2.1).
    let says = |name: &HeaderName| headers.contains_key(name);
    if matches!(caller, Caller::Known(_, Key::Session(_))) && !says(&header::ORIGIN) && !says(&FETCH_SITE) {
        return refuse("a change by a session says in `Origin` or `Sec-Fetch-Site` where it comes from");
    }
    Ok(Actor(Arc::clone(&identity.name)))
}

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses what a page of another site sent.
pub(super) fn is_from_here(headers: &HeaderMap) -> Result<(), Problem> {
    let host = text(headers, &header::HOST).unwrap_or_default();
    let foreign = |origin: &str| origin.split_once("://").is_none_or(|(_, h)| h != host);
    let crossed = text(headers, &FETCH_SITE).is_some_and(|site| !matches!(site, "same-origin" | "none"));
    if crossed || text(headers, &header::ORIGIN).is_some_and(foreign) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "a page of another site may not give orders"));
    }
    Ok(())
}

/// Refuses a body that says it is something else.
pub(super) fn media_type(headers: &HeaderMap, wanted: &[&'static str]) -> Result<&'static str, Problem> {
    let said = text(headers, &header::CONTENT_TYPE).unwrap_or_default();
    let said = said.split(';').next().unwrap_or_default().trim();
    wanted.iter().find(|w| w.eq_ignore_ascii_case(said)).copied().ok_or_else(|| {
        let why = format!("the body has to be `Content-Type: {}`", wanted.join("` or `"));
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why)
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine_are_known() {
        for here in ["localhost", "LOCALHOST:18080", "127.0.0.1:18080", "127.8.9.1", "[::1]:18080", "[::1]"] {
            assert!(is_loopback(here), "{here}");
        }
        for there in [
            "",
            "evil.example:18080",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "[::2]",
        ] {
            assert!(!is_loopback(there), "{there}");
        }
    }

    #[test]
    fn what_another_site_sends_is_seen() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            let pairs =
                pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
            [(header::HOST, "serin:18080".parse().unwrap())].into_iter().chain(pairs).collect()
        };
        let identity = Identity { name: "ann".into(), role: Role::Operator };
        let caller = Caller::Known(identity, Key::Session(Digest::of(b"a cookie")));
        let access = Access { door: None, insecure_admin: false, tls: false };
        let may = |pairs: &_| may_change(&access, &caller, &headers(pairs)).is_ok();
        assert!(may(&[("origin", "http://serin:18080")]));
        assert!(may(&[("origin", "https://serin:18080"), ("sec-fetch-site", "same-origin")]));
        assert!(may(&[("sec-fetch-site", "same-origin")]));
        assert!(!may(&[]));
        for forged in ["http://evil.example", "null", "http://serin:18081", "http://serin", ""] {
            assert!(!may(&[("origin", forged)]), "{forged}");
        }
        for site in ["cross-site", "same-site", ""] {
            assert!(!may(&[("origin", "http://serin:18080"), ("sec-fetch-site", site)]), "{site}");
        }
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let is = |cookie: &str| Some(Digest::of(cookie.as_bytes()));
        let of = |value: &'static str, tls| {
            cookie(&HeaderMap::from_iter([(header::COOKIE, value.parse().unwrap())]), tls)
        };
        assert_eq!(of("a=1; serin-session=x_y; b=2", false), is("x_y"));
        assert_eq!(of("xserin-session=x", false), None);
        assert_eq!(of("serin-session=x; serin-session=x", false), is("x"));
        assert_eq!(of("serin-session=x; serin-session=y", false), None, "which one is ours?");
        // Behind a proxy that speaks TLS both may come, and with TLS of our own the plain one is never ours.
        for tls in [false, true] {
            assert_eq!(of("serin-session=x; __Host-serin-session=y", tls), is("y"));
            assert_eq!(of("__Host-serin-session=x; __Host-serin-session=y", tls), None);
        }
        assert_eq!(of("serin-session=x", true), None);
    }
}
