//! An order on a way that stands still: it ends where it was given, and is not carried out when it arrives after that.

use super::orders::{journaled, order};
use super::{Replicas, release};
use crate::e2e::stage::{let_pass, toy};
use crate::protocol::client::soon;
use serde_json::json;
use std::time::Duration;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_arrives_late_is_never_carried_out() {
    serin::client::choose_provider();
    let (v1, v2) = (toy("v1").await, toy("v2").await);
    let replicas = Replicas::start(2, &release(&v1, &v2)).await;
    let leader = replicas.leader(&[0, 1]).await;
    let follower = replicas.get(1 - leader);
    let follows = async {
        while follower.json("/api/v1/replicas").await["leader"].is_null() {
            let_pass(Duration::from_millis(20)).await;
        }
    };
    soon("it follows", follows).await;
    let way = &replicas.ways[1 - leader];
    // It does not know yet that nothing gets through: whatever it sends waits on the way, and arrives when that is free again.
    way.block(true);
    let mut given = JoinSet::new();
    for weight in 31..34 {
        let url = follower.url.clone();
        let body = json!({ "weight": weight, "reason": "late" });
        given.spawn(async move { order(&url, "set-weight", body, &[]).await });
    }
    while let Some(answer) = given.join_next().await {
        let (status, _, said) = answer.unwrap();
        let detail = said["detail"].as_str().unwrap();
        assert_eq!(status, 503, "{said}");
        assert!(detail.starts_with("it is not known whether this was carried out: "), "{said}");
        assert!(detail.contains("look before you give the order again"), "{said}");
    }
    let is_late = "reason = 'late'";
    assert_eq!(journaled(&replicas.server, is_late), 0);
    way.block(false);
    // In touch again; and by the second answer the leader has looked at everything that came before the second order.
    for reason in ["next", "last"] {
        let again = async {
            while order(&follower.url, "set-weight", json!({ "weight": 40, "reason": reason }), &[]).await.0
                != 200
            {
                let_pass(Duration::from_millis(100)).await;
            }
        };
        soon("orders are handed on again", again).await;
    }
    assert_eq!(journaled(&replicas.server, is_late), 0);
    let answered = "SELECT count(*) FROM serin.orders WHERE paper LIKE '%late%' AND answer IS NOT NULL";
    assert_eq!(replicas.server.ask(answered), "0");
}
