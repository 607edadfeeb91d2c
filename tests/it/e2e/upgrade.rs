//! Replicas are added, taken away and replaced one after the other under load, also when a newer one has changed the tables.

use super::replicas::{Replicas, Road, assert_whole, envoys, load, release_in, steps_of};
use super::stage::toy;

#[tokio::test(flavor = "multi_thread")]
async fn replicas_come_and_go_under_load_and_older_ones_use_a_newer_database() {
    serin::client::choose_provider();
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let steps = steps_of(1.0);
    let mut replicas = Replicas::start(2, &release_in(&v1, &v2, &steps, 1)).await;
    replicas.leader(&[0, 1]).await;
    let mut roads = Vec::new();
    for i in 0..2 {
        roads.push(Road::to(replicas.xds(i)).await);
    }
    let envoys = envoys(&roads).await;
    let load = load(replicas.port);
    let more = async |replicas: &Replicas| {
        let decided = replicas.decisions().len();
        replicas.decides(decided + 1).await;
    };
    more(&replicas).await;
    // What a newer Serin does at its start: a migration that adds something.
    replicas.server.ask(
        "ALTER TABLE serin.rollout ADD COLUMN note TEXT; UPDATE serin.schema_version SET version = version + 1",
    );
    more(&replicas).await;
    let third = replicas.add().await;
    more(&replicas).await;
    // Each in its turn, the leader among them. Evidence is that of the leader's Envoys.
    let all_to = |replicas: &Replicas, i: usize| roads.iter().for_each(|road| road.lead(replicas.xds(i)));
    for (i, road) in roads.iter().enumerate() {
        road.lead(replicas.xds(third));
        replicas.stop(i).await;
        let leader = replicas.leader(&[1 - i, third]).await;
        all_to(&replicas, leader);
        more(&replicas).await;
        replicas.up(i).await;
        more(&replicas).await;
    }
    all_to(&replicas, 0);
    replicas.stop(third).await;
    let leader = replicas.leader(&[0, 1]).await;
    all_to(&replicas, leader);
    more(&replicas).await;
    assert_whole(&replicas.decisions(), &steps);
    let report = load.stop().await;
    println!("{} decisions, {} requests", replicas.decisions().len(), report.requests());
    assert_eq!((report.failed(), report.all.errors()), (0, 0), "{:?}", report.failures);
    for envoy in envoys {
        envoy.stop().await.unwrap();
    }
}
