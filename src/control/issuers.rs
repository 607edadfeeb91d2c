//! The keys of token issuers, as far as they were fetched: the last good ones count.

use crate::model::{Authentication, Gateway, Jwks};
use crate::names::GatewayName;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is known of each issuer's keys, by their URL.
#[derive(Debug, Default)]
pub(super) struct Issuers {
    by_uri: BTreeMap<String, Issuer>,
    /// Who wants keys from where.
    wanting: BTreeMap<String, BTreeSet<GatewayName>>,
    wanted: Arc<BTreeSet<String>>,
}

#[derive(Debug, Default)]
struct Issuer {
    keys: Option<Arc<str>>,
    failure: Option<String>,
}

/// The URL that a gateway wants keys from.
pub(super) fn uri(gateway: &Gateway) -> Option<&str> {
    match &gateway.authentication {
        Authentication::Jwt(jwt) => match &jwt.jwks {
            Jwks::Uri { uri, .. } => Some(uri),
            Jwks::Inline(_) => None,
        },
        Authentication::None
        | Authentication::Basic(_)
        | Authentication::AccessKey(_)
        | Authentication::Closed => None,
    }
}

impl Issuers {
    /// A gateway's version takes another's place.
    pub(super) fn replace(&mut self, old: Option<&Gateway>, new: Option<&Gateway>) {
        if old.and_then(uri) == new.and_then(uri) {
            return;
        }
        if let Some((old, uri)) = old.and_then(|g| Some((g, uri(g)?)))
            && let Some(gateways) = self.wanting.get_mut(uri)
        {
            gateways.remove(&old.name);
        }
        if let Some((new, uri)) = new.and_then(|g| Some((g, uri(g)?))) {
            self.wanting.entry(uri.to_owned()).or_default().insert(new.name.clone());
        }
        self.wanting.retain(|_, gateways| !gateways.is_empty());
        self.wanted = Arc::new(self.wanting.keys().cloned().collect());
    }

    /// Where keys are to be fetched.
    pub(super) fn wanted(&self) -> Arc<BTreeSet<String>> {
        Arc::clone(&self.wanted)
    }

    /// The gateways that want keys from there.
    pub(super) fn wanting(&self, uri: &str) -> BTreeSet<GatewayName> {
        self.wanting.get(uri).cloned().unwrap_or_default()
    }

    /// Takes what a fetch came to. Says whether anything is different now, and what people should know: that
    /// fetching began to fail.
    pub(super) fn take(&mut self, at: &str, keys: Result<Arc<str>, String>) -> (bool, Option<String>) {
        let issuer = self.by_uri.entry(at.to_owned()).or_default();
        match keys {
            Ok(keys) => {
                let changed = issuer.keys.as_ref() != Some(&keys) || issuer.failure.is_some();
                *issuer = Issuer { keys: Some(keys), failure: None };
                (changed, None)
            }
            Err(why) => {
                let then = if issuer.keys.is_some() { "the last ones count" } else { "nobody is let in" };
                let alarm = format!("the keys at {at} cannot be fetched, {then}: {why}");
                let news = issuer.failure.replace(why.clone()).as_ref() != Some(&why);
                (news, news.then_some(alarm))
            }
        }
    }

    /// Forgets the keys that no gateway wants any more.
    pub(super) fn forget_unwanted(&mut self) {
        self.by_uri.retain(|uri, _| self.wanting.contains_key(uri));
    }

    /// The gateway with the keys that it wants.
    pub(super) fn with_keys(&self, gateway: Arc<Gateway>) -> Arc<Gateway> {
        let keys = uri(&gateway).and_then(|uri| self.by_uri.get(uri)?.keys.clone());
        let Some(fetched) = keys else { return gateway };
        let mut gateway = Gateway::clone(&gateway);
        if let Authentication::Jwt(jwt) = &mut gateway.authentication
            && let Jwks::Uri { keys, .. } = &mut jwt.jwks
        {
            *keys = Some(fetched);
        }
        Arc::new(gateway)
    }

    /// Why the keys that a gateway wants cannot be fetched, and whether it has older ones.
    pub(super) fn failure(&self, gateway: &Gateway) -> Option<(&str, bool)> {
        let issuer = self.by_uri.get(uri(gateway)?)?;
        Some((issuer.failure.as_deref()?, issuer.keys.is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Content, Context, Document, load};
    use crate::model::Routing;
    use crate::names::ListenerName;

    #[test]
    fn keys_that_nobody_refers_to_are_forgotten() {
        let text = "apiVersion: serin/v1\nname: a\nupstreams: { v1: http://a }\nauthentication: { jwt: { issuer: i, jwksUri: 'https://i/keys' } }\n";
        let document = Document { path: "a.yaml".into(), content: Content::Text(text.as_bytes().into()) };
        let listeners = [ListenerName::new("default").unwrap()].into();
        let context =
            Context { listeners: &listeners, attached: &BTreeMap::new(), routing: Routing::default() };
        let gateway = load(&document, &context).gateway.unwrap();
        let mut issuers = Issuers::default();
        for uri in ["https://i/keys", "https://other/keys"] {
            issuers.take(uri, Ok("{}".into()));
        }
        issuers.replace(None, Some(&gateway));
        issuers.forget_unwanted();
        assert_eq!(issuers.by_uri.keys().collect::<Vec<_>>(), ["https://i/keys"]);
        assert_ne!(issuers.with_keys(Arc::clone(&gateway)), gateway);
        issuers.replace(Some(&gateway), None);
        issuers.forget_unwanted();
        assert!(issuers.by_uri.is_empty());
    }
}
