//! A long day in a few seconds: many Envoys come and go without a word while gateways are edited, and in the end each
//! holds what is published. `make soak` lets it go on for minutes.

use super::client::*;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use serin::app::App;
use serin::resource::Kind;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::Channel;

const STREAMS: u64 = 200;
const GATEWAYS: u64 = 50;
const KINDS: [Kind; 3] = [Kind::Cluster, Kind::Listener, Kind::Route];
/// What memory may have grown by when all streams are gone; a leak of one response per stream and edit is far more.
const GROWTH: usize = 64 << 20;

/// Name to version, by kind.
type Held = BTreeMap<Kind, BTreeMap<String, String>>;

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Envoys that reconnect with what they hold, until `published` says what they should hold in the end, and they do.
async fn follow(channel: Channel, seed: u64, mut published: watch::Receiver<Option<Held>>) {
    let (mut dice, mut held) = (Dice(seed), Held::new());
    loop {
        let names = |kind| if kind == Kind::Route { &["default"][..] } else { &[] };
        let first = |kind: Kind, held: &Held| {
            let initial_resource_versions =
                held.get(&kind).cloned().unwrap_or_default().into_iter().collect();
            DeltaDiscoveryRequest { initial_resource_versions, ..subscribe(kind, names(kind)) }
        };
        let mut stream = delta(&channel, ADS, first(KINDS[0], &held)).await;
        for kind in &KINDS[1..] {
            stream.say(first(*kind, &held)).await;
        }
        // Some hear a few responses and are gone, some stay.
        for _ in 0..dice.below(40) {
            if published.borrow().as_ref() == Some(&held) {
                return;
            }
            let heard = tokio::select! {
                heard = stream.hear() => heard,
                _ = published.changed() => continue,
                // With nothing to hear it is time to go, at the latest.
                () = tokio::time::sleep(Duration::from_millis(200 + dice.below(800))) => break,
            };
            let kind = Kind::of_type_url(&heard.type_url).unwrap();
            stream.answer(&heard, None).await;
            let mine = held.entry(kind).or_default();
            mine.extend(heard.resources.into_iter().map(|r| (r.name, r.version)));
            mine.retain(|name, _| !heard.removed_resources.contains(name));
        }
    }
}

/// What all Envoys should hold now.
fn there_is(app: &App) -> Held {
    let view = app.view.load();
    let all = |kind| {
        view.fleet.everyone.set(kind).resources().map(|r| (r.name().to_string(), r.version().to_string()))
    };
    KINDS.into_iter().map(|kind| (kind, all(kind).collect())).collect()
}

fn edit(folder: &Path, dice: &mut Dice) {
    let name = format!("g{}", dice.below(GATEWAYS));
    let weight = u32::try_from(dice.below(100)).unwrap();
    write(folder, &format!("{name}.yaml"), &gateway(&name, weight));
}

/// Memory of this process, in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoys_that_come_and_go_end_with_what_is_published() {
    let seconds = std::env::var_os("SOAK_SECONDS").map_or(3, |s| s.to_str().unwrap().parse().unwrap());
    let many: Vec<_> = (0..GATEWAYS).map(|i| (format!("g{i}"), gateway(&format!("g{i}"), 95))).collect();
    let many: Vec<_> = many.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    let folder = folder(&many);
    let app = start(folder.path()).await;
    let (end, published) = watch::channel(None);
    let mut envoys = JoinSet::new();
    for seed in 0..STREAMS {
        envoys.spawn(follow(connect(&app).await, seed, published.clone()));
    }
    let (mut dice, mut before, mut edits) = (Dice(7), 0, 0_u64);
    let until = tokio::time::Instant::now() + Duration::from_secs(seconds);
    while tokio::time::Instant::now() < until {
        edit(folder.path(), &mut dice);
        edits += 1;
        tokio::time::sleep(Duration::from_millis(dice.below(60))).await;
        if edits == 20 {
            before = resident();
        }
    }
    // The last word is one that nobody has heard yet.
    write(folder.path(), "g0.yaml", &gateway("g0", 1).replace("10.0.0.1", "10.9.9.9"));
    shown(&app, "g0", |g| g.gateway.as_ref().is_some_and(|g| g.upstreams[0].weight.hundredths() == 100))
        .await;
    // Clusters of a new endpoint come first, and its routes when they had time to be warm.
    crate::real::eventually("it settles", || {
        end.send_replace(Some(there_is(&app)));
        envoys.try_join_next().is_some()
    })
    .await;
    let others = async {
        loop {
            tokio::select! {
                ended = envoys.join_next() => match ended {
                    Some(ended) => ended.unwrap(),
                    None => return,
                },
                () = tokio::time::sleep(Duration::from_millis(50)) => {
                    end.send_replace(Some(there_is(&app)));
                }
            }
        }
    };
    soon("every Envoy holds what is published", others).await;
    assert_eq!(app.registry.refusals.load(Relaxed), 0);
    crate::real::eventually("no stream is left", || app.registry.stream_count() == 0).await;
    let growth = resident().saturating_sub(before);
    assert!(growth < GROWTH, "{edits} edits, and {growth} bytes more");
    stop(app).await;
}
