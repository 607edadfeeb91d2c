//! What others are asked about running releases, and what they said.

use super::event::{Answered, Point};
use crate::clock::Timestamp;
use crate::model::Provided;
use crate::names::GatewayName;
use crate::rollout::{Plan, Side, State};
use crate::weight::Weight;
use std::collections::BTreeMap;
use std::sync::Arc;

/// So many times in a row without data are told to people. As Argo Rollouts has it (`consecutiveErrorLimit`).
const PATIENCE: u32 = 4;

/// What is to be asked, by gateway and metric.
pub type Questions = BTreeMap<(GatewayName, String), Arc<Question>>;

/// What is asked about a canary as long as it has traffic, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Whose release.
    pub gateway: GatewayName,
    /// Who is asked, what, and how often.
    pub metric: Provided,
    /// The version that is asked about.
    pub canary: Side,
    /// The version that it may be compared with.
    pub primary: Side,
    /// When the release began: of another one, old answers say nothing.
    pub began: Timestamp,
}

/// What is to be asked about a release, as it is kept.
pub(super) fn of<'a>(
    name: &'a GatewayName,
    plan: &'a Plan,
    state: &'a State,
) -> impl Iterator<Item = Question> + 'a {
    let is_asked = state.phase.is_running() && state.weight > Weight::NONE && state.identity == plan.identity;
    let metrics = plan.provided.iter().filter(move |_| is_asked);
    metrics.map(|metric| Question {
        gateway: name.clone(),
        metric: metric.clone(),
        canary: state.identity.canary.clone(),
        primary: state.identity.primary.clone(),
        began: state.began,
    })
}

/// What was said so far.
#[derive(Debug, Default)]
pub(super) struct Answers {
    known: BTreeMap<GatewayName, BTreeMap<String, Known>>,
    /// What no report of Envoys has taken along yet.
    points: BTreeMap<GatewayName, BTreeMap<String, f64>>,
}

/// What is known of one metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Known {
    /// Of which release.
    began: Timestamp,
    /// The newest values, and when they were said.
    pub(super) point: Option<(Timestamp, Point)>,
    /// Why there were none since.
    pub(super) problem: Option<String>,
    /// How often in a row.
    misses: u32,
}

/// What people should be told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing that they do not expect.
    Nothing,
    /// There has been no data for too long.
    NoData(String),
    /// There is data again.
    Data(String),
}

impl Answers {
    /// Takes an answer. It is about a release that goes on; the caller looks.
    pub(super) fn take(&mut self, answered: Answered, now: Timestamp) -> News {
        let Answered { question, answer } = answered;
        let Question { gateway, metric, began, .. } = &*question;
        let all = self.known.entry(gateway.clone()).or_default();
        let known = all.entry(metric.name.clone()).or_default();
        if known.began != *began {
            *known = Known { began: *began, ..Known::default() };
        }
        match answer {
            Ok(point) => {
                self.points.entry(gateway.clone()).or_default().insert(metric.name.clone(), point.badness);
                let was_told = known.misses >= PATIENCE;
                *known = Known { began: *began, point: Some((now, point)), problem: None, misses: 0 };
                if was_told {
                    return News::Data(format!("there is data of {} again", metric.name));
                }
                News::Nothing
            }
            Err(why) => {
                known.misses = known.misses.saturating_add(1);
                known.problem = Some(why.clone());
                if known.misses != PATIENCE {
                    return News::Nothing;
                }
                let then = if metric.dry_run { "it decides nothing" } else { "no step ends without it" };
                let name = &metric.name;
                News::NoData(format!("no data of {name} {PATIENCE} times in a row, and {then}: {why}"))
            }
        }
    }

    /// What goes with the next report of Envoys, once.
    pub(super) fn take_points(&mut self, gateway: &GatewayName) -> BTreeMap<String, f64> {
        self.points.remove(gateway).unwrap_or_default()
    }

    /// What is known of a metric of this release.
    pub(super) fn get(&self, gateway: &GatewayName, metric: &str, began: Timestamp) -> Option<&Known> {
        self.known.get(gateway)?.get(metric).filter(|known| known.began == began)
    }

    /// Another release, or none: nothing that was said counts any more.
    pub(super) fn forget(&mut self, gateway: &GatewayName) {
        self.known.remove(gateway);
        self.points.remove(gateway);
    }
}
