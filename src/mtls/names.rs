//! Which names of a certificate are on the list of those that may connect.

use crate::model::AltName;
use rustls::pki_types::{CertificateDer, ServerName};
use webpki::EndEntityCert;

/// The names of a certificate that `allow` has. The certificate was verified before.
pub(super) fn allowed(certificate: &CertificateDer<'_>, allow: &[AltName]) -> Vec<String> {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    let dns: Vec<String> = certificate.valid_dns_names().map(str::to_ascii_lowercase).collect();
    let uris: Vec<&str> = certificate.valid_uri_names().collect();
    let mut names = Vec::new();
    for entry in allow {
        match entry {
            AltName::Dns(name) => names.extend(dns.iter().filter(|n| *n == name).cloned()),
            AltName::DnsBelow(suffix) => names.extend(dns.iter().filter(|n| is_below(n, suffix)).cloned()),
            AltName::Uri(uri) => names.extend(uris.iter().filter(|u| *u == uri).map(|u| (*u).to_owned())),
            AltName::Ip(ip) => {
                let name = ServerName::IpAddress((*ip).into());
                names.extend(
                    certificate.verify_is_valid_for_subject_name(&name).ok().map(|()| ip.to_string()),
                );
            }
        }
    }
    names
}

/// All names of a certificate, for people; an address stays unsaid.
pub(super) fn shown(certificate: &CertificateDer<'_>) -> String {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return String::new() };
    let names: Vec<&str> =
        certificate.valid_dns_names().chain(certificate.valid_uri_names()).take(5).collect();
    names.join(", ").chars().filter(|c| !c.is_control()).take(300).collect()
}

fn is_below(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).and_then(|head| head.strip_suffix('.')).is_some_and(|head| !head.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::generate_simple_self_signed;

    #[test]
    fn a_name_counts_when_certificate_and_list_have_it() {
        let has = ["Edge-1.example.com", "spiffe://example.com/edge", "10.0.0.7"].map(str::to_owned);
        let mut params = rcgen::CertificateParams::new(has[..1].to_vec()).unwrap();
        params.subject_alt_names.push(rcgen::SanType::URI(has[1].clone().try_into().unwrap()));
        params.subject_alt_names.push(rcgen::SanType::IpAddress(has[2].parse().unwrap()));
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let allowed = |entry: AltName| allowed(certificate.der(), &[entry]);
        assert_eq!(allowed(AltName::Dns("edge-1.example.com".into())), ["edge-1.example.com"]);
        assert_eq!(allowed(AltName::DnsBelow("example.com".into())), ["edge-1.example.com"]);
        assert_eq!(allowed(AltName::Uri(has[1].clone())), [has[1].as_str()]);
        assert_eq!(allowed(AltName::Ip(has[2].parse().unwrap())), ["10.0.0.7"]);
        for other in [
            AltName::Dns("example.com".into()),
            AltName::DnsBelow("edge-1.example.com".into()),
            AltName::DnsBelow("xample.com".into()),
            AltName::Uri("spiffe://example.com".into()),
            AltName::Ip("10.0.0.8".parse().unwrap()),
        ] {
            assert!(allowed(other.clone()).is_empty(), "{other:?}");
        }
        assert_eq!(shown(certificate.der()), "Edge-1.example.com, spiffe://example.com/edge");
        let plain = generate_simple_self_signed(["x".to_owned()]).unwrap();
        assert_eq!(shown(plain.cert.der()), "x");
    }
}
