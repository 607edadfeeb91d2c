//! What of the world is about logins: their one key, whom Envoys trust at token endpoints, and what was fetched of issuers
//! and providers.

use super::super::event::{Note, NoteKind};
use super::super::files::Chosen;
use super::super::issuers::{Fetch, Fetched};
use super::World;
use crate::clock::Timestamp;
use crate::model::{Authentication, Gateway, Pem, SessionKey};
use crate::translate;
use std::sync::Arc;

impl World {
    /// With the key from which the secrets of all logins are made; without it nobody can log in anywhere.
    #[must_use]
    pub fn with_session_key(mut self, key: SessionKey) -> Self {
        self.session_key = Some(key);
        self
    }

    /// With the authorities, in PEM, that sign the certificates of providers of logins.
    #[must_use]
    pub fn with_authorities(mut self, trusted: &Pem) -> Self {
        self.common.authorities = Some(Arc::new(translate::authorities(trusted)));
        self
    }

    /// Something was fetched, or could not be. Says whether gateways are another than before.
    pub(super) fn take_fetched(
        &mut self,
        what: &Fetch,
        result: Result<Fetched, String>,
        now: Timestamp,
    ) -> bool {
        let (changed, alarm) = self.issuers.take(what.clone(), result);
        if let Some(message) = alarm {
            self.notes.push(Note::new(now, None, NoteKind::Alarm, message));
        }
        if changed {
            for name in self.issuers.wanting(what) {
                let Some(wanted) = self.wanted.get(&name) else { continue };
                self.unseen.insert(Arc::clone(&wanted.file));
                let (file, gateway) = (Arc::clone(&wanted.file), Arc::clone(&wanted.newest));
                self.choose(Chosen { file, gateway }, now);
            }
        }
        changed
    }

    /// The gateway with the secret of its logins.
    pub(super) fn with_session_secret(&self, mut gateway: Arc<Gateway>) -> Arc<Gateway> {
        if matches!(gateway.authentication, Authentication::OAuth2(_)) {
            let secret = self.session_key.as_ref().map(|key| key.of_gateway(&gateway.name));
            if let Authentication::OAuth2(oauth2) = &mut Arc::make_mut(&mut gateway).authentication {
                oauth2.session_secret = secret;
            }
        }
        gateway
    }
}
