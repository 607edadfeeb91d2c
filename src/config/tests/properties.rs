//! Laws: no bytes make it panic, every place is in its text, and what a model says in a file is read back.

#![expect(clippy::format_push_string, reason = "texts of tests read better as one format")]

use super::*;
use crate::model::{
    AccessKey, Authentication, BasicAuth, ClaimValue, Compare, Endpoints, Gateway, JsonPath, Jwks, Jwt, Key,
    KeySource, Number, OAuth2, Provider, Secret, Segment, SessionAffinity, Shadow, TokenEndpoint, Tolerance,
    User,
};
use crate::weight::{Split, WHOLE, Weight};
use proptest::prelude::*;

/// Whether a place is where it says it is.
fn lies_inside(place: &Place, text: &str) -> bool {
    if place.line == 0 {
        return place.column == 0;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    let Some(line) = text.split('\n').nth(place.line - 1) else { return false };
    let length = line.chars().count();
    // A caret may stand just behind the end, where something is missing.
    place.length >= 1
        && place.column >= 1
        && place.column <= length + 1
        && place.column + place.length <= length + 2
}

fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let loaded = load_at("a.yaml", bytes);
    let text = String::from_utf8_lossy(bytes);
    for diagnostic in &loaded.diagnostics {
        prop_assert!(lies_inside(&diagnostic.place, &text), "{diagnostic:?}");
        prop_assert!(!diagnostic.message.ends_with('.') && diagnostic.help.is_some());
    }
    prop_assert_eq!(loaded.gateway.is_none(), has_error(&loaded.diagnostics));
    let _ = crate::diag::render(&loaded.diagnostics, crate::diag::Style::Colour);
    let settings = settings(&Document { path: "s.yaml".into(), content: Content::Text(bytes.into()) });
    for diagnostic in settings.err().into_iter().flatten() {
        prop_assert!(lies_inside(&diagnostic.place, &text), "{diagnostic:?}");
    }
    Ok(())
}

/// Pieces of gateway files, put together in any order: near enough to the format to get far into it.
fn fragments() -> impl Strategy<Value = String> {
    let pieces = vec![
        "apiVersion: serin/v1\n",
        "name: a\n",
        "upstreams:\n",
        "  v1: http://a\n",
        "  v2: { url: 'https://b', tls: {} }\n",
        "traffic: {",
        " v1: 50,",
        " v2: 50 }\n",
        "match:\n",
        "  - headers: { a: ",
        "{ regex: '(' }",
        "}\n",
        "    upstream: v1\n",
        "host",
        "s: ",
        "[a, ",
        "]\n",
        "'",
        "\"",
        "|\n",
        ": ",
        "- ",
        "\t",
        "\r\n",
        "*x ",
        "&x ",
        "!!str ",
        "---\n",
        "# é\n",
        "モデル",
        "60",
        "null",
        "true",
        "~",
        "timeout: ",
        "healthCheck: {",
        "\u{feff}",
        "{ ",
        "? ",
        "path: /a/..\n",
        "labels: { a: b }\n",
        "endpoints: [",
        "\u{0}",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..24).prop_map(|pieces| pieces.concat())
}

/// One edit of a good file at any place.
fn mutations() -> impl Strategy<Value = Vec<u8>> {
    let good = include_str!("everything.yaml").as_bytes();
    (0..good.len(), 0..8usize, prop::collection::vec(any::<u8>(), 0..4)).prop_map(move |(at, gone, new)| {
        let mut bytes = good.to_vec();
        bytes.splice(at..(at + gone).min(good.len()), new);
        bytes
    })
}

fn pattern() -> impl Strategy<Value = Pattern> {
    prop_oneof![
        "[ -~é]{0,8}".prop_map(Pattern::Exact),
        "[ -~]{1,8}".prop_map(Pattern::Prefix),
        "[a-z.]{1,5}[*+]?".prop_filter("sound", |r| !r.contains("**")).prop_map(Pattern::Regex),
    ]
}

fn an_upstream(name: UpstreamName) -> impl Strategy<Value = Upstream> {
    let endpoint =
        ("[a-z][a-z0-9]{0,8}(\\.[a-z]{2,3})?", 1u16..).prop_map(|(host, port)| Endpoint { host, port });
    let address = (any::<[u16; 8]>(), 1u16..)
        .prop_map(|(ip, port)| Endpoint { host: std::net::Ipv6Addr::from(ip).to_string(), port });
    let endpoints = prop::collection::btree_set(prop_oneof![endpoint, address], 1..4);
    let protocol = prop::sample::select(vec![Protocol::Http1, Protocol::Http2, Protocol::Grpc]);
    let check = prop::option::of((100u64..3_600_000, 10u64..100, 1u32..=100, 1u32..=100));
    let tls = any::<bool>();
    let revision = || prop::option::of("[!-~é]{1,12}");
    (endpoints, protocol, check, tls, revision(), revision(), prop::option::of(1u32..)).prop_map(
        move |(endpoints, protocol, check, tls, model, version, max_concurrent)| Upstream {
            name: name.clone(),
            endpoints: endpoints.into_iter().collect(),
            model,
            version,
            health_check: check.map(|(interval, timeout, unhealthy_threshold, healthy_threshold)| {
                HealthCheck {
                    target: if protocol == Protocol::Grpc { "fraud.Scorer" } else { "/healthz" }.to_owned(),
                    interval: Duration::from_millis(interval),
                    timeout: Duration::from_millis(timeout),
                    unhealthy_threshold,
                    healthy_threshold,
                }
            }),
            protocol,
            tls: tls.then(|| Tls {
                ca: Pem::new(CERTIFICATE.as_bytes()),
                server_name: "model.internal".into(),
                client: None,
            }),
            max_concurrent,
        },
    )
}

/// Secrets are those of the attached files.
fn authentication() -> impl Strategy<Value = Authentication> {
    let users = vec![User { name: "ann".into(), hash: Secret::new("{SHA}UerAMSLQqYbz6Llq6MIZZr8lHaw=") }];
    let keys = vec![Key { client: "acme".into(), key: Secret::new("0123456789abcdef") }];
    let source = prop_oneof![
        Just(KeySource::Default),
        "x-[a-m]{1,8}".prop_map(KeySource::Header),
        "[a-zA-Z]{1,8}".prop_map(KeySource::Query),
        "[a-zA-Z]{1,8}".prop_map(KeySource::Cookie),
    ];
    let key = (source, "x-[n-z]{1,8}").prop_map(move |(source, client_header)| {
        Authentication::AccessKey(AccessKey { keys: keys.clone(), source, client_header })
    });
    let text = || "[!-~é]{1,12}";
    let texts =
        move || prop::collection::btree_set(text(), 1..3).prop_map(|s| s.into_iter().collect::<Vec<_>>());
    let jwks = prop_oneof![
        Just(Jwks::Inline(JWKS.into())),
        Just(Jwks::Uri { uri: "https://idp/keys".into(), keys: None })
    ];
    let audiences = prop_oneof![Just(Vec::new()), texts()];
    let value = prop_oneof![
        text().prop_map(ClaimValue::Text),
        (-(1_i64 << 53)..=1 << 53).prop_map(ClaimValue::Number),
        any::<bool>().prop_map(ClaimValue::Truth),
    ];
    let values =
        prop::collection::btree_set(value, 1..3).prop_map(|s| s.into_iter().collect::<Vec<ClaimValue>>());
    let claims = (
        prop::collection::btree_map("x-[a-z]{1,8}", text(), 0..3),
        prop::collection::btree_map(text(), values, 0..3),
    );
    let jwt =
        (text(), jwks, audiences, claims).prop_map(|(issuer, jwks, audiences, (claim_headers, require))| {
            Authentication::Jwt(Jwt { issuer, jwks, audiences, claim_headers, require })
        });
    let realm = "[!#-Z]{1,12}";
    let basic = realm.prop_map(move |realm| Authentication::Basic(BasicAuth { users: users.clone(), realm }));
    prop_oneof![Just(Authentication::None), basic, key, jwt, oauth2()]
}

fn oauth2() -> impl Strategy<Value = Authentication> {
    let discovered =
        Provider::Discovered { issuer: "https://idp/realms/a".into(), metadata: None, keys: None };
    let token = TokenEndpoint {
        uri: "https://idp:8443/t".into(),
        host: "idp".into(),
        port: 8443,
        tls: true,
        secret_in_body: false,
    };
    let endpoints =
        Provider::Endpoints(Endpoints { authorization: "https://idp/a".into(), token, end_session: None });
    let scopes = prop::collection::btree_set("[!#-Z]{1,8}", 0..3);
    let bearer = prop::option::of(prop::collection::btree_set("[!-~é]{1,12}", 1..3));
    let claims = prop::collection::btree_map("x-[a-z]{1,8}", "[a-z]{1,8}", 0..3);
    ("[!-~]{1,12}", scopes, bearer, claims, any::<bool>()).prop_map(
        move |(client_id, scopes, bearer, claim_headers, discover)| {
            let provider = if discover { discovered.clone() } else { endpoints.clone() };
            Authentication::OAuth2(Box::new(OAuth2 {
                provider,
                client_id,
                client_secret: Secret::new("0123456789abcdef"),
                scopes: std::iter::once("openid".to_owned()).chain(scopes).collect(),
                cookie_domain: None,
                bearer: bearer.filter(|_| discover).map(|all| all.into_iter().collect()),
                claim_headers: if discover { claim_headers } else { BTreeMap::new() },
                session_secret: None,
            }))
        },
    )
}

fn gateway() -> impl Strategy<Value = Gateway> {
    let names = ["v1", "no", "123"].map(|n| UpstreamName::new(n).unwrap());
    let upstreams = names.clone().map(an_upstream);
    let host = prop_oneof![
        Just(Host::Any),
        "[a-z]{1,8}\\.com".prop_map(Host::Exact),
        "\\.[a-z]{1,8}\\.com".prop_map(Host::Suffix)
    ];
    let condition = prop_oneof![
        ("z-[a-z]{1,8}", pattern()).prop_map(|(n, p)| Condition::Header(n, p)),
        ("[a-zA-Z]{1,8}", pattern()).prop_map(|(n, p)| Condition::Query(n, p)),
        ("[a-zA-Z]{1,8}", pattern()).prop_map(|(n, p)| Condition::Cookie(n, p)),
    ];
    let matches = prop::collection::vec((condition, prop::sample::select(names.to_vec())), 0..3);
    let path = "(/[a-z0-9.~]{1,4}x){0,3}".prop_map(|p| if p.is_empty() { "/".to_owned() } else { p });
    let texts = ("[ -~é\n\t]{0,40}", prop::collection::btree_map("[a-z./]{1,8}", "[ -~]{0,12}", 0..3));
    let affinity = prop::option::of(prop_oneof![
        "y-[a-z]{1,8}".prop_map(SessionAffinity::Header),
        "[a-z]{1,8}".prop_map(SessionAffinity::Query),
        ("[a-z]{1,8}", 1u64..1_000_000)
            .prop_map(|(name, s)| SessionAffinity::Cookie { name, max_age: Duration::from_secs(s) }),
        Just(SessionAffinity::SourceIp),
    ]);
    let whom =
        (authentication(), affinity, prop::option::of((0usize..3, 0..=WHOLE, prop::option::of(compare()))));
    let switches = (prop::option::of("y-[a-z]{1,8}"), any::<bool>(), 1u64..86_400_000, whom);
    let places = (prop::collection::btree_set(host, 1..4), path.clone(), prop::option::of(path));
    (texts, places, upstreams, 0..=WHOLE, matches, switches).prop_map(
        move |(
            (description, labels),
            (hosts, path, rewrite),
            upstreams,
            part,
            matches,
            (header, expose_upstream, timeout, (authentication, affinity, shadow)),
        )| {
            let weight = |w| Weight::new(w).unwrap();
            // Answers in gRPC are not compared.
            let is_comparable = upstreams.iter().all(|u| u.protocol != Protocol::Grpc);
            let shadow = shadow.map(|(i, percent, compare)| Shadow {
                upstream: names[i].clone(),
                percent: weight(percent),
                compare: compare.filter(|_| is_comparable),
            });
            let [a, b, c] = names.clone();
            Gateway {
                name: GatewayName::new("fraud").unwrap(),
                description,
                labels,
                proxies: ["edge".to_owned()].into(),
                listener: ListenerName::new("edge").unwrap(),
                hosts: hosts.into_iter().collect(),
                path,
                rewrite,
                timeout: Duration::from_millis(timeout),
                upstreams: upstreams.into(),
                traffic: Split::new(vec![(b, weight(part)), (a, weight(WHOLE - part)), (c, weight(0))])
                    .unwrap(),
                rollout: None,
                notify: Vec::new(),
                shadow,
                matches: matches
                    .into_iter()
                    .map(|(c, upstream)| Match { conditions: vec![c], upstream })
                    .collect(),
                direct_access: header.map(|header| DirectAccess { header }),
                affinity,
                authentication,
                expose_upstream,
            }
        },
    )
}

/// Rules without `top1`, which excludes others.
fn compare() -> impl Strategy<Value = Compare> {
    let path = prop::collection::vec(
        prop_oneof![
            "[ -~]{0,8}".prop_map(Segment::Name),
            (-9i64..9).prop_map(Segment::Index),
            Just(Segment::All)
        ],
        0..4,
    );
    let number = |n: u32| Number::new(f64::from(n) / 64.0).unwrap();
    let shares = (0u32..100_000, 0u32..64, prop::option::of(1u32..=64), 1..WHOLE);
    (path, shares, any::<bool>(), 256u32..=1_048_576).prop_map(
        move |(path, (absolute, relative, similarity, min), keep_examples, max_bytes)| Compare {
            path: JsonPath(path),
            tolerance: Tolerance { absolute: number(absolute), relative: number(relative) },
            similarity: similarity.map(number),
            top1: false,
            min_match: Weight::new(min).unwrap(),
            keep_examples,
            max_bytes,
        },
    )
}

fn print_compare(compare: &Compare) -> serde_json::Value {
    let Tolerance { absolute, relative } = compare.tolerance;
    let mut out = serde_json::json!({
        "path": compare.path.to_string(),
        "tolerance": { "absolute": absolute.get(), "relative": relative.get() },
        "minMatch": compare.min_match,
        "keepExamples": compare.keep_examples,
        "maxBytes": compare.max_bytes,
    });
    if let Some(similarity) = compare.similarity {
        out["similarity"] = similarity.get().into();
    }
    out
}

fn print_authentication(authentication: &Authentication) -> serde_json::Value {
    use serde_json::json;
    match authentication {
        Authentication::None => json!({ "none": {} }),
        Authentication::Basic(basic) => {
            json!({ "basicAuth": { "usersFile": "fraud.htpasswd", "realm": basic.realm } })
        }
        Authentication::AccessKey(keys) => {
            let mut out = json!({ "keysFile": "fraud.keys", "clientHeader": keys.client_header });
            match &keys.source {
                KeySource::Default => {}
                KeySource::Header(name) => out["header"] = json!(name),
                KeySource::Query(name) => out["query"] = json!(name),
                KeySource::Cookie(name) => out["cookie"] = json!(name),
            }
            json!({ "accessKey": out })
        }
        Authentication::Jwt(jwt) => {
            let mut out = json!({ "issuer": jwt.issuer, "claimHeaders": jwt.claim_headers });
            match &jwt.jwks {
                Jwks::Inline(_) => out["jwksFile"] = json!("idp.jwks"),
                Jwks::Uri { uri, .. } => out["jwksUri"] = json!(uri),
            }
            if !jwt.audiences.is_empty() {
                out["audiences"] = json!(jwt.audiences);
            }
            if !jwt.require.is_empty() {
                let value = |value: &ClaimValue| match value {
                    ClaimValue::Text(text) => json!(text),
                    ClaimValue::Number(number) => json!(number),
                    ClaimValue::Truth(truth) => json!(truth),
                };
                let values = |values: &Vec<ClaimValue>| values.iter().map(value).collect::<Vec<_>>();
                let require: BTreeMap<_, _> = jwt.require.iter().map(|(c, v)| (c, values(v))).collect();
                out["require"] = json!(require);
            }
            json!({ "jwt": out })
        }
        Authentication::OAuth2(oauth2) => {
            let mut out = json!({
                "clientId": oauth2.client_id, "clientSecretFile": "client", "scopes": oauth2.scopes,
                "claimHeaders": oauth2.claim_headers, "acceptBearer": oauth2.bearer.is_some(),
            });
            match &oauth2.provider {
                Provider::Discovered { issuer, .. } => out["issuer"] = json!(issuer),
                Provider::Endpoints(endpoints) => {
                    out.as_object_mut().unwrap().remove("claimHeaders");
                    out["authorizationEndpoint"] = json!(endpoints.authorization);
                    out["tokenEndpoint"] = json!(endpoints.token.uri);
                }
            }
            if let Some(audiences) = &oauth2.bearer {
                out["audiences"] = json!(audiences);
            }
            json!({ "oauth2": out })
        }
        Authentication::Closed => unreachable!("no file says so"),
    }
}

/// A gateway as a file, in JSON's corner of YAML.
fn print(gateway: &Gateway) -> String {
    let quote = |text: &str| serde_json::to_string(text).unwrap();
    let ms = |d: Duration| format!("{}ms", d.as_millis());
    let mut out = format!("apiVersion: serin/v1\nname: {}\nlistener: {}\n", gateway.name, gateway.listener);
    out += &format!(
        "description: {}\npath: {}\ntimeout: {}\n",
        quote(&gateway.description),
        gateway.path,
        ms(gateway.timeout)
    );
    out += &gateway.rewrite.as_ref().map(|r| format!("rewrite: {r}\n")).unwrap_or_default();
    out += &format!("labels: {}\nproxies: [edge]\n", serde_json::to_string(&gateway.labels).unwrap());
    let hosts: Vec<_> = gateway.hosts.iter().map(|h| quote(&h.to_string())).collect();
    out += &format!("hosts: [{}]\nupstreams:\n", hosts.join(", "));
    for upstream in &gateway.upstreams {
        let endpoints: Vec<_> = upstream.endpoints.iter().map(|e| quote(&e.to_string())).collect();
        out += &format!("  {}:\n    endpoints: [{}]\n", upstream.name, endpoints.join(", "));
        out += &format!("    protocol: {}\n", upstream.protocol.as_str());
        for (key, text) in [("model", &upstream.model), ("version", &upstream.version)] {
            out += &text.as_ref().map(|t| format!("    {key}: {}\n", quote(t))).unwrap_or_default();
        }
        if let Some(check) = &upstream.health_check {
            let key = if upstream.protocol == Protocol::Grpc { "service" } else { "path" };
            let (u, h) = (check.unhealthy_threshold, check.healthy_threshold);
            out += &format!(
                "    healthCheck: {{ {key}: {}, interval: {}, timeout: {},",
                check.target,
                ms(check.interval),
                ms(check.timeout)
            );
            out += &format!(" unhealthyThreshold: {u}, healthyThreshold: {h} }}\n");
        }
        out += &upstream
            .tls
            .as_ref()
            .map(|t| format!("    tls: {{ caFile: ca.pem, serverName: {} }}\n", t.server_name))
            .unwrap_or_default();
        out += &upstream.max_concurrent.map(|m| format!("    maxConcurrent: {m}\n")).unwrap_or_default();
    }
    out += &format!("authentication: {}\n", print_authentication(&gateway.authentication));
    out += "traffic:\n";
    for (name, weight) in gateway.traffic.parts() {
        out += &format!("  {name}: {weight}\n");
    }
    out += if gateway.matches.is_empty() { "" } else { "match:\n" };
    for Match { conditions, upstream } in &gateway.matches {
        let (kind, name, pattern) = match &conditions[0] {
            Condition::Header(n, p) => ("headers", n, p),
            Condition::Query(n, p) => ("query", n, p),
            Condition::Cookie(n, p) => ("cookies", n, p),
        };
        let (how, text) = match pattern {
            Pattern::Exact(t) => ("exact", t),
            Pattern::Prefix(t) => ("prefix", t),
            Pattern::Regex(t) => ("regex", t),
        };
        out += &format!(
            "  - {{ {kind}: {{ {}: {{ {how}: {} }} }}, upstream: \"{upstream}\" }}\n",
            quote(name),
            quote(text)
        );
    }
    out += &match &gateway.affinity {
        None => String::new(),
        Some(SessionAffinity::Header(name)) => format!("sessionAffinity: {{ header: {name} }}\n"),
        Some(SessionAffinity::Query(name)) => format!("sessionAffinity: {{ query: \"{name}\" }}\n"),
        Some(SessionAffinity::Cookie { name, max_age }) => {
            format!("sessionAffinity: {{ cookie: \"{name}\", maxAge: {} }}\n", ms(*max_age))
        }
        Some(SessionAffinity::SourceIp) => "sessionAffinity: sourceIp\n".to_owned(),
    };
    if let Some(shadow) = &gateway.shadow {
        let compare =
            shadow.compare.as_ref().map(|c| format!(", compare: {}", print_compare(c))).unwrap_or_default();
        out += &format!(
            "shadow: {{ upstream: \"{}\", percent: {}{compare} }}\n",
            shadow.upstream, shadow.percent
        );
    }
    out += &gateway
        .direct_access
        .as_ref()
        .map(|d| format!("directAccess: {{ header: {} }}\n", d.header))
        .unwrap_or_default();
    out + &format!("exposeUpstream: {}\n", gateway.expose_upstream)
}

proptest! {
    #[test]
    fn any_bytes_are_explained(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes)?;
    }

    #[test]
    fn any_text_is_explained(text in "(?s).{0,200}") {
        check(text.as_bytes())?;
    }

    #[test]
    fn anything_like_a_gateway_is_explained(text in fragments()) {
        check(text.as_bytes())?;
    }

    #[test]
    fn a_good_file_with_a_slip_is_explained(bytes in mutations()) {
        check(&bytes)?;
    }

    #[test]
    fn a_gateway_that_is_printed_loads_again(gateway in gateway()) {
        let text = print(&gateway);
        let loaded = load_at("a.yaml", text.as_bytes());
        prop_assert!(!has_error(&loaded.diagnostics), "{text}\n{:?}", loaded.diagnostics);
        prop_assert_eq!(loaded.gateway.as_deref(), Some(&gateway), "{}", text);
    }
}
