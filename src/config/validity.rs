//! Until when a certificate holds.

use super::pem;
use crate::clock::Timestamp;
use std::time::Duration;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// From when and until when (RFC 5280 section 4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// `notBefore`
    pub from: Timestamp,
    /// `notAfter`
    pub until: Timestamp,
}

/// Before its end a certificate should have been renewed: two weeks, or of shorter ones a sixth of their time.
const SOON: Duration = Duration::from_hours(14 * 24);

impl Validity {
    /// Reads that of a PEM file: of a chain that of the own certificate, which is first; of authorities the longest. `None`: the
    /// file has no certificate that can be read.
    pub fn of(file: &[u8]) -> Option<Self> {
        let found = pem::certificates(file).ok()?;
        let mut all = found.iter().filter_map(|der| {
            let (_, certificate) = X509Certificate::from_der(der).ok()?;
            let moment = |time: x509_parser::time::ASN1Time| Timestamp(time.timestamp().saturating_mul(1000));
            let validity = certificate.validity();
            let own = Self { from: moment(validity.not_before), until: moment(validity.not_after) };
            Some((certificate.is_ca(), own))
        });
        let (is_authority, own) = all.next()?;
        if is_authority {
            all.map(|(_, other)| other).chain([own]).max_by_key(|v| v.until)
        } else {
            Some(own)
        }
    }

    /// Says how a sentence about the file ends, if the certificate holds no more or not for long, or not yet.
    pub fn fault(&self, now: Timestamp) -> Option<String> {
        let Self { from, until } = self;
        let soon = SOON.min(until.since(*from) / 6);
        if *until <= now {
            Some(format!("has ended at {until}, {} ago", time(now.since(*until))))
        } else if now < *from {
            Some(format!("is not valid before {from}, in {}", time(from.since(now))))
        } else if until.since(now) < soon {
            Some(format!("ends at {until}, in {}", time(until.since(now))))
        } else {
            None
        }
    }
}

/// In the largest unit of which there are two.
fn time(length: Duration) -> String {
    match length.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} minutes", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} hours", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

    /// A certificate for the days from the first to the last of these of January 2030.
    fn certificate(is_ca: bool, [from, until]: [u8; 2]) -> String {
        let mut params = CertificateParams::new(["a.test".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2030, 1, from), date_time_ymd(2030, 1, until));
        params.is_ca = if is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::NoCa };
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    fn day(day: u8) -> Timestamp {
        Timestamp::parse(&format!("2030-01-{day:02}T00:00:00Z")).unwrap()
    }

    #[test]
    fn it_is_that_of_the_own_certificate_or_of_the_longest_authority() {
        let (own, ca, older) =
            (certificate(false, [2, 30]), certificate(true, [1, 20]), certificate(true, [1, 9]));
        let of = |files: &[&str]| Validity::of(files.concat().as_bytes()).map(|v| (v.from, v.until));
        assert_eq!(of(&[&own, &ca]), Some((day(2), day(30))));
        assert_eq!(of(&[&older, &ca, &older]), Some((day(1), day(20))), "one authority is enough");
        let text = ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "a: b\n", ""];
        assert!(text.iter().all(|text| of(&[text]).is_none()));
    }

    #[test]
    fn who_should_renew_it_is_told_in_time() {
        let short = Validity { from: day(1), until: day(31) };
        let said = |day| short.fault(day).unwrap_or_default();
        assert_eq!((said(day(1)), said(day(26))), (String::new(), String::new()));
        assert_eq!(said(day(27)), "ends at 2030-01-31T00:00:00.000Z, in 4 days");
        assert_eq!(said(day(31)), "has ended at 2030-01-31T00:00:00.000Z, 0 s ago");
        assert!(said(Timestamp(0)).starts_with("is not valid before 2030-01-01T00:00:00.000Z, in "));
        let long = Validity { until: day(31), from: Timestamp(0) };
        assert_eq!((long.fault(day(16)), long.fault(day(18)).is_some()), (None, true));
    }
}
