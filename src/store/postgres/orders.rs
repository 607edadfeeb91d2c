//! Orders on their way to the Serin that leads, and their answers on the way back.
//!
//! An answer is written in the transaction of what was decided, under the token of the leader; so an order without an answer
//! was not carried out, whoever has looked at it. Whoever does not wait any more removes an order, and a decision that
//! would carry it out is then refused as a whole. The database's clock alone says when that is.

use super::Value;
use super::journal::number;
use super::link::Failure;
use crate::store::{Error, Settled};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Transaction};

/// Tells all who wait for orders or for answers.
pub(super) const NOTIFY: &str = "NOTIFY serin_orders";
/// The orders with a key whose answers a new leader knows.
const KEYS: i64 = 1000;

/// An order on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Order {
    /// Its name.
    pub(in crate::store) ticket: Arc<str>,
    /// What it says.
    pub(in crate::store) paper: String,
    /// Whether it has a key.
    pub(in crate::store) is_keyed: bool,
}

/// What became of an order whose giver does not wait any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) enum End {
    /// It was answered in time.
    Answered(String),
    /// It was not carried out, and never will be.
    Removed,
    /// There is no such order.
    Unknown,
}

/// From now on orders and answers notify this connection.
pub(in crate::store) async fn listen(client: &Client) -> Result<(), Failure> {
    Ok(client.batch_execute("LISTEN serin_orders").await?)
}

/// What the clock of the database shows, in seconds since 1970.
pub(in crate::store) async fn clock(client: &Client) -> Result<f64, Failure> {
    let select = "SELECT extract(epoch FROM clock_timestamp())::FLOAT8";
    Ok(client.query_typed_one(select, &[]).await?.get(0))
}

/// Hands an order on, which waits until the clock of the database shows this: so it is over as well when it arrives late.
/// Once more does nothing.
pub(in crate::store) async fn put(client: &Client, order: &Order, until: f64) -> Result<(), Failure> {
    let put = "INSERT INTO serin.orders (ticket, paper, is_keyed, until) \
               VALUES ($1, $2, $3, to_timestamp($4)) ON CONFLICT (ticket) DO NOTHING";
    let values: [Value<'_>; 4] = [
        (&&*order.ticket, Type::TEXT),
        (&order.paper, Type::TEXT),
        (&order.is_keyed, Type::BOOL),
        (&until, Type::FLOAT8),
    ];
    client.execute_typed(put, &values).await?;
    Ok(client.batch_execute(NOTIFY).await?)
}

/// Orders without an answer that somebody will wait for still so long, the oldest first; without those that are known.
pub(in crate::store) async fn open(
    client: &Client,
    known: &BTreeSet<Arc<str>>,
    left: Duration,
    most: usize,
) -> Result<Vec<(Arc<str>, String)>, Failure> {
    let select = "SELECT ticket, paper FROM serin.orders WHERE answer IS NULL AND ticket <> ALL($1) \
                  AND until > clock_timestamp() + $2 * interval '1 second' ORDER BY until LIMIT $3";
    let known: Vec<&str> = known.iter().map(|ticket| &**ticket).collect();
    let (seconds, most) = (left.as_secs_f64(), i64::try_from(most).unwrap_or(i64::MAX));
    let values: [Value<'_>; 3] = [(&known, Type::TEXT_ARRAY), (&seconds, Type::FLOAT8), (&most, Type::INT8)];
    let rows = client.query_typed(select, &values).await?;
    Ok(rows.into_iter().map(|row| (row.get::<_, String>(0).into(), row.get(1))).collect())
}

/// The answers that are there to these orders.
pub(in crate::store) async fn answers(
    client: &Client,
    tickets: &[Arc<str>],
) -> Result<Vec<(Arc<str>, String)>, Failure> {
    let select = "SELECT ticket, answer FROM serin.orders WHERE ticket = ANY($1) AND answer IS NOT NULL";
    let tickets: Vec<&str> = tickets.iter().map(|ticket| &**ticket).collect();
    let rows = client.query_typed(select, &[(&tickets, Type::TEXT_ARRAY)]).await?;
    Ok(rows.into_iter().map(|row| (row.get::<_, String>(0).into(), row.get(1))).collect())
}

/// Waits no more.
pub(in crate::store) async fn give_up(client: &Client, ticket: &str) -> Result<End, Failure> {
    // Waits for a decision that is being kept.
    let remove = "DELETE FROM serin.orders WHERE ticket = $1 AND answer IS NULL";
    if client.execute_typed(remove, &[(&ticket, Type::TEXT)]).await? > 0 {
        return Ok(End::Removed);
    }
    let answers = answers(client, &[ticket.into()]).await?;
    Ok(answers.into_iter().next().map_or(End::Unknown, |(_, answer)| End::Answered(answer)))
}

/// Answers an order by which nothing was decided, unless another Serin leads by now.
pub(in crate::store) async fn answer(
    client: &Client,
    ticket: &str,
    answer: &str,
    token: u64,
) -> Result<(), Failure> {
    let put = "UPDATE serin.orders SET answer = $2 WHERE ticket = $1 AND answer IS NULL \
               AND EXISTS (SELECT FROM serin.lease WHERE token = $3 AND holder IS NOT NULL FOR SHARE)";
    let values: [Value<'_>; 3] = [(&ticket, Type::TEXT), (&answer, Type::TEXT), (&number(token), Type::INT8)];
    client.execute_typed(put, &values).await?;
    Ok(client.batch_execute(NOTIFY).await?)
}

/// Answers an order in the transaction of what it has decided, or keeps the answer for when it is given again.
pub(super) async fn settle(transaction: &Transaction<'_>, settled: &Settled) -> Result<(), Failure> {
    let Settled { ticket, paper, is_keyed, answer, is_binding } = settled;
    let Some(ticket) = ticket else {
        let put = "INSERT INTO serin.orders (ticket, paper, is_keyed, until, answer) \
                   VALUES ('-' || nextval('serin.ticket'), $1, $2, clock_timestamp(), $3)";
        let values: [Value<'_>; 3] = [(paper, Type::TEXT), (is_keyed, Type::BOOL), (answer, Type::TEXT)];
        transaction.execute_typed(put, &values).await?;
        return Ok(());
    };
    let put = "UPDATE serin.orders SET answer = $2 WHERE ticket = $1 AND answer IS NULL \
               AND (until > clock_timestamp() OR NOT $3)";
    let values: [Value<'_>; 3] = [(&&**ticket, Type::TEXT), (answer, Type::TEXT), (is_binding, Type::BOOL)];
    if transaction.execute_typed(put, &values).await? == 0 && *is_binding {
        return Err(Error::Late.into());
    }
    Ok(())
}

/// The newest orders with a key: how long ago they were answered, what they said, and the answers; the oldest first.
pub(super) async fn replies(client: &Client) -> Result<Vec<(Duration, String, String)>, Failure> {
    let select = "SELECT * FROM (\
                    SELECT greatest(0, extract(epoch FROM clock_timestamp() - until))::FLOAT8 AS ago, paper, answer \
                    FROM serin.orders WHERE is_keyed AND answer IS NOT NULL ORDER BY until DESC LIMIT $1\
                  ) AS newest ORDER BY ago DESC";
    let rows = client.query_typed(select, &[(&KEYS, Type::INT8)]).await?;
    Ok(rows.into_iter().map(|row| (Duration::from_secs_f64(row.get(0)), row.get(1), row.get(2))).collect())
}

/// Removes the orders that nobody asks for any more: those without a key after a minute, and those with one after ten, or
/// when so many newer ones are there.
pub(in crate::store) async fn prune(client: &Client) -> Result<(), Failure> {
    let prune = "DELETE FROM serin.orders \
                 WHERE until < clock_timestamp() - CASE WHEN is_keyed AND answer IS NOT NULL THEN interval '10 minutes' \
                 ELSE interval '1 minute' END \
                 OR is_keyed AND answer IS NOT NULL AND until < clock_timestamp() - interval '1 minute' AND until < (\
                   SELECT until FROM serin.orders WHERE is_keyed AND answer IS NOT NULL \
                   ORDER BY until DESC OFFSET $1 - 1 LIMIT 1)";
    client.execute_typed(prune, &[(&KEYS, Type::INT8)]).await?;
    Ok(())
}
