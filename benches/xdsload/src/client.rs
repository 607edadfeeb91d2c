//! One xDS client: opens a stream, subscribes in Envoy's order, acknowledges everything, and tells [`Shared`] what it
//! saw and when.

use crate::codec::{Chunks, Raw};
use crate::shared::{Counters, Names, Shared, lock, referenced};
use crate::wire::{self, KINDS, T_CDS, T_EDS, T_LDS, T_RDS, T_SRDS};
use bytes::Bytes;
use http::uri::PathAndQuery;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// How a client behaves once the rounds have begun.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Manner {
    /// As Envoy does.
    Good,
    /// Refuses every response with routes.
    Nack,
    /// Stops reading for this long when the first round begins.
    Slow(Duration),
}

#[derive(Default)]
struct Sub {
    open: bool,
    version: Bytes,
    nonce: Bytes,
    names: Option<Arc<Names>>,
    /// What the resources of this type ask of another.
    refers_to: Option<Arc<Names>>,
    received: usize,
    complete: bool,
}

struct Client {
    shared: Arc<Shared>,
    index: usize,
    manner: Manner,
    subs: [Sub; KINDS],
    node: Option<Bytes>,
    tx: mpsc::UnboundedSender<Chunks>,
    finder: Option<(String, memchr::memmem::Finder<'static>)>,
    recorded: u32,
}

/// Which types' resources name the resources of a type.
fn referrers(t: usize) -> &'static [usize] {
    match t {
        T_EDS => &[T_CDS],
        T_RDS => &[T_LDS, T_SRDS],
        _ => &[],
    }
}

/// Runs one client until its stream ends. `go` holds it back until all are connected.
pub async fn run(
    shared: Arc<Shared>,
    index: usize,
    manner: Manner,
    channel: Channel,
    mut go: watch::Receiver<bool>,
    resume: bool,
) {
    if go.wait_for(|g| *g).await.is_err() {
        return;
    }
    let b = &shared.behaviour;
    let (tx, rx) = mpsc::unbounded_channel();
    let finder = |c: &String| (c.clone(), memchr::memmem::Finder::new(&wire::weight_needle(c)).into_owned());
    let mut client = Client {
        index,
        manner,
        subs: Default::default(),
        node: Some(wire::node(&format!("{}{index}", b.node_prefix), &b.node_cluster)),
        tx,
        finder: b.cluster.as_ref().map(finder),
        recorded: 0,
        shared: Arc::clone(&shared),
    };
    client.subs[T_SRDS].complete = !b.scoped;
    let end = client.stream(channel, rx, resume).await;
    shared.error(match end {
        Ok(()) => "stream closed by server".to_owned(),
        Err(s) => format!("{:?}: {}", s.code(), s.message()),
    });
    shared.changed.notify_waiters();
}

impl Client {
    async fn stream(
        &mut self,
        channel: Channel,
        rx: mpsc::UnboundedReceiver<Chunks>,
        resume: bool,
    ) -> Result<(), Status> {
        let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(usize::MAX);
        grpc.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
        let path = PathAndQuery::from_static(if self.shared.behaviour.delta {
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
        } else {
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
        });
        if resume {
            self.resume();
        } else {
            self.subscribe(T_CDS, None);
        }
        let requests = Request::new(UnboundedReceiverStream::new(rx));
        let mut stream = grpc.streaming(requests, path, Raw).await?.into_inner();
        while let Some(msg) = stream.message().await? {
            self.receive(&msg);
            if let Manner::Slow(pause) = self.manner
                && self.shared.round.load(Relaxed) > 0
            {
                self.manner = Manner::Good;
                tokio::time::sleep(pause).await;
            }
        }
        Ok(())
    }

    fn me(&self) -> &Counters {
        &self.shared.counters[self.index]
    }

    fn send(&mut self, chunks: Chunks) {
        self.node = None;
        let size = chunks.iter().map(Bytes::len).sum::<usize>() as u64 + 5;
        self.me().sent.fetch_add(size, Relaxed);
        // The receiver is gone only when the stream is: the loop in stream() ends then.
        let _ = self.tx.send(chunks);
    }

    /// First request of a type, with the names it wants (none: all).
    fn subscribe(&mut self, t: usize, names: Option<Arc<Names>>) {
        let list = names.as_ref().map_or_else(Bytes::new, |n| n.subscribe.clone());
        let node = self.node.take();
        let chunks = if self.shared.behaviour.delta {
            wire::delta_request(node.as_deref(), wire::TYPES[t], b"", list, None)
        } else {
            wire::sotw_request(node.as_deref(), wire::TYPES[t], b"", b"", list, None)
        };
        self.subs[t].open = true;
        self.subs[t].names = names;
        self.send(chunks);
    }

    /// What Envoy sends on a new stream after losing one: every subscription, with what it has.
    fn resume(&mut self) {
        let shared = Arc::clone(&self.shared);
        let memory = lock(&shared.memory);
        for t in (0..KINDS).filter(|t| *t != T_SRDS || shared.behaviour.scoped) {
            let names = memory.names[t].clone();
            let list = names.as_ref().map_or_else(Bytes::new, |n| n.subscribe.clone());
            let node = self.node.take();
            let version = memory.sotw[t].clone();
            let chunks = if shared.behaviour.delta {
                let known = wire::initial_versions(memory.delta[t].iter().map(|(n, v)| (&n[..], &v[..])));
                let body: Bytes = [list, known].concat().into();
                wire::delta_request(node.as_deref(), wire::TYPES[t], b"", body, None)
            } else {
                wire::sotw_request(node.as_deref(), wire::TYPES[t], &version, b"", list, None)
            };
            self.subs[t] = Sub { open: true, complete: true, names, version, ..Sub::default() };
            self.send(chunks);
        }
    }

    fn receive(&mut self, msg: &Bytes) {
        let now = self.shared.now();
        let head = wire::head(msg);
        let me = self.me();
        me.bytes.fetch_add(msg.len() as u64 + 5, Relaxed);
        me.responses.fetch_add(1, Relaxed);
        me.resources.fetch_add(head.resources as u64, Relaxed);
        me.last_rx.store(now, Relaxed);
        let Some(t) = wire::type_index(head.type_url) else {
            let name = String::from_utf8_lossy(head.type_url);
            return self.shared.error(format!("response of unknown type {name}"));
        };
        if t == T_RDS {
            self.check(msg, now);
        }
        self.record(msg, t);
        let nack = self.manner == Manner::Nack && t == T_RDS && self.shared.round.load(Relaxed) > 0;
        self.subs[t].nonce = Bytes::copy_from_slice(head.nonce);
        if !nack {
            self.subs[t].version = Bytes::copy_from_slice(head.version);
            self.remember(msg, t);
        }
        self.acknowledge(t, nack);
        if !nack {
            self.follow(msg, t, &head);
        }
    }

    /// Does this response end the round for this client?
    fn check(&mut self, msg: &[u8], now: u64) {
        let s = &self.shared;
        let round = s.round.load(Relaxed);
        let me = self.me();
        if round == 0 || me.hit_round.load(Relaxed) == round {
            return;
        }
        if let Some((name, finder)) = &self.finder
            && !wire::has_weight(msg, finder, name, s.weight.load(Relaxed))
        {
            return;
        }
        me.hit.store(now, Relaxed);
        me.hit_round.store(round, Relaxed);
        s.changed.notify_waiters();
    }

    fn acknowledge(&mut self, t: usize, nack: bool) {
        let error = nack.then_some("refused by xdsload");
        if nack {
            self.me().nacks.fetch_add(1, Relaxed);
        }
        let sub = &self.subs[t];
        let chunks = if self.shared.behaviour.delta {
            wire::delta_request(None, wire::TYPES[t], &sub.nonce, Bytes::new(), error)
        } else {
            let list = sub.names.as_ref().map_or_else(Bytes::new, |n| n.subscribe.clone());
            wire::sotw_request(None, wire::TYPES[t], &sub.version, &sub.nonce, list, error)
        };
        self.send(chunks);
    }

    /// Asks for what the response refers to, and takes the next step of the first sync.
    fn follow(&mut self, msg: &Bytes, t: usize, head: &wire::Head<'_>) {
        let sub = &mut self.subs[t];
        sub.received += head.resources;
        if matches!(t, T_CDS | T_LDS | T_SRDS) {
            let first = !sub.complete;
            sub.complete = true;
            let next = if t == T_CDS { T_EDS } else { T_RDS };
            if first {
                sub.refers_to = Some(self.shared.learn(t, msg, head));
                if t == T_LDS && self.shared.behaviour.scoped {
                    self.subscribe(T_SRDS, None);
                }
                if referrers(next).iter().all(|r| self.subs[*r].complete) {
                    match self.wanted(next) {
                        Some(names) => self.subscribe(next, Some(names)),
                        None => self.subs[next].complete = true,
                    }
                }
            } else if self.subs[next].open {
                self.update(msg, t, next, head);
            }
        } else if !sub.complete && sub.names.as_ref().is_some_and(|n| sub.received >= n.set.len()) {
            sub.complete = true;
        }
        if !self.subs[T_LDS].open && self.subs[T_CDS].complete && self.subs[T_EDS].complete {
            self.subscribe(T_LDS, None);
        }
        if self.me().synced.load(Relaxed) == 0 && self.subs.iter().all(|s| s.complete) {
            self.me().synced.store(self.shared.now(), Relaxed);
            self.shared.synced.fetch_add(1, Relaxed);
            self.shared.changed.notify_waiters();
            if self.index == 0 {
                let mut m = lock(&self.shared.memory);
                m.names = std::array::from_fn(|i| self.subs[i].names.clone());
            }
        }
    }

    /// All that is asked of a type; `None`: nothing.
    fn wanted(&self, t: usize) -> Option<Arc<Names>> {
        let mut lists = referrers(t)
            .iter()
            .filter_map(|r| self.subs[*r].refers_to.as_ref())
            .filter(|names| !names.set.is_empty());
        let first = Arc::clone(lists.next()?);
        Some(match lists.next() {
            None => first,
            Some(second) => self.shared.intern(t, first.set.union(&second.set).cloned().collect()),
        })
    }

    /// A later response about what refers to others may add or remove names to ask for.
    fn update(&mut self, msg: &Bytes, t: usize, next: usize, head: &wire::Head<'_>) {
        let Some(have) = self.subs[next].names.clone() else { return };
        if self.shared.behaviour.delta {
            let mut set = referenced(t, msg, true);
            set.retain(|n| !have.set.contains(n));
            // The name of what is removed stands for the name it asked for.
            let gone = wire::delta_removed(msg).filter(|n| have.set.contains(*n));
            let gone: Vec<Bytes> = gone.map(Bytes::copy_from_slice).collect();
            if set.is_empty() && gone.is_empty() {
                return;
            }
            let mut body = wire::encode_names(set.iter().map(|b| &b[..]), 3).to_vec();
            body.extend_from_slice(&wire::encode_names(gone.iter().map(|b| &b[..]), 4));
            let chunks = wire::delta_request(None, wire::TYPES[next], b"", body.into(), None);
            let mut all = have.set.clone();
            all.extend(set);
            all.retain(|n| !gone.contains(n));
            self.subs[next].names = Some(self.shared.intern(next, all));
            self.send(chunks);
        } else {
            self.subs[t].refers_to = Some(self.shared.learn(t, msg, head));
            let Some(want) = self.wanted(next).filter(|want| want.id != have.id) else { return };
            let s = &mut self.subs[next];
            let list = want.subscribe.clone();
            let chunks = wire::sotw_request(None, wire::TYPES[next], &s.version, &s.nonce, list, None);
            s.names = Some(want);
            self.send(chunks);
        }
    }

    fn remember(&self, msg: &Bytes, t: usize) {
        if self.index != 0 || !self.shared.behaviour.remember {
            return;
        }
        let mut m = lock(&self.shared.memory);
        m.sotw[t] = self.subs[t].version.clone();
        if self.shared.behaviour.delta {
            for (n, v) in wire::delta_versions(msg) {
                m.delta[t].insert(Bytes::copy_from_slice(n), Bytes::copy_from_slice(v));
            }
            for n in wire::delta_removed(msg) {
                m.delta[t].remove(n);
            }
        }
    }

    /// Client 0 keeps what it received, for the floor to replay.
    fn record(&mut self, msg: &[u8], t: usize) {
        if self.index != 0 {
            return;
        }
        let Some(dir) = &self.shared.behaviour.record else { return };
        let round = self.shared.round.load(Relaxed);
        let file = if round == 0 {
            self.recorded += 1;
            format!("sync-{:03}-{}.bin", self.recorded, wire::NAMES[t])
        } else {
            format!("change-{round:03}-{}.bin", wire::NAMES[t])
        };
        if let Err(e) = std::fs::write(dir.join(&file), msg) {
            self.shared.error(format!("cannot record {file}: {e}"));
        }
    }
}
