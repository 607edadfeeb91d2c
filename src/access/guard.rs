//! Who is let in: sessions and failed attempts, with the time as an argument.

use super::tokens::{Digest, Identity, Tokens};
use crate::clock::Timestamp;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// How long a session lasts.
pub const LIFETIME: Duration = Duration::from_hours(12);
/// Sessions at once; the one that would end first gives way.
const MAX_SESSIONS: usize = 1000;
/// Of them with one token; whoever logs in more often ends their own oldest, and nobody else's.
pub(super) const MAX_SESSIONS_OF_TOKEN: usize = 20;
/// How long failures are counted together.
const WINDOW: Duration = Duration::from_mins(1);
/// Failures from one address in that time; after them other wrong tokens from there are not even counted.
const MAX_FAILURES: u32 = 10;
/// Addresses whose failures are known; the one that failed first gives way.
const MAX_ADDRESSES: usize = 10_000;

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// There is no such token, or session.
    Unknown,
    /// Too many failures came from this address; after so long it may try again.
    TooMany(Duration),
}

/// What is remembered between requests.
#[derive(Debug, Default)]
pub struct Guard {
    /// By the hash of what the cookie holds.
    sessions: BTreeMap<Digest, Session>,
    failures: BTreeMap<IpAddr, Failures>,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    /// The token that it began with.
    token: Digest,
    ends: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    since: Timestamp,
    count: u32,
}

impl Guard {
    /// Somebody shows a token to log in. A right one always counts: nobody finds it by trying, and who guesses must not
    /// shut out others of the same address. The same goes for old ones that programs show with each request, which are
    /// not counted at all.
    fn token(
        &mut self,
        tokens: &Tokens,
        token: &str,
        from: IpAddr,
        now: Timestamp,
    ) -> Result<Identity, Denied> {
        if let Some(identity) = tokens.find(&Digest::of(token.as_bytes())) {
            return Ok(identity.clone());
        }
        let from = network(from);
        let failures = self.failures.get(&from).copied().filter(|f| now.since(f.since) < WINDOW);
        if let Some(failures) = failures.filter(|f| f.count >= MAX_FAILURES) {
            return Err(Denied::TooMany(WINDOW.saturating_sub(now.since(failures.since))));
        }
        if self.failures.len() >= MAX_ADDRESSES && !self.failures.contains_key(&from) {
            self.failures.retain(|_, f| now.since(f.since) < WINDOW);
            let oldest = self.failures.iter().min_by_key(|(_, f)| f.since).map(|(address, _)| *address);
            if let Some(oldest) = oldest.filter(|_| self.failures.len() >= MAX_ADDRESSES) {
                self.failures.remove(&oldest);
            }
        }
        let Failures { since, count } = failures.unwrap_or(Failures { since: now, count: 0 });
        self.failures.insert(from, Failures { since, count: count + 1 });
        Err(Denied::Unknown)
    }

    /// Somebody shows a token, and from now on the cookie.
    pub fn login(
        &mut self,
        tokens: &Tokens,
        token: &str,
        cookie: &str,
        from: IpAddr,
        now: Timestamp,
    ) -> Result<Identity, Denied> {
        let identity = self.token(tokens, token, from, now)?;
        self.sessions.retain(|_, session| now < session.ends);
        let token = Digest::of(token.as_bytes());
        let own = self.sessions.values().filter(|s| s.token == token).count();
        if own >= MAX_SESSIONS_OF_TOKEN {
            self.end_first(|session| session.token == token);
        }
        if self.sessions.len() >= MAX_SESSIONS {
            self.end_first(|_| true);
        }
        let session = Session { token, ends: now.plus(LIFETIME) };
        self.sessions.insert(Digest::of(cookie.as_bytes()), session);
        Ok(identity)
    }

    /// Ends the one that would end first of some sessions.
    fn end_first(&mut self, among: impl Fn(&Session) -> bool) {
        let first = self.sessions.iter().filter(|(_, s)| among(s)).min_by_key(|(_, s)| s.ends);
        if let Some(first) = first.map(|(digest, _)| *digest) {
            self.sessions.remove(&first);
        }
    }

    /// Somebody shows a cookie.
    pub fn session(&self, tokens: &Tokens, cookie: &Digest, now: Timestamp) -> Result<Identity, Denied> {
        let session = self.sessions.get(cookie).filter(|s| now < s.ends);
        session.and_then(|s| tokens.find(&s.token)).cloned().ok_or(Denied::Unknown)
    }

    /// A session ends.
    pub fn logout(&mut self, cookie: &Digest) {
        self.sessions.remove(cookie);
    }
}

/// Whoever has one address of IPv6 has all of its network (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokens::{Role, line};
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn of(cookie: &str) -> Digest {
        Digest::of(cookie.as_bytes())
    }

    fn tokens(people: &[(&str, Role)]) -> Tokens {
        let lines = people.iter().map(|(name, role)| line(name, *role, &format!("token of {name}")).unwrap());
        Tokens::read(lines.collect::<Vec<_>>().join("\n").as_bytes()).0
    }

    #[test]
    fn a_session_ends_with_its_time_its_token_or_a_logout() {
        let everyone = tokens(&[("ann", Role::Operator), ("bob", Role::Viewer)]);
        let mut guard = Guard::default();
        let now = Timestamp(1_000);
        for (name, cookie) in [("ann", "a"), ("bob", "b"), ("bob", "c")] {
            guard.login(&everyone, &format!("token of {name}"), cookie, HERE, now).unwrap();
        }
        let who = |guard: &Guard, tokens: &Tokens, cookie: &str, now| {
            guard.session(tokens, &of(cookie), now).map(|i| (i.name.to_string(), i.role))
        };
        let last = Timestamp(now.plus(LIFETIME).0 - 1);
        assert_eq!(who(&guard, &everyone, "a", last), Ok(("ann".into(), Role::Operator)));
        assert_eq!(who(&guard, &everyone, "a", now.plus(LIFETIME)), Err(Denied::Unknown));
        assert_eq!(who(&guard, &everyone, "x", now), Err(Denied::Unknown));
        let fewer = tokens(&[("ann", Role::Viewer)]);
        assert_eq!(who(&guard, &fewer, "b", now), Err(Denied::Unknown));
        guard.logout(&of("b"));
        assert_eq!(who(&guard, &everyone, "b", now), Err(Denied::Unknown));
        assert!(who(&guard, &everyone, "c", now).is_ok());
    }

    #[test]
    fn sessions_have_an_end_in_number() {
        let names: Vec<String> =
            (0..=MAX_SESSIONS / MAX_SESSIONS_OF_TOKEN).map(|i| format!("p{i}")).collect();
        let people: Vec<_> = names.iter().map(|name| (name.as_str(), Role::Viewer)).collect();
        let everyone = tokens(&people);
        let mut guard = Guard::default();
        for i in 0..=MAX_SESSIONS {
            let now = Timestamp(i64::try_from(i).unwrap());
            let token = format!("token of {}", names[i / MAX_SESSIONS_OF_TOKEN]);
            guard.login(&everyone, &token, &i.to_string(), HERE, now).unwrap();
        }
        assert_eq!(guard.sessions.len(), MAX_SESSIONS);
        let now = Timestamp(2_000);
        assert!(
            guard.session(&everyone, &of("0"), now).is_err()
                && guard.session(&everyone, &of("1"), now).is_ok()
        );
    }

    #[test]
    fn who_logs_in_often_ends_their_own_sessions_only() {
        let everyone = tokens(&[("ann", Role::Operator), ("bob", Role::Viewer)]);
        let mut guard = Guard::default();
        guard.login(&everyone, "token of bob", "bob", HERE, Timestamp(0)).unwrap();
        for i in 1..=1_001 {
            guard.login(&everyone, "token of ann", &i.to_string(), HERE, Timestamp(i)).unwrap();
        }
        let is_in = |cookie: &str| guard.session(&everyone, &of(cookie), Timestamp(2_000)).is_ok();
        assert!(is_in("bob") && is_in("1001") && is_in("982") && !is_in("981"));
        assert_eq!(guard.sessions.len(), 1 + MAX_SESSIONS_OF_TOKEN);
    }

    #[test]
    fn who_guesses_is_not_listened_to_for_a_while() {
        let everyone = tokens(&[("ann", Role::Operator)]);
        let mut guard = Guard::default();
        let there: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        for i in 0..i64::from(MAX_FAILURES) {
            assert_eq!(guard.token(&everyone, "guess", there, Timestamp(i)), Err(Denied::Unknown));
        }
        let wait = guard.token(&everyone, "guess", neighbour, Timestamp(20_000));
        assert_eq!(wait, Err(Denied::TooMany(Duration::from_secs(40))));
        assert_eq!(guard.token(&everyone, "guess", HERE, Timestamp(20_000)), Err(Denied::Unknown));
        assert_eq!(guard.token(&everyone, "guess", there, Timestamp(60_000)), Err(Denied::Unknown));
    }

    #[test]
    fn who_guesses_shuts_nobody_out() {
        let everyone = tokens(&[("ann", Role::Operator)]);
        let mut guard = Guard::default();
        for _ in 0..=MAX_FAILURES {
            let _ = guard.token(&everyone, "guess", HERE, Timestamp(0));
        }
        assert!(guard.token(&everyone, "token of ann", HERE, Timestamp(1)).is_ok());
        assert!(matches!(guard.token(&everyone, "guess", HERE, Timestamp(2)), Err(Denied::TooMany(_))));
    }

    #[test]
    fn addresses_have_an_end_in_number() {
        let mut guard = Guard::default();
        for i in 0..20_000_u32 {
            let from = IpAddr::V4((0x0a00_0000 + i).into());
            let _ = guard.token(&Tokens::default(), "guess", from, Timestamp(i64::from(i)));
        }
        assert_eq!(guard.failures.len(), MAX_ADDRESSES);
    }
}
