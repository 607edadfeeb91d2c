//! Who is there, and which version of each gateway's file they have.

use super::Value;
use super::journal::number;
use super::link::{Failure, begin};
use crate::clock::Timestamp;
use crate::store::roster::{Differing, Row};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

/// The names of differing gateways that are said.
const NAMES: i32 = 5;

/// What a Serin says of itself.
#[derive(Clone, Debug)]
pub(in crate::store) struct Entry {
    /// Of this run alone.
    pub(in crate::store) id: Arc<str>,
    /// How people find it.
    pub(in crate::store) name: String,
    /// Serin's.
    pub(in crate::store) version: &'static str,
    /// When it started, by its own clock.
    pub(in crate::store) since: Timestamp,
}

/// Registers a Serin anew, with all that it has.
pub(in crate::store) async fn register(
    client: &mut Client,
    entry: &Entry,
    token: Option<u64>,
    copies: &BTreeMap<Arc<str>, Arc<str>>,
) -> Result<(), Failure> {
    let transaction = begin(client).await?;
    let forget = "DELETE FROM serin.replicas WHERE id = $1";
    transaction.execute_typed(forget, &[(&&*entry.id, Type::TEXT)]).await?;
    let put = "INSERT INTO serin.replicas (id, name, version, since, beat, token, gateways, copy) \
               VALUES ($1, $2, $3, $4::TEXT::TIMESTAMPTZ, 0, $5, $6, 0)";
    let (since, token) = (entry.since.to_string(), token.map(number));
    let gateways = i64::try_from(copies.len()).unwrap_or(i64::MAX);
    let values: [Value<'_>; 6] = [
        (&&*entry.id, Type::TEXT),
        (&entry.name, Type::TEXT),
        (&entry.version, Type::TEXT),
        (&since, Type::TEXT),
        (&token, Type::INT8),
        (&gateways, Type::INT8),
    ];
    transaction.execute_typed(put, &values).await?;
    put_copies(transaction.client(), &entry.id, copies.iter().map(|(name, tag)| (&**name, &**tag))).await?;
    Ok(transaction.commit().await?)
}

/// A sign of life, with the files that changed since (`None`: gone), and how many there are now. `false`: it has to
/// register anew.
pub(in crate::store) async fn beat(
    client: &mut Client,
    id: &str,
    token: Option<u64>,
    changed: &BTreeMap<Arc<str>, Option<Arc<str>>>,
    gateways: usize,
) -> Result<bool, Failure> {
    let transaction = begin(client).await?;
    let beat = "UPDATE serin.replicas SET beat = beat + 1, token = $2, gateways = $3, copy = copy + $4 WHERE id = $1";
    let gateways = i64::try_from(gateways).unwrap_or(i64::MAX);
    let more = i64::from(!changed.is_empty());
    let values: [Value<'_>; 4] =
        [(&id, Type::TEXT), (&token.map(number), Type::INT8), (&gateways, Type::INT8), (&more, Type::INT8)];
    if transaction.execute_typed(beat, &values).await? == 0 {
        return Ok(false);
    }
    let gone: Vec<&str> = changed.iter().filter(|(_, tag)| tag.is_none()).map(|(name, _)| &**name).collect();
    if !gone.is_empty() {
        let forget = "DELETE FROM serin.copies WHERE replica = $1 AND gateway = ANY($2)";
        transaction.execute_typed(forget, &[(&id, Type::TEXT), (&gone, Type::TEXT_ARRAY)]).await?;
    }
    let there = changed.iter().filter_map(|(name, tag)| Some((&**name, &**tag.as_ref()?)));
    put_copies(transaction.client(), id, there).await?;
    transaction.commit().await?;
    Ok(true)
}

async fn put_copies<'a>(
    client: &Client,
    id: &str,
    copies: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<(), Failure> {
    let (names, tags): (Vec<&str>, Vec<&str>) = copies.unzip();
    if names.is_empty() {
        return Ok(());
    }
    let put = "INSERT INTO serin.copies (replica, gateway, tag) SELECT $1, * FROM unnest($2, $3) \
               ON CONFLICT (replica, gateway) DO UPDATE SET tag = excluded.tag";
    let values: [Value<'_>; 3] = [(&id, Type::TEXT), (&names, Type::TEXT_ARRAY), (&tags, Type::TEXT_ARRAY)];
    client.execute_typed(put, &values).await?;
    Ok(())
}

/// All that are registered.
pub(in crate::store) async fn rows(client: &Client) -> Result<Vec<Row>, Failure> {
    // A token that is not the newest is that of one which led before.
    let select = "SELECT id, name, version, floor(extract(epoch FROM since) * 1000)::BIGINT AS since, beat, gateways, \
                  copy, coalesce(token = (SELECT token FROM serin.lease WHERE holder IS NOT NULL), FALSE) AS leads \
                  FROM serin.replicas ORDER BY name, id";
    let rows = client.query_typed(select, &[]).await?;
    let row = |row: &tokio_postgres::Row| Row {
        id: row.get::<_, String>("id").into(),
        name: row.get::<_, String>("name").into(),
        version: row.get::<_, String>("version").into(),
        since: Timestamp(row.get("since")),
        beat: row.get("beat"),
        gateways: row.get::<_, i64>("gateways").unsigned_abs(),
        copy: row.get("copy"),
        leads: row.get("leads"),
    };
    Ok(rows.iter().map(row).collect())
}

/// How the files of all others differ from those of one.
pub(in crate::store) async fn differing(
    client: &Client,
    leader: &str,
) -> Result<BTreeMap<Arc<str>, Differing>, Failure> {
    let select = "SELECT other.id, count(*), (array_agg(gateway ORDER BY gateway))[1:$2] \
                  FROM serin.replicas AS other CROSS JOIN LATERAL (\
                    SELECT gateway FROM (SELECT gateway, tag FROM serin.copies WHERE replica = $1) AS one \
                    FULL JOIN (SELECT gateway, tag FROM serin.copies WHERE replica = other.id) AS two USING (gateway) \
                    WHERE one.tag IS DISTINCT FROM two.tag\
                  ) AS gateways WHERE other.id <> $1 GROUP BY other.id";
    let rows = client.query_typed(select, &[(&leader, Type::TEXT), (&NAMES, Type::INT4)]).await?;
    let differing = rows.into_iter().map(|row| {
        let count = row.get::<_, i64>(1).unsigned_abs();
        let names = row.get::<_, Vec<String>>(2).into_iter().map(Arc::from).collect();
        (row.get::<_, String>(0).into(), Differing { count, names })
    });
    Ok(differing.collect())
}

/// Removes one of whom nothing was heard, unless it was just now.
pub(in crate::store) async fn remove(client: &Client, id: &str, beat: Option<i64>) -> Result<(), Failure> {
    let remove = "DELETE FROM serin.replicas WHERE id = $1 AND ($2 IS NULL OR beat = $2)";
    client.execute_typed(remove, &[(&id, Type::TEXT), (&beat, Type::INT8)]).await?;
    Ok(())
}
