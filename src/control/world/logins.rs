//! What of the world is about logins: their one key, and whom Envoys trust at token endpoints.

use super::World;
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
