//! What all clients share: what they do, what they counted, and lists of names, kept once.

use crate::wire::{self, KINDS, T_CDS, T_LDS};
use bytes::Bytes;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

/// What every client does, from the command line.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Incremental xDS; otherwise state of the world.
    pub delta: bool,
    /// Ask for scoped routes too, and for the routes that they name.
    pub scoped: bool,
    /// `node.id` without the number.
    pub node_prefix: String,
    /// `node.cluster`
    pub node_cluster: String,
    /// Cluster whose weight shows that a change has arrived; none: any response with routes will do.
    pub cluster: Option<String>,
    /// Remember versions, to resume with them after a reconnect.
    pub remember: bool,
    /// Where client 0 puts what it received.
    pub record: Option<std::path::PathBuf>,
}

/// Counters of one client. Times are nanoseconds since the start; 0: not yet.
#[derive(Debug, Default)]
pub struct Counters {
    /// Bytes received.
    pub bytes: AtomicU64,
    /// Bytes sent.
    pub sent: AtomicU64,
    /// Responses received.
    pub responses: AtomicU64,
    /// Resources received.
    pub resources: AtomicU64,
    /// Refusals sent.
    pub nacks: AtomicU64,
    /// When it had all for the first time.
    pub synced: AtomicU64,
    /// When it received anything last.
    pub last_rx: AtomicU64,
    /// When it saw the change of the round under way.
    pub hit: AtomicU64,
    /// Round of the last hit.
    pub hit_round: AtomicU32,
}

/// A set of resource names, encoded once for all clients.
#[derive(Debug)]
pub struct Names {
    pub(crate) id: u64,
    pub(crate) set: HashSet<Bytes>,
    pub(crate) subscribe: Bytes,
}

/// What one client remembers for all, to resume after a reconnect.
#[derive(Debug, Default)]
pub struct Memory {
    pub(crate) sotw: [Bytes; KINDS],
    pub(crate) delta: [HashMap<Bytes, Bytes>; KINDS],
    pub(crate) names: [Option<Arc<Names>>; KINDS],
}

/// What all clients share.
#[derive(Debug)]
pub struct Shared {
    /// What they do.
    pub behaviour: Behaviour,
    epoch: Instant,
    /// One for each client.
    pub counters: Vec<Counters>,
    /// Clients that had all once.
    pub synced: AtomicUsize,
    /// Round under way; 0: none.
    pub round: AtomicU32,
    /// Weight that ends the round for a client.
    pub weight: AtomicU32,
    /// Told when a counter changes that somebody may wait for.
    pub changed: Notify,
    pub(crate) memory: Mutex<Memory>,
    /// What went wrong, and how often.
    pub errors: Mutex<HashMap<String, usize>>,
    learnt: Mutex<HashMap<(usize, u64), Arc<Names>>>,
    guesses: Mutex<HashMap<(usize, usize, usize), Arc<Names>>>,
}

/// No client leaves anything half done in what it locks.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// For so many clients.
    pub fn new(behaviour: Behaviour, clients: usize) -> Self {
        Self {
            behaviour,
            epoch: Instant::now(),
            counters: (0..clients).map(|_| Counters::default()).collect(),
            synced: AtomicUsize::new(0),
            round: AtomicU32::new(0),
            weight: AtomicU32::new(0),
            changed: Notify::new(),
            memory: Mutex::default(),
            errors: Mutex::default(),
            learnt: Mutex::default(),
            guesses: Mutex::default(),
        }
    }

    /// Nanoseconds since the start, never 0.
    pub fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64 + 1
    }

    /// Counts something that went wrong.
    pub fn error(&self, what: impl Into<String>) {
        *lock(&self.errors).entry(what.into()).or_default() += 1;
    }

    /// The one copy of a set of names of a type.
    pub(crate) fn intern(&self, kind: usize, set: HashSet<Bytes>) -> Arc<Names> {
        // Independent of order: servers need not keep one.
        let id = set.iter().fold(set.len() as u64, |a, n| {
            let mut h = DefaultHasher::new();
            n.hash(&mut h);
            a.wrapping_add(h.finish())
        });
        let mut all = lock(&self.learnt);
        Arc::clone(all.entry((kind, id)).or_insert_with(|| {
            let subscribe = wire::encode_names(set.iter().map(|b| &b[..]), 3);
            Arc::new(Names { id, set, subscribe })
        }))
    }

    /// Names that the resources of a full response ask for. Two responses with equal count and size are taken to
    /// hold the same.
    pub(crate) fn learn(&self, kind: usize, msg: &Bytes, head: &wire::Head<'_>) -> Arc<Names> {
        let guess = (kind, head.resources, head.body);
        if let Some(n) = lock(&self.guesses).get(&guess) {
            return Arc::clone(n);
        }
        let names = self.intern(kind, referenced(kind, msg, self.behaviour.delta));
        lock(&self.guesses).insert(guess, Arc::clone(&names));
        names
    }
}

/// Names that a response about clusters asks of EDS, or one about listeners or scopes of RDS.
pub(crate) fn referenced(kind: usize, msg: &[u8], delta: bool) -> HashSet<Bytes> {
    let mut out = Vec::new();
    for v in wire::resource_values(msg, delta) {
        match kind {
            T_CDS => out.extend(wire::eds_name(v)),
            T_LDS => wire::rds_names(v, &mut out),
            _ => out.extend(wire::scope_routes_name(v)),
        }
    }
    // Copied: a slice of the message would keep all of it in memory.
    out.into_iter().map(Bytes::copy_from_slice).collect()
}
