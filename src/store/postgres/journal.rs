//! Entries as rows.

use super::Value as Parameter;
use super::link::Failure;
use crate::clock::Timestamp;
use crate::names::{GatewayName, UpstreamName};
use crate::store::{Entry, Error, Kind, NewEntry, Query, Weights};
use crate::weight::Weight;
use serde_json::Value;
use std::fmt::{Display, Write};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Transaction};

/// Adds an entry; says its sequence.
pub(super) async fn insert(transaction: &Transaction<'_>, entry: &NewEntry) -> Result<u64, Failure> {
    let weights = |weights: &Weights| serde_json::json!(weights).to_string();
    let texts: [Option<String>; 9] = [
        Some(entry.time.to_string()),
        entry.gateway.as_ref().map(ToString::to_string),
        Some(entry.kind.to_string()),
        Some(plain(&entry.actor)),
        Some(plain(&entry.message)),
        entry.reason.as_deref().map(plain),
        entry.before.as_ref().map(weights),
        entry.after.as_ref().map(weights),
        (!entry.details.is_null()).then(|| entry.details.to_string()),
    ];
    let revision = entry.revision.map(number);
    let mut values: Vec<Parameter<'_>> =
        texts.iter().map(|text| (text as &(dyn ToSql + Sync), Type::TEXT)).collect();
    values.push((&revision, Type::INT8));
    let insert = "INSERT INTO serin.journal \
                  (time, gateway, kind, actor, message, reason, before, after, details, revision) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING sequence";
    let sequence: i64 = transaction.query_typed_one(insert, &values).await?.get(0);
    Ok(sequence.unsigned_abs())
}

/// Reads entries, in their order.
pub(super) async fn entries(client: &Client, query: &Query, place: &str) -> Result<Vec<Entry>, Failure> {
    let (after, before) = (number(query.after), query.before.map(number));
    let gateway = query.gateway.as_ref().map(ToString::to_string);
    let kinds: Vec<String> = query.kinds.iter().map(ToString::to_string).collect();
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let mut values: Vec<Parameter<'_>> = vec![(&after, Type::INT8)];
    let mut sql =
        "SELECT sequence, time, gateway, kind, actor, message, reason, before, after, revision, details \
                   FROM serin.journal WHERE sequence > $1"
            .to_owned();
    let mut also = |condition: &str, value: Option<(&'static str, &dyn Display)>| {
        // Writing to a string cannot fail.
        let _ = match value {
            Some((sign, mark)) => write!(sql, " {condition} {sign} {mark}"),
            None => write!(sql, " {condition}"),
        };
    };
    if let Some(before) = &before {
        values.push((before, Type::INT8));
        also("AND sequence", Some(("<", &format_args!("${}", values.len()))));
    }
    if let Some(gateway) = &gateway {
        values.push((gateway, Type::TEXT));
        also("AND gateway", Some(("=", &format_args!("${}", values.len()))));
    }
    if !kinds.is_empty() {
        values.push((&kinds, Type::TEXT_ARRAY));
        also("AND kind", Some(("=", &format_args!("ANY(${})", values.len()))));
    }
    if query.with_revision {
        also("AND revision IS NOT NULL", None);
    }
    values.push((&limit, Type::INT8));
    also(if query.newest { "ORDER BY sequence DESC" } else { "ORDER BY sequence" }, None);
    also("LIMIT", Some(("", &format_args!("${}", values.len()))));
    let rows = client.query_typed(&sql, &values).await?;
    let mut found = rows.iter().map(|row| entry(row, place)).collect::<Result<Vec<_>, _>>()?;
    if query.newest {
        found.reverse();
    }
    Ok(found)
}

/// Removes what is old or too much; says how many.
pub(super) async fn prune(
    transaction: &Transaction<'_>,
    before: Timestamp,
    most: u64,
) -> Result<u64, Failure> {
    let old = "DELETE FROM serin.journal WHERE time < $1";
    let old = transaction.execute_typed(old, &[(&before.to_string(), Type::TEXT)]).await?;
    let surplus = "DELETE FROM serin.journal WHERE sequence <= \
                   (SELECT sequence FROM serin.journal ORDER BY sequence DESC LIMIT 1 OFFSET $1)";
    let surplus = transaction.execute_typed(surplus, &[(&number(most), Type::INT8)]).await?;
    Ok(old + surplus)
}

/// As the database counts.
pub(super) fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A text that the database can hold: it has no place for U+0000.
fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn entry(row: &Row, place: &str) -> Result<Entry, Error> {
    let damaged = |column: &str, why: &dyn Display| Error::Corrupt {
        place: place.to_owned(),
        why: format!("`{column}` in the table `journal`: {why}"),
    };
    let weights = |column: &str| -> Result<Option<Weights>, Error> {
        let Some(text) = row.get::<_, Option<String>>(column) else { return Ok(None) };
        let parts: serde_json::Map<String, Value> =
            serde_json::from_str(&text).map_err(|e| damaged(column, &e))?;
        let part = |(upstream, percent): (String, Value)| {
            let upstream = UpstreamName::new(&upstream).map_err(|e| damaged(column, &e))?;
            Ok((upstream, Weight::parse(&percent.to_string()).map_err(|e| damaged(column, &e))?))
        };
        parts.into_iter().map(part).collect::<Result<_, _>>().map(Some)
    };
    let gateway = row.get::<_, Option<String>>("gateway");
    let details = row.get::<_, Option<String>>("details");
    Ok(Entry {
        sequence: row.get::<_, i64>("sequence").unsigned_abs(),
        entry: NewEntry {
            time: Timestamp::parse(row.get("time")).map_err(|e| damaged("time", &e))?,
            gateway: gateway
                .map(|name| GatewayName::new(&name).map_err(|e| damaged("gateway", &e)))
                .transpose()?,
            kind: Kind::read(row.get("kind")),
            actor: row.get("actor"),
            message: row.get("message"),
            reason: row.get("reason"),
            before: weights("before")?,
            after: weights("after")?,
            revision: row.get::<_, Option<i64>>("revision").map(i64::unsigned_abs),
            details: details
                .map(|text| serde_json::from_str(&text).map_err(|e| damaged("details", &e)))
                .transpose()?
                .unwrap_or_default(),
        },
    })
}
