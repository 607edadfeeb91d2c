//! What is known of token issuers and of providers of logins, as far as it was fetched: the last good answers count.

use crate::model::{Authentication, Gateway, Jwks, Metadata, Provider};
use crate::names::GatewayName;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Something to be fetched for gateways.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fetch {
    /// The public keys at this URL.
    Keys(String),
    /// What the provider of logins with this issuer says of itself.
    Metadata(String),
}

/// What was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// A JSON Web Key Set.
    Keys(Arc<str>),
    /// What a provider says of itself.
    Metadata(Arc<Metadata>),
}

/// What is known from each place.
#[derive(Debug, Default)]
pub(super) struct Issuers {
    places: BTreeMap<Fetch, Place>,
    /// Who wants it.
    wanting: BTreeMap<Fetch, BTreeSet<GatewayName>>,
    wanted: Arc<BTreeSet<Fetch>>,
}

#[derive(Debug, Default)]
struct Place {
    last: Option<Fetched>,
    failure: Option<String>,
}

/// Something that a gateway wants and that cannot be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unfetched {
    pub(super) what: Fetch,
    pub(super) why: String,
    /// Whether it was fetched earlier.
    pub(super) has_older: bool,
}

/// What a gateway wants. The keys of a provider are wanted when it has said where they are.
pub(super) fn wants(gateway: &Gateway) -> BTreeSet<Fetch> {
    match &gateway.authentication {
        Authentication::Jwt(jwt) => match &jwt.jwks {
            Jwks::Uri { uri, .. } => [Fetch::Keys(uri.clone())].into(),
            Jwks::Inline(_) => BTreeSet::new(),
        },
        Authentication::OAuth2(oauth2) => match &oauth2.provider {
            Provider::Discovered { issuer, metadata, .. } => {
                let keys = metadata.iter().filter(|_| oauth2.verifies_tokens());
                let keys = keys.map(|m| Fetch::Keys(m.jwks_uri.clone()));
                keys.chain([Fetch::Metadata(issuer.clone())]).collect()
            }
            Provider::Endpoints(_) => BTreeSet::new(),
        },
        Authentication::None
        | Authentication::Basic(_)
        | Authentication::AccessKey(_)
        | Authentication::Closed => BTreeSet::new(),
    }
}

impl Issuers {
    /// A gateway's version takes another's place.
    pub(super) fn replace(&mut self, old: Option<&Gateway>, new: Option<&Gateway>) {
        let [before, after] = [old, new].map(|gateway| gateway.map(wants).unwrap_or_default());
        if before == after {
            return;
        }
        for (old, what) in old.into_iter().flat_map(|old| before.iter().map(move |what| (old, what))) {
            if let Some(gateways) = self.wanting.get_mut(what) {
                gateways.remove(&old.name);
            }
        }
        for (new, what) in new.into_iter().flat_map(|new| after.iter().map(move |what| (new, what))) {
            self.wanting.entry(what.clone()).or_default().insert(new.name.clone());
        }
        self.wanting.retain(|_, gateways| !gateways.is_empty());
        self.wanted = Arc::new(self.wanting.keys().cloned().collect());
    }

    /// What is to be fetched.
    pub(super) fn wanted(&self) -> Arc<BTreeSet<Fetch>> {
        Arc::clone(&self.wanted)
    }

    /// The gateways that want this.
    pub(super) fn wanting(&self, what: &Fetch) -> BTreeSet<GatewayName> {
        self.wanting.get(what).cloned().unwrap_or_default()
    }

    /// Takes what a fetch came to. Says whether anything is different now, and what people should know: that
    /// fetching began to fail.
    pub(super) fn take(&mut self, what: Fetch, result: Result<Fetched, String>) -> (bool, Option<String>) {
        let name = name(&what);
        let place = self.places.entry(what).or_default();
        match result {
            Ok(fetched) => {
                let changed = place.last.as_ref() != Some(&fetched) || place.failure.is_some();
                *place = Place { last: Some(fetched), failure: None };
                (changed, None)
            }
            Err(why) => {
                let then = if place.last.is_some() { "the last ones count" } else { "nobody is let in" };
                let alarm = format!("{name} cannot be fetched, {then}: {why}");
                let news = place.failure.replace(why.clone()).as_ref() != Some(&why);
                (news, news.then_some(alarm))
            }
        }
    }

    /// Forgets what no gateway wants any more.
    pub(super) fn forget_unwanted(&mut self) {
        self.places.retain(|what, _| self.wanting.contains_key(what));
    }

    /// The gateway with what it wants.
    pub(super) fn complete(&self, gateway: Arc<Gateway>) -> Arc<Gateway> {
        let mut gateway = gateway;
        match &gateway.authentication {
            Authentication::Jwt(_) | Authentication::OAuth2(_) => {}
            _ => return gateway,
        }
        match &mut Arc::make_mut(&mut gateway).authentication {
            Authentication::Jwt(jwt) => {
                if let Jwks::Uri { uri, keys } = &mut jwt.jwks {
                    *keys = self.keys(uri);
                }
            }
            Authentication::OAuth2(oauth2) => {
                let verifies = oauth2.verifies_tokens();
                if let Provider::Discovered { issuer, metadata, keys } = &mut oauth2.provider {
                    *metadata = self.metadata(issuer);
                    *keys = metadata.as_ref().filter(|_| verifies).and_then(|m| self.keys(&m.jwks_uri));
                }
            }
            _ => {}
        }
        gateway
    }

    /// What a gateway wants and cannot get.
    pub(super) fn unfetched(&self, gateway: &Gateway) -> Vec<Unfetched> {
        let failed = |what: Fetch| {
            let place = self.places.get(&what)?;
            let why = place.failure.clone()?;
            Some(Unfetched { what, why, has_older: place.last.is_some() })
        };
        wants(gateway).into_iter().filter_map(failed).collect()
    }

    fn keys(&self, uri: &str) -> Option<Arc<str>> {
        match &self.places.get(&Fetch::Keys(uri.to_owned()))?.last {
            Some(Fetched::Keys(keys)) => Some(Arc::clone(keys)),
            _ => None,
        }
    }

    fn metadata(&self, issuer: &str) -> Option<Arc<Metadata>> {
        match &self.places.get(&Fetch::Metadata(issuer.to_owned()))?.last {
            Some(Fetched::Metadata(metadata)) => Some(Arc::clone(metadata)),
            _ => None,
        }
    }
}

/// How a sentence about it begins.
fn name(what: &Fetch) -> String {
    match what {
        Fetch::Keys(uri) => format!("the keys at {uri}"),
        Fetch::Metadata(issuer) => format!("the endpoints of {issuer}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Attachment, Content, Context, Document, Reference, load};
    use crate::model::{Routing, Settings};

    fn gateway(authentication: &str) -> Arc<Gateway> {
        let text = format!(
            "apiVersion: serin/v1\nname: a\nhost: a.test\nupstreams: {{ v1: http://a }}\nauthentication: {authentication}\n"
        );
        let document = Document { path: "a.yaml".into(), content: Content::Text(text.as_bytes().into()) };
        let context = Context {
            listeners: &Settings::default().listeners,
            attached: &[(Reference::File("secret".into()), Attachment::private(*b"0123456789abcdef"))].into(),
            routing: Routing::default(),
            prometheus: None,
        };
        load(&document, &context).gateway.unwrap()
    }

    fn keys(uri: &str) -> Fetch {
        Fetch::Keys(uri.to_owned())
    }

    #[test]
    fn keys_that_nobody_refers_to_are_forgotten() {
        let gateway = gateway("{ jwt: { issuer: i, jwksUri: 'https://i/keys' } }");
        let mut issuers = Issuers::default();
        for uri in ["https://i/keys", "https://other/keys"] {
            issuers.take(keys(uri), Ok(Fetched::Keys("{}".into())));
        }
        issuers.replace(None, Some(&gateway));
        issuers.forget_unwanted();
        assert_eq!(issuers.places.keys().collect::<Vec<_>>(), [&keys("https://i/keys")]);
        assert_ne!(issuers.complete(Arc::clone(&gateway)), gateway);
        issuers.replace(Some(&gateway), None);
        issuers.forget_unwanted();
        assert!(issuers.places.is_empty());
    }

    #[test]
    fn a_login_keeps_its_endpoints_and_the_keys_that_they_name() {
        let plain = gateway(
            "{ oauth2: { issuer: 'https://i', clientId: a, clientSecretFile: secret, acceptBearer: true } }",
        );
        let said = r#"{"issuer":"https://i","authorization_endpoint":"https://i/a","token_endpoint":"https://i/t","jwks_uri":"https://i/keys"}"#;
        let metadata = crate::config::read_metadata("https://i", said).unwrap();
        let endpoints = Fetch::Metadata("https://i".to_owned());
        let mut issuers = Issuers::default();
        issuers.replace(None, Some(&plain));
        assert_eq!(*issuers.wanted(), [endpoints.clone()].into());
        issuers.take(endpoints.clone(), Ok(Fetched::Metadata(metadata.into())));
        let known = issuers.complete(Arc::clone(&plain));
        issuers.replace(Some(&plain), Some(&known));
        let both = BTreeSet::from([keys("https://i/keys"), endpoints]);
        assert_eq!(*issuers.wanted(), both);
        assert!(both.iter().all(|what| issuers.wanting(what) == [known.name.clone()].into()));
        issuers.take(keys("https://i/keys"), Ok(Fetched::Keys("{}".into())));
        issuers.forget_unwanted();
        assert_eq!(issuers.places.keys().cloned().collect::<BTreeSet<_>>(), both);
        issuers.replace(Some(&known), None);
        issuers.forget_unwanted();
        assert!(issuers.places.is_empty() && issuers.wanting.is_empty());
    }
}
