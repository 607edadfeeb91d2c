//! The one task that remembers sessions, and how handlers ask it.

use super::guard::{Denied, Guard};
use super::tokens::{Digest, Identity, Tokens};
use crate::clock::{self, Timestamp};
use crate::latest::Latest;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Questions that wait; more wait at the door.
const QUEUE: usize = 64;
/// How often who stays is looked at again: nothing else tells that the time of a session is over.
const LOOK: Duration = Duration::from_secs(5);

/// What somebody shows to come in, as its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A token.
    Token(Digest),
    /// The cookie of a session.
    Session(Digest),
}

/// For those who ask.
#[derive(Clone, Debug)]
pub struct Handle {
    asks: mpsc::Sender<Ask>,
    tokens: Arc<Latest<Tokens>>,
    /// Says that some session may have ended.
    ended: watch::Sender<()>,
    look: Duration,
}

type Answer = oneshot::Sender<Result<Identity, Denied>>;

enum Ask {
    Login { token: String, cookie: String, from: IpAddr, answer: Answer },
    Session(Digest, Answer),
    Logout(Digest),
}

/// Without what was shown.
impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ask")
    }
}

/// Who asks, and the work of answering.
pub fn start(tokens: Arc<Latest<Tokens>>) -> (Handle, impl Future<Output = ()>) {
    begin(tokens, clock::now, LOOK)
}

fn begin(
    tokens: Arc<Latest<Tokens>>,
    now: impl Fn() -> Timestamp,
    look: Duration,
) -> (Handle, impl Future<Output = ()>) {
    let (asks, mut asked) = mpsc::channel(QUEUE);
    let ended = watch::Sender::new(());
    let (known, some_ended) = (Arc::clone(&tokens), ended.clone());
    let work = async move {
        let mut guard = Guard::default();
        while let Some(ask) = asked.recv().await {
            let (tokens, now) = (known.load(), now());
            // Whoever no longer waits does not matter.
            let _ = match ask {
                Ask::Login { token, cookie, from, answer } => {
                    let answered = guard.login(&tokens, &token, &cookie, from, now);
                    // It may have taken the place of another.
                    some_ended.send_replace(());
                    answer.send(answered)
                }
                Ask::Session(cookie, answer) => answer.send(guard.session(&tokens, &cookie, now)),
                Ask::Logout(cookie) => {
                    guard.logout(&cookie);
                    some_ended.send_replace(());
                    continue;
                }
            };
        }
    };
    (Handle { asks, tokens, ended, look }, work)
}

impl Handle {
    /// Who comes in with this key.
    pub async fn who(&self, key: Key) -> Result<Identity, Denied> {
        match key {
            Key::Token(token) => self.tokens.load().find(&token).cloned().ok_or(Denied::Unknown),
            Key::Session(cookie) => self.ask(|answer| Ask::Session(cookie, answer)).await,
        }
    }

    /// Begins a session for who has this token; `cookie` is random.
    pub async fn login(&self, token: String, cookie: String, from: IpAddr) -> Result<Identity, Denied> {
        self.ask(|answer| Ask::Login { token, cookie, from, answer }).await
    }

    /// Ends a session.
    pub async fn logout(&self, cookie: Digest) {
        // When everything stops, sessions end too.
        let _ = self.asks.send(Ask::Logout(cookie)).await;
    }

    /// Ends when this key lets in nobody any more, or another one, or one with other rights: at once when its line leaves
    /// the file of tokens or its session is ended, and within 5 seconds when the time of its session is over.
    pub async fn until_out(&self, key: Key, who: &Identity) {
        // Before the first look, so that nothing is missed in between.
        let (mut tokens, mut ended) = (self.tokens.subscribe(), self.ended.subscribe());
        while self.who(key).await.as_ref() == Ok(who) {
            // Both senders are ours, so neither is gone.
            tokio::select! {
                _ = tokens.changed() => {}
                _ = ended.changed() => {}
                () = tokio::time::sleep(self.look) => {}
            }
        }
    }

    async fn ask(&self, ask: impl FnOnce(Answer) -> Ask) -> Result<Identity, Denied> {
        let (answer, answered) = oneshot::channel();
        let _ = self.asks.send(ask(answer)).await;
        // Nobody is let in by one who is about to stop.
        answered.await.unwrap_or(Err(Denied::Unknown))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokens::{Role, line};
    use super::super::{LIFETIME, guard};
    use super::*;
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicI64, Ordering};

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    /// When a test gives up.
    const DEADLINE: Duration = Duration::from_secs(10);
    /// No test waits so long.
    const NEVER: Duration = Duration::from_hours(1);

    fn file(lines: &[(&str, Role)]) -> Tokens {
        let lines = lines.iter().map(|(name, role)| line(name, *role, &format!("token of {name}")).unwrap());
        Tokens::read(lines.collect::<Vec<_>>().join("\n").as_bytes()).0
    }

    fn digest(secret: &str) -> Digest {
        Digest::of(secret.as_bytes())
    }

    /// Runs a test beside the task; `now` is its clock.
    async fn play(look: Duration, now: &AtomicI64, test: impl AsyncFnOnce(Handle, Arc<Latest<Tokens>>)) {
        let tokens = Latest::new(file(&[("ann", Role::Operator), ("bob", Role::Viewer)]));
        let (handle, work) = begin(Arc::clone(&tokens), || Timestamp(now.load(Ordering::Relaxed)), look);
        tokio::select! {
            () = work => panic!("the task has ended"),
            () = test(handle, tokens) => {}
            () = tokio::time::sleep(DEADLINE) => panic!("somebody stays who should be out"),
        }
    }

    /// Whether somebody who stays is let stay: looks a few times, then at what it was told.
    async fn stays(stay: &mut (impl Future<Output = ()> + Unpin)) -> bool {
        for _ in 0..20 {
            tokio::select! {
                biased;
                () = &mut *stay => return false,
                () = tokio::task::yield_now() => {}
            }
        }
        true
    }

    #[tokio::test]
    async fn who_stays_is_out_with_the_token_the_session_or_the_role() {
        play(NEVER, &AtomicI64::new(0), async |handle, tokens| {
            let ann = handle.login("token of ann".into(), "a".into(), HERE).await.unwrap();
            handle.login("token of bob".into(), "b".into(), HERE).await.unwrap();
            let bob = handle.who(Key::Token(digest("token of bob"))).await.unwrap();
            let stay = |key, who| {
                let handle = handle.clone();
                Box::pin(async move { handle.until_out(key, &who).await })
            };
            let mut with_session = stay(Key::Session(digest("a")), ann.clone());
            let mut with_token = stay(Key::Token(digest("token of ann")), ann.clone());
            let mut beside = stay(Key::Token(digest("token of bob")), bob.clone());
            let mut of_bob = stay(Key::Session(digest("b")), bob);
            assert!(stays(&mut with_session).await && stays(&mut with_token).await);
            handle.logout(digest("a")).await;
            with_session.await;
            assert!(stays(&mut with_token).await && stays(&mut of_bob).await);
            // Others come and go, and a line changes that is not theirs.
            tokens.publish(file(&[("ann", Role::Viewer), ("bob", Role::Viewer)]));
            with_token.await;
            assert!(stays(&mut beside).await && stays(&mut of_bob).await);
            tokens.publish(file(&[("ann", Role::Viewer)]));
            tokio::join!(beside, of_bob);
            // What has ended before is seen at the first look.
            stay(Key::Token(digest("token of ann")), ann).await;
        })
        .await;
    }

    #[tokio::test]
    async fn who_logs_in_too_often_loses_the_stay_of_the_oldest_session() {
        let now = AtomicI64::new(0);
        play(NEVER, &now, async |handle, _| {
            let bob = handle.login("token of bob".into(), "first".into(), HERE).await.unwrap();
            let stay = handle.until_out(Key::Session(digest("first")), &bob);
            let more = async {
                for i in 0..guard::MAX_SESSIONS_OF_TOKEN {
                    now.fetch_add(1, Ordering::Relaxed);
                    handle.login("token of bob".into(), i.to_string(), HERE).await.unwrap();
                }
            };
            tokio::join!(stay, more);
        })
        .await;
    }

    #[tokio::test]
    async fn who_stays_is_out_when_the_time_of_the_session_is_over() {
        let now = AtomicI64::new(0);
        play(Duration::from_millis(1), &now, async |handle, _| {
            let ann = handle.login("token of ann".into(), "a".into(), HERE).await.unwrap();
            let mut stay = Box::pin(handle.until_out(Key::Session(digest("a")), &ann));
            assert!(stays(&mut stay).await);
            now.store(Timestamp(0).plus(LIFETIME).0, Ordering::Relaxed);
            stay.await;
        })
        .await;
    }
}
