//! The rows of what Envoys measured, and how healthy canaries are elsewhere.

use super::Value;
use super::journal::number;
use super::link::Failure;
use crate::names::GatewayName;
use crate::store::measured::{Found, MOST, Mark, Measured, OLDEST};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Transaction};

/// The most rows in one answer.
pub(in crate::store) const ROWS: usize = 2_000;
/// What was seen of endpoints holds this long: several looks of the one who saw it.
const SEEN: f64 = 3.0;

/// From now on whoever writes rows notifies this connection; or not any more.
pub(in crate::store) async fn listen(client: &Client, is_on: bool) -> Result<(), Failure> {
    let sql = if is_on { "LISTEN serin_measured" } else { "UNLISTEN serin_measured" };
    Ok(client.batch_execute(sql).await?)
}

/// A number for a Serin that is not another's.
pub(in crate::store) async fn source(client: &Client) -> Result<i64, Failure> {
    // From the server, so that it needs no agreement.
    let sql = "SELECT (random() * 9007199254740991)::bigint";
    Ok(client.query_typed_one(sql, &[]).await?.get(0))
}

/// Writes rows under the numbers up to this mark, removes the oldest of the same source beyond [`MOST`], and wakes the
/// leader: one statement, all or nothing. How many were removed.
pub(in crate::store) async fn write(
    client: &Client,
    last: Mark,
    rows: &[(Duration, Measured)],
) -> Result<u64, Failure> {
    let write = "WITH old AS (DELETE FROM serin.measured WHERE (source, sequence) IN (\
                   SELECT source, sequence FROM serin.measured \
                   WHERE source = $1 AND sequence <= $2 FOR UPDATE SKIP LOCKED) RETURNING 1), \
                 new AS (INSERT INTO serin.measured (source, sequence, gateway, stage, age, length, measured) \
                   SELECT $1, * FROM unnest($3, $4, $5, $6, $7, $8) RETURNING 1) \
                 SELECT (SELECT count(*) FROM old), (SELECT count(*) FROM new), \
                   pg_notify('serin_measured', '')::text";
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let first = last.sequence - count + 1;
    let sequences: Vec<i64> = (first..=last.sequence).collect();
    let gateways: Vec<&str> = rows.iter().map(|(_, row)| row.gateway.as_str()).collect();
    let stages: Vec<i64> = rows.iter().map(|(_, row)| number(row.stage)).collect();
    let ages: Vec<i64> = rows.iter().map(|(age, _)| milliseconds(*age)).collect();
    let lengths: Vec<i64> = rows.iter().map(|(_, row)| milliseconds(row.length)).collect();
    let texts: Vec<&str> = rows.iter().map(|(_, row)| row.text.as_str()).collect();
    let old = last.sequence - i64::try_from(MOST).unwrap_or(i64::MAX);
    let values: [Value<'_>; 8] = [
        (&last.source, Type::INT8),
        (&old, Type::INT8),
        (&sequences, Type::INT8_ARRAY),
        (&gateways, Type::TEXT_ARRAY),
        (&stages, Type::INT8_ARRAY),
        (&ages, Type::INT8_ARRAY),
        (&lengths, Type::INT8_ARRAY),
        (&texts, Type::TEXT_ARRAY),
    ];
    let row = client.query_typed_one(write, &values).await?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}

/// Rows that nobody has counted, each source's in their order, after what was read of it: at most [`ROWS`].
pub(in crate::store) async fn read(
    client: &Client,
    seen: &BTreeMap<i64, i64>,
) -> Result<Vec<Found>, Failure> {
    let read = "SELECT m.source, m.sequence, m.gateway, m.stage, m.length, m.measured, \
                  m.age + greatest(0, extract(epoch FROM clock_timestamp() - m.written) * 1000)::bigint AS ago \
                FROM serin.measured m LEFT JOIN unnest($1, $2) AS seen (source, sequence) \
                  ON m.source = seen.source \
                WHERE m.sequence > coalesce(seen.sequence, 0) ORDER BY m.source, m.sequence LIMIT $3";
    let (sources, sequences): (Vec<i64>, Vec<i64>) = seen.iter().unzip();
    let most = i64::try_from(ROWS).unwrap_or(i64::MAX);
    let values: [Value<'_>; 3] =
        [(&sources, Type::INT8_ARRAY), (&sequences, Type::INT8_ARRAY), (&most, Type::INT8)];
    let rows = client.query_typed(read, &values).await?;
    let found = rows.iter().filter_map(|row| {
        let duration = |column| Duration::from_millis(row.get::<_, i64>(column).unsigned_abs());
        Some(Found {
            mark: Mark { source: row.get("source"), sequence: row.get("sequence") },
            ago: duration("ago"),
            measured: Measured {
                // One that nobody can have is of a gateway that nobody releases.
                gateway: GatewayName::new(row.get("gateway")).ok()?,
                stage: row.get::<_, i64>("stage").unsigned_abs(),
                length: duration("length"),
                text: row.get("measured"),
            },
        })
    });
    Ok(found.collect())
}

/// Removes what was counted, in the transaction that keeps what it came to.
pub(super) async fn forget(transaction: &Transaction<'_>, taken: &[Mark]) -> Result<(), Failure> {
    if taken.is_empty() {
        return Ok(());
    }
    let (sources, sequences): (Vec<i64>, Vec<i64>) = taken.iter().map(|m| (m.source, m.sequence)).unzip();
    let forget = "DELETE FROM serin.measured m USING unnest($1, $2) AS taken (source, sequence) \
                  WHERE m.source = taken.source AND m.sequence = taken.sequence";
    let values: [Value<'_>; 2] = [(&sources, Type::INT8_ARRAY), (&sequences, Type::INT8_ARRAY)];
    transaction.execute_typed(forget, &values).await?;
    Ok(())
}

/// Removes what is too old to count. How many rows that were.
pub(in crate::store) async fn prune(client: &Client) -> Result<u64, Failure> {
    // Nobody is waited for who removes the same rows in another order.
    let prune = "WITH old AS (DELETE FROM serin.measured WHERE (source, sequence) IN (\
                   SELECT source, sequence FROM serin.measured \
                   WHERE written < clock_timestamp() - make_interval(secs => $1) FOR UPDATE SKIP LOCKED) RETURNING 1), \
                 unseen AS (DELETE FROM serin.sighted WHERE (source, gateway) IN (\
                   SELECT source, gateway FROM serin.sighted \
                   WHERE written < clock_timestamp() - make_interval(secs => $1) FOR UPDATE SKIP LOCKED)) \
                 SELECT count(*) FROM old";
    let row = client.query_typed_one(prune, &[(&OLDEST.as_secs_f64(), Type::FLOAT8)]).await?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}

/// So many endpoints of canaries are healthy here.
pub(in crate::store) async fn sight(
    client: &Client,
    source: i64,
    healthy: &BTreeMap<GatewayName, u32>,
) -> Result<(), Failure> {
    let put = "INSERT INTO serin.sighted (source, gateway, healthy) SELECT $1, * FROM unnest($2, $3) \
               ON CONFLICT (source, gateway) DO UPDATE SET healthy = excluded.healthy, written = excluded.written";
    let gateways: Vec<&str> = healthy.keys().map(GatewayName::as_str).collect();
    let counts: Vec<i64> = healthy.values().map(|n| i64::from(*n)).collect();
    let values: [Value<'_>; 3] =
        [(&source, Type::INT8), (&gateways, Type::TEXT_ARRAY), (&counts, Type::INT8_ARRAY)];
    client.execute_typed(put, &values).await?;
    Ok(())
}

/// How many endpoints of canaries are healthy elsewhere, as the one sees it that sees the fewest.
pub(in crate::store) async fn sighted(
    client: &Client,
    source: i64,
) -> Result<BTreeMap<GatewayName, u32>, Failure> {
    let select = "SELECT gateway, min(healthy) FROM serin.sighted \
                  WHERE source <> $1 AND written > clock_timestamp() - make_interval(secs => $2) GROUP BY gateway";
    let values: [Value<'_>; 2] = [(&source, Type::INT8), (&SEEN, Type::FLOAT8)];
    let rows = client.query_typed(select, &values).await?;
    let seen = rows.iter().filter_map(|row| {
        let healthy = u32::try_from(row.get::<_, i64>(1)).ok()?;
        Some((GatewayName::new(row.get(0)).ok()?, healthy))
    });
    Ok(seen.collect())
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
