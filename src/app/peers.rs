//! What this Serin and others with the same store say to each other: orders that go to the one that leads, their answers,
//! and which files each has. Brings the loop's values to the task of the store, and back.

use crate::clock;
use crate::control::{Event, GatewayView, Handed, Pending, View, taken};
use crate::latest::{Latest, Subscriber};
use crate::model::{Settings, StoreAt};
use crate::rollout::Refusal;
use crate::store::Seat;
use crate::store::peers::{self, Answer, Ask, Decided, Inputs, News, Outputs};
use crate::store::roster::Member;
use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// What waits on each of the ways.
const QUEUE: usize = peers::MOST;

/// All ends of the lines.
pub(super) struct Lines {
    /// Orders from the loop, for others.
    handed: mpsc::Receiver<Handed>,
    /// Orders of others, for the loop.
    events: mpsc::Sender<Event>,
    /// Whether this one leads, and its files.
    view: Subscriber<View>,
    /// For people: who is there.
    pub(super) members: Arc<Latest<Vec<Member>>>,
    /// True: say farewell, and end.
    stopped: watch::Receiver<bool>,
}

impl Lines {
    /// Nobody is known yet.
    pub(super) fn new(
        handed: mpsc::Receiver<Handed>,
        events: &mpsc::Sender<Event>,
        view: &Arc<Latest<View>>,
        stopped: &watch::Receiver<bool>,
    ) -> Self {
        let (events, view) = (events.clone(), view.subscribe());
        Self { handed, events, view, members: Latest::new(Vec::new()), stopped: stopped.clone() }
    }

    /// Runs until it is stopped. `None`: nothing is shared.
    pub(super) fn run(self, settings: &Settings, name: &str) -> Option<impl Future<Output = ()> + use<>> {
        let Some(StoreAt::Postgres(at)) = &settings.store else { return None };
        let (at, name) = (at.clone(), name.to_owned());
        Some(async move {
            // Who has not read its files yet has nothing to say.
            let mut stopped = self.stopped.clone();
            let has_begun = tokio::select! {
                begun = self.view.published() => begun,
                _ = stopped.wait_for(|s| *s) => false,
            };
            let Some(id) = id().filter(|_| has_begun) else { return };
            let Self { handed, events, view, members, stopped } = self;
            let (asks_in, asks) = mpsc::channel(QUEUE);
            let (news_in, news) = mpsc::channel(QUEUE);
            let (decided_in, decided) = mpsc::channel(QUEUE);
            let (orders_in, orders) = mpsc::channel(QUEUE);
            let inputs = Inputs { at, id, name, since: clock::now(), asks, news, decided, stopped };
            let lines = async {
                tokio::join!(
                    hand_on(handed, asks_in, events.clone()),
                    carry_out(orders, events, decided_in),
                    tell(view, news_in)
                );
            };
            tokio::select! {
                () = peers::run(inputs, Outputs { orders: orders_in, members }) => {}
                () = lines => {}
            }
        })
    }
}

/// A name of this run that no other has.
fn id() -> Option<Arc<str>> {
    let mut bytes = [0; 12];
    if let Err(error) = getrandom::fill(&mut bytes) {
        tracing::error!("this control plane has to stop, since it cannot make a name for itself: {error}");
        return None;
    }
    let mut text = String::new();
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Some(text.into())
}

/// Hands on orders, and their answers back to those who wait.
async fn hand_on(mut handed: mpsc::Receiver<Handed>, asks: mpsc::Sender<Ask>, events: mpsc::Sender<Event>) {
    let mut waiting = JoinSet::new();
    loop {
        tokio::select! {
            order = handed.recv() => {
                let Some(order) = order else { return };
                let (reply, answer) = oneshot::channel();
                let (is_keyed, is_switch) = (order.is_keyed(), order.is_switch());
                let ask = Ask { paper: order.paper(), is_keyed, is_switch, reply };
                let events = events.clone();
                let is_lost = asks.try_send(ask).is_err();
                waiting.spawn(async move {
                    let back = match answer.await {
                        _ if is_lost => {
                            let why = "too many orders wait for the control plane that leads";
                            order.refuse(Refusal::Elsewhere(why.into()))
                        }
                        Ok(Answer::Done(answer)) => order.answer(&answer),
                        Ok(Answer::NotDone(why)) => order.refuse(Refusal::Elsewhere(why)),
                        Ok(Answer::Unknown(why)) => order.refuse(Refusal::Unknown(why)),
                        Err(_) => order.refuse(Refusal::Unknown("this control plane is stopping".into())),
                    };
                    if let Some(back) = back {
                        // Without a loop everything stops, and who asks is told so.
                        let _ = events.send(back).await;
                    }
                });
            }
            Some(_) = waiting.join_next() => {}
        }
    }
}

/// Gives orders of others to the loop, and its answers back.
async fn carry_out(
    mut orders: mpsc::Receiver<(Arc<str>, String)>,
    events: mpsc::Sender<Event>,
    decided: mpsc::Sender<Decided>,
) {
    let mut waiting = JoinSet::new();
    let wait = async |ticket, pending: Pending| Decided { ticket, answer: pending.answer().await };
    loop {
        let done = tokio::select! {
            order = orders.recv() => {
                let Some((ticket, paper)) = order else { return };
                match taken(&ticket, &paper) {
                    Ok((event, pending)) => {
                        if events.send(event).await.is_err() {
                            return;
                        }
                        waiting.spawn(wait(ticket, pending));
                        continue;
                    }
                    Err(answer) => Decided { ticket, answer: Some(answer) },
                }
            }
            Some(Ok(done)) = waiting.join_next() => done,
        };
        if decided.send(done).await.is_err() {
            return;
        }
    }
}

/// Says whether this one leads, and which of its files changed.
async fn tell(mut view: Subscriber<View>, news: mpsc::Sender<News>) {
    let mut gateways = OrdMap::new();
    let mut told = None;
    loop {
        let now = view.load();
        let token = match now.seat {
            Some((Seat::Leads { token }, _)) => Some(token),
            _ => None,
        };
        let copies = changed(&gateways, &now.gateways);
        gateways = now.gateways.clone();
        if !copies.is_empty() || told != Some(token) {
            told = Some(token);
            if news.send(News { token, copies }).await.is_err() {
                return;
            }
        }
        if !view.changed().await {
            return;
        }
    }
}

type Gateways = OrdMap<Arc<str>, Arc<GatewayView>>;

/// The gateways whose file has another version than before, and which; `None`: it is gone. Costs what changed.
fn changed(before: &Gateways, now: &Gateways) -> BTreeMap<Arc<str>, Option<Arc<str>>> {
    let mut changed = BTreeMap::new();
    for item in before.diff(now) {
        let (name, old, new) = match item {
            DiffItem::Add(name, new) => (name, None, new.file_tag.clone()),
            DiffItem::Update { old: (_, old), new: (name, new) } => {
                (name, old.file_tag.clone(), new.file_tag.clone())
            }
            DiffItem::Remove(name, old) => (name, old.file_tag.clone(), None),
        };
        if old != new {
            changed.insert(Arc::clone(name), new);
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Phase;

    fn gateway(tag: Option<&str>, serving: bool) -> Arc<GatewayView> {
        Arc::new(GatewayView {
            name: "a".into(),
            file: "a.yaml".into(),
            file_tag: tag.map(Arc::from),
            phase: Phase::Invalid,
            serving,
            gateway: None,
            rollout: None,
            diagnostics: Vec::new(),
        })
    }

    #[test]
    fn only_files_that_changed_are_told() {
        let before = OrdMap::from_iter([
            (Arc::from("a"), gateway(Some("1"), true)),
            (Arc::from("b"), gateway(Some("1"), true)),
            (Arc::from("c"), gateway(Some("1"), true)),
            (Arc::from("d"), gateway(None, true)),
        ]);
        let mut now = before.clone();
        now.insert("a".into(), gateway(Some("1"), false));
        now.insert("b".into(), gateway(Some("2"), true));
        now.remove("c");
        now.remove("d");
        now.insert("e".into(), gateway(Some("5"), true));
        now.insert("f".into(), gateway(None, true));
        let expected = [("b", Some("2")), ("c", None), ("e", Some("5"))];
        let expected = expected.map(|(name, tag)| (Arc::from(name), tag.map(Arc::from)));
        assert_eq!(changed(&before, &now), BTreeMap::from(expected));
        assert_eq!(changed(&now, &now.clone()), BTreeMap::new());
    }
}
