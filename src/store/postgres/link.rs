//! One connection to the database: how it is opened, and work on it that ends in time.

use super::schema;
use super::tls::{Stream, Tls};
use crate::model::{Database, Endpoint};
use crate::store::Error;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Socket, Transaction};

/// Within this a connection is there and can be used.
pub(in crate::store) const OPEN: Duration = Duration::from_secs(5);
/// A transaction in which its Serin says nothing more is taken back by the database after this: one that was frozen must
/// not hold up those that go on.
const IDLE: &str = "SET LOCAL idle_in_transaction_session_timeout = '1s'";

/// A connection.
pub(in crate::store) struct Link {
    /// For questions, whose answers come while [`Wire::drive`] runs.
    pub(in crate::store) client: Client,
    /// What brings them.
    pub(in crate::store) wire: Wire,
}

/// The connection itself.
pub(in crate::store) struct Wire {
    connection: Connection<Socket, Stream>,
    place: String,
    is_broken: bool,
    /// Whether somebody has notified us since it was asked last.
    notified: bool,
}

/// Why something was not done.
pub(in crate::store) enum Failure {
    /// By the database.
    Sql(tokio_postgres::Error),
    /// By us.
    Store(Error),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl Link {
    /// Opens a connection to a database that can be written, the first of its hosts that is one; it then has all tables.
    pub(in crate::store) async fn open(at: &Database) -> Result<Self, Error> {
        let mut faults = Vec::new();
        // Each in its share of the time: one that says nothing must not keep us from the next.
        let most = OPEN / u32::try_from(at.hosts.len()).unwrap_or(1).max(1);
        for host in &at.hosts {
            match Self::connect(at, host, most).await {
                Ok(mut link) => {
                    let place = link.wire.place.clone();
                    let Self { client, wire } = &mut link;
                    wire.drive(OPEN, schema::migrate(client, schema::MIGRATIONS, schema::OLDEST, &place))
                        .await?;
                    return Ok(link);
                }
                Err(Error::Unavailable { why, .. }) if at.hosts.len() > 1 => {
                    faults.push(format!("{host}: {why}"));
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::Unavailable { place: at.to_string(), why: faults.join("; ") })
    }

    async fn connect(at: &Database, host: &Endpoint, most: Duration) -> Result<Self, Error> {
        let place = at.to_string();
        let unavailable = |why: String| Error::Unavailable { place: place.clone(), why };
        let mut config = Config::new();
        config.host(&host.host).port(host.port).user(&at.user).dbname(&at.name).application_name("serin");
        config.ssl_mode(if at.tls.is_some() { SslMode::Require } else { SslMode::Disable });
        config.connect_timeout(most).tcp_user_timeout(OPEN);
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        if let Some(path) = &at.password_file {
            let read = std::fs::read(path).map_err(|e| unavailable(format!("{}: {e}", path.display())))?;
            config.password(read.trim_ascii_end());
        }
        let tls = Tls::new(at).map_err(|e| unavailable(e.to_string()))?;
        let connected = tokio::time::timeout(most, config.connect(tls)).await;
        let connected = connected.map_err(|_| unavailable("it does not answer".into()))?;
        let (client, connection) = connected.map_err(|e| explain(Failure::Sql(e), &place))?;
        let wire = Wire { connection, place: place.clone(), is_broken: false, notified: false };
        Ok(Self { client, wire })
    }
}

/// Begins a transaction. What holds for it is said in it, since a pool before the database (`PgBouncer`) may refuse what is said as a
/// connection begins, and may give each transaction another connection.
pub(in crate::store) async fn begin(client: &mut Client) -> Result<Transaction<'_>, Failure> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(IDLE).await?;
    Ok(transaction)
}

impl Wire {
    /// Does work on the connection, at most for a while; what it did not end is taken back by the database.
    pub(in crate::store) async fn drive<T>(
        &mut self,
        most: Duration,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Error> {
        let connection = &mut self.connection;
        let notified = &mut self.notified;
        let messages = poll_fn(|cx| {
            loop {
                match connection.poll_message(cx) {
                    Poll::Ready(Some(Ok(message))) => {
                        *notified |= matches!(message, AsyncMessage::Notification(_));
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(error)),
                    Poll::Ready(None) => return Poll::Ready(None),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        let done = tokio::time::timeout(most, async {
            tokio::select! {
                done = work => Ok(done),
                ended = messages => Err(ended),
            }
        });
        let place = &self.place;
        let unavailable = |why: &str| Error::Unavailable { place: place.clone(), why: why.to_owned() };
        let done = done.await;
        self.is_broken |= !matches!(done, Ok(Ok(_)));
        match done {
            Ok(Ok(Ok(done))) => Ok(done),
            Ok(Ok(Err(failure))) => {
                // One that can only be read any more has another beside it that can be written.
                let is_over = |e: &tokio_postgres::Error| {
                    e.is_closed() || e.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
                };
                self.is_broken |= matches!(&failure, Failure::Sql(e) if is_over(e));
                Err(explain(failure, place))
            }
            Ok(Err(Some(error))) => Err(explain(Failure::Sql(error), place)),
            Ok(Err(None)) => Err(unavailable("it has ended the connection")),
            Err(_) => Err(unavailable("it does not answer")),
        }
    }

    /// Waits until somebody notifies us. May be dropped at any time.
    pub(in crate::store) async fn notified(&mut self) -> Result<(), Error> {
        let connection = &mut self.connection;
        let notified = &mut self.notified;
        let ended = poll_fn(|cx| {
            loop {
                if std::mem::take(notified) {
                    return Poll::Ready(Ok(()));
                }
                match connection.poll_message(cx) {
                    Poll::Ready(Some(Ok(message))) => {
                        *notified = matches!(message, AsyncMessage::Notification(_));
                    }
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(Some(error))),
                    Poll::Ready(None) => return Poll::Ready(Err(None)),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        let ended = ended.await;
        self.is_broken |= ended.is_err();
        let place = &self.place;
        ended.map_err(|error| {
            let why = "it has ended the connection".into();
            let ended = || Error::Unavailable { place: place.clone(), why };
            error.map_or_else(ended, |error| explain(Failure::Sql(error), place))
        })
    }

    /// Whether it is of no more use.
    pub(in crate::store) fn is_broken(&self) -> bool {
        self.is_broken
    }
}

/// What a failure means for people.
fn explain(failure: Failure, place: &str) -> Error {
    let error = match failure {
        Failure::Store(error) => return error,
        Failure::Sql(error) => error,
    };
    let mut why = match error.as_db_error() {
        Some(said) => said.message().to_owned(),
        None => error.to_string(),
    };
    let mut cause = std::error::Error::source(&error).filter(|_| error.as_db_error().is_none());
    while let Some(inner) = cause {
        why = format!("{why}: {inner}");
        cause = inner.source();
    }
    if why.ends_with("database does not allow writes") {
        "it is a standby, or may only be read".clone_into(&mut why);
    }
    Error::Unavailable { place: place.to_owned(), why }
}
