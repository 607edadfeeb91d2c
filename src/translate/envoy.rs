//! Which Envoys there are, and what they can take.
//!
//! | feature | since | what an older one does |
//! |---|---|---|
//! | cookies in matches of routes, also of session affinity | 1.37 | passes over the field, so that the route takes everybody |
//! | `oauth2` for each route, in a listener without its own | 1.38 | refuses the listener |
//! | redirects of a login to the gateway's own hosts only (`allowed_redirect_domains`) | 1.39 | passes over the field |
//! | the filter `filter_chain`, in which tokens are verified | 1.39 | refuses the listener |
//! | filters that a route brings along in it | 1.40 | refuses the route configuration |
//! | statistics in batches (bootstrap) | 1.37 | refuses the bootstrap |
//!
//! Each was seen with `envoy --mode validate` of 1.36.4, 1.37.0, 1.38.3, 1.39.3 and 1.40.0, which refuses static fields that it
//! does not know. Of what comes by xDS Envoy passes over such fields in silence.

use super::filter::{JWT, OAUTH2};
use envoy_types::pb::envoy::config::route::v3::Route;

/// A release line of Envoy: `(1, 40)`.
pub type Release = (u32, u32);

/// The oldest and the newest release line that this Serin was tried with. Envoy maintains the last four
/// (<https://github.com/envoyproxy/envoy/blob/main/RELEASES.md>).
pub const OLDEST: Release = (1, 36);
/// See [`OLDEST`].
pub const NEWEST: Release = (1, 40);

/// Since when a listener may have the filters of logins, and of tokens.
pub(super) const LOGINS_IN_LISTENER: Release = (1, 38);
pub(super) const CHAINS_IN_LISTENER: Release = (1, 39);
/// Since when statistics come in batches.
pub const BATCHES: Release = (1, 37);

const COOKIES: Release = (1, 37);
const LOGINS: Release = (1, 39);
const TOKENS: Release = (1, 40);

/// The oldest release that takes these routes as they are meant.
pub(super) fn needs(routes: &[Route]) -> Release {
    let of = |route: &Route| {
        let has = |filter: &str| route.typed_per_filter_config.contains_key(filter);
        let cookies = route.r#match.as_ref().is_some_and(|m| !m.cookies.is_empty());
        let needs = [(cookies, COOKIES), (has(OAUTH2), LOGINS), (has(JWT), TOKENS)];
        needs.into_iter().filter(|(is_so, _)| *is_so).map(|(_, since)| since).max()
    };
    routes.iter().filter_map(of).max().unwrap_or(OLDEST)
}

/// The release line that an Envoy states; `None`: it states none.
pub fn release(version: &str) -> Option<Release> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??)).filter(|release| *release != (0, 0))
}

/// The release line as which an Envoy is told less than the newest can take; `None`: it is told all, as one that states no version.
pub fn older(version: &str) -> Option<Release> {
    release(version).filter(|release| *release < NEWEST).map(|release| release.max(OLDEST))
}

/// The release lines before the newest.
pub fn older_releases() -> impl Iterator<Item = Release> {
    (OLDEST.1..NEWEST.1).map(|minor| (OLDEST.0, minor))
}

/// What is to be said of an Envoy of a version that this Serin was not tried with; `None`: it was, or the Envoy states none.
pub fn unknown_version(version: &str) -> Option<String> {
    let stated = release(version)?;
    let (why, then) = match stated {
        stated if stated < OLDEST => ("older", "what it cannot take may be passed over in silence"),
        stated if stated > NEWEST => ("newer", "look whether it takes what it is told"),
        _ => return None,
    };
    let ((major, first), (_, last)) = (OLDEST, NEWEST);
    Some(format!("is {why} than those that Serin was tried with ({major}.{first} to {major}.{last}); {then}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_releases_that_were_tried_are_known() {
        for known in ["1.36.0", "1.40.7", "", "text", "0.0.0"] {
            assert_eq!(unknown_version(known), None, "{known}");
        }
        assert!(unknown_version("1.35.9").unwrap().contains("older than those"));
        assert!(unknown_version("1.41.0").unwrap().contains("newer than those"));
        assert!(unknown_version("2.0.0").unwrap().contains("newer than those"));
    }

    #[test]
    fn an_envoy_is_told_what_its_release_takes() {
        let told = |version| older(version);
        assert_eq!((told("1.36.4"), told("1.39.3")), (Some((1, 36)), Some((1, 39))));
        assert_eq!(
            (told("1.20.0"), told("1.40.0"), told("1.41.1"), told("")),
            (Some((1, 36)), None, None, None)
        );
    }
}
