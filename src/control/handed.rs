//! Orders that are handed on to the Serin that leads, and what they look like on the way: JSON, since the two need not be
//! of one version. What becomes of them there is kept together with what was decided, so that none is carried out twice.

use super::command::{Asker, By, Command, Reply, Throw};
use super::event::Event;
use crate::model::{Switch, Switches};
use crate::names::GatewayName;
use crate::rollout::{Order, Outcome, Refusal};
use crate::store::Settled;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::oneshot;

/// An order that somebody gave here, and another Serin has to carry out.
#[derive(Debug)]
pub enum Handed {
    /// About a rollout.
    Command(Command, Asker),
    /// About a switch.
    Throw(Throw),
}

/// How many switches of others are remembered: as many as the leader has at a time.
const REMEMBERED: usize = crate::store::peers::MOST;

/// What the world has to say to other Serins about orders.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Orders that another Serin has to carry out.
    pub(super) handed: Vec<Handed>,
    /// Answers to switches that others threw here, to be kept with them.
    pub(super) settled: Vec<Settled>,
    /// The newest of those switches by their tickets. Such an order is met again until its answer is kept.
    thrown: VecDeque<Arc<str>>,
}

impl Outbox {
    /// Remembers a switch of others; says whether it is new.
    pub(super) fn remember(&mut self, ticket: &Arc<str>) -> bool {
        if self.thrown.contains(ticket) {
            return false;
        }
        if self.thrown.len() == REMEMBERED {
            self.thrown.pop_front();
        }
        self.thrown.push_back(Arc::clone(ticket));
        true
    }

    /// What others threw here counts no more, nor do its answers.
    pub(super) fn forget_thrown(&mut self) {
        self.settled.clear();
        self.thrown.clear();
    }
}

/// An order as it is handed on.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Paper {
    Command { gateway: GatewayName, order: Order, key: Option<String> },
    Switch { name: String, on: bool, by: By },
}

/// Who waits here for what became of an order that others handed on.
#[derive(Debug)]
pub enum Pending {
    /// About a rollout.
    Command(oneshot::Receiver<Reply>),
    /// About a switch.
    Throw(oneshot::Receiver<Result<Switches, Refusal>>),
}

/// Where the switches stand, or why nothing was switched.
type Positions = Result<BTreeMap<Arc<str>, bool>, Refusal>;

impl Handed {
    /// How it is handed on.
    pub fn paper(&self) -> String {
        let paper = match self {
            Self::Command(command, _) => return paper(command),
            Self::Throw(Throw { switch, on, by, .. }) => {
                Paper::Switch { name: switch.name().to_owned(), on: *on, by: by.clone() }
            }
        };
        text(&paper)
    }

    /// Whether it may be given again, and is then to be known.
    pub fn is_keyed(&self) -> bool {
        matches!(self, Self::Command(Command { key: Some(_), .. }, _))
    }

    /// Whether it is about a switch, which acts before it is kept.
    pub fn is_switch(&self) -> bool {
        matches!(self, Self::Throw(_))
    }

    /// Tells the one who gave it what the leader answered. An order about a rollout goes back to the loop with its answer, since
    /// it may act here.
    pub fn answer(self, answer: &str) -> Option<Event> {
        match self {
            Self::Command(command, asker) => {
                let reply = read(answer).and_then(|reply| reply);
                return Some(Event::HandedBack(command, asker, reply));
            }
            Self::Throw(Throw { asker, .. }) => {
                let positions: Result<Positions, _> = read(answer);
                let switches = positions.and_then(|p| p).map(|kept| Switches::restored(&kept));
                asker.answer(switches.map_err(of_switch));
            }
        }
        None
    }

    /// The same where there is no answer.
    pub fn refuse(self, why: Refusal) -> Option<Event> {
        match self {
            Self::Command(command, asker) => return Some(Event::HandedBack(command, asker, Err(why))),
            Self::Throw(Throw { asker, .. }) => asker.answer(Err(of_switch(why))),
        }
        None
    }
}

impl Pending {
    /// What is to be answered to the one who handed the order on; `None`: nothing, since it was not decided here, or is
    /// answered by what is kept.
    pub async fn answer(self) -> Option<String> {
        match self {
            Self::Command(reply) => match reply.await {
                Ok(Err(Refusal::Elsewhere(_))) | Err(_) => None,
                Ok(reply) => Some(text(&reply)),
            },
            // Until it was looked at. Where it acted, its answer is kept with it.
            Self::Throw(thrown) => thrown.await.ok().and(None),
        }
    }
}

/// Reads an order that was handed on under a ticket: an event for the loop, and who waits for it. `Err`: the answer to
/// one that cannot be read.
pub fn taken(ticket: &Arc<str>, paper: &str) -> Result<(Event, Pending), String> {
    let refused = |why: String| {
        let why = format!("the control plane that leads, of version {}, {why}", env!("CARGO_PKG_VERSION"));
        text(&Reply::Err(Refusal::Store(why)))
    };
    let ticket = Some(Arc::clone(ticket));
    match serde_json::from_str(paper) {
        Ok(Paper::Command { gateway, order, key }) => {
            let (asker, reply) = Asker::new();
            let command = Command { gateway, order, key, ticket };
            Ok((Event::Command(command, asker), Pending::Command(reply)))
        }
        Ok(Paper::Switch { name, on, by }) => {
            let switch = Switch::of_name(&name).ok_or_else(|| refused(format!("has no switch {name}")))?;
            let (asker, reply) = Asker::new();
            Ok((Event::Throw(Throw { switch, on, by, asker, ticket }), Pending::Throw(reply)))
        }
        Err(why) => Err(refused(format!("cannot read this order: {why}"))),
    }
}

/// What is kept of an order about a rollout together with what it came to, where others may ask for it; `None`: nothing.
pub(super) fn settled(command: &Command, outcome: &Outcome) -> Option<Settled> {
    let is_keyed = command.key.is_some();
    (is_keyed || command.ticket.is_some()).then(|| Settled {
        ticket: command.ticket.clone(),
        paper: paper(command),
        is_keyed,
        answer: text(&Reply::Ok(outcome.clone())),
        is_binding: true,
    })
}

/// The same of a switch, which acts at once, and so whether or not anybody waits still.
pub(super) fn thrown(ticket: Arc<str>, switches: Switches) -> Settled {
    Settled {
        ticket: Some(ticket),
        paper: String::new(),
        is_keyed: false,
        answer: text(&Positions::Ok(positions(switches))),
        is_binding: false,
    }
}

/// What was kept of an order with a key; `None`: it is of a Serin of another version.
pub(super) fn restored(paper: &str, answer: &str) -> Option<(Command, Outcome)> {
    let Ok(Paper::Command { gateway, order, key }) = serde_json::from_str(paper) else { return None };
    let reply: Reply = read(answer).ok()?;
    Some((Command { gateway, order, key, ticket: None }, reply.ok()?))
}

fn paper(Command { gateway, order, key, .. }: &Command) -> String {
    text(&Paper::Command { gateway: gateway.clone(), order: order.clone(), key: key.clone() })
}

fn positions(switches: Switches) -> BTreeMap<Arc<str>, bool> {
    switches.positions().into_iter().map(|(name, is_on)| (Arc::from(name), is_on)).collect()
}

/// A switch has no key under which it could be given again.
fn of_switch(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Unknown(why) => Refusal::UnknownSwitch(why),
        other => other,
    }
}

/// Texts, numbers, and maps with texts as keys: JSON can hold them all.
fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn read<T: for<'a> Deserialize<'a>>(answer: &str) -> Result<T, Refusal> {
    serde_json::from_str(answer).map_err(|e| {
        Refusal::Unknown(format!("the answer of the control plane that leads cannot be read: {e}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::{Phase, Verb};
    use crate::weight::Weight;

    fn command(verb: Verb) -> Command {
        let order =
            Order { verb, actor: "ann".into(), reason: Some("\"why\"\n".into()), if_revision: Some(7) };
        Command { gateway: GatewayName::new("fraud").unwrap(), order, key: Some("k".into()), ticket: None }
    }

    fn through(reply: &Reply) -> Reply {
        let handed = Handed::Command(command(Verb::Abort), Asker::new().0);
        let Some(Event::HandedBack(_, _, reply)) = handed.answer(&text(reply)) else {
            panic!("it comes back")
        };
        reply
    }

    #[test]
    fn an_order_arrives_as_it_was_given() {
        for verb in [
            Verb::Promote { full: true },
            Verb::Abort,
            Verb::Pause,
            Verb::Resume,
            Verb::Retry,
            Verb::SetWeight(Weight::new(1250).unwrap()),
            Verb::Undo { to_revision: Some(3) },
            Verb::Undo { to_revision: None },
        ] {
            let handed = Handed::Command(command(verb), Asker::new().0);
            let (event, _) = taken(&"a-1".into(), &handed.paper()).unwrap();
            let Event::Command(arrived, _) = event else { panic!("{event:?}") };
            assert_eq!(arrived, Command { ticket: Some("a-1".into()), ..command(verb) });
        }
        let by = By { actor: "ann".into(), reason: None };
        let (switch, asker) = (Switch::Shadow, Asker::new().0);
        let handed = Handed::Throw(Throw { switch, on: false, by: by.clone(), asker, ticket: None });
        let (event, _) = taken(&"a-2".into(), &handed.paper()).unwrap();
        let Event::Throw(arrived) = event else { panic!("{event:?}") };
        assert_eq!((arrived.switch, arrived.on, arrived.by), (Switch::Shadow, false, by));
    }

    #[test]
    fn an_answer_comes_back_as_it_was() {
        let (phase, weight) = (Phase::Paused, Weight::new(2550).unwrap());
        let outcome = Outcome {
            changed: true,
            kept: true,
            message: "é".into(),
            revision: 8,
            phase,
            weight,
            patch: Some("a".into()),
        };
        let gateway = GatewayName::new("fraud").unwrap();
        let not_now = Refusal::NotNow { verb: "promote".into(), phase, why: "w".into() };
        for reply in [
            Ok(outcome),
            Err(Refusal::UnknownGateway(gateway.clone())),
            Err(Refusal::NoRollout(gateway)),
            Err(not_now),
            Err(Refusal::Conflict { expected: 1, found: 2 }),
            Err(Refusal::Revision { revision: 3, why: "w".into() }),
            Err(Refusal::KeyUsed),
            Err(Refusal::Store("w".into())),
        ] {
            assert_eq!(through(&reply), reply);
        }
    }

    #[test]
    fn what_a_serin_of_another_version_says_is_not_guessed() {
        let refusal =
            taken(&"a-1".into(), r#"{"command": {"gateway": "fraud", "order": "dance"}}"#).unwrap_err();
        assert!(refusal.contains("cannot read this order"), "{refusal}");
        assert!(matches!(through(&serde_json::from_str(&refusal).unwrap()), Err(Refusal::Store(_))));
        let handed = Handed::Command(command(Verb::Abort), Asker::new().0);
        let back = handed.answer(r#"{"Maybe": 1}"#);
        assert!(matches!(back, Some(Event::HandedBack(_, _, Err(Refusal::Unknown(_))))));
        let (asker, mut answer) = Asker::new();
        let by = By { actor: "ann".into(), reason: None };
        let throw = Throw { switch: Switch::Shadow, on: false, by, asker, ticket: None };
        Handed::Throw(throw).answer(r#"{"Maybe": 1}"#);
        let said = answer.try_recv().unwrap().unwrap_err().to_string();
        assert!(!said.contains("Key"), "a switch has none: {said}");
        let more = Handed::Command(command(Verb::Pause), Asker::new().0)
            .paper()
            .replace("\"key\"", "\"new\":1,\"key\"");
        assert!(taken(&"a-1".into(), &more).is_ok(), "what is new and not needed is left out");
    }
}
