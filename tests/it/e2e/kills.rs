//! Leaders are killed at any instant of a release: whatever they were doing, nothing is lost, doubled or raised by it.

use super::replicas::{Replicas, Road, assert_whole, envoys, gateway, load, release_in, steps_of, watched};
use super::rollout::runs;
use super::stage::{let_pass, toy, weight};
use std::time::Duration;
use tokio::time::Instant;

/// Any instant of the next three seconds, in which a release of these steps decides once and keeps evidence each second.
fn instant() -> Duration {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).unwrap();
    Duration::from_millis(u64::from(u16::from_ne_bytes(bytes)) % 3000)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_killed_at_any_instant_loses_doubles_and_raises_nothing() {
    serin::client::choose_provider();
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let steps = steps_of(0.75);
    let mut replicas = Replicas::start(3, &release_in(&v1, &v2, &steps, 3)).await;
    let mut leader = replicas.leader(&[0, 1, 2]).await;
    let mut roads = Vec::new();
    for i in [leader, leader, (leader + 1) % 3] {
        roads.push(Road::to(replicas.xds(i)).await);
    }
    let envoys = envoys(&roads).await;
    let load = load(replicas.port);
    replicas.steps(1).await;
    let (mut took, mut looks) = (Vec::new(), 0);
    for _ in 0..runs(2) {
        let others = [(leader + 1) % 3, (leader + 2) % 3];
        let instant = instant();
        println!("killed {instant:?} after the step or kill before");
        let_pass(instant).await;
        replicas.running[leader].take().unwrap().kill();
        let killed = Instant::now();
        let kept = replicas.decisions().iter().filter_map(|d| d.2).fold(0.0, f64::max);
        roads.iter().for_each(|road| road.lead(replicas.xds(others[0])));
        let next = loop {
            // Until somebody leads nobody decides, and none serves more than what was kept.
            for i in others {
                let shown = gateway(&replicas.get(i).url).await;
                let served = weight(shown.as_ref(), "v2").unwrap_or_default();
                let leads = super::replicas::metric(&replicas.get(i).url, "serin_leader").await == Some(1.0);
                assert!(
                    leads || served <= kept || replicas.decisions().iter().any(|d| d.2 == Some(served)),
                    "killed after {instant:?}: {served} % is served at {i}, and {kept} % was kept"
                );
                looks += 1;
            }
            if let Some(next) = replicas.leads(&others).await {
                break next;
            }
            assert!(killed.elapsed() < crate::real::DEADLINE, "killed after {instant:?}: nobody leads");
            let_pass(Duration::from_millis(20)).await;
        };
        took.push(killed.elapsed());
        looks += watched(&replicas, &others).await;
        roads[..2].iter().for_each(|road| road.lead(replicas.xds(next)));
        replicas.up(leader).await;
        roads[2].lead(replicas.xds(leader));
        let decided = replicas.decisions().len();
        replicas.decides(decided + 1).await;
        leader = next;
        assert_whole(&replicas.decisions(), &steps);
    }
    let report = load.stop().await;
    took.sort();
    println!("until another one led: {took:?}; {looks} looks, {} requests", report.requests());
    assert_eq!((report.failed(), report.all.errors()), (0, 0), "{:?}", report.failures);
    assert_whole(&replicas.decisions(), &steps);
    for envoy in envoys {
        envoy.stop().await.unwrap();
    }
}
