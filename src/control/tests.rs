//! Courses of events, played without a clock.

mod files;
mod incremental;
mod logins;
mod older;
mod ownership;
mod quarantine;
mod refusals;
mod rollouts;
mod secrets;

use super::{Changes, Event, GRACE, GatewayView, LINGER, NoteKind, Phase, Unlisted, WARM_UP, World};
use crate::clock::Timestamp;
use crate::config::{Attachment, Content, Document, Reference};
use crate::model::{CertificateFiles, Listener, ListenerTls, Settings};
use crate::names::ListenerName;
use crate::resource::{Kind, Resource, Version};
use crate::rollout;
use crate::snapshot::{Node, Snapshot};
use crate::xds::{Offered, Said, Verdict};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A world whose clock is set by hand.
struct Play {
    world: World,
    now: Timestamp,
    /// Of the notes so far.
    told: Vec<(NoteKind, String)>,
}

impl Play {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        Self { world: World::new(settings), now: Timestamp(1_000_000), told: Vec::new() }
    }

    fn event(&mut self, event: Event) -> bool {
        let changed = self.world.apply(event, self.now);
        self.told.extend(self.world.take_notes().into_iter().map(|n| (n.kind, n.message)));
        changed
    }

    /// Files appear or change (`Some`), or are gone (`None`), all at once.
    fn files(&mut self, files: &[(&str, Option<String>)]) {
        let document = |path: &str, text: &String| Document {
            path: path.into(),
            content: Content::Text(text.as_bytes().into()),
        };
        let documents = files
            .iter()
            .map(|(path, text)| (Arc::from(*path), text.as_ref().map(|t| document(path, t).into())));
        let documents = documents.collect();
        self.event(Event::Files(Changes { documents, ..Default::default() }));
    }

    fn write(&mut self, path: &str, text: String) {
        self.files(&[(path, Some(text))]);
    }

    fn remove(&mut self, path: &str) {
        self.files(&[(path, None)]);
    }

    fn attach(&mut self, path: &str, attachment: Attachment) {
        let attached = [(Reference::File(path.into()), attachment)].into();
        self.event(Event::Files(Changes { attached, ..Default::default() }));
    }

    /// Lets time pass, with a tick at each deadline on the way.
    fn wait(&mut self, time: Duration) {
        let end = self.now.plus(time);
        while let Some(deadline) = self.world.deadline().filter(|d| *d <= end) {
            self.now = deadline.max(self.now);
            let before = self.world.deadline();
            self.event(Event::Tick);
            assert_ne!(self.world.deadline(), before, "a tick at its deadline moves it");
        }
        self.now = end;
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.world.fleet().everyone
    }

    fn gateway(&mut self, name: &str) -> Arc<GatewayView> {
        let view = self.world.view();
        let names: Vec<_> = view.gateways.keys().collect();
        view.gateways.get(name).cloned().unwrap_or_else(|| panic!("no {name} among {names:?}"))
    }

    fn codes(&mut self, name: &str) -> Vec<&'static str> {
        self.gateway(name).diagnostics.iter().map(|d| d.code.as_str()).collect()
    }

    fn is_serving(&mut self, name: &str) -> bool {
        self.gateway(name).serving
    }

    fn was_told(&self, kind: NoteKind) -> usize {
        self.told.iter().filter(|(k, _)| *k == kind).count()
    }

    fn names(&self, kind: Kind) -> Vec<String> {
        self.snapshot().set(kind).resources().map(|r| r.name().to_string()).collect()
    }

    /// Whether a text is in the routes that Envoys are told.
    fn routes_say(&self, text: &str) -> bool {
        let snapshot = self.snapshot();
        let mut routes = snapshot.set(Kind::Route).resources();
        routes.any(|r| r.message().windows(text.len()).any(|w| w == text.as_bytes()))
    }
}

/// An Envoy of the default audience.
fn node(id: &str, version: &str) -> Node {
    Node { id: id.into(), cluster: String::new(), version: version.into() }
}

/// A verdict of the only Envoy.
fn said(verdict: Verdict) -> Event {
    Event::Verdict(Said { node: Arc::new(node("edge", "1.40.0")), verdict, others: Vec::new() })
}

/// The same verdict of another Envoy.
fn by(node: &Node, event: Event) -> Event {
    let Event::Verdict(said) = event else { panic!("a verdict") };
    Event::Verdict(Said { node: Arc::new(node.clone()), ..said })
}

/// It takes resources that no Envoy had taken before.
fn takes(kind: Kind, first: Vec<Arc<Resource>>) -> Event {
    let taken = Offered::default();
    said(Verdict::Accepted { kind, version: Version(0), first, taken, refusing: false })
}

/// It refuses resources.
fn refuses(kind: Kind, resources: Vec<Arc<Resource>>, text: &str) -> Event {
    said(Verdict::Refused { kind, resources, has: BTreeMap::new(), text: text.into() })
}

/// A gateway on a path of its own.
fn gateway(name: &str) -> String {
    format!("apiVersion: serin/v1\nname: {name}\npath: /{name}\nupstreams: {{ v1: http://10.0.0.1:80 }}\n")
}

/// A gateway with two upstreams.
fn split(name: &str, v1: u32) -> String {
    format!(
        "apiVersion: serin/v1\nname: {name}\npath: /{name}\ntraffic: {{ v1: {v1}, v2: {} }}\n\
         upstreams: {{ v1: http://10.0.0.1:80, v2: http://10.0.0.2:80 }}\n",
        100 - v1
    )
}

fn broken(name: &str) -> String {
    format!("apiVersion: serin/v1\nname: {name}\npath: nowhere\nupstreams: {{ v1: http://10.0.0.1:80 }}\n")
}

fn versions(snapshot: &Snapshot) -> Vec<(Kind, String, Version)> {
    snapshot.resources().map(|r| (r.kind(), r.name().to_string(), r.version())).collect()
}

/// The resources that differ.
fn changed(before: &Snapshot, after: &Snapshot) -> Vec<(Kind, String)> {
    let (before, after) = (versions(before), versions(after));
    let new = after.iter().filter(|r| !before.contains(r));
    let gone = before.iter().filter(|r| !after.iter().any(|a| (a.0, &a.1) == (r.0, &r.1)));
    new.chain(gone).map(|(kind, name, _)| (*kind, name.clone())).collect()
}
