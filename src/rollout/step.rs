//! The transition function: what time, Envoys and files do to a rollout. What operators do is in `orders`.
//!
//! ```text
//!            healthy endpoint      evidence, and time          all steps done      evidence, and time
//!  Waiting ───────────────▶ Progressing ⇄ Holding ──┐──────────────────▶ Baking ───────────────▶ Promoted
//!     │                        ▲         ▲    next step
//!     │ deadline               └─────────┘◀─────────┘
//!     ▼                             │ deadline, manual step
//!   Paused ◀────────────────────────┘                  harm, at any weight above 0: RolledBack
//! ```
//!
//! With `shadowFirst` a healthy endpoint leads to Holding without traffic, and evidence from there to the first step: `first`.
//!
//! Laws: the weight only rises by evidence and time together, never by time alone; harm takes all of it at once;
//! after a roll-back it is 0 until an edit or an order; the same input twice is the same as once; a clock
//! that is set back changes neither what was seen nor how long ago it was.

use super::entry::{By, EntryKind, Transition};
use super::state::{Cause, ENGINE, Evidence, FILE, Pause, Stage};
use super::{Agreed, Phase, Plan, Reading, State, first, sentence};
use crate::clock::Timestamp;
use crate::model::{OnFailure, StepPause};
use crate::stats::{self, Action, Analysis, Counts, Decision, Pairs};
use crate::weight::Weight;
use std::collections::BTreeMap;
use std::time::Duration;

/// Without a report for so many intervals, nothing is known.
const SILENT: u32 = 3;
/// A single late report is not silence.
const SILENT_AT_LEAST: Duration = Duration::from_secs(5);

pub(super) const BY_ENGINE: By<'static> = By { actor: ENGINE, reason: None };
const BY_FILE: By<'static> = By { actor: FILE, reason: None };

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// So many endpoints of the canary are healthy, as Envoys see it.
    Healthy(u32),
    /// What both sides did.
    Report(Report),
    /// How often both sides predicted the same, so far.
    Compared(Reading),
    /// The same of other Serins, since they said so last.
    Agreed(Agreed),
}

/// What both sides did in one interval, at the same Envoys.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Its begin.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// The canary's requests.
    pub canary: Counts,
    /// The primary's.
    pub primary: Counts,
    /// What others measured since the last report: how bad each metric was, from 0 to 1.
    pub user: BTreeMap<String, f64>,
    /// Predictions of both sides about the same requests since the last report; `None`: nothing is compared.
    pub shadow: Option<Pairs>,
}

/// What a file does to a rollout: begins one, another one, or none. `None`: nothing.
pub fn adopt(plan: &Plan, state: Option<&State>, now: Timestamp) -> Option<Transition> {
    let Some(before) = state else {
        return Some(begin(plan, None, now));
    };
    if !before.identity.is_release_of(&plan.identity) || plan.is_idle() != (before.phase == Phase::Stable) {
        return Some(begin(plan, Some(before), now));
    }
    let edited = (before.identity != plan.identity).then(|| edit_sides(plan, before, now));
    let followed = ask_less(plan, edited.as_ref().map_or(before, |edited| &edited.state), now);
    match (edited, followed) {
        (Some(edited), Some(Transition { state, entries })) => {
            Some(Transition { state, entries: edited.entries.into_iter().chain(entries).collect() })
        }
        (edited, followed) => edited.or(followed),
    }
}

/// Goes on where the file asks no more for what the release waits for: a shadow first, or somebody's word.
fn ask_less(plan: &Plan, before: &State, now: Timestamp) -> Option<Transition> {
    if before.shadowed.is_some() && plan.shadow_first.is_none() {
        let mut next = at(before, now);
        next.shadowed = None;
        if before.phase == Phase::Holding {
            next.phase = Phase::Waiting;
        }
        let message = sentence::not_shadowed(before);
        return Some(Transition::tell(Some(before), next, (EntryKind::Holding, BY_FILE, message), now));
    }
    let is_manual = plan.step_at(before.weight).is_some_and(|step| step.pause == StepPause::Manual);
    if before.pause.as_ref().is_some_and(|p| p.cause == Cause::ManualStep) && !is_manual {
        let mut next = at(before, now);
        (next.phase, next.pause) = (Phase::Progressing, None);
        let message = sentence::goes_on(before, "the step asks for nobody's word any more");
        return Some(Transition::tell(Some(before), next, (EntryKind::Resumed, BY_FILE, message), now));
    }
    None
}

/// Goes on with the same canary, of which servers came or went, or with an edited primary.
///
/// A rolled-back canary stays so. A running release keeps its step; its evidence stays while the primary is the version
/// that it was. Against another primary the evidence begins anew at the weight that the canary has; where that is all, there is
/// nothing to compare with any more, and what was learnt of the primary before is still the measure.
fn edit_sides(plan: &Plan, before: &State, now: Timestamp) -> Transition {
    let mut next = at(before, now);
    next.identity = plan.identity.clone();
    if before.phase == Phase::RolledBack {
        next.remember(plan.identity.clone());
    }
    if !before.phase.is_running() {
        return Transition { state: next, entries: Vec::new() };
    }
    let is_scaled = plan.identity.primary.is_version_of(&before.identity.primary);
    if is_scaled || before.weight == Weight::ALL {
        let message = if is_scaled {
            sentence::edited_in_place(before, &plan.identity)
        } else {
            sentence::another_primary_at_all(&plan.identity)
        };
        let told = (EntryKind::Progressing, BY_FILE, message);
        let mut told = Transition::tell(Some(before), next, told, now);
        if before.phase == Phase::Paused {
            // Nothing would say again what somebody has to decide.
            told.state.sentence.clone_from(&before.sentence);
        }
        return told;
    }
    if before.phase == Phase::Progressing {
        next.phase = Phase::Holding;
    }
    next.evidence = None;
    next.shadowed = next.shadowed.map(|seen| seen.anew(before.revision + 1));
    set_weight(plan, &mut next, before.weight, now);
    let told = (EntryKind::Holding, BY_FILE, sentence::another_primary(before, &plan.identity));
    Transition::tell(Some(before), next, told, now)
}

/// Ends a rollout whose file has none any more; `None`: nothing is to be remembered of it.
///
/// Canaries that were rolled back are remembered, since the same rollout may come back.
pub fn end(state: &State, now: Timestamp) -> Option<State> {
    if state.rolled_back.is_empty() {
        return None;
    }
    let mut next = at(state, now);
    (next.revision, next.phase, next.since) = (state.revision + 1, Phase::Stable, now);
    (next.weight, next.stage) = (Weight::NONE, Stage::new(now));
    (next.pause, next.shadowed, next.evidence) = (None, None, None);
    next.weights.clear();
    Some(next)
}

/// A release from its beginning, without traffic for its canary.
fn begin(plan: &Plan, before: Option<&State>, now: Timestamp) -> Transition {
    let identity = plan.identity.clone();
    let is_bad = before.is_some_and(|b| b.was_rolled_back(&identity));
    let (phase, kind, message) = if plan.is_idle() {
        (Phase::Stable, EntryKind::Ended, sentence::idle(&identity))
    } else if is_bad {
        (Phase::RolledBack, EntryKind::RolledBack, sentence::known_as_bad(&identity))
    } else if before.is_some_and(|b| b.phase.is_running()) {
        (Phase::Waiting, EntryKind::Started, sentence::edited(&identity))
    } else {
        (Phase::Waiting, EntryKind::Started, sentence::started(&identity))
    };
    let now = before.map_or(now, |b| now.max(b.seen));
    let next = State {
        revision: 0,
        identity,
        phase,
        since: now,
        weight: Weight::NONE,
        began: now,
        seen: now,
        stage: Stage::new(now),
        pause: None,
        shadowed: None,
        evidence: None,
        sentence: String::new(),
        rolled_back: before.map(|b| b.rolled_back.clone()).unwrap_or_default(),
        weights: Vec::new(),
    };
    Transition::tell(before, next, (kind, BY_FILE, message), now)
}

/// What an input does to a rollout. `None`: nothing.
pub fn step(plan: &Plan, state: &State, input: &Input, now: Timestamp) -> Option<Transition> {
    let turned = state.by_clock(now);
    let state = turned.as_ref().unwrap_or(state);
    let follows = what_follows(plan, state, input, now);
    // Kept also when nothing follows: the next report is to be after this moment, not again at it.
    let turned = || turned.clone().filter(|state| state.phase.is_running());
    follows.or_else(|| turned().map(|state| Transition { state, entries: Vec::new() }))
}

fn what_follows(plan: &Plan, state: &State, input: &Input, now: Timestamp) -> Option<Transition> {
    match (state.phase, input) {
        (Phase::Waiting, Input::Healthy(1..)) => {
            if let Some(least) = plan.shadow_first {
                return Some(first::begin(state, least, now));
            }
            let first = plan.step_after(Weight::NONE)?;
            let why = sentence::healthy(state, first.weight);
            Some(next_weight(plan, state, at(state, now), (BY_ENGINE, why), now))
        }
        (Phase::Waiting | Phase::Progressing | Phase::Holding | Phase::Baking, Input::Tick) => {
            overdue(plan, state, now).or_else(|| silence(state, now))
        }
        (Phase::Progressing | Phase::Holding | Phase::Paused | Phase::Baking, Input::Report(report)) => {
            judge(plan, state, report, now)
        }
        (Phase::Holding | Phase::Paused, Input::Compared(reading)) => {
            first::judge(plan, state, *reading, now)
        }
        (Phase::Holding | Phase::Paused, Input::Agreed(agreed)) => {
            first::judge_others(plan, state, *agreed, now)
        }
        (Phase::Stable | Phase::Promoted | Phase::RolledBack, _)
        | (Phase::Waiting, Input::Healthy(0) | Input::Report(_))
        | (Phase::Waiting | Phase::Progressing | Phase::Baking, Input::Compared(_) | Input::Agreed(_))
        | (Phase::Paused, Input::Tick)
        | (Phase::Progressing | Phase::Holding | Phase::Paused | Phase::Baking, Input::Healthy(_)) => None,
    }
}

/// When [`Input::Tick`] may have something to do.
pub fn deadline(plan: &Plan, state: &State) -> Option<Timestamp> {
    let overdue = || state.stage.waiting_since.plus(plan.deadline);
    match state.phase {
        Phase::Waiting | Phase::Holding | Phase::Baking => Some(overdue()),
        Phase::Progressing => Some(overdue().min(silent_from(state))),
        Phase::Stable | Phase::Paused | Phase::Promoted | Phase::RolledBack => None,
    }
}

/// Nobody has been able to say yes or no for too long.
fn overdue(plan: &Plan, state: &State, now: Timestamp) -> Option<Transition> {
    let waited = now.since(state.stage.waiting_since);
    if waited < plan.deadline {
        return None;
    }
    let message = sentence::overdue(state, waited);
    Some(pause(state, at(state, now), Cause::Deadline, (EntryKind::Paused, BY_ENGINE, message), now))
}

/// No news is no evidence, and nobody should think that all is well.
fn silence(state: &State, now: Timestamp) -> Option<Transition> {
    if state.phase != Phase::Progressing || now < silent_from(state) {
        return None;
    }
    let mut next = at(state, now);
    next.phase = Phase::Holding;
    let message = sentence::stays(state, &sentence::silent(now.since(last_news(state))));
    Some(Transition::tell(Some(state), next, (EntryKind::Holding, BY_ENGINE, message), now))
}

fn last_news(state: &State) -> Timestamp {
    state.evidence.as_ref().map_or(state.stage.began, |e| e.to.max(state.stage.began))
}

fn silent_from(state: &State) -> Timestamp {
    let interval = state.evidence.as_ref().map_or(Duration::ZERO, |e| e.to.since(e.from));
    last_news(state).plus((interval * SILENT).max(SILENT_AT_LEAST))
}

/// Weighs a report, and does what follows at once.
fn judge(plan: &Plan, state: &State, report: &Report, now: Timestamp) -> Option<Transition> {
    let known = state.evidence.as_ref().filter(|_| state.weight > Weight::NONE)?;
    // What was said before, began when the canary had no traffic yet, or was measured before the clock was set back.
    if report.to <= known.to || report.from < known.origin || report.to > now {
        return None;
    }
    let mut next = at(state, now);
    let evidence = next.evidence.as_mut()?;
    let news = report.to.since(report.from.max(known.to).max(state.stage.began));
    (evidence.from, evidence.to) = (report.from, report.to);
    let observed = stats::Report {
        from: seconds(evidence.origin, report.from),
        to: seconds(evidence.origin, report.to),
        canary: report.canary.clone(),
        primary: report.primary.clone(),
        shadow: report.shadow,
        user: report.user.clone(),
    };
    let decision = match evidence.analysis.observe(&plan.settings, &observed) {
        Ok(decision) => decision,
        Err(why) => return Some(hold(state, next, &sentence::untrue(&why.to_string()), now)),
    };
    evidence.action = Some(decision.action);
    let mut why = evidence.analysis.sentence(&plan.settings, &decision);
    let (has, wants) = (evidence.analysis.stage_requests(), plan.settings.min_requests);
    if decision.action == Action::Wait && has < wants {
        why = sentence::too_few(&why, has, wants);
    }
    let watched = next.stage.watched.saturating_add(u64::try_from(news.as_millis()).unwrap_or(u64::MAX));
    next.stage.watched = watched;
    // What was shown before is enough, but nobody should get more traffic by a second in which there was none.
    if decision.action == Action::Advance && report.canary.requests <= 0.0 {
        return Some(quiet(next, sentence::stays(state, &why)));
    }
    Some(follow(plan, state, next, (&decision, &why), now))
}

/// What follows from a decision of the statistics.
fn follow(
    plan: &Plan,
    state: &State,
    next: State,
    (decision, why): (&Decision, &str),
    now: Timestamp,
) -> Transition {
    let least = if state.phase == Phase::Baking { plan.bake } else { plan.pause_at(state.weight) };
    let is_time = Duration::from_millis(next.stage.watched) >= least;
    match (decision.action, state.phase) {
        (Action::Rollback, _) => harm(plan, state, next, why, now),
        (_, Phase::Paused) => quiet(next, sentence::stays(state, why)),
        (Action::Advance, _) if is_time => match rate_too_low(plan, &next) {
            Some(why) => hold(state, next, &why, now),
            None => next_weight(plan, state, next, (BY_ENGINE, why.to_owned()), now),
        },
        (Action::Hold(_), _) => hold(state, next, why, now),
        (Action::Wait, _) if is_time => hold(state, next, why, now),
        (Action::Advance | Action::Wait, Phase::Holding) => {
            let mut next = next;
            next.phase = Phase::Progressing;
            let message = sentence::goes_on(state, why);
            Transition::tell(Some(state), next, (EntryKind::Progressing, BY_ENGINE, message), now)
        }
        (Action::Advance | Action::Wait, _) => quiet(next, sentence::goes_on(state, why)),
    }
}

/// Why a step may not end although the canary does no harm: it had fewer requests a second than the file wants.
fn rate_too_low(plan: &Plan, next: &State) -> Option<String> {
    let least = plan.request_rate.filter(|_| !plan.is_request_rate_dry)?;
    let rate = next.request_rate().unwrap_or(0.0);
    (rate < least).then(|| sentence::rate_too_low(rate, least))
}

/// Stays, and says so once.
fn hold(state: &State, mut next: State, why: &str, now: Timestamp) -> Transition {
    let message = sentence::stays(state, why);
    if state.phase != Phase::Progressing {
        return quiet(next, message);
    }
    next.phase = Phase::Holding;
    Transition::tell(Some(state), next, (EntryKind::Holding, BY_ENGINE, message), now)
}

pub(super) fn harm(plan: &Plan, state: &State, next: State, why: &str, now: Timestamp) -> Transition {
    match plan.on_failure {
        OnFailure::RollBack => roll_back(state, next, (BY_ENGINE, why), now),
        OnFailure::Pause if state.pause.as_ref().is_some_and(|p| p.cause == Cause::Failure) => {
            quiet(next, sentence::failed(state, why))
        }
        OnFailure::Pause => {
            let message = sentence::failed(state, why);
            pause(state, next, Cause::Failure, (EntryKind::Paused, BY_ENGINE, message), now)
        }
    }
}

/// Only the evidence is new.
pub(super) fn quiet(mut next: State, sentence: String) -> Transition {
    next.sentence = sentence;
    Transition { state: next, entries: Vec::new() }
}

/// The same state, at a later moment.
pub(super) fn at(state: &State, now: Timestamp) -> State {
    State { seen: now.max(state.seen), ..state.clone() }
}

/// All traffic to the primary, for good.
pub(super) fn roll_back(
    state: &State,
    mut next: State,
    (by, why): (By<'_>, &str),
    now: Timestamp,
) -> Transition {
    let message = sentence::rolled_back(state, why);
    next.remember(state.identity.clone());
    (next.phase, next.weight, next.pause) = (Phase::RolledBack, Weight::NONE, None);
    next.shadowed = None;
    next.stage = Stage::new(now);
    Transition::tell(Some(state), next, (EntryKind::RolledBack, by, message), now)
}

/// Somebody has to say how to go on.
pub(super) fn pause(
    state: &State,
    mut next: State,
    cause: Cause,
    (kind, by, message): (EntryKind, By<'_>, String),
    now: Timestamp,
) -> Transition {
    // Paused twice, for another reason: it still came from where it came from.
    let from = state.pause.as_ref().map_or(state.phase, |p| p.from);
    next.pause = Some(Pause { cause, actor: by.actor.to_owned(), from });
    next.phase = Phase::Paused;
    Transition::tell(Some(state), next, (kind, by, message), now)
}

/// The next step; after the last one the canary is watched, and then it has succeeded.
pub(super) fn next_weight(
    plan: &Plan,
    state: &State,
    mut next: State,
    (by, why): (By<'_>, String),
    now: Timestamp,
) -> Transition {
    let stood = state.pause.as_ref().map_or(state.phase, |p| p.from);
    next.pause = None;
    let Some(step) = plan.step_after(state.weight) else {
        if stood == Phase::Baking || plan.bake.is_zero() {
            return promote(state, next, (by, &why), now);
        }
        set_weight(plan, &mut next, Weight::ALL, now);
        next.phase = Phase::Baking;
        let message = sentence::baking(state, plan.bake, &why);
        return Transition::tell(Some(state), next, (EntryKind::Baking, by, message), now);
    };
    set_weight(plan, &mut next, step.weight, now);
    next.phase = Phase::Progressing;
    let is_manual = step.pause == StepPause::Manual;
    if is_manual {
        next.phase = Phase::Paused;
        next.pause =
            Some(Pause { cause: Cause::ManualStep, actor: FILE.to_owned(), from: Phase::Progressing });
    }
    let message =
        if state.phase == Phase::Waiting { why } else { sentence::advanced(state, step.weight, &why) };
    let mut transition = Transition::tell(Some(state), next, (EntryKind::Advanced, by, message), now);
    if is_manual {
        transition.state.sentence = sentence::manual(&transition.state);
        let mut also = transition.entries.clone();
        for entry in &mut also {
            entry.kind = EntryKind::Paused;
            entry.before.clone_from(&entry.after);
            entry.message.clone_from(&transition.state.sentence);
        }
        transition.entries.extend(also);
    }
    transition
}

/// The release has succeeded.
pub(super) fn promote(
    state: &State,
    mut next: State,
    (by, why): (By<'_>, &str),
    now: Timestamp,
) -> Transition {
    (next.phase, next.weight, next.pause) = (Phase::Promoted, Weight::ALL, None);
    let message = sentence::promoted(state, why);
    Transition::tell(Some(state), next, (EntryKind::Promoted, by, message), now)
}

/// Another share for the canary, and evidence of safety from the beginning. Evidence of harm stays.
pub(super) fn set_weight(plan: &Plan, next: &mut State, weight: Weight, now: Timestamp) {
    next.weight = weight;
    next.stage = Stage::new(now);
    if weight == Weight::NONE {
        return;
    }
    next.shadowed = None;
    let share = f64::from(weight.hundredths()) / f64::from(Weight::ALL.hundredths());
    if let Some(evidence) = &mut next.evidence {
        evidence.analysis.start_stage(&plan.settings, seconds(evidence.origin, now), share);
    } else {
        let analysis = Analysis::new(&plan.settings, 0.0, share);
        next.evidence = Some(Evidence { origin: now, analysis, action: None, from: now, to: now });
    }
}

/// Seconds on the clock of an analysis.
fn seconds(origin: Timestamp, time: Timestamp) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a release takes less than 285,000 years")]
    let milliseconds = time.0.saturating_sub(origin.0) as f64;
    milliseconds / 1000.0
}
