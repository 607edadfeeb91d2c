//! The row of the lease, and the states that followers read.

use super::Value;
use super::journal::number;
use super::link::Failure;
use super::{orders, schema};
use crate::names::GatewayName;
use crate::store::lease::{Answer, Ask, Row};
use crate::store::{Error, Kept};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

/// Asks for the lease, under the name by which people find this Serin. Refused is also who knows too little of what newer ones
/// have changed meanwhile.
pub(in crate::store) async fn ask(client: &Client, ask: &Ask, name: &str) -> Result<Answer, Failure> {
    let done = match ask {
        Ask::Look => {
            let row = client.query_typed_one("SELECT token, beat, holder FROM serin.lease", &[]).await?;
            let count = |column| row.get::<_, i64>(column).unsigned_abs();
            return Ok(Answer::Is(Row {
                token: count("token"),
                beat: count("beat"),
                holder: row.get("holder"),
            }));
        }
        // Waits for every write under the token before, and refuses those that come later.
        Ask::Take(Row { token, beat, .. }) => {
            let take = "UPDATE serin.lease SET token = token + 1, beat = beat + 1, holder = $3 \
                        WHERE token = $1 AND beat = $2 \
                        AND (SELECT oldest FROM serin.schema_version) <= $4 RETURNING token";
            let (token, beat) = (number(*token), number(*beat));
            let values: [Value<'_>; 4] = [
                (&token, Type::INT8),
                (&beat, Type::INT8),
                (&name, Type::TEXT),
                (&schema::known(), Type::INT8),
            ];
            client.query_typed_opt(take, &values).await?
        }
        Ask::Renew(token) => {
            let renew = "UPDATE serin.lease SET beat = beat + 1 WHERE token = $1 AND holder IS NOT NULL \
                         AND (SELECT oldest FROM serin.schema_version) <= $2 RETURNING token";
            let values: [Value<'_>; 2] = [(&number(*token), Type::INT8), (&schema::known(), Type::INT8)];
            client.query_typed_opt(renew, &values).await?
        }
    };
    Ok(done.map_or(Answer::Refused, |row| Answer::Done(row.get::<_, i64>(0).unsigned_abs())))
}

/// Gives the lease back, so that the next one need not wait.
pub(in crate::store) async fn leave(client: &Client, token: u64) -> Result<(), Failure> {
    let leave = "UPDATE serin.lease SET beat = beat + 1, holder = NULL WHERE token = $1";
    client.execute_typed(leave, &[(&number(token), Type::INT8)]).await?;
    Ok(())
}

/// From now on every commit notifies this connection.
pub(in crate::store) async fn listen(client: &Client) -> Result<(), Failure> {
    Ok(client.batch_execute("LISTEN serin").await?)
}

/// The states after a mark, and the next mark; without a mark all of them.
pub(in crate::store) async fn states(
    client: &Client,
    after: Option<i64>,
    place: &str,
) -> Result<(Kept, i64), Failure> {
    let sql =
        "SELECT gateway, revision, state, changed FROM serin.rollout WHERE changed > $1 ORDER BY changed";
    let rows = client.query_typed(sql, &[(&after.unwrap_or(0), Type::INT8)]).await?;
    let damaged = |why: String| Error::Corrupt { place: place.to_owned(), why };
    let mut kept = Kept { all: after.is_none(), ..Kept::default() };
    let mut mark = after.unwrap_or(0);
    for row in rows {
        let name: String = row.get("gateway");
        let gateway = GatewayName::new(&name)
            .map_err(|_| damaged(format!("`{name}` in the table `rollout` is no name of a gateway")))?;
        let state = row
            .get::<_, Option<String>>("state")
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|e| damaged(format!("the state of gateway {gateway} is not JSON: {e}")))?;
        let revision = row.get::<_, i64>("revision").unsigned_abs();
        kept.states.insert(gateway, state.map(|state| (revision, state)));
        mark = mark.max(row.get("changed"));
    }
    for row in client.query_typed("SELECT name, is_on FROM serin.switch", &[]).await? {
        kept.switches.insert(row.get::<_, String>(0).into(), row.get(1));
    }
    if kept.all {
        kept.replies = orders::replies(client).await?;
    }
    Ok((kept, mark))
}
