//! Which of two files serves a host and path is the same after a restart, whatever the names of the files.

use super::stage::{Stage, envoy_on, free_port, settings, toy};
use crate::real::DEADLINE;
use serin::app::{App, Options};
use serin::model::StoreAt;
use std::net::SocketAddr;
use std::path::Path;

#[tokio::test]
async fn restart_keeps_a_gateway_with_authentication_whatever_is_left_of_the_store() {
    let (claims, trial) = (toy("claims").await, toy("trial").await);
    let folder = tempfile::tempdir().unwrap();
    let gateway = |name: &str, keys: &str, address: SocketAddr| {
        format!(
            "apiVersion: serin/v1\nname: {name}\nhost: claims.test\n{keys}upstreams: {{ v1: \"http://{address}\" }}\n"
        )
    };
    let keys = "authentication: { accessKey: { keysFile: claims.keys } }\n";
    std::fs::write(folder.path().join("claims.keys"), "team:3b9d1f7c5a8e4d2f9c6b7a1e0d4f8c2b\n").unwrap();
    std::fs::write(folder.path().join("z-claims.yaml"), gateway("claims", keys, claims.address())).unwrap();
    let port = free_port();
    let mut settings = settings(folder.path(), port, None);
    settings.xds = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let store = folder.path().join("serin.db");
    settings.store = Some(StoreAt::Sqlite(store.clone()));
    let start = async || {
        let app = App::start(settings.clone(), Options::default()).await.unwrap();
        app.ready().await;
        app
    };

    let app = start().await;
    let mut envoy = envoy_on(app.xds, "edge").await;
    envoy.ready(DEADLINE).await.unwrap();
    let mut stage = Stage { folder, app, port };
    stage.replace("a-trial.yaml", &gateway("trial", "", trial.address()));
    refuses_strangers(&stage).await;

    for is_kept in [true, false] {
        let Stage { folder, app, .. } = stage;
        app.stop().await;
        if !is_kept {
            remove(&store);
        }
        stage = Stage { folder, app: start().await, port };
        stage.taken().await;
        refuses_strangers(&stage).await;
        let headers = [("host", "claims.test"), ("x-api-key", "3b9d1f7c5a8e4d2f9c6b7a1e0d4f8c2b")];
        assert_eq!(stage.ask("/", &headers).await, (200, "claims".to_owned()));
    }
    assert_eq!(trial.requests(), 0, "the open gateway was never reached");
    stage.end([envoy]).await;
}

async fn refuses_strangers(stage: &Stage) {
    stage.sees("the open gateway is in error", "trial", |g| g.is_some_and(|g| g["phase"] == "Invalid")).await;
    stage.taken().await;
    assert_eq!(stage.ask("/", &[("host", "claims.test")]).await.0, 401);
}

fn remove(store: &Path) {
    for end in ["", "-wal", "-shm"] {
        let file = format!("{}{end}", store.display());
        std::fs::remove_file(&file).or_else(|e| if end.is_empty() { Err(e) } else { Ok(()) }).unwrap();
    }
}
