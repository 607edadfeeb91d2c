//! Who comes in on our ports: certificates and tokens, which follow their files.

use super::super::door::Door;
use super::super::renewal::Renewal;
use super::World;
use crate::access::Tokens;
use crate::clock::Timestamp;
use crate::config::Reference;
use crate::mtls::Credentials;
use std::collections::BTreeSet;

impl World {
    /// With the credentials that are in use when it begins; they follow their files.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        let files = self.settings.xds_tls.as_ref();
        self.renewal = files.map(|files| Renewal::new(files.into(), credentials));
        self
    }

    /// The same for those of the HTTP port.
    #[must_use]
    pub fn with_http_credentials(mut self, credentials: Option<Credentials>) -> Self {
        let files = self.settings.http_tls.as_ref().zip(credentials);
        self.http_renewal = files.map(|(files, credentials)| Renewal::new(files.into(), credentials));
        self
    }

    /// With the tokens that count when it begins; they follow their file.
    #[must_use]
    pub fn with_tokens(mut self, tokens: Option<Tokens>) -> Self {
        self.door =
            self.settings.tokens_file.clone().zip(tokens).map(|(file, tokens)| Door::new(file, tokens));
        self
    }

    /// What is wrong with the certificates of listeners and of our own ports.
    pub(super) fn certificate_faults(&self) -> Vec<String> {
        let renewals = [&self.renewal, &self.http_renewal].into_iter().flatten();
        self.certificates.faults().chain(renewals.filter_map(Renewal::fault)).collect()
    }

    /// New credentials for the xDS port, once.
    pub fn take_credentials(&mut self) -> Option<Credentials> {
        self.renewal.as_mut().and_then(Renewal::take)
    }

    /// New credentials for the HTTP port, once.
    pub fn take_http_credentials(&mut self) -> Option<Credentials> {
        self.http_renewal.as_mut().and_then(Renewal::take)
    }

    /// New tokens, once.
    pub fn take_tokens(&mut self) -> Option<Tokens> {
        self.door.as_mut().and_then(Door::take)
    }

    /// After these files have changed.
    pub(super) fn look_at_doors(&mut self, touched: &BTreeSet<Reference>, now: Timestamp) {
        let renewals = [&mut self.renewal, &mut self.http_renewal].into_iter().flatten();
        for renewal in renewals.filter(|r| r.refers_to(touched)) {
            self.notes.extend(renewal.look(&self.files.attached, now));
        }
        let door = self.door.as_mut().filter(|d| d.refers_to(touched));
        self.notes.extend(door.and_then(|d| d.look(&self.files.attached, now)));
    }
}
