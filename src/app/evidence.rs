//! What Envoys measured at other Serins with the same store, and how predictions agreed there: measurements become rows
//! there, and rows parts here.

use crate::clock::{self, Stopwatch, Timestamp};
use crate::compare::Matches;
use crate::control::{Event, Row, Rows};
use crate::latest::Latest;
use crate::model::{Settings, StoreAt};
use crate::rollout::Agreed;
use crate::store::exchange::{self, Healthy, Inputs, Outputs, Read};
use crate::store::measured::{Batch, Counters, Duty, Found, Mark, Measured, OLDEST, Stage};
use crate::telemetry::{self, Key, Measurement, Part, Parts};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;

/// Batches that wait for a task that is busy with the database: a few seconds of many gateways.
const QUEUE: usize = 256;
/// So long after a weight changed, others may still measure under the one before.
const HEARD: Duration = Duration::from_secs(10);
/// The stage of what was measured under a weight before, whichever it was: revisions count from 1.
const BEFORE: u64 = 0;

/// The ends of the lines to other Serins.
#[derive(Clone, Debug)]
pub(super) struct Elsewhere {
    /// Whether they count, or this one.
    pub(super) duty: Arc<Latest<Duty>>,
    /// What own Envoys see.
    pub(super) healthy: Arc<Latest<Healthy>>,
    /// What theirs see.
    pub(super) sighted: Arc<Latest<Healthy>>,
    rows: mpsc::Sender<Batch>,
    counters: Arc<Counters>,
}

impl Elsewhere {
    /// For whoever counts. Never waits: what is too much is dropped.
    pub(super) fn hand_on(&self, batch: &[Measurement], duty: &Duty) {
        self.send(rows(batch, duty, clock::now()), false);
    }

    /// The same for what was compared, which goes along with what was measured.
    pub(super) fn hand_on_predictions(&self, rows: Vec<Measured>) {
        self.send(rows, true);
    }

    fn send(&self, rows: Vec<Measured>, is_patient: bool) {
        // Their age counts from here, also while the database keeps the next ones waiting.
        if let Err(lost) = self.rows.try_send(Batch { waits: Stopwatch::start(), rows, is_patient }) {
            let lost = lost.into_inner().rows.len() as u64;
            self.counters.dropped.fetch_add(lost, Ordering::Relaxed);
        }
    }
}

/// What others measured, how much that is, and the lines to them with the work on these; `None`: no other Serin has the
/// store.
pub(super) fn start(
    settings: &Settings,
    duty: &Arc<Latest<Duty>>,
    events: &mpsc::Sender<Event>,
) -> (mpsc::Receiver<Parts>, Arc<Counters>, Option<(Elsewhere, impl Future<Output = ()> + Send + use<>)>) {
    let (parts_in, parts) = mpsc::channel(1);
    let counters = Arc::<Counters>::default();
    let lines = lines(settings, duty, &counters, (parts_in, events.clone()));
    (parts, counters, lines)
}

fn lines(
    settings: &Settings,
    duty: &Arc<Latest<Duty>>,
    counters: &Arc<Counters>,
    (parts, events): (mpsc::Sender<Parts>, mpsc::Sender<Event>),
) -> Option<(Elsewhere, impl Future<Output = ()> + Send + use<>)> {
    let Some(StoreAt::Postgres(at)) = &settings.store else { return None };
    let (rows_in, rows) = mpsc::channel(QUEUE);
    let (found_in, found) = mpsc::channel(1);
    let (healthy, sighted) = (Latest::new(Healthy::new()), Latest::new(Healthy::new()));
    let inputs = Inputs { at: at.clone(), duty: duty.subscribe(), rows, healthy: healthy.subscribe() };
    let outputs = Outputs { found: found_in, sighted: Arc::clone(&sighted), counters: Arc::clone(counters) };
    let elsewhere =
        Elsewhere { duty: Arc::clone(duty), healthy, sighted, rows: rows_in, counters: Arc::clone(counters) };
    let duty = Arc::clone(duty);
    let work = async move {
        tokio::select! {
            () = exchange::run(inputs, outputs) => {}
            () = deliver(found, duty, parts, events) => {}
        }
    };
    Some((elsewhere, work))
}

/// Hands what was found to whoever measures, and to the loop, until any of them ends.
async fn deliver(
    mut found: mpsc::Receiver<Read>,
    duty: Arc<Latest<Duty>>,
    parts: mpsc::Sender<Parts>,
    events: mpsc::Sender<Event>,
) {
    while let Some((term, rows)) = found.recv().await {
        let now = clock::now();
        let (agreed, rows) = agreed_of(term, rows, now);
        let read = parts_of(term, rows, &duty.load(), now);
        if parts.send(read).await.is_err() {
            return;
        }
        if !agreed.rows.is_empty() && events.send(Event::Agreed(agreed)).await.is_err() {
            return;
        }
    }
}

/// How predictions agreed elsewhere, as long as that says something of what is served now; and the rows about what was
/// measured.
fn agreed_of(term: u64, found: Vec<Found>, now: Timestamp) -> (Rows, Vec<Found>) {
    let (mut agreed, mut others) = (Rows { term, rows: Vec::new() }, Vec::new());
    for found in found {
        match Matches::read(&found.measured.text) {
            None => others.push(found),
            Some(_) if found.ago > OLDEST => {}
            Some(Matches { compared, matched }) => {
                let Found { mark, ago, measured: Measured { gateway, stage: revision, length, .. } } = found;
                let (from, says) = (now.minus(ago + length), Agreed { revision, compared, matched });
                agreed.rows.push(Row { mark, gateway, from, agreed: says });
            }
        }
    }
    (agreed, others)
}

/// Measurements as rows for the one who counts. What is in them of others stays where it is, and so do they.
fn rows(batch: &[Measurement], duty: &Duty, now: Timestamp) -> Vec<Measured> {
    let own = batch.iter().filter(|m| m.others.keys.is_empty());
    own.filter_map(|m| {
        let Stage { revision, heard, .. } = *duty.stages.get(&m.gateway)?;
        // What began before this weight was known here is of another one. What was heard later than now, was heard before
        // the clock was set back.
        let stage = if m.from < heard && heard <= now { BEFORE } else { revision };
        Some(Measured { gateway: m.gateway.clone(), stage, length: m.to.since(m.from), text: m.text() })
    })
    .collect()
}

/// The rows that a measurement holds.
pub(super) fn marks(others: &telemetry::Others) -> Vec<Mark> {
    others.keys.iter().map(|Key(source, sequence)| Mark { source: *source, sequence: *sequence }).collect()
}

/// Rows as parts of measurements: those that say something of what is served now.
fn parts_of(term: u64, rows: Vec<Found>, duty: &Duty, now: Timestamp) -> Parts {
    let part = |found: Found| {
        let Found { mark: Mark { source, sequence }, ago, measured } = found;
        let stage = duty.stages.get(&measured.gateway).filter(|_| ago <= OLDEST && duty.term == term)?;
        let mut from = now.minus(ago + measured.length);
        if measured.stage != stage.revision {
            // The weights before. For a moment that is as with Envoys that take their time, which is the time before the
            // comparison begins; later it is somebody who was cut off. Before the first weight there is nothing to compare.
            if now.since(stage.began) > HEARD || stage.began <= stage.first {
                return None;
            }
            from = from.min(stage.began);
        }
        // One report about all Envoys begins with the earliest part of it, and would not be counted.
        if from < stage.first {
            return None;
        }
        Part::read(Key(source, sequence), measured.gateway, from, &measured.text)
    };
    Parts { term, parts: rows.into_iter().filter_map(part).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::GatewayName;
    use crate::telemetry::{Others, Outcome};

    fn gateway() -> GatewayName {
        GatewayName::new("fraud").unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp(1_000_000 + seconds * 1000)
    }

    /// A weight that began at second 0, and is not the first.
    fn duty() -> Duty {
        let stage = Stage { revision: 7, began: at(0), first: at(-100), heard: at(1) };
        Duty { counts: true, term: 3, stages: [(gateway(), stage)].into(), ..Duty::default() }
    }

    fn measurement() -> Measurement {
        let mut did = Outcome::default();
        (did.counts.requests, did.counts.errors, did.counts.started) = (20.0, 1.0, Some(21.0));
        did.counts.latency = [(3, 19.0)].into();
        let upstreams =
            ["v1", "v2"].map(|name| (crate::names::UpstreamName::new(name).unwrap(), did.clone()));
        let (from, to, others) = (at(90), at(91), Others::default());
        Measurement { gateway: gateway(), from, to, proxies: 2, upstreams: upstreams.into(), others }
    }

    fn found(stage: u64, ago: Duration) -> Found {
        let [mut measured] = rows(&[measurement()], &duty(), at(91)).try_into().unwrap();
        measured.stage = stage;
        Found { mark: Mark { source: 5, sequence: 9 }, ago, measured }
    }

    #[test]
    fn what_was_measured_arrives_as_it_was_and_by_our_clock() {
        let read = parts_of(3, vec![found(7, Duration::from_millis(300))], &duty(), at(50));
        let [part] = &read.parts[..] else { panic!() };
        assert_eq!((part.key, part.proxies, part.from), (Key(5, 9), 2, Timestamp(at(50).0 - 1300)));
        assert_eq!(part.upstreams, measurement().upstreams);
    }

    #[test]
    fn what_says_nothing_of_what_is_served_now_is_left_out() {
        let count = |term, found: Found, now| parts_of(term, vec![found], &duty(), now).parts.len();
        let now = Duration::ZERO;
        assert_eq!(count(3, found(7, OLDEST), at(100)), 1);
        assert_eq!(count(3, found(7, OLDEST + Duration::from_millis(1)), at(100)), 0, "too old");
        assert_eq!(count(2, found(7, now), at(100)), 0, "it comes again");
        assert_eq!(count(3, found(6, now), at(10)), 1);
        assert_eq!(count(3, found(6, now), at(11)), 0, "somebody still serves the weight before");
        let [part] = &parts_of(3, vec![found(6, now)], &duty(), at(9)).parts[..] else { panic!() };
        assert_eq!(part.from, at(0), "and that is not compared");
        let mut strange = found(7, now);
        strange.measured.text = strange.measured.text.replace("20.0", "-1.0");
        assert_eq!(count(3, strange, at(9)), 0);
        let mut other = found(7, now);
        other.measured.gateway = GatewayName::new("other").unwrap();
        assert_eq!(count(3, other, at(9)), 0);
    }

    #[test]
    fn how_predictions_agreed_is_told_from_what_was_measured() {
        let text = Matches { compared: 9, matched: 8 }.text();
        let compared = |sequence, ago| {
            let found = found(7, ago);
            let measured = Measured { text: text.clone(), ..found.measured };
            Found { mark: Mark { source: 5, sequence }, measured, ago }
        };
        let all = vec![
            compared(1, OLDEST),
            found(7, Duration::ZERO),
            compared(2, OLDEST + Duration::from_millis(1)),
        ];
        let (Rows { term, rows }, others) = agreed_of(3, all, at(200));
        let agreed = Agreed { revision: 7, compared: 9, matched: 8 };
        let mark = Mark { source: 5, sequence: 1 };
        // A minute ago, and what was measured then took a second.
        let row = Row { mark, gateway: gateway(), from: at(139), agreed };
        assert_eq!((term, rows), (3, vec![row]), "one is too old");
        assert_eq!(others, [found(7, Duration::ZERO)]);
        // A Serin that is older passes over it.
        let older = parts_of(3, vec![compared(1, Duration::ZERO)], &duty(), at(91));
        assert_eq!(older.parts, []);
        for strange in ["", "{}", r#"{"compared":1,"matched":2}"#, r#"{"compared":-1,"matched":0}"#] {
            assert_eq!(Matches::read(strange), None, "{strange}");
        }
    }

    #[test]
    fn what_holds_parts_of_others_is_not_handed_on() {
        let mut both = measurement();
        both.others.keys.push(Key(5, 9));
        assert_eq!(rows(&[both, measurement()], &duty(), at(91)).len(), 1);
        assert_eq!(rows(&[measurement()], &Duty::default(), at(91)), [], "nor what nobody wants");
    }

    #[test]
    fn what_began_before_a_weight_was_known_here_is_not_of_it() {
        let stage = |from, now| {
            let measurement = Measurement { from: at(from), to: at(now), ..measurement() };
            rows(&[measurement], &duty(), at(now))[0].stage
        };
        assert_eq!(stage(1, 2), 7);
        // The leader decided at 0, and what was measured from 0 on was still served with the weight before.
        assert_eq!(stage(0, 2), BEFORE);
        assert_eq!(stage(-3601, -3600), 7, "the clock was set back by an hour");
    }

    #[test]
    fn what_began_before_the_first_weight_takes_nothing_else_with_it() {
        let first = Stage { revision: 7, began: at(0), first: at(0), heard: at(0) };
        let duty = Duty { stages: [(gateway(), first)].into(), ..duty() };
        let rows = || vec![found(7, Duration::from_millis(1500)), found(BEFORE, Duration::ZERO)];
        assert_eq!(parts_of(3, rows(), &duty, at(2)).parts, []);
        let [part] = &parts_of(3, rows(), &duty, at(3)).parts[..] else { panic!() };
        assert_eq!(part.from, Timestamp(at(0).0 + 500));
    }
}
