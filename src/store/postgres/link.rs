//! One connection to the database: how it is opened, and work on it that ends in time.

use super::schema;
use super::tls::{Stream, Tls};
use crate::model::Database;
use crate::store::Error;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;
use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Socket};

/// Within this a connection is there and can be used.
pub(in crate::store) const OPEN: Duration = Duration::from_secs(5);
/// A transaction in which its Serin says nothing more is taken back by the database after this: one that was frozen must
/// not hold up those that go on.
const IDLE: &str = "1s";

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
    /// Opens a connection to a database, which then has all tables.
    pub(in crate::store) async fn open(at: &Database) -> Result<Self, Error> {
        let place = at.to_string();
        let unavailable = |why: String| Error::Unavailable { place: place.clone(), why };
        let mut config = Config::new();
        config.host(&at.host).port(at.port).user(&at.user).dbname(&at.name).application_name("serin");
        config.ssl_mode(if at.tls.is_some() { SslMode::Require } else { SslMode::Disable });
        config.connect_timeout(OPEN).tcp_user_timeout(OPEN);
        // In UTC, so that no setting of a server shows in what is kept.
        config.options(format!("-c idle_in_transaction_session_timeout={IDLE} -c timezone=UTC"));
        if let Some(path) = &at.password_file {
            let read = std::fs::read(path).map_err(|e| unavailable(format!("{}: {e}", path.display())))?;
            config.password(read.trim_ascii_end());
        }
        let tls = Tls::new(at).map_err(|e| unavailable(e.to_string()))?;
        let connected = tokio::time::timeout(OPEN, config.connect(tls)).await;
        let connected = connected.map_err(|_| unavailable("it does not answer".into()))?;
        let (client, connection) = connected.map_err(|e| explain(Failure::Sql(e), &place))?;
        let wire = Wire { connection, place: place.clone(), is_broken: false, notified: false };
        let mut link = Self { client, wire };
        let Self { client, wire } = &mut link;
        wire.drive(OPEN, schema::migrate(client, schema::MIGRATIONS, schema::OLDEST, &place)).await?;
        Ok(link)
    }
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
                self.is_broken |= matches!(&failure, Failure::Sql(e) if e.is_closed());
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
    Error::Unavailable { place: place.to_owned(), why }
}
