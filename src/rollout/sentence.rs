//! Every decision as a sentence for people. Numbers come from the statistics, and are never made up here.

use super::{Identity, Side, State};
use crate::weight::Weight;
use std::time::Duration;

/// The upstream, and what it is: `v2 (fraud 2.0)`.
fn side(side: &Side) -> String {
    let what: Vec<&str> = [&side.model, &side.version].into_iter().flatten().map(String::as_str).collect();
    if what.is_empty() { side.name.to_string() } else { format!("{} ({})", side.name, what.join(" ")) }
}

/// The largest unit that a person would use.
fn time(time: Duration) -> String {
    match time.as_secs() {
        0..=119 => format!("{} s", time.as_secs()),
        120..=7_199 => format!("{} min", time.as_secs() / 60),
        _ => format!("{} h", time.as_secs() / 3_600),
    }
}

pub(super) fn started(identity: &Identity) -> String {
    format!(
        "the release of {} in place of {} begins, and waits for a healthy endpoint",
        side(&identity.canary),
        side(&identity.primary)
    )
}

pub(super) fn edited(identity: &Identity) -> String {
    format!("the file releases something else: {}", started(identity))
}

pub(super) fn edited_in_place(state: &State, identity: &Identity) -> String {
    let before = &state.identity;
    let sides = [(&before.primary, &identity.primary), (&before.canary, &identity.canary)];
    let edited: Vec<&str> =
        sides.iter().filter(|(old, new)| old != new).map(|(_, new)| new.name.as_str()).collect();
    let (canary, weight) = (&identity.canary.name, state.weight);
    format!(
        "the endpoints of {} were edited: {canary} stays at {weight} % with its evidence",
        edited.join(" and ")
    )
}

pub(super) fn another_primary_at_all(identity: &Identity) -> String {
    let primary = side(&identity.primary);
    format!(
        "the primary is {primary} now: {} has all traffic, and goes on with its evidence",
        identity.canary.name
    )
}

pub(super) fn another_primary(state: &State, identity: &Identity) -> String {
    let (canary, weight) = (&identity.canary.name, state.weight);
    let primary = side(&identity.primary);
    format!("the primary is {primary} now: {canary} stays at {weight} %, and its evidence begins anew")
}

pub(super) fn known_as_bad(identity: &Identity) -> String {
    let canary = &identity.canary.name;
    format!(
        "{canary} was rolled back before as it is now; change its `model`, `version` or address, or say `retry`"
    )
}

pub(super) fn idle(identity: &Identity) -> String {
    format!("nothing is released: {} has all traffic", identity.primary.name)
}

pub(super) fn healthy(state: &State, weight: Weight) -> String {
    format!("{} has a healthy endpoint and gets {weight} %", state.identity.canary.name)
}

pub(super) fn shadowed(state: &State, least: Weight) -> String {
    let canary = &state.identity.canary.name;
    format!(
        "{canary} has a healthy endpoint and is shadowed before its first step, until at least {least} % of its \
         predictions agree"
    )
}

/// `4,812 of 4,900 predictions agreed (98.2 %, between 97.6 % and 98.7 %), at least 97 % wanted`
pub(super) fn agreement(
    (compared, matched): (u64, u64),
    rate: Option<(f64, (f64, f64))>,
    least: Weight,
) -> String {
    let Some((rate, (low, high))) = rate else {
        return format!("no predictions were compared yet, at least {least} % are to agree");
    };
    // Outwards, so that no end of the interval is on the wrong side of what is wanted.
    let (rate, low, high) = (share(rate, f64::round), share(low, f64::floor), share(high, f64::ceil));
    let (compared, matched) = (thousands(compared), thousands(matched));
    format!(
        "{matched} of {compared} predictions agreed ({rate} %, between {low} % and {high} %), \
         at least {least} % wanted"
    )
}

/// A share in percent: a tenth is enough, near all of them a hundredth.
fn share(share: f64, round: fn(f64) -> f64) -> f64 {
    let parts = if share >= 0.99 { 100.0 } else { 10.0 };
    // A number that is whole but for the last digit of a float is whole.
    let exact = share * 100.0 * parts;
    let whole = if (exact - exact.round()).abs() < 1e-6 { exact.round() } else { round(exact) };
    whole / parts
}

/// As people write it: `4,812`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A person does not wait for the shadow of the canary.
pub(super) fn unproven(by_hand: &str, so_far: &str) -> String {
    format!("{by_hand}; the shadow had not shown enough: {so_far}")
}

pub(super) fn not_shadowed(state: &State) -> String {
    let canary = &state.identity.canary.name;
    format!("the file has no `shadowFirst` any more, and {canary} waits for a healthy endpoint")
}

pub(super) fn advanced(state: &State, weight: Weight, why: &str) -> String {
    format!("{} goes from {} % to {weight} %: {why}", state.identity.canary.name, state.weight)
}

pub(super) fn manual(state: &State) -> String {
    format!("{} stays at {} % until somebody says `promote`", state.identity.canary.name, state.weight)
}

pub(super) fn stays(state: &State, why: &str) -> String {
    format!("{} stays at {} %: {why}", state.identity.canary.name, state.weight)
}

pub(super) fn goes_on(state: &State, why: &str) -> String {
    format!("{} goes on at {} %: {why}", state.identity.canary.name, state.weight)
}

pub(super) fn silent(since: Duration) -> String {
    format!("no Envoy has reported for {}", time(since))
}

pub(super) fn rate_too_low(rate: f64, least: f64) -> String {
    format!("it gets {rate:.2} requests a second, and `request-rate` wants {least} at least")
}

pub(super) fn untrue(why: &str) -> String {
    format!("a report of Envoys cannot be true and is not used: {why}")
}

pub(super) fn overdue(state: &State, waited: Duration) -> String {
    let why = format!("it has waited for {}, the deadline; last: {}", time(waited), state.sentence);
    format!("paused at {} %: {why}", state.weight)
}

pub(super) fn failed(state: &State, why: &str) -> String {
    format!("paused at {} % since the file says `onFailure: pause`: {why}", state.weight)
}

pub(super) fn rolled_back(state: &State, why: &str) -> String {
    let Identity { primary, canary } = &state.identity;
    if state.shadowed.is_some() {
        return format!("the release of {} does not begin: {why}", canary.name);
    }
    format!("all traffic goes to {}; {} had {} %: {why}", primary.name, canary.name, state.weight)
}

pub(super) fn baking(state: &State, bake: Duration, why: &str) -> String {
    format!("{} has all traffic and is watched for {}: {why}", state.identity.canary.name, time(bake))
}

pub(super) fn promoted(state: &State, why: &str) -> String {
    let canary = &state.identity.canary.name;
    format!("{canary} is promoted: {why}; now write `primary: {canary}`, by which no traffic moves")
}

pub(super) fn by_hand(actor: &str, reason: Option<&str>) -> String {
    reason.map_or_else(|| format!("{actor} said so"), |reason| format!("{actor} said so: {reason}"))
}

/// What is now to be written into the file.
pub(super) fn patch(identity: &Identity) -> String {
    format!("rollout:\n  primary: {}\n", identity.canary.name)
}

/// There is no evidence yet, and why: a step has a least number of requests, at which the canary is not yet.
pub(super) fn too_few(why: &str, has: f64, wants: f64) -> String {
    format!("{why}; {has} of {wants} requests at least")
}
