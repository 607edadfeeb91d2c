//! What is not a request and an answer: gRPC and WebSocket.

use super::stage::{Stage, let_pass};
use crate::real::DEADLINE;
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::wrappers::TcpListenerStream;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const SERVING: i32 = tonic_health::pb::health_check_response::ServingStatus::Serving as i32;
const NOT_SERVING: i32 = tonic_health::pb::health_check_response::ServingStatus::NotServing as i32;

#[tokio::test]
async fn grpc_calls_and_streams_go_through_with_the_clients_deadline() {
    let (health, service) = tonic_health::server::health_reporter();
    health.set_service_status("model", ServingStatus::Serving).await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = tokio::task::JoinSet::new();
    server.spawn(
        tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let gateway = format!(
        "apiVersion: serin/v1\nname: triton\ntimeout: 0s\nupstreams:\n  v1:\n    endpoints: ['{address}']\n    protocol: grpc\n    healthCheck: {{ service: model }}\n"
    );
    let stage = Stage::new(&[("triton.yaml", &gateway)]).await;
    let envoy = stage.envoy().await;
    let channel = tonic::transport::Endpoint::new(stage.url("")).unwrap().connect().await.unwrap();
    let mut client = HealthClient::new(channel);
    let request = || HealthCheckRequest { service: "model".into() };
    assert_eq!(client.check(request()).await.unwrap().into_inner().status, SERVING);

    let mut watched = client.watch(request()).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status, SERVING);
    let_pass(Duration::from_millis(300)).await;
    health.set_service_status("model", ServingStatus::NotServing).await;
    assert_eq!(watched.message().await.unwrap().unwrap().status, NOT_SERVING);
    drop(watched);
    health.set_service_status("model", ServingStatus::Serving).await;

    // A stream without end, and a client that states how long it waits: Envoy ends it.
    let mut request = tonic::Request::new(request());
    request.set_timeout(Duration::from_millis(300));
    let mut limited = client.watch(request).await.unwrap().into_inner();
    let ended = async { while let Ok(Some(_)) = limited.message().await {} };
    assert!(tokio::time::timeout(DEADLINE, ended).await.is_ok());
    stage.end([envoy]).await;
}

/// Agrees to speak WebSocket and then sends back every byte.
async fn websocket_echo(listener: TcpListener) {
    while let Ok((mut socket, _)) = listener.accept().await {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = socket.read_u8().await else { break };
            head.push(byte);
        }
        let agreed = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
        socket.write_all(agreed).await.unwrap();
        let (mut read, mut write) = socket.split();
        // Ends with the client.
        let _ = tokio::io::copy(&mut read, &mut write).await;
    }
}

#[tokio::test]
async fn a_websocket_outlives_the_timeout_of_requests() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let mut server = tokio::task::JoinSet::new();
    server.spawn(websocket_echo(listener));
    let gateway = format!(
        "apiVersion: serin/v1\nname: chat\ntimeout: 500ms\nupstreams: {{ v1: 'http://{address}' }}\n"
    );
    let stage = Stage::new(&[("chat.yaml", &gateway)]).await;
    let envoy = stage.envoy().await;
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, stage.port)).await.unwrap();
    let request = "GET /chat HTTP/1.1\r\nhost: chat.test\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    for message in [b"one", b"two"] {
        // Longer than the timeout of requests.
        let_pass(Duration::from_millis(800)).await;
        socket.write_all(message).await.unwrap();
        let mut back = [0; 3];
        tokio::time::timeout(DEADLINE, socket.read_exact(&mut back)).await.unwrap().unwrap();
        assert_eq!(&back, message);
    }
    drop(socket);
    stage.end([envoy]).await;
}

#[tokio::test]
async fn the_request_id_is_made_at_the_edge() {
    let v1 = super::stage::toy("v1").await;
    let gateway = format!("apiVersion: serin/v1\nname: fraud\nupstreams: {{ v1: {} }}\n", v1.url());
    let stage = Stage::new(&[("fraud.yaml", &gateway)]).await;
    let envoy = stage.envoy().await;
    let forged = [("x-request-id", "forged"), ("x-forwarded-for", "9.9.9.9")];
    let (_, _, body) = stage.fetch("/echo", &forged).await;
    let seen: Value = serde_json::from_str(&body).unwrap();
    let id = seen["headers"]["x-request-id"].as_str().unwrap();
    assert!(id.len() == 36 && id != "forged", "{id}");
    let from: Vec<&str> = seen["headers"]["x-forwarded-for"].as_str().unwrap().split(',').collect();
    assert!(from.len() == 2 && !from[1].contains("9.9.9.9"), "Envoy adds what it saw: {from:?}");
    stage.end([envoy]).await;
}
