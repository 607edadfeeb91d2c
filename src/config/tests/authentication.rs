//! Who may use a gateway, and that nothing secret is ever said.

use super::*;
use crate::model::{
    AccessKey, Authentication, BasicAuth, ClaimValue, Endpoints, Jwks, Jwt, Key, KeySource, OAuth2, Provider,
    Secret, TokenEndpoint, User,
};
use proptest::prelude::*;

/// A gateway file with this authentication.
pub(super) fn file(authentication: &str) -> String {
    format!(
        "apiVersion: serin/v1\nname: a\nhost: a.example.com\nupstreams: {{ v1: http://a }}\nauthentication: {authentication}\n"
    )
}

/// One file for each way.
pub(super) const WAYS: [&str; 9] = [
    "{ none: {} }",
    "{ basicAuth: { usersFile: fraud.htpasswd, realm: Cards } }",
    "{ accessKey: { keysFile: fraud.keys } }",
    "{ accessKey: { keysFile: { env: FRAUD_KEYS }, header: X-Key, clientHeader: X-Who } }",
    "{ accessKey: { keysFile: fraud.keys, query: key } }",
    "{ accessKey: { keysFile: fraud.keys, cookie: key } }",
    "{ jwt: { issuer: idp, jwksUri: 'https://idp/keys', audiences: [fraud, b], claimHeaders: { X-User: sub }, require: { scope: predict, team: [a, 7, true] } } }",
    "{ oauth2: { issuer: 'https://idp', clientId: fraud, clientSecretFile: client, scopes: [openid, email], acceptBearer: true, claimHeaders: { X-User: email } } }",
    "{ oauth2: { authorizationEndpoint: 'https://idp/a', tokenEndpoint: 'http://[::1]/t', endSessionEndpoint: 'https://idp/o', cookieDomain: example.com, clientId: fraud, clientSecretFile: { env: FRAUD_KEYS }, acceptBearer: false } }",
];

fn read(authentication: &str) -> Authentication {
    good("a.yaml", &file(authentication)).gateway.unwrap().authentication.clone()
}

#[test]
fn each_way_is_read() {
    let key = |client: &str, key: &str| Key { client: client.into(), key: Secret::new(key) };
    let fraud = |source, header: &str| {
        Authentication::AccessKey(AccessKey {
            keys: vec![key("acme", "0123456789abcdef")],
            source,
            client_header: header.into(),
        })
    };
    let text = |text: &str| ClaimValue::Text(text.into());
    let jwt = Jwt {
        issuer: "idp".into(),
        jwks: Jwks::Uri { uri: "https://idp/keys".into(), keys: None },
        audiences: vec!["fraud".into(), "b".into()],
        claim_headers: [("x-user".to_owned(), "sub".to_owned())].into(),
        require: [
            ("scope", vec![text("predict")]),
            ("team", vec![text("a"), ClaimValue::Number(7), ClaimValue::Truth(true)]),
        ]
        .map(|(claim, values)| (claim.to_owned(), values))
        .into(),
    };
    let expected = [
        Authentication::None,
        Authentication::Basic(BasicAuth {
            users: vec![User { name: "ann".into(), hash: Secret::new("{SHA}UerAMSLQqYbz6Llq6MIZZr8lHaw=") }],
            realm: "Cards".into(),
        }),
        fraud(KeySource::Default, "x-serin-client"),
        fraud(KeySource::Header("x-key".into()), "x-who"),
        fraud(KeySource::Query("key".into()), "x-serin-client"),
        fraud(KeySource::Cookie("key".into()), "x-serin-client"),
        Authentication::Jwt(jwt),
        Authentication::OAuth2(Box::new(OAuth2 {
            provider: Provider::Discovered { issuer: "https://idp".into(), metadata: None, keys: None },
            client_id: "fraud".into(),
            client_secret: Secret::new("0123456789abcdef"),
            scopes: vec!["openid".into(), "email".into()],
            cookie_domain: None,
            bearer: Some(vec!["fraud".into()]),
            claim_headers: [("x-user".to_owned(), "email".to_owned())].into(),
            session_secret: None,
        })),
        Authentication::OAuth2(Box::new(OAuth2 {
            provider: Provider::Endpoints(Endpoints {
                authorization: "https://idp/a".into(),
                token: TokenEndpoint {
                    uri: "http://[::1]/t".into(),
                    host: "::1".into(),
                    port: 80,
                    tls: false,
                    secret_in_body: false,
                },
                end_session: Some("https://idp/o".into()),
            }),
            client_id: "fraud".into(),
            client_secret: Secret::new("acme:0123456789abcdef"),
            scopes: vec!["openid".into()],
            cookie_domain: Some("example.com".into()),
            bearer: None,
            claim_headers: BTreeMap::new(),
            session_secret: None,
        })),
    ];
    assert_eq!(WAYS.map(read), expected);
    let words = expected.map(|a| a.as_str());
    assert_eq!(
        words,
        ["none", "basicAuth", "accessKey", "accessKey", "accessKey", "accessKey", "jwt", "oauth2", "oauth2"]
    );
    assert_eq!(
        good("a.yaml", &file("{ none: {} }").replace("authentication: { none: {} }\n", ""))
            .gateway
            .unwrap()
            .authentication,
        Authentication::None
    );
}

#[test]
fn a_realm_is_the_gateway_and_keys_of_an_issuer_may_lie_beside() {
    let Authentication::Basic(basic) = read("{ basicAuth: { usersFile: fraud.htpasswd } }") else { panic!() };
    assert_eq!(basic.realm, "a");
    let Authentication::Jwt(jwt) = read("{ jwt: { issuer: idp, jwksFile: idp.jwks } }") else { panic!() };
    assert_eq!(jwt.jwks, Jwks::Inline(JWKS.into()));
}

#[test]
fn files_and_variables_are_references() {
    let of = |way: &str| references(&document("team/a.yaml", &file(way)));
    let one = |reference| BTreeSet::from([reference]);
    assert_eq!(of(WAYS[1]), one(Reference::File("team/fraud.htpasswd".into())));
    assert_eq!(of(WAYS[2]), one(Reference::File("team/fraud.keys".into())));
    assert_eq!(of(WAYS[3]), one(Reference::Environment("FRAUD_KEYS".into())));
    assert_eq!(of(WAYS[7]), one(Reference::File("team/client".into())));
    assert_eq!(of(WAYS[8]), one(Reference::Environment("FRAUD_KEYS".into())));
    assert_eq!(of("{ jwt: { issuer: i, jwksFile: i.jwks } }"), one(Reference::File("team/i.jwks".into())));
    for nothing in
        [WAYS[0], WAYS[6], "{ accessKey: { keysFile: '' } }", "{ accessKey: { keysFile: { env: A=B } } }"]
    {
        assert_eq!(of(nothing), BTreeSet::new(), "{nothing}");
    }
}

#[test]
fn a_mistake_never_opens_a_gateway() {
    for way in [
        "{}",
        "",
        "none",
        "{ nonne: {} }",
        "{ none: }",
        "{ none: { a: b } }",
        "{ basicAuth: {} }",
        "{ oauth2: {} }",
        "{ none: {}, jwt: {} }",
    ] {
        let loaded = load_at("a.yaml", file(way).as_bytes());
        assert_eq!(loaded.gateway, None, "{way}");
    }
}

/// Loads a gateway whose secrets are in one file or variable, with this in it.
fn load_with(way: &str, content: &[u8], exposed: bool) -> Loaded {
    let listeners = listeners();
    let attachment = Attachment::Bytes { bytes: content.into(), exposed };
    let attached = ["fraud.htpasswd", "fraud.keys", "idp.jwks", "client"]
        .map(|p| Reference::File(p.into()))
        .into_iter()
        .chain([Reference::Environment("FRAUD_KEYS".into())])
        .map(|reference| (reference, attachment.clone()))
        .collect();
    load(
        &document("a.yaml", &file(way)),
        &Context { listeners: &listeners, attached: &attached, routing: Routing::Plain, prometheus: None },
    )
}

#[test]
fn only_files_with_secrets_have_to_be_private() {
    let codes = |way: &str, content: &str| {
        let loaded = load_with(way, content.as_bytes(), true);
        assert!(loaded.gateway.is_some(), "{:?}", loaded.diagnostics);
        loaded.diagnostics.iter().map(|d| (d.code, d.severity)).collect::<Vec<_>>()
    };
    let warned = [(Code::SecretExposed, Severity::Warning)];
    assert_eq!(codes(WAYS[1], "ann:{SHA}UerAMSLQqYbz6Llq6MIZZr8lHaw="), warned);
    assert_eq!(codes(WAYS[2], "acme:0123456789abcdef"), warned);
    assert_eq!(codes(WAYS[7], "secret"), warned);
    assert_eq!(codes("{ jwt: { issuer: i, jwksFile: idp.jwks } }", JWKS), []);
}

/// In every secret of these tests, and nowhere else.
const MARK: &str = "Hu7NteR";

/// Files with secrets, good and broken.
fn secrets() -> impl Strategy<Value = String> {
    let pieces = [
        "ann",
        ":",
        "{SHA}",
        "$2y$05$",
        "$apr1$",
        "\n",
        "\r\n",
        " ",
        "#",
        "é",
        "\u{0}",
        "UerAMSLQqYbz6Llq6MIZZr8lHaw=",
        "{\"keys\":[",
        "{\"kty\":\"RSA\",",
        "\"d\":",
        "\"",
        "}",
        "]",
        ",",
        "0123456789abcdef",
    ];
    let piece = prop_oneof![1 => Just(MARK), 3 => prop::sample::select(pieces.to_vec())];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_secret_is_ever_said(content in secrets(), way in prop::sample::select(WAYS.to_vec()), exposed in any::<bool>()) {
        let jwks = "{ jwt: { issuer: i, jwksFile: idp.jwks } }";
        for way in [way, jwks] {
            let loaded = load_with(way, content.as_bytes(), exposed);
            for diagnostic in &loaded.diagnostics {
                prop_assert!(!format!("{diagnostic:?}").contains(MARK), "{diagnostic:?}");
            }
            prop_assert_eq!(loaded.gateway.is_none(), has_error(&loaded.diagnostics));
            if let Some(Authentication::AccessKey(keys)) = loaded.gateway.map(|g| g.authentication.clone()) {
                let shown = keys.keys.iter().map(|k| &k.key).collect::<Vec<_>>();
                let shown = format!("{shown:?}");
                prop_assert!(!shown.contains(MARK), "{}", shown);
            }
        }
    }

    #[test]
    fn what_serin_writes_serin_reads(before in secrets(), client in "[a-z]{1,8}") {
        use super::super::secrets::{keys, users};
        let after = set_user(&before, &client, &[7; 20]).unwrap();
        prop_assert!(users::parse(&after).0.iter().filter(|u| u.name == client).count() == 1);
        prop_assert_eq!(set_user(&after, &client, &[7; 20]).unwrap(), after);
        let key = "fedcba9876543210-";
        let after = add_key(&before, &client, key).unwrap();
        prop_assert!(after.starts_with(&before));
        prop_assert_eq!(keys::parse(&after, &KeySource::Default).0.last().map(|k| k.key.expose().to_owned()), Some(key.to_owned()));
    }
}
