//! What the protocol demands, for every kind of resource, in both protocols, on aggregated streams and on those of one
//! kind: the discovery services alone, over real sockets, with resources that mean nothing but a number.

use super::client::*;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use envoy_types::pb::google::rpc;
use serin::latest::Latest;
use serin::resource::{Kind, Resource};
use serin::snapshot::{Fleet, Snapshot};
use serin::xds::server::Discovery;
use serin::xds::{Client, Registry};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint, Server};

/// Name to meaning.
type Held = BTreeMap<String, u32>;

/// The discovery services, and the hand that says what there is.
struct Stage {
    fleet: Arc<Latest<Fleet>>,
    kind: Kind,
    channel: Channel,
    /// The server ends with it.
    _stop: watch::Sender<bool>,
}

impl Stage {
    fn publish(&self, resources: &[(&str, u32)]) {
        let resource = |(name, meaning): &(&str, u32)| {
            // Field 1000, which no message has, so that the name is in it and is not mistaken.
            let mut content = Vec::new();
            prost::encoding::string::encode(1000, &format!("{name}={meaning}"), &mut content);
            Arc::new(Resource::from_encoded(self.kind, name, &content))
        };
        let previous = Arc::clone(&self.fleet.load().everyone);
        let everyone = Arc::new(Snapshot::next(&previous, resources.iter().map(resource)));
        self.fleet.publish(Fleet { everyone, ..Fleet::default() });
    }
}

/// Which cell of the matrix.
#[derive(Clone, Copy, Debug)]
struct Cell {
    kind: Kind,
    service: &'static str,
    delta: bool,
}

/// Every kind, both protocols, both sorts of service.
fn matrix() -> impl Iterator<Item = Cell> {
    SINGLE.into_iter().flat_map(|(kind, single)| {
        [ADS, single]
            .into_iter()
            .flat_map(move |service| [true, false].map(|delta| Cell { kind, service, delta }))
    })
}

/// Plays a scene in every cell, each with a server of its own.
async fn in_every_cell(filter: impl Fn(&Cell) -> bool, scene: impl AsyncFn(Cell, &Stage)) {
    for cell in matrix().filter(filter) {
        let fleet = Latest::new(Fleet::default());
        let (verdicts, mut said) = mpsc::channel(64);
        let (stop, stopped) = watch::channel(false);
        let (shared, registry) = (Arc::clone(&fleet), Arc::new(Registry::default()));
        let discovery = Discovery { fleet: shared, registry, verdicts, stopped };
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let client = Client { address, names: None };
        let routes = Routes::from(discovery.routes().layer(axum::Extension(client)));
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(socket);
        let served = Server::builder().add_routes(routes).serve_with_incoming(incoming);
        let played = async {
            let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
            let channel = endpoint.connect().await.unwrap();
            scene(cell, &Stage { fleet, kind: cell.kind, channel, _stop: stop }).await;
        };
        tokio::select! {
            ended = served => panic!("the server has ended: {ended:?}"),
            () = async { while said.recv().await.is_some() {} std::future::pending().await } => {}
            () = played => {}
        }
    }
}

/// One client of either protocol.
enum Talk {
    Delta(DeltaStream),
    Sotw { stream: SotwStream, names: Vec<String>, last: (String, String) },
}

/// One response: what is there, and what is gone; the latter is `None` where the protocol has no word for it.
#[derive(Debug, PartialEq)]
struct Heard {
    there: Held,
    gone: Vec<String>,
}

struct Speaker {
    cell: Cell,
    talk: Talk,
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

fn status(refusal: Option<&str>) -> Option<rpc::Status> {
    refusal.map(|text| rpc::Status { code: 13, message: text.into(), ..Default::default() })
}

/// The name and the meaning in a resource.
fn read(content: &[u8]) -> (String, u32) {
    let text = std::str::from_utf8(content.rsplit(u8::is_ascii_control).next().unwrap()).unwrap();
    let text = text.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let (name, meaning) = text.split_once('=').unwrap();
    (name.to_owned(), meaning.parse().unwrap())
}

impl Speaker {
    async fn new(cell: Cell, stage: &Stage, names: &[&str]) -> Self {
        let (channel, service) = (&stage.channel, cell.service);
        let talk = if cell.delta {
            Talk::Delta(delta(channel, service, subscribe(cell.kind, names)).await)
        } else {
            let stream = sotw(channel, service, ask(cell.kind, names)).await;
            Talk::Sotw { stream, names: strings(names), last: Default::default() }
        };
        Self { cell, talk }
    }

    /// From now on these names too.
    async fn also(&mut self, more: &[&str]) {
        match &mut self.talk {
            Talk::Delta(stream) => stream.say(subscribe(self.cell.kind, more)).await,
            Talk::Sotw { names, .. } => {
                names.extend(strings(more));
                self.say_sotw(None).await;
            }
        }
    }

    /// No longer these names.
    async fn without(&mut self, less: &[&str]) {
        match &mut self.talk {
            Talk::Delta(stream) => {
                let resource_names_unsubscribe = strings(less);
                let request =
                    DeltaDiscoveryRequest { resource_names_unsubscribe, ..subscribe(self.cell.kind, &[]) };
                stream.say(request).await;
            }
            Talk::Sotw { names, .. } => {
                names.retain(|name| !less.contains(&name.as_str()));
                self.say_sotw(None).await;
            }
        }
    }

    async fn say_sotw(&self, refusal: Option<&str>) {
        let Talk::Sotw { stream, names, last } = &self.talk else { panic!("of the other protocol") };
        let (version_info, response_nonce) = last.clone();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let error_detail = status(refusal);
        let asks = ask(self.cell.kind, &names);
        stream.say(DiscoveryRequest { version_info, response_nonce, error_detail, ..asks }).await;
    }

    /// Hears a response and answers it.
    async fn hear(&mut self, refusal: Option<&str>) -> Heard {
        let url = self.cell.kind.type_url();
        let heard = match &mut self.talk {
            Talk::Delta(stream) => {
                let heard = stream.hear().await;
                assert_eq!(heard.type_url, url);
                stream.answer(&heard, refusal).await;
                let resources = heard.resources.into_iter();
                let there = resources.map(|r| read(&r.resource.unwrap().value)).collect();
                return Heard { there, gone: heard.removed_resources };
            }
            Talk::Sotw { stream, last, .. } => {
                let heard = stream.hear().await;
                assert_eq!(heard.type_url, url);
                let version = if refusal.is_some() { last.0.clone() } else { heard.version_info.clone() };
                *last = (version, heard.nonce.clone());
                Heard { there: heard.resources.iter().map(|any| read(&any.value)).collect(), gone: vec![] }
            }
        };
        self.say_sotw(refusal).await;
        heard
    }

    /// The next response, which is taken, has these and takes these away.
    async fn hears(&mut self, there: &[(&str, u32)], gone: &[&str]) {
        let heard = self.hear(None).await;
        let there = there.iter().map(|(n, m)| ((*n).to_owned(), *m)).collect();
        assert_eq!(heard, Heard { there, gone: strings(gone) }, "{:?}", self.cell);
    }

    /// Like [`Speaker::hears`]: everything that there is where the protocol wants that, or what changed.
    async fn hears_of(&mut self, whole: &[(&str, u32)], changed: &[(&str, u32)], gone: &[&str]) {
        if self.is_whole() { self.hears(whole, &[]).await } else { self.hears(changed, gone).await }
    }

    /// Whether a response holds everything that there is.
    fn is_whole(&self) -> bool {
        !self.cell.delta && self.cell.kind.is_wildcard()
    }
}

#[tokio::test]
async fn everything_comes_in_one_response_and_then_what_changes() {
    for names in [&[][..], &["*"]] {
        in_every_cell(
            |cell| cell.kind.is_wildcard(),
            async |cell, stage| {
                stage.publish(&[("a", 1), ("b", 2)]);
                let mut speaker = Speaker::new(cell, stage, names).await;
                speaker.hears(&[("a", 1), ("b", 2)], &[]).await;
                stage.publish(&[("a", 1), ("b", 3), ("c", 4)]);
                speaker.hears_of(&[("a", 1), ("b", 3), ("c", 4)], &[("b", 3), ("c", 4)], &[]).await;
                stage.publish(&[("b", 3), ("c", 4)]);
                speaker.hears_of(&[("b", 3), ("c", 4)], &[], &["a"]).await;
            },
        )
        .await;
    }
}

#[tokio::test]
async fn who_names_resources_gets_those_and_only_those() {
    in_every_cell(
        |_| true,
        async |cell, stage| {
            stage.publish(&[("a", 1), ("b", 2), ("c", 3)]);
            let mut speaker = Speaker::new(cell, stage, &["a", "b"]).await;
            speaker.hears(&[("a", 1), ("b", 2)], &[]).await;
            // Of what it did not ask for it hears nothing: the next response is about `a`.
            stage.publish(&[("a", 1), ("b", 2), ("c", 9)]);
            stage.publish(&[("a", 7), ("b", 2), ("c", 9)]);
            speaker.hears_of(&[("a", 7), ("b", 2)], &[("a", 7)], &[]).await;
            speaker.without(&["a"]).await;
            speaker.also(&["c"]).await;
            if speaker.is_whole() {
                // The shorter list is another version, which may be said before the longer one is heard.
                let all = Held::from([("b".into(), 2), ("c".into(), 9)]);
                while speaker.hear(None).await.there != all {}
            } else {
                speaker.hears(&[("c", 9)], &[]).await;
            }
            stage.publish(&[("a", 8), ("b", 2), ("c", 9)]);
            stage.publish(&[("a", 8), ("b", 5), ("c", 9)]);
            speaker.hears_of(&[("b", 5), ("c", 9)], &[("b", 5)], &[]).await;
        },
    )
    .await;
}

#[tokio::test]
async fn what_is_missing_is_said_to_be_and_sent_when_it_appears() {
    in_every_cell(
        |_| true,
        async |cell, stage| {
            stage.publish(&[("a", 1)]);
            let mut speaker = Speaker::new(cell, stage, &["a", "late"]).await;
            let missing: &[&str] = if cell.delta { &["late"] } else { &[] };
            speaker.hears(&[("a", 1)], missing).await;
            stage.publish(&[("a", 1), ("late", 2)]);
            speaker.hears_of(&[("a", 1), ("late", 2)], &[("late", 2)], &[]).await;
            if cell.delta || speaker.is_whole() {
                stage.publish(&[("late", 2)]);
                speaker.hears_of(&[("late", 2)], &[], &["a"]).await;
            }
        },
    )
    .await;
}

#[tokio::test]
async fn what_is_refused_is_not_said_again_and_what_comes_after_is() {
    in_every_cell(
        |_| true,
        async |cell, stage| {
            stage.publish(&[("a", 1)]);
            let mut speaker = Speaker::new(cell, stage, &["a"]).await;
            speaker.hears(&[("a", 1)], &[]).await;
            stage.publish(&[("a", 2)]);
            assert_eq!(speaker.hear(Some("no")).await.there, Held::from([("a".into(), 2)]));
            stage.publish(&[("a", 3)]);
            speaker.hears(&[("a", 3)], &[]).await;
        },
    )
    .await;
}

#[tokio::test]
async fn who_never_answers_hears_of_later_states_all_the_same() {
    in_every_cell(
        |_| true,
        async |cell, stage| {
            stage.publish(&[("a", 1)]);
            let speaker = Speaker::new(cell, stage, &["a"]).await;
            match speaker.talk {
                Talk::Delta(mut stream) => {
                    for meaning in 1..=5 {
                        stage.publish(&[("a", meaning)]);
                        let heard = stream.hear().await;
                        assert_eq!(read(&heard.resources[0].resource.as_ref().unwrap().value).1, meaning);
                    }
                }
                Talk::Sotw { mut stream, .. } => {
                    for meaning in 1..=5 {
                        stage.publish(&[("a", meaning)]);
                        assert_eq!(read(&stream.hear().await.resources[0].value).1, meaning);
                    }
                }
            }
        },
    )
    .await;
}

#[tokio::test]
async fn stale_nonces_and_unknown_types_change_nothing() {
    in_every_cell(
        |_| true,
        async |cell, stage| {
            stage.publish(&[("a", 1), ("b", 1)]);
            let mut speaker = Speaker::new(cell, stage, &["a"]).await;
            speaker.hears(&[("a", 1)], &[]).await;
            let unknown = "type.googleapis.com/envoy.config.NoSuchThing";
            match &speaker.talk {
                Talk::Delta(stream) => {
                    let response_nonce = "fff".to_owned();
                    let error_detail = status(Some("of the past"));
                    let stale =
                        DeltaDiscoveryRequest { response_nonce, error_detail, ..subscribe(cell.kind, &[]) };
                    stream.say(stale).await;
                    if cell.service == ADS {
                        let type_url = unknown.into();
                        stream.say(DeltaDiscoveryRequest { type_url, ..Default::default() }).await;
                    }
                }
                Talk::Sotw { stream, .. } => {
                    let response_nonce = "fff".to_owned();
                    stream.say(DiscoveryRequest { response_nonce, ..ask(cell.kind, &["a", "b"]) }).await;
                    if cell.service == ADS {
                        let type_url = unknown.into();
                        stream.say(DiscoveryRequest { type_url, ..Default::default() }).await;
                    }
                }
            }
            stage.publish(&[("a", 2), ("b", 1)]);
            speaker.hears(&[("a", 2)], &[]).await;
        },
    )
    .await;
}

#[tokio::test]
async fn who_comes_back_to_an_incremental_stream_hears_what_differs() {
    in_every_cell(
        |cell| cell.delta,
        async |cell, stage| {
            stage.publish(&[("a", 1), ("b", 2), ("c", 3)]);
            let all = &["a", "b", "c"];
            let mut first = delta(&stage.channel, cell.service, subscribe(cell.kind, all)).await;
            let held = first.hear_and_take(cell.kind).await;
            assert_eq!(held.len(), 3);
            stage.publish(&[("a", 1), ("b", 9)]);
            let initial_resource_versions = held.clone().into_iter().collect();
            let back = DeltaDiscoveryRequest { initial_resource_versions, ..subscribe(cell.kind, all) };
            let mut speaker =
                Speaker { cell, talk: Talk::Delta(delta(&stage.channel, cell.service, back).await) };
            let mut heard = speaker.hear(None).await;
            // Nothing is taken away before what replaces it was taken.
            while heard.gone.is_empty() {
                let more = speaker.hear(None).await;
                heard.there.extend(more.there);
                heard.gone.extend(more.gone);
            }
            let expected = Heard { there: Held::from([("b".into(), 9)]), gone: strings(&["c"]) };
            assert_eq!(heard, expected, "{cell:?}");
        },
    )
    .await;
}
