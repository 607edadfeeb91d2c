//! What `serin validate` lets pass of expressions, a real Envoy with our bootstrap takes.

use crate::real::validate;
use serde_json::{Value, json};
use serin::config::{Content, Context, Document, load};
use serin::launch::Bootstrap;
use serin::model::{Routing, Settings};
use std::collections::BTreeMap;

/// So many expressions are made up; about a third is good.
const EXPRESSIONS: usize = 6000;

/// A generator of expressions, the same in each run.
struct Made(u64);

impl Made {
    fn below(&mut self, count: u64) -> u64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % count
    }

    fn one_of(&mut self, parts: &[&str]) -> String {
        let count = u64::try_from(parts.len()).unwrap();
        parts[usize::try_from(self.below(count)).unwrap()].to_owned()
    }

    fn expression(&mut self, depth: u32) -> String {
        let parts = 1 + self.below(4);
        let text: String = (0..parts).map(|_| self.part(depth)).collect();
        if self.below(5) == 0 { format!("{text}|{}", self.part(depth)) } else { text }
    }

    fn part(&mut self, depth: u32) -> String {
        let atom = match self.below(if depth == 0 { 7 } else { 10 }) {
            0 | 1 => self.one_of(&["a", "qa-", "tenant", "0", "%", "/v1/", "-", "_", "é", "中", "x{2}"]),
            2 => self.one_of(&[
                ".", r"\.", r"\d", r"\w", r"\s", r"\D", r"\W", r"\S", r"\b", "^", "$", r"\x41", r"\pL",
            ]),
            3 => self.one_of(&[
                "[a-z0-9-]",
                "[^a]",
                "[A-Za-z_]",
                "[[:alpha:]]",
                "[^-]",
                r"[\d.]",
                r"[\w-]",
                "[é-ü]",
                r"[^\s]",
            ]),
            4 => self.one_of(&[
                r"\p{Greek}",
                r"\PN",
                r"\p{Lu}",
                r"[\p{Han}a]",
                r"[^\pL]",
                r"\p{Letter}",
                "(?i)k",
                "(?s).",
                "(?U)a+",
            ]),
            5 => self.one_of(&[
                "[a-z0-9.-]{1,63}",
                ".{100}",
                r"\d{1,3}",
                "(ab|cd|ef)",
                "(?:eu|us)-",
                "(?P<n>x)",
                "[a&&b]",
                "(?=a)",
            ]),
            6 => self.one_of(&["A", "b", "c", "=", ":", ",", "~", " ", "@", "#", "!", "<", ">"]),
            _ => format!("({})", self.expression(depth - 1)),
        };
        let quantifier = match self.below(9) {
            0 => "*".to_owned(),
            1 => "+".to_owned(),
            2 => "?".to_owned(),
            3 => format!("{{{}}}", self.below(40)),
            4 => format!("{{{},{}}}", self.below(4), 4 + self.below(60)),
            5 if self.below(4) == 0 => format!("{{{},}}", self.below(1100)),
            _ => String::new(),
        };
        atom + &quantifier
    }
}

fn is_valid(expression: &str) -> bool {
    let text = format!(
        "apiVersion: serin/v1\nname: g\nupstreams: {{ v1: http://a, v2: http://b }}\ntraffic: {{ v1: 100, v2: 0 }}\n\
         match: [{{ headers: {{ x-a: {{ regex: {} }} }}, upstream: v2 }}]\n",
        json!(expression)
    );
    let document = Document { path: "g.yaml".into(), content: Content::Text(text.into_bytes().into()) };
    let settings = Settings::default();
    let context = Context {
        listeners: &settings.listeners,
        attached: &BTreeMap::new(),
        routing: Routing::Plain,
        prometheus: None,
    };
    load(&document, &context).gateway.is_some()
}

/// An Envoy with one route for each expression, and the runtime of our bootstrap without what comes from a server.
fn routes(expressions: &[String]) -> String {
    let bootstrap: Value = serde_yaml::from_str(&Bootstrap::default().to_string()).unwrap();
    let layers = bootstrap["layered_runtime"]["layers"].as_array().unwrap();
    let layers: Vec<&Value> = layers.iter().filter(|layer| layer.get("static_layer").is_some()).collect();
    let route = |expression: &String| {
        json!({
            "match": { "prefix": "/", "headers": [{ "name": "x-a", "string_match": { "safe_regex": { "regex": expression } } }] },
            "direct_response": { "status": 200 }
        })
    };
    let routes: Vec<Value> = expressions.iter().map(route).collect();
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "a",
        "http_filters": [{ "name": "router", "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } }],
        "route_config": { "virtual_hosts": [{ "name": "a", "domains": ["*"], "routes": routes }] }
    });
    let listener = json!({
        "name": "a",
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } },
        "filter_chains": [{ "filters": [{ "name": "manager", "typed_config": manager }] }]
    });
    json!({ "layered_runtime": { "layers": layers }, "static_resources": { "listeners": [listener] } })
        .to_string()
}

#[tokio::test]
async fn envoy_takes_each_expression_that_validate_lets_pass() {
    let mut made = Made(0x5eed_0f5e_9111);
    let all: Vec<String> = (0..EXPRESSIONS).map(|_| made.expression(2)).collect();
    let mut good: Vec<String> = all.into_iter().filter(|expression| is_valid(expression)).collect();
    println!("{} of {EXPRESSIONS} expressions are valid", good.len());
    assert!(good.len() > EXPRESSIONS / 4, "too few are valid to say anything");
    good.extend(
        ["[a-z0-9-]{1,63}", "[a-z]{15}-[0-9]{10}", ".{1000}", "(.{1,30}){1,30}", "[^a]{1000}"]
            .map(str::to_owned),
    );
    assert!(good.iter().all(|expression| is_valid(expression)));
    validate(&routes(&good)).await;
}
