//! The API is as its description says: schemathesis asks everything that the description allows, and much that it does not.

use super::doors::{ANN, House};
use crate::e2e::python::Python;
use crate::protocol::client::gateway;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// <https://schemathesis.readthedocs.io>
static SCHEMATHESIS: Python = Python::with(
    "schemathesis==4.32.5\nanyio==4.16.0\ncertifi==2026.10.18\ncharset-normalizer==3.5.2\nclick==8.5.1\ngraphql-core==3.3.2\nharfile==0.6.0\nhypothesis==6.170.15\nhypothesis-graphql==0.13.5\nidna==3.20\niniconfig==2.3.1\njsonschema-rs==0.60.3\nmarkdown-it-py==4.3.0\nmarkupsafe==3.0.4\nmdurl==0.1.2\npackaging==26.3\npluggy==1.7.0\npygments==2.21.0\npyrate-limiter==4.5.1\npytest==9.2.0\npyyaml==6.0.3\nrequests==2.34.2\nrich==15.0.0\nsortedcontainers==2.4.0\ntyping-extensions==4.16.0\nurllib3==2.8.0\nwerkzeug==3.1.9",
);

/// What it looks at in every answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,unsupported_method,negative_data_rejection,ignored_auth";

/// Far more than it takes; asking ends by itself.
const PATIENCE: Duration = Duration::from_mins(2);

#[tokio::test]
async fn the_api_is_as_it_is_described() {
    let release = gateway("r", 95)
        .replace("traffic: { v1: 95, v2: 5 }", "rollout: { primary: v1, canary: v2, steps: [5, 100] }");
    let broken = "apiVersion: serin/v1\nname: bad\n".to_owned();
    let house = House::new(&[
        ("a", gateway("a", 95)),
        ("fraud", gateway("fraud", 5)),
        ("r", release),
        ("bad", broken),
    ])
    .await;
    let url = format!("http://{}/api/v1", house.app.http);
    let cassettes = tempfile::tempdir().unwrap();
    let mut command = SCHEMATHESIS.command().await;
    command.args(["-m", "schemathesis.cli", "run", &format!("{url}/openapi.json"), "--url", &url]);
    command.args(["-H", &format!("Authorization: Bearer {ANN}"), "--checks", CHECKS, "--no-color"]);
    command.args(["--phases", "examples,coverage,fuzzing", "-n", "10", "--seed", "1", "--max-time", "30"]);
    // A stream has no end to wait for; the tests of the pages read it.
    command.args(["--exclude-path", "/watch"]);
    let asked = tokio::time::timeout(PATIENCE, command.current_dir(cassettes.path()).output());
    let run = asked.await.expect("schemathesis ends").unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}\n{}", String::from_utf8_lossy(&run.stderr));
    let files = std::fs::read_dir(house.folder.path()).unwrap().map(|e| e.unwrap().file_name());
    assert!(files.into_iter().all(|f| !f.to_string_lossy().starts_with(".serin-")), "nothing is left beside");
    house.app.stop().await;
}

/// A page that is not described would not be asked.
#[tokio::test]
async fn all_pages_are_described() {
    let house = House::new(&[]).await;
    let answer = house.ask(Method::GET, "openapi.json").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let described: Value = answer.json().await.unwrap();
    let described: BTreeSet<&str> =
        described["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let code = include_str!("../../../src/admin/api.rs");
    let api = code.split("Router::new()\n        .nest(").next().unwrap();
    let routes = api.split(".route(\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    assert_eq!(routes.collect::<BTreeSet<_>>(), described);
    house.app.stop().await;
}
