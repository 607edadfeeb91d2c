//! A gateway as a whole.

use super::{
    Surroundings, Wrong, affinity, authentication, header, host, labels, matches, name, path, report,
    rollout, shadow, shadow_first, told, traffic, upstream,
};
use crate::config::problems::{At, Problems};
use crate::config::{raw, spelling};
use crate::diag::Code;
use crate::model::{
    Authentication, Condition, DirectAccess, Gateway, Host, KeySource, Match, SessionAffinity, Upstream,
};
use crate::names::{GatewayName, ListenerName, UpstreamName};
use crate::weight::Split;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const DEFAULT_LISTENER: &str = "default";
/// Long enough for an answer of a large model; Envoy's own 15 s cut them.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);
/// Versions of one model; each is a cluster in every Envoy.
const MAX_UPSTREAMS: usize = 200;
/// The header of direct access, unless the file names another.
const DEFAULT_DIRECT_ACCESS: &str = "x-serin-upstream";

/// What could be read of a gateway file.
#[derive(Default)]
pub(crate) struct Checked {
    /// The name, which is wanted even when the rest is wrong.
    pub(crate) name: Option<GatewayName>,
    /// The gateway, if nothing is missing.
    pub(crate) gateway: Option<Gateway>,
    /// Its place with nobody let in: where it is to be, if that is known, and only if its requests are not for everyone.
    pub(crate) closed: Option<Gateway>,
}

/// A gateway, as far as it could be read.
pub(crate) fn gateway(
    raw: &raw::Gateway,
    root: &At<'_>,
    around: &Surroundings<'_>,
    problems: &mut Problems<'_>,
) -> Checked {
    let gateway_name = raw.name.as_deref().and_then(|text| {
        name(GatewayName::new(text), (Code::GatewayName, "a gateway", text), &root.at("name"), problems)
    });
    let hosts = host::hosts(raw, root, around.routing, problems);
    let path = match &raw.path {
        Some(text) => report(path::path(text), Code::Path, &root.at("path"), problems),
        None => Some("/".to_owned()),
    };
    let authentication = authentication::authentication(raw, root, &hosts, around, problems);
    let listener = listener(raw, root, around, problems);
    let proxies = labels::proxies(raw, root, problems);
    // Whatever is wrong with it, a gateway that says who may come in is not for everyone.
    let place =
        Place { name: &gateway_name, listener: &listener, hosts: &hosts, path: &path, proxies: &proxies };
    let closed = if authentication == Some(Authentication::None) { None } else { place.closed() };
    if raw.upstreams.as_ref().is_some_and(|all| all.len() > MAX_UPSTREAMS) {
        let message = format!("the gateway has more than {MAX_UPSTREAMS} upstreams");
        let help = "remove versions that get no traffic, or list servers of one version under `endpoints`";
        problems.error(Code::TooManyUpstreams, &root.key("upstreams"), message, help);
        return Checked { name: gateway_name, gateway: None, closed };
    }
    let rewrite = raw
        .rewrite
        .as_deref()
        .and_then(|t| report(path::path(t), Code::Rewrite, &root.at("rewrite"), problems));
    let timeout = super::duration::optional(
        raw.timeout.as_ref(),
        DEFAULT_TIMEOUT,
        Duration::ZERO..=super::duration::DAY,
        &root.at("timeout"),
        problems,
    );
    let direct_access = direct_access(raw, root, problems);
    if let (Some(authentication), Some(DirectAccess { header })) = (&authentication, &direct_access)
        && uses(authentication, header)
    {
        let message = format!("the header `{header}` belongs to `authentication` already");
        let help = "name another one here, such as `x-serin-upstream`";
        problems.error(Code::HeaderName, &root.at("directAccess").at("header"), message, help);
    }
    let upstreams = upstreams(raw, root, around, problems);
    let rollout = rollout::rollout(raw, root, around, problems);
    let notify = told::notify(raw, root, around, problems);
    let traffic = match &rollout {
        Some(rollout) => rollout::safe_split(rollout),
        None if root.at("rollout").is_there() => None,
        None => traffic::traffic(raw, root, problems),
    };
    let shadow = shadow::shadow(raw, root, (traffic.as_ref(), timeout), problems);
    let rollout = rollout
        .and_then(|rollout| shadow_first::complete(rollout, raw, root, (shadow.as_ref(), timeout), problems));
    let affinity = affinity::affinity(raw, root, problems);
    if let Some(SessionAffinity::Header(header)) = &affinity {
        not_yet_known(header, authentication.as_ref(), &root.at("sessionAffinity").at("header"), problems);
    }
    let matches = matches::matches(raw, root, problems);
    for (i, header) in matches.iter().enumerate().flat_map(|(i, m)| headers(m).map(move |h| (i, h))) {
        not_yet_known(header, authentication.as_ref(), &root.at("match").item(i).at("headers"), problems);
    }
    if direct_access.is_none() {
        traffic::unused(raw, root, problems);
    }
    let description = labels::description(raw, root, problems);
    let labels = labels::labels(raw, root, problems);
    let whole = || {
        Some(Gateway {
            name: gateway_name.clone()?,
            description,
            labels,
            proxies,
            listener: listener?,
            hosts,
            path: path?,
            rewrite,
            timeout: timeout?,
            upstreams: upstreams?,
            traffic: traffic?,
            rollout,
            shadow,
            affinity,
            notify: notify?,
            matches,
            direct_access,
            authentication: authentication?,
            expose_upstream: raw.expose_upstream.unwrap_or(false),
        })
    };
    let gateway = whole();
    Checked { name: gateway_name, gateway, closed }
}

/// Which requests a gateway takes, as far as that could be read.
struct Place<'a> {
    name: &'a Option<GatewayName>,
    listener: &'a Option<ListenerName>,
    hosts: &'a [Host],
    path: &'a Option<String>,
    proxies: &'a BTreeSet<String>,
}

impl Place<'_> {
    /// The place with nobody let in; nothing where it is not known.
    fn closed(&self) -> Option<Gateway> {
        let nowhere = UpstreamName::new("nowhere").ok()?;
        Some(Gateway {
            name: self.name.clone()?,
            description: String::new(),
            labels: BTreeMap::new(),
            proxies: self.proxies.clone(),
            listener: self.listener.clone()?,
            hosts: (!self.hosts.is_empty()).then(|| self.hosts.to_vec())?,
            path: self.path.clone()?,
            rewrite: None,
            authentication: Authentication::Closed,
            timeout: DEFAULT_TIMEOUT,
            upstreams: Vec::new(),
            traffic: Split::all_to(nowhere),
            rollout: None,
            shadow: None,
            affinity: None,
            notify: Vec::new(),
            matches: Vec::new(),
            direct_access: None,
            expose_upstream: false,
        })
    }
}

fn upstreams(
    raw: &raw::Gateway,
    root: &At<'_>,
    around: &Surroundings<'_>,
    problems: &mut Problems<'_>,
) -> Option<Vec<Upstream>> {
    let all = raw.upstreams.as_ref()?;
    let at = root.at("upstreams");
    if all.is_empty() {
        let help = "write at least one, such as `upstreams: { v1: http://fraud-v1:8080 }`";
        problems.error(Code::NoUpstream, &at, "the gateway has no upstream", help);
        return None;
    }
    let checked: Vec<_> = all
        .iter()
        .map(|(key, value)| {
            let subject = (Code::UpstreamName, "an upstream", key.as_str());
            let name = name(UpstreamName::new(key), subject, &at.key(key), problems);
            upstream::upstream(name, value.as_ref()?, &at.at(key), around, problems)
        })
        .collect();
    checked.into_iter().collect()
}

fn listener(
    raw: &raw::Gateway,
    root: &At<'_>,
    around: &Surroundings<'_>,
    problems: &mut Problems<'_>,
) -> Option<ListenerName> {
    let text = match &raw.listener {
        Some(text) => text,
        None if root.at("listener").is_there() => return None,
        None => DEFAULT_LISTENER,
    };
    if let Some((known, _)) = around.listeners.get_key_value(text) {
        return Some(known.clone());
    }
    let names = || around.listeners.keys().map(ListenerName::as_str);
    let help = match spelling::nearest(text, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write `listener:` with one of: {}", names().collect::<Vec<_>>().join(", ")),
    };
    let message = format!("serin.yaml has no listener `{}`", spelling::shorten(text));
    problems.error(Code::UnknownListener, &root.at("listener"), message, help);
    None
}

fn direct_access(raw: &raw::Gateway, root: &At<'_>, problems: &mut Problems<'_>) -> Option<DirectAccess> {
    let text = match raw.direct_access.as_ref()? {
        raw::DirectAccess::Switch(false) => return None,
        raw::DirectAccess::Switch(true) => DEFAULT_DIRECT_ACCESS,
        raw::DirectAccess::Object(object) => object.header.as_deref()?,
    };
    let at = root.at("directAccess").at("header");
    report(header::name(text), Code::HeaderName, &at, problems).map(|header| DirectAccess { header })
}

/// Whether a way to find out who is calling reads or writes a request header.
fn uses(authentication: &Authentication, header: &str) -> bool {
    match authentication {
        Authentication::None | Authentication::Closed => false,
        Authentication::Basic(_) => header == "authorization",
        Authentication::AccessKey(keys) => {
            let carries = match &keys.source {
                KeySource::Default => matches!(header, "x-api-key" | "authorization"),
                KeySource::Header(own) => own == header,
                KeySource::Query(_) => false,
                KeySource::Cookie(_) => header == "cookie",
            };
            carries || keys.client_header == header
        }
        Authentication::Jwt(jwt) => header == "authorization" || jwt.claim_headers.contains_key(header),
        Authentication::OAuth2(oauth2) => {
            matches!(header, "authorization" | "cookie") || oauth2.claim_headers.contains_key(header)
        }
    }
}

/// The route is chosen before the caller is known: who looks at such a header would believe what callers say of
/// themselves.
fn not_yet_known(
    header: &str,
    authentication: Option<&Authentication>,
    at: &At<'_>,
    problems: &mut Problems<'_>,
) {
    if header == "x-serin-client" || authentication.is_some_and(|a| tells(a, header)) {
        let message = format!("the header `{header}` says who is calling, which is not known yet here");
        let help = "take something that callers choose freely, such as a header of its own";
        problems.error(Code::HeaderName, at, message, help);
    }
}

/// The headers that a match looks at.
fn headers(of: &Match) -> impl Iterator<Item = &str> {
    of.conditions.iter().filter_map(|condition| match condition {
        Condition::Header(name, _) => Some(name.as_str()),
        Condition::Query(..) | Condition::Cookie(..) => None,
    })
}

/// Whether this header tells the model who is calling.
fn tells(authentication: &Authentication, header: &str) -> bool {
    match authentication {
        Authentication::None | Authentication::Basic(_) | Authentication::Closed => false,
        Authentication::AccessKey(keys) => keys.client_header == header,
        Authentication::Jwt(jwt) => jwt.claim_headers.contains_key(header),
        Authentication::OAuth2(oauth2) => oauth2.claim_headers.contains_key(header),
    }
}

/// What is wrong with a text that is longer than `most` characters.
pub(super) fn length(what: &str, text: &str, most: usize) -> Result<(), Wrong> {
    let length = text.chars().count();
    if length <= most {
        return Ok(());
    }
    Err(Wrong::new(
        format!("{what} has {length} characters"),
        format!("shorten it to at most {most} characters"),
    ))
}
