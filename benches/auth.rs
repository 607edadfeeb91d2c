//! What each way of authentication costs Envoy: CPU time per request, side by side with an open gateway on the same
//! Envoy, in the same run. `cargo bench --bench auth`

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a benchmark prints, stops at the first trouble, and reads the clock"
)]

use axum::extract::Query;
use axum::response::Redirect;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use serin::app::{App, Options};
use serin::cli::envoy::EnvoyArgs;
use serin::clock;
use serin::launch::{Bootstrap, Envoy, EnvoyOptions, Toy, ToyOptions};
use serin::model::{Endpoint, Listener, Settings};
use serin::names::ListenerName;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Each measures every way once, in another order.
const ROUNDS: usize = 5;
/// Of one way in one round.
const REQUESTS: usize = 2000;
const CONNECTIONS: usize = 4;
/// More than the 1,000 that Envoy remembers of one gateway, so that each is checked anew when they come in turn.
const TOKENS: usize = 2000;
const WAIT: Duration = Duration::from_secs(30);
const PASSWORD: &str = "correct horse";

/// A way to find out who is calling.
struct Way {
    name: &'static str,
    /// The value of `authentication` in its gateway file.
    authentication: String,
    /// Sent in turn, one with each request; none: those of a login.
    headers: Vec<HeaderMap>,
}

/// What is compared. Another way is one more entry here, with its files in [`write_files`].
fn ways(issuer: &Issuer, provider: SocketAddr) -> Vec<Way> {
    let token = |number: usize| bearer(&issuer.token(number));
    let jwt = "{ jwt: { issuer: 'https://idp.test', jwksFile: jwks.json } }";
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("ann:{PASSWORD}")));
    let oauth2 = format!(
        "{{ oauth2: {{ authorizationEndpoint: 'http://{provider}/authorize', tokenEndpoint: 'http://{provider}/token', clientId: serin, clientSecretFile: secret }} }}"
    );
    vec![
        Way { name: "open", authentication: "{ none: {} }".into(), headers: vec![HeaderMap::new()] },
        Way {
            name: "basic",
            authentication: "{ basicAuth: { usersFile: users } }".into(),
            headers: vec![header("authorization", &basic)],
        },
        Way {
            name: "key",
            authentication: "{ accessKey: { keysFile: keys } }".into(),
            headers: (0..100).map(|number| header("x-api-key", &key(number))).collect(),
        },
        Way { name: "jwt", authentication: jwt.into(), headers: vec![token(0)] },
        Way { name: "jwt-uncached", authentication: jwt.into(), headers: (0..TOKENS).map(token).collect() },
        Way { name: "oauth2", authentication: oauth2, headers: Vec::new() },
    ]
}

fn write_files(folder: &Path, ways: &[Way], issuer: &Issuer, model: &Toy) {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("a file");
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, PASSWORD.as_bytes());
    write("users", &format!("ann:{{SHA}}{}\n", BASE64_STANDARD.encode(digest)));
    let keys: Vec<String> = (0..100).map(|n| format!("client-{n}:{}", key(n))).collect();
    write("keys", &keys.join("\n"));
    write("jwks.json", &issuer.jwks());
    write("secret", "a secret of the provider\n");
    for Way { name, authentication, .. } in ways {
        let head = format!("apiVersion: serin/v1\nname: {name}\npath: /{name}\n");
        let upstreams = format!("upstreams: {{ v1: {} }}\n", model.url());
        write(&format!("{name}.yaml"), &format!("{head}{upstreams}authentication: {authentication}\n"));
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let named = std::env::var_os("SERIN_ENVOY").map(PathBuf::from);
    let binary = EnvoyArgs { envoy: named }.find().envoy().await.expect("an Envoy");
    let model = Toy::start(ToyOptions::default()).await.expect("a toy");
    let issuer = Issuer::new();
    let (provider, _serving) = provider().await;
    let mut ways = ways(&issuer, provider);
    let folder = tempfile::tempdir().expect("a folder");
    write_files(folder.path(), &ways, &issuer, &model);
    let port = free_port();
    let app = App::start(settings(folder.path(), port), Options::default()).await.expect("a control plane");
    app.ready().await;
    let control_plane = Endpoint { host: "127.0.0.1".into(), port: app.xds.port() };
    let bootstrap = Bootstrap { control_plane, ..Bootstrap::default() }.to_string();
    let options = EnvoyOptions { concurrency: Some(1), ..EnvoyOptions::default() };
    let mut envoy = Envoy::start(&binary, &bootstrap, &options).await.expect("Envoy");
    envoy.ready(WAIT).await.expect("Envoy is ready");
    let clients: Vec<reqwest::Client> = (0..CONNECTIONS).map(|_| reqwest::Client::new()).collect();
    for way in &mut ways {
        if way.headers.is_empty() {
            way.headers.push(login(&format!("http://127.0.0.1:{port}/{}", way.name)).await);
        }
        // Until the routes are there; the connections are open then, and what can be remembered is.
        let deadline = Instant::now() + WAIT;
        let url = format!("http://127.0.0.1:{port}/{}", way.name);
        while clients[0]
            .get(&url)
            .headers(way.headers[0].clone())
            .send()
            .await
            .map_or(0, |a| a.status().as_u16())
            != 200
        {
            assert!(Instant::now() < deadline, "{url} does not let us in");
        }
        load(&clients, &url, &way.headers, REQUESTS / 4).await;
    }
    // Microseconds of each way in each round.
    let mut spent = vec![Vec::new(); ways.len()];
    for round in 0..ROUNDS {
        for turn in 0..ways.len() {
            let index = (turn + round) % ways.len();
            let url = format!("http://127.0.0.1:{port}/{}", ways[index].name);
            let before = cpu(envoy.pid());
            load(&clients, &url, &ways[index].headers, REQUESTS).await;
            #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
            let each = cpu(envoy.pid()).saturating_sub(before).as_secs_f64() * 1e6 / REQUESTS as f64;
            spent[index].push(each);
        }
    }
    println!(
        "CPU time of Envoy per request, microseconds, {ROUNDS} rounds of {REQUESTS} requests each, median (min - max)\n"
    );
    println!("| authentication | time | ratio to open, of the same round |");
    println!("|---|---|---|");
    for (way, times) in ways.iter().zip(&spent) {
        let ratios = times.iter().zip(&spent[0]).map(|(own, open)| own / open).collect();
        println!("| {} | {} | {} |", way.name, spread(times.clone(), 1), spread(ratios, 2));
    }
    envoy.stop().await.expect("Envoy ends");
    app.stop().await;
}

/// Asks so many times, as fast as answers come; each has to be 200.
async fn load(clients: &[reqwest::Client], url: &str, headers: &[HeaderMap], requests: usize) {
    let next = Arc::new(AtomicUsize::new(0));
    let headers: Arc<[HeaderMap]> = headers.into();
    let mut connections = JoinSet::new();
    for client in clients {
        let (client, url, headers, next) =
            (client.clone(), url.to_owned(), Arc::clone(&headers), Arc::clone(&next));
        connections.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= requests {
                    return;
                }
                let request = client.get(&url).headers(headers[number % headers.len()].clone());
                let answer = request.send().await.expect("an answer");
                assert_eq!(answer.status(), 200, "{url}");
                answer.bytes().await.expect("the whole answer");
            }
        });
    }
    connections.join_all().await;
}

/// A provider of logins that lets everybody in.
async fn provider() -> (SocketAddr, JoinSet<()>) {
    let authorize = async |Query(query): Query<BTreeMap<String, String>>| {
        let mut back = url::Url::parse(&query["redirect_uri"]).expect("a URL");
        back.query_pairs_mut().append_pair("code", "1").append_pair("state", &query["state"]);
        Redirect::to(back.as_str())
    };
    let token = async || Json(json!({ "access_token": "1", "token_type": "bearer", "expires_in": 3600 }));
    let router = Router::new().route("/authorize", get(authorize)).route("/token", post(token));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, router).await.expect("a server") });
    (address, serving)
}

/// What a browser sends after a login: all cookies that it was given on the way.
async fn login(url: &str) -> HeaderMap {
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let deadline = Instant::now() + WAIT;
    let (mut cookies, mut at) = (BTreeMap::<String, String>::new(), url.to_owned());
    loop {
        assert!(Instant::now() < deadline, "no login at {at}");
        let sent: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let sent = header("cookie", &sent.join("; "));
        let request = client.get(&at).header("accept", "text/html").headers(sent.clone());
        let answer = request.send().await.expect("an answer");
        for set in answer.headers().get_all("set-cookie") {
            let pair = set.to_str().expect("text").split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').expect("a cookie");
            cookies.insert(name.to_owned(), value.to_owned());
        }
        match answer.headers().get("location") {
            Some(to) => {
                let here = url::Url::parse(&at).expect("a URL");
                at = here.join(to.to_str().expect("text")).expect("a URL").into();
            }
            None if answer.status() == 200 => return sent,
            // The routes are not there yet.
            None => at = url.to_owned(),
        }
    }
}

/// What all threads of a process have run: the first number of their `schedstat`, in nanoseconds.
fn cpu(process: i32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("a process");
    let of = |path: PathBuf| -> u64 {
        let text = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0)
    };
    Duration::from_nanos(tasks.map(|task| of(task.expect("a thread").path())).sum())
}

fn spread(mut values: Vec<f64>, decimals: usize) -> String {
    values.sort_by(f64::total_cmp);
    let (least, middle, most) = (values[0], values[values.len() / 2], values[values.len() - 1]);
    format!("{middle:.decimals$} ({least:.decimals$} - {most:.decimals$})")
}

/// Signs tokens with ES256 (RFC 7518 section 3.4).
struct Issuer {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Issuer {
    fn new() -> Self {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).expect("a key");
        Self { pair, random }
    }

    fn jwks(&self) -> String {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "1", "x": x, "y": y }] })
            .to_string()
    }

    fn token(&self, number: usize) -> String {
        let exp = clock::now().0 / 1000 + 3600;
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let head = part(&json!({ "alg": "ES256", "typ": "JWT", "kid": "1" }));
        let claims = json!({ "iss": "https://idp.test", "sub": format!("user-{number}"), "exp": exp });
        let unsigned = format!("{head}.{}", part(&claims));
        let signature = self.pair.sign(&self.random, unsigned.as_bytes()).expect("a signature");
        format!("{unsigned}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

fn key(number: usize) -> String {
    format!("k-{number:03}-0123456789abcdef0123456789abcdef")
}

fn bearer(token: &str) -> HeaderMap {
    header("authorization", &format!("Bearer {token}"))
}

fn header(name: &'static str, value: &str) -> HeaderMap {
    [(http::HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))]
        .into_iter()
        .collect()
}

fn settings(folder: &Path, port: u16) -> Settings {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = Listener { address: Ipv4Addr::LOCALHOST.into(), port, tls: None };
    let listeners = [(ListenerName::new("default").expect("a name"), listener)].into();
    Settings { gateways: folder.into(), xds: any, http: any, listeners, ..Settings::default() }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}
