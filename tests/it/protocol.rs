//! Discovery over real sockets: every service, many clients, restarts, refusals and bad manners.

pub(crate) mod client;
mod conformance;
mod soak;

use client::*;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use serin::admin::grpc::v1;
use serin::control::Phase;
use serin::resource::Kind;
use serin::rollout;
use tonic::Code;

#[tokio::test]
async fn every_service_answers_in_both_protocols() {
    let folder = folder(&[("a", gateway("a", 95))]);
    let app = start(folder.path()).await;
    let channel = connect(&app).await;
    for (kind, service) in SINGLE {
        let names: &[&str] = match kind {
            Kind::Endpoint => &["a/v1", "a/v2"],
            Kind::Route => &["default"],
            Kind::Runtime => &["serin"],
            Kind::Secret => &["no-such-secret"],
            Kind::Cluster | Kind::Listener | Kind::ScopedRoute => &[],
        };
        let count = match kind {
            Kind::Cluster | Kind::Endpoint => 2,
            Kind::Runtime | Kind::Listener | Kind::Route => 1,
            Kind::Secret | Kind::ScopedRoute => 0,
        };
        let mut stream = delta(&channel, service, subscribe(kind, names)).await;
        assert_eq!(stream.hear_and_take(kind).await.len(), count, "{kind}");
        if kind != Kind::Secret {
            let mut stream = sotw(&channel, service, ask(kind, names)).await;
            assert_eq!(stream.hear().await.resources.len(), count, "{kind}");
        }
        let other = if kind == Kind::Route { Kind::Cluster } else { Kind::Route };
        let stream = delta(&channel, service, subscribe(other, &[])).await;
        assert_eq!(stream.end().await.code(), Code::InvalidArgument, "{kind}");
    }
    stop(app).await;
}

#[tokio::test]
async fn a_change_of_weights_is_one_small_response_in_both_protocols() {
    let folder = folder(&[("a", gateway("a", 95)), ("b", gateway("b", 95))]);
    let app = start(folder.path()).await;
    let channel = connect(&app).await;
    let mut delta = delta(&channel, ADS, subscribe(Kind::Cluster, &[])).await;
    delta.hear_and_take(Kind::Cluster).await;
    delta.say(subscribe(Kind::Route, &["default"])).await;
    let before = delta.hear_and_take(Kind::Route).await;
    let mut sotw = sotw(&channel, ADS, ask(Kind::Cluster, &[])).await;
    let clusters = sotw.hear().await;
    sotw.take(&clusters, &[], Kind::Cluster).await;
    sotw.say(ask(Kind::Route, &["default"])).await;
    let routes = sotw.hear().await;
    sotw.take(&routes, &["default"], Kind::Route).await;

    write(folder.path(), "a.yaml", &gateway("a", 75));
    let after = delta.hear_and_take(Kind::Route).await;
    assert!(after.len() == 1 && after != before);
    let heard = sotw.hear().await;
    assert_eq!((heard.type_url.as_str(), heard.resources.len()), (Kind::Route.type_url(), 1));
    assert_ne!(heard.version_info, routes.version_info);
    stop(app).await;
}

#[tokio::test]
async fn versions_outlive_a_restart_and_who_comes_back_is_sent_nothing() {
    let folder = folder(&[("a", gateway("a", 95)), ("b", gateway("b", 95))]);
    let app = start(folder.path()).await;
    let mut stream = delta(&connect(&app).await, ADS, subscribe(Kind::Cluster, &[])).await;
    let clusters = stream.hear_and_take(Kind::Cluster).await;
    let bytes = app.registry.bytes.load(std::sync::atomic::Ordering::Relaxed);
    assert!(bytes > 0);
    stop(app).await;
    assert_eq!(stream.end().await.code(), Code::Ok, "a stop ends streams properly");

    let app = start(folder.path()).await;
    let first = DeltaDiscoveryRequest {
        initial_resource_versions: clusters.into_iter().collect(),
        ..subscribe(Kind::Cluster, &[])
    };
    let mut stream = delta(&connect(&app).await, ADS, first).await;
    stream.say(subscribe(Kind::Secret, &["no-such-secret"])).await;
    let heard = stream.hear().await;
    assert_eq!(heard.removed_resources, ["no-such-secret"], "the first response is not about clusters");
    assert_eq!(app.registry.responses.load(std::sync::atomic::Ordering::Relaxed), 1);
    stop(app).await;
}

#[tokio::test]
async fn a_hundred_streams_see_a_change_although_others_do_not_read() {
    let many: Vec<_> = (0..300).map(|i| (format!("g{i}"), gateway(&format!("g{i}"), 95))).collect();
    let many: Vec<_> = many.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    let folder = folder(&many);
    let app = start(folder.path()).await;
    let (wide, narrow) = (connect(&app).await, connect_narrow(&app).await);
    let routes = || subscribe(Kind::Route, &["default"]);
    let mut deaf = delta(&narrow, ADS, routes()).await;
    let mut streams = Vec::new();
    for _ in 0..100 {
        let mut stream = delta(&wide, ADS, routes()).await;
        stream.hear_and_take(Kind::Route).await;
        streams.push(stream);
    }
    for weight in [90, 80, 70] {
        write(folder.path(), "g7.yaml", &gateway("g7", weight));
        for stream in &mut streams {
            assert_eq!(stream.hear_and_take(Kind::Route).await.len(), 1);
        }
    }
    let newest = app.view.load().fleet.everyone.get(Kind::Route, "default").unwrap().version().to_string();
    let mut heard = 0;
    while deaf.hear_and_take(Kind::Route).await.get("default") != Some(&newest) {
        heard += 1;
        assert!(heard < 3, "states are skipped, not queued");
    }
    stop(app).await;
}

#[tokio::test]
async fn envoys_get_what_is_meant_for_their_cluster() {
    let edge = gateway("e", 95).replace("path:", "proxies: [edge]\npath:");
    let folder = folder(&[("a", gateway("a", 95)), ("e", edge)]);
    let app = start(folder.path()).await;
    let channel = connect(&app).await;
    for (cluster, count) in [("edge", 4), ("core", 2)] {
        let first = DeltaDiscoveryRequest { node: Some(node("n", cluster)), ..subscribe(Kind::Cluster, &[]) };
        let mut stream = delta(&channel, ADS, first).await;
        assert_eq!(stream.hear_and_take(Kind::Cluster).await.len(), count, "{cluster}");
    }
    stop(app).await;
}

/// An Envoy that refuses any route configuration with a marker in it, and takes everything else.
async fn refuse_the_marker(mut stream: DeltaStream) {
    loop {
        let heard = stream.hear().await;
        let mut values = heard.resources.iter().filter_map(|r| r.resource.as_ref());
        let bad = values.any(|any| any.value.windows(6).any(|w| w == b"poison"));
        stream.answer(&heard, bad.then_some("no poison")).await;
    }
}

#[tokio::test]
async fn a_gateway_that_envoy_refuses_is_found_among_many_and_the_others_go_on() {
    let many: Vec<_> = (0..20).map(|i| (format!("g{i}"), gateway(&format!("g{i}"), 95))).collect();
    let many: Vec<_> = many.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    let folder = folder(&many);
    let bad = gateway("g7", 95).replace("/g7", "/poison");
    write(folder.path(), "g7.yaml", &bad);
    let app = start(folder.path()).await;
    let stream = delta(&connect(&app).await, ADS, subscribe(Kind::Cluster, &[])).await;
    stream.say(subscribe(Kind::Route, &["default"])).await;
    let checks = async {
        shown(&app, "g7", |g| g.phase == Phase::Invalid && !g.serving).await;
        let code = app.view.load().gateways["g7"].diagnostics[0].code;
        assert_eq!(code.as_str(), "E001");
        for i in (0..20).filter(|i| *i != 7) {
            shown(&app, &format!("g{i}"), |g| g.serving && g.phase == Phase::Of(rollout::Phase::Stable))
                .await;
        }
        // Others' later changes go on, and so does the repaired one.
        write(folder.path(), "g3.yaml", &gateway("g3", 50));
        let at_envoy = |version: String| {
            let registry = &app.registry;
            move || {
                let proxies = registry.proxies();
                let taken = proxies[0].kinds.get(&Kind::Route).and_then(|s| s.acknowledged);
                taken.is_some_and(|v| v.to_string() == version)
            }
        };
        let halves = |g: &serin::control::GatewayView| {
            g.gateway.as_ref().is_some_and(|g| g.upstreams[0].weight.hundredths() == 5000)
        };
        shown(&app, "g3", halves).await;
        let version = app.view.load().fleet.everyone.set(Kind::Route).version().to_string();
        crate::real::eventually("Envoy takes the change", at_envoy(version)).await;
        write(folder.path(), "g7.yaml", &gateway("g7", 95));
        shown(&app, "g7", |g| g.serving && g.phase == Phase::Of(rollout::Phase::Stable)).await;
    };
    tokio::select! {
        () = checks => {}
        () = refuse_the_marker(stream) => unreachable!("it goes on"),
    }
    stop(app).await;
}

#[tokio::test]
async fn bad_manners_end_the_stream_with_a_reason() {
    let folder = folder(&[("a", gateway("a", 95))]);
    let app = start(folder.path()).await;
    let channel = connect(&app).await;
    let long = "x".repeat(17 << 20);
    let stream = delta(&channel, ADS, subscribe(Kind::Route, &[&long])).await;
    assert_eq!(stream.end().await.code(), Code::OutOfRange);
    let many: Vec<String> = (0..=serin::xds::MAX_NAMES).map(|n| n.to_string()).collect();
    let request = DeltaDiscoveryRequest { resource_names_subscribe: many, ..subscribe(Kind::Route, &[]) };
    assert_eq!(delta(&channel, ADS, request).await.end().await.code(), Code::InvalidArgument);
    let garbage = tokio_stream::iter([NotARequest { number: 8 }]);
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let path = format!("/{}", ADS.replace("{}", "Delta")).try_into().unwrap();
    let codec = tonic_prost::ProstCodec::<NotARequest, DeltaDiscoveryRequest>::default();
    let status = match grpc.streaming(tonic::Request::new(garbage), path, codec).await {
        Err(status) => status,
        Ok(mut response) => soon("an end", response.get_mut().message()).await.unwrap_err(),
    };
    assert_eq!(status.code(), Code::InvalidArgument);
    stop(app).await;
}

/// Its first field is a number where a request has a node.
#[derive(Clone, PartialEq, prost::Message)]
struct NotARequest {
    #[prost(uint32, tag = "1")]
    number: u32,
}

#[tokio::test]
async fn health_reflection_and_state_are_served_beside() {
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    };
    let folder = folder(&[("a", gateway("a", 95))]);
    let app = start(folder.path()).await;
    let channel = connect(&app).await;

    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    let answer = health.check(tonic_health::pb::HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);

    let request = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let mut reflection = ServerReflectionClient::new(channel.clone());
    let answers = reflection.server_reflection_info(tokio_stream::iter([request])).await.unwrap();
    let answer = soon("an answer", answers.into_inner().message()).await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else { panic!("a list") };
    assert!(list.service.iter().any(|s| s.name == "serin.v1.State"));

    let mut state = v1::state_client::StateClient::new(channel);
    let list = state.list_gateways(v1::ListGatewaysRequest {}).await.unwrap().into_inner().gateways;
    assert_eq!((list.len(), list[0].name.as_str(), list[0].upstreams[0].weight), (1, "a", 9500));
    let missing = state.get_gateway(v1::GetGatewayRequest { name: "b".into() }).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);

    let request = v1::WatchEventsRequest { gateway: "b".into() };
    let mut events = state.watch_events(request).await.unwrap().into_inner();
    write(folder.path(), "a.yaml", &gateway("a", 50));
    write(folder.path(), "b.yaml", &gateway("b", 50));
    let event = soon("an event", events.message()).await.unwrap().unwrap();
    assert_eq!((event.gateway.as_str(), event.kind.as_str()), ("b", "loaded"));
    let one = state.get_gateway(v1::GetGatewayRequest { name: "b".into() }).await.unwrap().into_inner();
    assert_eq!((one.phase.as_str(), one.file.as_str()), ("Stable", "b.yaml"));
    stop(app).await;
    assert!(matches!(events.message().await, Ok(None)), "a stop ends this stream too");
}

#[tokio::test]
async fn nothing_is_answered_before_files_are_read() {
    let folder = folder(&[("a", gateway("a", 95))]);
    let app = start_unready(folder.path()).await;
    let mut stream = delta(&connect(&app).await, ADS, subscribe(Kind::Cluster, &[])).await;
    assert_eq!(stream.hear_and_take(Kind::Cluster).await.len(), 2, "never an empty first answer");
    stop(app).await;
}

#[tokio::test]
async fn a_stop_ends_open_streams_properly() {
    let folder = folder(&[("a", gateway("a", 95))]);
    let app = start(folder.path()).await;
    let channel = connect(&app).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = delta(&channel, ADS, subscribe(Kind::Cluster, &[])).await;
        stream.hear_and_take(Kind::Cluster).await;
        streams.push(stream);
    }
    stop(app).await;
    for stream in streams {
        assert_eq!(stream.end().await.code(), Code::Ok);
    }
}
