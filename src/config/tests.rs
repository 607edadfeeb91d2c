//! The whole way from bytes to gateways, and its laws.

use super::*;
use crate::diag::Severity;
use crate::model::{
    AltName, Certificate, Condition, DirectAccess, Endpoint, HealthCheck, Host, Match, Pattern, Pem,
    Protocol, Tls, Upstream,
};
use crate::names::UpstreamName;
use std::sync::LazyLock;
use std::time::Duration;

mod authentication;
mod properties;
mod rollout;
mod schema;

/// A file with a PEM certificate attached as `ca.pem`; it is read for its frame, not for what is in it.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

/// A key set attached as `idp.jwks`.
const JWKS: &str = r#"{ "keys": [{ "kty": "RSA", "n": "AQAB", "e": "AQAB" }] }"#;

/// A certificate and its key, attached as `client.pem` and `client.key`.
static PAIR: LazyLock<[String; 2]> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["edge".to_owned()]).unwrap();
    [made.cert.pem(), made.signing_key.serialize_pem()]
});

/// What good files of these tests refer to.
fn attached() -> BTreeMap<Reference, Attachment> {
    [
        ("ca.pem", CERTIFICATE),
        ("fraud.htpasswd", "# people\nann:{SHA}UerAMSLQqYbz6Llq6MIZZr8lHaw=\n"),
        ("fraud.keys", "acme:0123456789abcdef\n"),
        ("idp.jwks", JWKS),
        ("client.pem", &PAIR[0]),
        ("client.key", &PAIR[1]),
        ("prometheus.headers", "Authorization: Bearer abc\n"),
        ("told.url", "http://localhost:9/told\n"),
        ("client", "0123456789abcdef\n"),
    ]
    .map(|(path, text)| (Reference::File(path.into()), Attachment::private(text.as_bytes())))
    .into_iter()
    .chain([
        (Reference::Environment("FRAUD_KEYS".into()), Attachment::private(*b"acme:0123456789abcdef")),
        (
            Reference::Environment("SLACK_URL".into()),
            Attachment::private(*b"https://hooks.example.com/T0/secret"),
        ),
    ])
    .collect()
}

fn document(path: &str, text: &str) -> Document {
    Document { path: path.into(), content: Content::Text(text.as_bytes().into()) }
}

/// `default` and `edge`, on this machine.
fn listeners() -> BTreeMap<ListenerName, Listener> {
    let listener = Listener { address: std::net::Ipv4Addr::LOCALHOST.into(), port: 8080, tls: None };
    ["default", "edge"].map(|name| (ListenerName::new(name).unwrap(), listener.clone())).into()
}

fn load_at(path: &str, bytes: &[u8]) -> Loaded {
    let listeners = listeners();
    let document = Document { path: path.into(), content: Content::Text(bytes.into()) };
    let url = "http://prometheus:9090".to_owned();
    let prometheus = PrometheusServer { url, headers_file: None, ca_file: None };
    let prometheus = Some(&prometheus);
    load(
        &document,
        &Context { listeners: &listeners, attached: &attached(), routing: Routing::Plain, prometheus },
    )
}

fn good(path: &str, text: &str) -> Loaded {
    let loaded = load_at(path, text.as_bytes());
    assert_eq!(loaded.diagnostics, []);
    loaded
}

fn upstream(name: &str, host: &str, port: u16) -> Upstream {
    Upstream {
        name: UpstreamName::new(name).unwrap(),
        endpoints: vec![Endpoint { host: host.into(), port }],
        model: None,
        version: None,
        health_check: None,
        protocol: Protocol::Http1,
        tls: None,
        max_concurrent: None,
    }
}

#[test]
fn the_smallest_file_has_the_defaults_of_the_contract() {
    let loaded =
        good("a.yaml", "apiVersion: serin/v1\nname: fraud\nupstreams:\n  v1: http://fraud-v1:8080\n");
    let gateway = loaded.gateway.unwrap();
    assert_eq!(gateway.hosts, [Host::Any]);
    assert_eq!(gateway.path, "/");
    assert_eq!(gateway.rewrite, None);
    assert_eq!(gateway.timeout, Duration::from_mins(1));
    assert_eq!(gateway.listener.as_str(), "default");
    assert_eq!(gateway.upstreams, [upstream("v1", "fraud-v1", 8080)]);
    assert_eq!(gateway.traffic, crate::weight::Split::all_to(UpstreamName::new("v1").unwrap()));
    assert_eq!((&gateway.direct_access, gateway.expose_upstream), (&None, false));
    assert!(gateway.proxies.is_empty() && gateway.labels.is_empty() && gateway.matches.is_empty());
    assert_eq!((loaded.place_of_name.line, loaded.place_of_route.line), (2, 2));
}

#[test]
fn every_field_has_its_effect() {
    let gateway = good("a.yaml", include_str!("tests/everything.yaml")).gateway.unwrap();
    assert_eq!(gateway.description, "Card fraud scoring");
    assert_eq!(gateway.labels, [("team".to_owned(), "risk".to_owned())].into());
    assert_eq!(gateway.proxies, ["edge".to_owned()].into());
    assert_eq!(gateway.listener.as_str(), "edge");
    let hosts = [Host::Exact("fraud.example.com".into()), Host::Suffix(".fraud.example.com".into())];
    assert_eq!(gateway.hosts, hosts);
    assert_eq!(
        (gateway.path.as_str(), gateway.rewrite.as_deref()),
        ("/predict", Some("/v2/models/fraud/infer"))
    );
    assert_eq!(gateway.timeout, Duration::from_secs(90));
    assert_eq!(gateway.direct_access, Some(DirectAccess { header: "x-pick".into() }));
    assert!(gateway.expose_upstream);
    let [v1, v2, v3, gold] = gateway.upstreams.as_slice() else { panic!("four upstreams") };
    assert_eq!((v1.model.as_deref(), v1.version.as_deref()), (Some("fraud"), Some("1.4")));
    assert_eq!(
        v1.health_check.as_ref().map(|h| (h.target.as_str(), h.interval)),
        Some(("/healthz", Duration::from_secs(5)))
    );
    assert_eq!(
        v2.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.0.0.6:8080", "[2001:db8::7]:8080"]
    );
    assert_eq!((v2.protocol, v2.max_concurrent), (Protocol::Http2, Some(64)));
    assert_eq!(
        v2.tls,
        Some(Tls {
            ca: Pem::new(CERTIFICATE.as_bytes()),
            server_name: "model.internal".into(),
            client: None
        })
    );
    let check = v2.health_check.clone().unwrap();
    assert_eq!(
        (check.target.as_str(), check.interval, check.timeout),
        ("/ready", Duration::from_secs(10), Duration::from_millis(500))
    );
    assert_eq!((check.unhealthy_threshold, check.healthy_threshold), (3, 2));
    assert_eq!(
        (v3.protocol, v3.health_check.as_ref().map(|h| h.target.as_str())),
        (Protocol::Grpc, Some("fraud.Scorer"))
    );
    assert_eq!(v3.tls.as_ref().map(|t| t.server_name.as_str()), Some("fraud-v3"));
    let [chain, key] = PAIR.each_ref().map(|text| Pem::new(text.as_bytes()));
    assert_eq!(v3.tls.as_ref().unwrap().client, Some(Certificate { chain, key }));
    assert_eq!(gold.endpoints[0].port, 80);
    let conditions = &gateway.matches[0].conditions;
    assert_eq!(conditions[0], Condition::Header("x-card".into(), Pattern::Exact("gold".into())));
    assert_eq!(conditions[1], Condition::Header("x-tester".into(), Pattern::Prefix("qa-".into())));
    assert_eq!(conditions[2], Condition::Query("model".into(), Pattern::Regex("v[0-9]+".into())));
    assert_eq!(conditions[3], Condition::Cookie("beta".into(), Pattern::Exact("1".into())));
    assert_eq!(gateway.matches[0].upstream.as_str(), "gold");
}

#[test]
fn the_first_upstream_gives_way_to_both_sides_and_zeros_stay() {
    let gateway = good("a.yaml", include_str!("tests/everything.yaml")).gateway.unwrap();
    let parts: Vec<_> = gateway.traffic.parts().iter().map(|(n, w)| format!("{n}={w}")).collect();
    assert_eq!(parts, ["v2=4.75", "v1=95.25", "v3=0"]);
}

#[test]
fn references_are_meant_from_the_folder_of_the_file() {
    let text = "apiVersion: serin/v1\nname: a\nupstreams:\n  v1: { url: https://a, tls: { caFile: ../ca.pem } }\n  v2: { url: https://a, tls: { caFile: ./ca.pem } }\n  v3: { url: https://a, tls: { caFile: /etc/ca.pem } }\n  v4: { url: 5, tls: { caFile: 5 } }\n";
    let expected: BTreeSet<_> =
        ["team/../ca.pem", "team/ca.pem", "/etc/ca.pem"].map(|p| Reference::File(p.into())).into();
    assert_eq!(references(&document("team/a.yaml", text)), expected);
    assert_eq!(load_at("team/a.yaml", text.as_bytes()).references, expected);
    assert_eq!(references(&document("a.yaml", "a: [")), BTreeSet::new());
}

#[test]
fn what_cannot_be_read_is_one_diagnostic() {
    let only = |content| {
        let context = Context {
            listeners: &BTreeMap::new(),
            attached: &BTreeMap::new(),
            routing: Routing::Plain,
            prometheus: None,
        };
        let loaded = load(&Document { path: "a.yaml".into(), content }, &context);
        assert_eq!(loaded.diagnostics.len(), 1);
        loaded.diagnostics[0].clone()
    };
    assert_eq!(only(Content::Unreadable("permission denied".into())).code, Code::Unreadable);
    assert_eq!(only(Content::TooLarge(5 << 30)).code, Code::TooLarge);
    assert_eq!(only(Content::Text(vec![b' '; (1 << 20) + 1].into())).code, Code::TooLarge);
    let nul = only(Content::Text(b"name: a\0b\n".as_slice().into()));
    assert_eq!((nul.code, nul.place.line, nul.place.column), (Code::Encoding, 1, 8));
    let latin = only(Content::Text(b"# fine\nname: caf\xe9\n".as_slice().into()));
    assert_eq!((latin.code, latin.place.line, latin.place.column), (Code::Encoding, 2, 10));
    assert_eq!(latin.message, "the byte 0xe9 is not text in UTF-8");
}

#[test]
fn there_are_no_more_upstreams_and_matches_than_envoy_can_bear() {
    let codes = |text: String| {
        load_at("a.yaml", text.as_bytes()).diagnostics.iter().map(|d| d.code).collect::<Vec<_>>()
    };
    let upstreams: Vec<_> = (0..201).map(|i| format!("v{i}: http://a")).collect();
    let head = "apiVersion: serin/v1\nname: a\n";
    assert_eq!(codes(format!("{head}upstreams: {{ {} }}\n", upstreams.join(", "))), [Code::TooManyUpstreams]);
    let item = "  - { headers: { a: { regex: '[a-z]{500}' } }, upstream: v1 }\n";
    let matches = item.repeat(1001);
    assert_eq!(
        codes(format!("{head}upstreams: {{ v1: http://a }}\nmatch:\n{matches}")),
        [Code::TooManyMatches]
    );
}

#[test]
fn a_byte_order_mark_is_no_mistake() {
    good("a.yaml", "\u{feff}apiVersion: serin/v1\r\nname: a\r\nupstreams: { v1: http://a }\r\n");
}

#[test]
fn a_broken_file_still_has_its_name_and_no_gateway() {
    let loaded = load_at("a.yaml", b"apiVersion: serin/v1\nname: a\npath: x\nupstreams: { v1: http://a }\n");
    assert_eq!(loaded.name.unwrap().as_str(), "a");
    assert_eq!(loaded.gateway, None);
    assert_eq!(loaded.place_of_route.line, 3);
}

#[test]
fn direct_access_reaches_upstreams_that_nothing_mentions() {
    let text =
        "apiVersion: serin/v1\nname: a\nupstreams: { v1: http://a, v2: http://b }\ntraffic: { v1: 100 }\n";
    let warned = load_at("a.yaml", text.as_bytes());
    assert_eq!(warned.diagnostics[0].severity, Severity::Warning);
    assert!(warned.gateway.is_some(), "a warning does not keep a gateway away");
    let loaded = good("a.yaml", &format!("{text}directAccess: true\n"));
    assert_eq!(loaded.gateway.unwrap().direct_access.as_ref().unwrap().header, "x-serin-upstream");
}

#[test]
fn settings_have_defaults_and_paths_of_their_own_folder() {
    let (empty, _) = settings(&document("serin.yaml", "# nothing\n")).unwrap();
    assert_eq!(empty, Settings { gateways: "gateways".into(), ..Settings::default() });
    let text = "xds:\n  address: 0.0.0.0:1\n  tls: { certFile: a.crt, keyFile: /b.key, clientCaFile: ca.crt, allow: { san: [Edge-1.example.com, '*.edge', 'spiffe://a/b', '::1'] } }\n";
    let tls = settings(&document("conf/serin.yaml", text)).unwrap().0.xds_tls.unwrap();
    assert_eq!(tls.files().map(|f| f.to_str().unwrap()), ["conf/a.crt", "/b.key", "conf/ca.crt"]);
    let names = [
        AltName::Dns("edge-1.example.com".into()),
        AltName::DnsBelow("edge".into()),
        AltName::Uri("spiffe://a/b".into()),
        AltName::Ip("::1".parse().unwrap()),
    ];
    assert_eq!(tls.allow.as_deref(), Some(&names[..]));
    let (elsewhere, _) = settings(&document("/etc/serin/serin.yaml", "")).unwrap();
    assert_eq!(elsewhere.gateways, Path::new("/etc/serin/gateways"));
    let text = "gateways: g\nxds: { address: '[::1]:1' }\nhttp: { address: 0.0.0.0:2 }\nlisteners:\n  edge: { address: '::', port: 8443, tls: { certFile: a.crt, keyFile: /b.key } }\n  hosts: { port: 8444, tls: { certificates: [{ certFile: a.crt, keyFile: a.key }, { certFile: b.crt, keyFile: b.key }] } }\n";
    let (all, _) = settings(&document("conf/serin.yaml", text)).unwrap();
    assert_eq!((all.gateways.as_path(), all.xds.port(), all.http.port()), (Path::new("conf/g"), 1, 2));
    let (name, edge) = all.listeners.iter().next().unwrap();
    assert_eq!((name.as_str(), edge.port, edge.address.is_ipv6()), ("edge", 8443, true));
    let [tls] = edge.tls.as_ref().unwrap().certificates.as_slice() else { panic!("{edge:?}") };
    assert_eq!(
        (tls.cert_file.as_path(), tls.key_file.as_path()),
        (Path::new("conf/a.crt"), Path::new("/b.key"))
    );
    let hosts = &all.listeners.values().nth(1).unwrap().tls.as_ref().unwrap().certificates;
    let files: Vec<_> = hosts.iter().map(|c| (c.cert_file.as_path(), c.key_file.as_path())).collect();
    let wanted = ["a", "b"].map(|name| [format!("conf/{name}.crt"), format!("conf/{name}.key")]);
    assert_eq!(files, wanted.each_ref().map(|[cert, key]| (Path::new(cert), Path::new(key))));
}

#[test]
fn conflicting_files_give_way_to_their_elders() {
    let file = |path: &str, name: &str, rest: &str| {
        good(path, &format!("apiVersion: serin/v1\nname: {name}\nupstreams: {{ v1: http://a }}\n{rest}"))
    };
    let files = [
        file("0.yaml", "a", "hosts: [x.com, y.com]\npath: /p\n"),
        file("1.yaml", "b", "host: y.com\npath: /p\n"), // the route of 0
        file("2.yaml", "c", "host: y.com\npath: /p/q\n"),
        file("3.yaml", "a", "host: z.com\n"), // the name of 0
        file("4.yaml", "d", "host: z.com\nproxies: [north, east]\n"), // 3 gave way, so this is free
        file("5.yaml", "e", "host: z.com\nproxies: [south]\n"), // never meets 4
        file("6.yaml", "f", "host: z.com\nproxies: [south, west]\n"), // meets 5
        file("7.yaml", "g", "host: z.com\n"), // meets both
        file("8.yaml", "h", "host: z.com\nlistener: edge\n"),
    ];
    let found = conflicts(&files);
    let told: Vec<_> = found.iter().map(|(i, d)| (*i, d.code, d.place.line, d.message.as_str())).collect();
    let route = |host, path, other| {
        format!(
            "host `{host}` with path `{path}` on listener `default` is served by the gateway in {other}.yaml"
        )
    };
    assert_eq!(
        told,
        [
            (1, Code::SameRoute, 5, route("y.com", "/p", 0).as_str()),
            (3, Code::SameName, 2, "the name `a` belongs to the gateway in 0.yaml"),
            (6, Code::SameRoute, 4, route("z.com", "/", 5).as_str()),
            (7, Code::SameRoute, 4, route("z.com", "/", 4).as_str()),
        ]
    );
}
