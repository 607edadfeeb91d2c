//! Entries as rows.

use crate::clock::Timestamp;
use crate::names::{GatewayName, UpstreamName};
use crate::store::{Entry, Kind, NewEntry, Query, Weights};
use crate::weight::Weight;
use rusqlite::types::{Type, Value as Sql};
use rusqlite::{Connection, Row, params, params_from_iter};
use serde_json::Value;
use std::error::Error;
use std::fmt::Write;

/// Adds an entry; says its sequence.
pub(super) fn insert(connection: &Connection, entry: &NewEntry) -> rusqlite::Result<u64> {
    let text = |weights: &Weights| serde_json::json!(weights).to_string();
    let details = (!entry.details.is_null()).then(|| entry.details.to_string());
    connection.execute(
        "INSERT INTO journal (time, gateway, kind, actor, message, reason, before, after, revision, details) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            entry.time.to_string(),
            entry.gateway.as_ref().map(GatewayName::as_str),
            entry.kind.as_str(),
            entry.actor,
            entry.message,
            entry.reason,
            entry.before.as_ref().map(text),
            entry.after.as_ref().map(text),
            entry.revision,
            details,
        ],
    )?;
    Ok(u64::try_from(connection.last_insert_rowid()).unwrap_or(0))
}

/// Reads entries, in their order.
pub(super) fn entries(connection: &Connection, query: &Query) -> rusqlite::Result<Vec<Entry>> {
    let number = |n: u64| Sql::Integer(i64::try_from(n).unwrap_or(i64::MAX));
    let mut values = vec![number(query.after)];
    let mut sql =
        "SELECT sequence, time, gateway, kind, actor, message, reason, before, after, revision, details \
                   FROM journal WHERE sequence > ?"
            .to_owned();
    if let Some(before) = query.before {
        sql.push_str(" AND sequence < ?");
        values.push(number(before));
    }
    if let Some(gateway) = &query.gateway {
        sql.push_str(" AND gateway = ?");
        values.push(Sql::Text(gateway.to_string()));
    }
    if !query.kinds.is_empty() {
        let marks = vec!["?"; query.kinds.len()].join(", ");
        // Writing to a string cannot fail.
        let _ = write!(sql, " AND kind IN ({marks})");
        values.extend(query.kinds.iter().map(|k| Sql::Text(k.as_str().to_owned())));
    }
    if query.with_revision {
        sql.push_str(" AND revision IS NOT NULL");
    }
    sql.push_str(if query.newest { " ORDER BY sequence DESC LIMIT ?" } else { " ORDER BY sequence LIMIT ?" });
    values.push(number(query.limit as u64));
    let mut statement = connection.prepare(&sql)?;
    let mut found: Vec<Entry> =
        statement.query_map(params_from_iter(values), entry)?.collect::<rusqlite::Result<_>>()?;
    if query.newest {
        found.reverse();
    }
    Ok(found)
}

/// Removes what is old or too much; says how many.
pub(super) fn prune(connection: &Connection, before: Timestamp, most: u64) -> rusqlite::Result<u64> {
    let old = connection.execute("DELETE FROM journal WHERE time < ?1", [before.to_string()])?;
    let surplus = "DELETE FROM journal WHERE sequence <= \
                   (SELECT sequence FROM journal ORDER BY sequence DESC LIMIT 1 OFFSET ?1)";
    let surplus = connection.execute(surplus, [i64::try_from(most).unwrap_or(i64::MAX)])?;
    Ok((old + surplus) as u64)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let gateway: Option<String> = row.get(2)?;
    let details: Option<String> = row.get(10)?;
    Ok(Entry {
        sequence: row.get(0)?,
        entry: NewEntry {
            time: convert(1, Timestamp::parse(&row.get::<_, String>(1)?))?,
            gateway: gateway.map(|name| convert(2, GatewayName::new(&name))).transpose()?,
            kind: Kind::read(row.get(3)?),
            actor: row.get(4)?,
            message: row.get(5)?,
            reason: row.get(6)?,
            before: weights(row, 7)?,
            after: weights(row, 8)?,
            revision: row.get(9)?,
            details: details
                .map(|text| convert(10, serde_json::from_str(&text)))
                .transpose()?
                .unwrap_or_default(),
        },
    })
}

fn weights(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Weights>> {
    let Some(text) = row.get::<_, Option<String>>(column)? else { return Ok(None) };
    let parts: serde_json::Map<String, Value> = convert(column, serde_json::from_str(&text))?;
    let part = |(upstream, percent): (String, Value)| {
        let upstream = convert(column, UpstreamName::new(&upstream))?;
        Ok((upstream, convert(column, Weight::parse(&percent.to_string()))?))
    };
    parts.into_iter().map(part).collect::<rusqlite::Result<Weights>>().map(Some)
}

fn convert<T, E: Error + Send + Sync + 'static>(column: usize, value: Result<T, E>) -> rusqlite::Result<T> {
    value.map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(e)))
}
