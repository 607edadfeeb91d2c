//! The one task that remembers sessions, and how handlers ask it.

use super::guard::{Denied, Guard};
use super::tokens::{Digest, Identity, Tokens};
use crate::clock;
use crate::latest::Latest;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Questions that wait; more wait at the door.
const QUEUE: usize = 64;

/// For those who ask.
#[derive(Clone, Debug)]
pub struct Handle {
    asks: mpsc::Sender<Ask>,
    tokens: Arc<Latest<Tokens>>,
}

type Answer = oneshot::Sender<Result<Identity, Denied>>;

enum Ask {
    Login { token: String, cookie: String, from: IpAddr, answer: Answer },
    Session(String, Answer),
    Logout(String),
}

/// Without what was shown.
impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ask")
    }
}

/// Who asks, and the work of answering.
pub fn start(tokens: Arc<Latest<Tokens>>) -> (Handle, impl Future<Output = ()>) {
    let (asks, mut asked) = mpsc::channel(QUEUE);
    let known = Arc::clone(&tokens);
    let work = async move {
        let mut guard = Guard::default();
        while let Some(ask) = asked.recv().await {
            let (tokens, now) = (known.load(), clock::now());
            // Whoever no longer waits does not matter.
            let _ = match ask {
                Ask::Login { token, cookie, from, answer } => {
                    answer.send(guard.login(&tokens, &token, &cookie, from, now))
                }
                Ask::Session(cookie, answer) => answer.send(guard.session(&tokens, &cookie, now)),
                Ask::Logout(cookie) => {
                    guard.logout(&cookie);
                    continue;
                }
            };
        }
    };
    (Handle { asks, tokens }, work)
}

impl Handle {
    /// Who has this token.
    pub fn token(&self, token: &str) -> Result<Identity, Denied> {
        self.tokens.load().find(&Digest::of(token.as_bytes())).cloned().ok_or(Denied::Unknown)
    }

    /// Begins a session for who has this token; `cookie` is random.
    pub async fn login(&self, token: String, cookie: String, from: IpAddr) -> Result<Identity, Denied> {
        self.ask(|answer| Ask::Login { token, cookie, from, answer }).await
    }

    /// Whose session this is.
    pub async fn session(&self, cookie: String) -> Result<Identity, Denied> {
        self.ask(|answer| Ask::Session(cookie, answer)).await
    }

    /// Ends a session.
    pub async fn logout(&self, cookie: String) {
        // When everything stops, sessions end too.
        let _ = self.asks.send(Ask::Logout(cookie)).await;
    }

    /// Ends when the file of tokens changes.
    pub async fn changed(&self) {
        self.tokens.subscribe().changed().await;
    }

    async fn ask(&self, ask: impl FnOnce(Answer) -> Ask) -> Result<Identity, Denied> {
        let (answer, answered) = oneshot::channel();
        let _ = self.asks.send(ask(answer)).await;
        // Nobody is let in by one who is about to stop.
        answered.await.unwrap_or(Err(Denied::Unknown))
    }
}
