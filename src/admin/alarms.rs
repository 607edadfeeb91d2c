//! `GET /api/v1/alarms`: what somebody should look at that is about no gateway in particular. Pages show it above everything.

use super::Sources;
use crate::clock::{self, Timestamp};
use crate::control::{GatewayView, OverrideView, Refusing, View};
use crate::resource::Kind;
use crate::store::Seat;
use crate::translate;
use crate::xds::Proxy;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// The answer.
#[derive(Debug, PartialEq, Serialize)]
pub struct Alarms {
    /// Those of now.
    pub alarms: Vec<Alarm>,
}

/// Something that is wrong with the gateway files as a whole, or with the store.
#[derive(Debug, PartialEq, Serialize)]
pub struct Alarm {
    /// `unlisted`: a directory cannot be listed; `vanished`: all files are gone at once; `store`: what happens is not kept;
    /// `leader`: of several Serins with one store none leads; `certificate`: one has ended or ends soon, or cannot be used;
    /// `clock`: the clock of the machine was set;
    /// `unkept`: an order acts at the Envoys of this Serin and is not kept yet;
    /// `unanswered`: an Envoy does not answer; `refused`: an Envoy does not have what it should; `same-id`: two Envoys say that they are one; `version`: an Envoy is older
    /// or newer than those that Serin knows, or too old for a gateway.
    pub kind: &'static str,
    /// The directory, by its path below that of the gateway files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<Arc<str>>,
    /// A sentence.
    pub message: String,
}

pub(super) async fn all(State(sources): State<Sources>) -> Json<Alarms> {
    Json(sources.alarms())
}

impl Sources {
    /// The alarms of now.
    pub(super) fn alarms(&self) -> Alarms {
        let unlisted = self.unlisted.load();
        let alarm = |(directory, message): (&Arc<str>, String)| {
            let directory = Some(Arc::clone(directory));
            Alarm { kind: "unlisted", directory, message }
        };
        let vanished = self.view.load().all_vanished.then(|| Alarm {
            kind: "vanished",
            directory: None,
            message: "all gateway files are gone at once; everything serves on until one is back".to_owned(),
        });
        let store = self.store.status().load().failure.as_ref().map(|why| Alarm {
            kind: "store",
            directory: None,
            message: format!("what happens cannot be kept, and traffic goes on as it is: {why}"),
        });
        let clock = clock_was_set(clock::set_ahead());
        let view = self.view.load();
        let leader = leaderless(&view, clock::now());
        let certificates = certificates(&view, clock::time_of_day());
        let unkept = view.busy.values().filter_map(|gateway| unkept(gateway));
        let files = unlisted.sentences(self.is_ready()).map(alarm).chain(vanished);
        let envoys = envoys(&self.registry.proxies(), &view, clock::now());
        Alarms {
            alarms: files
                .chain(store)
                .chain(leader)
                .chain(clock)
                .chain(unkept)
                .chain(certificates)
                .chain(envoys)
                .collect(),
        }
    }
}

/// For so long nobody may lead: longer than another one takes to take over.
const LEADERLESS: Duration = Duration::from_secs(10);

/// Of several Serins none leads.
fn leaderless(view: &View, now: Timestamp) -> Option<Alarm> {
    let since = view.leaderless.filter(|since| now.since(*since) >= LEADERLESS)?;
    let why = match &view.seat {
        Some((Seat::Cut { why }, _)) => why.clone(),
        _ => "each of them waits for another, and none could take the lease".to_owned(),
    };
    let message = format!("no Serin is known to lead the rollouts since {since}, and none moves here: {why}");
    Some(Alarm { kind: "leader", directory: None, message })
}

/// What is wrong with certificates.
fn certificates(view: &View, now: Timestamp) -> Vec<Alarm> {
    let expired = view.expiries.iter().filter_map(|(file, validity)| {
        let ends = validity.fault(now)?;
        Some(format!("the certificate in {file} {ends}"))
    });
    let all = expired.chain(view.certificate_faults.iter().cloned());
    all.map(|message| Alarm { kind: "certificate", directory: None, message }).collect()
}

/// So far the clock may be off by itself.
const OFF: Duration = Duration::from_secs(10);

/// The clock was set so far ahead, in milliseconds.
fn clock_was_set(ahead: i64) -> Option<Alarm> {
    let by = Duration::from_millis(ahead.unsigned_abs());
    let way = if ahead > 0 { "ahead" } else { "back" };
    (by > OFF).then(|| Alarm {
        kind: "clock",
        directory: None,
        message: format!(
            "the clock of this machine was set {} s {way} since Serin began, or the machine slept. Serin goes on by the time that \
             really passed, so that no step of a release is cut short; the times that it shows are off by that until it is restarted",
            by.as_secs()
        ),
    })
}

/// An order about a release that is not kept yet.
fn unkept(gateway: &GatewayView) -> Option<Alarm> {
    let rollout = gateway.rollout.as_ref()?;
    let OverrideView { verb, weight, actor, message, .. } = rollout.unkept.as_ref()?;
    let canary = &rollout.canary;
    let message = format!(
        "`{verb}` of gateway {} by {actor} is not kept yet, and would be lost if this Serin was restarted; {canary} gets at most \
         {weight} % at its Envoys: {message}",
        gateway.name
    );
    Some(Alarm { kind: "unkept", directory: None, message })
}

/// So long an Envoy may take to answer: it answers when it has read all of it.
const UNANSWERED: Duration = Duration::from_secs(10);

/// So many gateways are named that one Envoy refuses.
const NAMED: usize = 3;

/// What is wrong with the connected Envoys.
fn envoys(proxies: &[Proxy], view: &View, now: Timestamp) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    let alarm = |kind, message| Alarm { kind, directory: None, message };
    for (n, Proxy { node, address, kinds, .. }) in proxies.iter().enumerate() {
        let who = format!("Envoy {} ({}, at {address})", node.id, node.version);
        if proxies.get(n + 1).is_some_and(|next| next.node.id == node.id && next.node.cluster == node.cluster)
        {
            let then = "give each an id of its own: `serin bootstrap --id`";
            alarms.push(alarm("same-id", format!("several Envoys say that they are {}; {then}", node.id)));
        }
        let unanswered = kinds.values().filter_map(|status| status.unanswered).min();
        if let Some(since) = unanswered.filter(|since| now.since(*since) >= UNANSWERED) {
            let message = format!(
                "{who} has not answered since {since} what it was offered: it may still serve what was before, also the weights of \
                 releases that were taken back"
            );
            alarms.push(alarm("unanswered", message));
        }
        if let Some(why) = translate::unknown_version(&node.version) {
            alarms.push(alarm("version", format!("{who} {why}")));
        }
        let mut unsupported = view.unsupported_at(node);
        if let Some((gateway, (major, minor))) = unsupported.next() {
            let more = match unsupported.count() {
                0 => String::new(),
                n => format!(", and in that of {n} more that it is too old for"),
            };
            let message = format!(
                "{who} answers 503 in the place of gateway {gateway}, which needs Envoy {major}.{minor}{more}; update it"
            );
            alarms.push(alarm("version", message));
        }
        let own: Vec<&Refusing> = view.refusing.iter().filter(|refusing| refusing.node == *node).collect();
        let named = own.iter().take(NAMED).map(|r| format!("{} and {}: {}", r.gateway, r.instead(), r.text));
        let more = own.len().checked_sub(NAMED + 1).map(|n| format!("{} more", n + 1));
        let gateways: Vec<String> = named.chain(more).collect();
        if !gateways.is_empty() {
            alarms.push(alarm("refused", format!("{who} refuses gateway {}", gateways.join("; "))));
        }
        // What is of a gateway is said above, or is an error of its file.
        for kind in [Kind::Listener, Kind::Runtime] {
            if let Some(text) = kinds.get(&kind).and_then(|status| status.refusal.as_ref()) {
                alarms.push(alarm("refused", format!("{who} refuses a {kind}: {text}")));
            }
        }
    }
    alarms.dedup();
    alarms
}

#[cfg(test)]
mod tests {
    use super::clock_was_set;
    use std::collections::BTreeSet;

    #[test]
    fn a_clock_that_was_set_is_an_alarm() {
        let said = |ahead| clock_was_set(ahead).map(|alarm| alarm.message);
        assert_eq!((said(9_999), said(-9_999)), (None, None), "it may be off by itself");
        assert!(said(3_600_000).unwrap().contains("3600 s ahead"));
        assert!(said(-3_600_000).unwrap().contains("3600 s back"));
    }

    #[test]
    fn each_kind_is_described() {
        let own = include_str!("alarms.rs");
        let code = own.split("#[cfg(test)]").next().unwrap();
        let kinds = code.match_indices("kind: \"").chain(code.match_indices("alarm(\""));
        let kinds: BTreeSet<&str> =
            kinds.map(|(at, start)| code[at + start.len()..].split('"').next().unwrap()).collect();
        let description: serde_json::Value = serde_json::from_str(include_str!("openapi.json")).unwrap();
        let described = &description["components"]["schemas"]["Alarm"]["properties"]["kind"]["enum"];
        let described: BTreeSet<&str> =
            described.as_array().unwrap().iter().filter_map(|k| k.as_str()).collect();
        assert_eq!(kinds, described);
    }
}
