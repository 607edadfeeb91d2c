//! `promote`, `abort`, `pause`, `resume`, `retry`, `set-weight` and `undo`: what operators want of a rollout.
//!
//! With a `rollout` the server moves the weights and takes orders. Without one the file owns them, and `promote --to` and
//! `set-weight UPSTREAM=PERCENT` edit it. The form says which is meant; nothing is guessed.

use super::client::{ServerArgs, Verdict};
use super::edit::{self, PlaceArgs};
use super::output::{Format, Output};
use super::{Outcome, wrong};
use crate::weight::Weight;
use serde_json::{Value, json};

/// Which gateway, why, and where the server is.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct VerbArgs {
    /// The gateway
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Clone, Debug, clap::Args)]
struct OrderArgs {
    /// Why, for the journal
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only if the rollout is still at this revision
    #[arg(long, value_name = "NUMBER")]
    if_revision: Option<u64>,
    /// In which form
    #[arg(short, long, default_value = "table", value_name = "FORM")]
    output: Format,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct PromoteArgs {
    /// The gateway
    #[arg(value_name = "NAME")]
    name: String,
    /// To the end at once, not to the next step
    #[arg(long, conflicts_with = "to")]
    full: bool,
    /// In the gateway file: the upstream that gets all traffic; every other byte stays
    #[arg(long, value_name = "UPSTREAM", conflicts_with_all = ["reason", "if_revision", "output"])]
    to: Option<String>,
    #[command(flatten)]
    order: OrderArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct SetWeightArgs {
    /// The gateway
    #[arg(value_name = "NAME")]
    name: String,
    /// The percent of a rollout's canary; or, in the gateway file, upstreams and their percents, as in v2=25: one that is
    /// left out gets the rest, every other byte stays
    #[arg(required = true, value_name = "PERCENT|UPSTREAM=PERCENT")]
    weights: Vec<String>,
    #[command(flatten)]
    order: OrderArgs,
    #[command(flatten)]
    place: PlaceArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct UndoArgs {
    /// The gateway
    #[arg(value_name = "NAME")]
    name: String,
    /// The weights of this revision, not those before the last change
    #[arg(long, value_name = "NUMBER")]
    to_revision: Option<u64>,
    #[command(flatten)]
    order: OrderArgs,
}

pub(super) async fn plain(verb: &'static str, args: VerbArgs, out: &Output) -> Outcome {
    send(verb, &args.name, json!({}), &args.order, out).await
}

pub(super) async fn promote(args: PromoteArgs, out: &Output) -> Outcome {
    match &args.to {
        Some(to) => edit::promote(&args.name, to, &args.place, out),
        None => send("promote", &args.name, json!({ "full": args.full }), &args.order, out).await,
    }
}

pub(super) async fn set_weight(args: SetWeightArgs, out: &Output) -> Outcome {
    match args.weights.as_slice() {
        [percent] if !percent.contains('=') => {
            let weight = Weight::parse(percent).map_err(|why| {
                wrong(format!("{percent} is neither a percent nor of the form UPSTREAM=PERCENT: {why}"))
            })?;
            send("set-weight", &args.name, json!({ "weight": weight }), &args.order, out).await
        }
        weights if args.order.reason.is_none() && args.order.if_revision.is_none() => {
            edit::set_weight(&args.name, weights, &args.place, out)
        }
        _ => {
            Err(wrong("--reason and --if-revision are for rollouts; UPSTREAM=PERCENT edits the gateway file"))
        }
    }
}

pub(super) async fn undo(args: UndoArgs, out: &Output) -> Outcome {
    let body = args.to_revision.map_or_else(|| json!({}), |r| json!({ "toRevision": r }));
    send("undo", &args.name, body, &args.order, out).await
}

async fn send(verb: &str, name: &str, mut body: Value, order: &OrderArgs, out: &Output) -> Outcome {
    if let Some(reason) = &order.reason {
        body["reason"] = json!(reason);
    }
    if let Some(revision) = order.if_revision {
        body["ifRevision"] = json!(revision);
    }
    let outcome = match order.server.post(&format!("gateways/{name}/actions/{verb}"), &body).await? {
        Verdict::Done(outcome) => outcome,
        Verdict::Refused(sentence) => return Err(wrong(sentence)),
    };
    if out.data(order.output, &outcome)? {
        return Ok(());
    }
    out.line(outcome["message"].as_str().unwrap_or_default());
    if let Some(patch) = outcome["patch"].as_str() {
        out.note("Now change the gateway file; no traffic moves by it:");
        out.line(patch);
    }
    Ok(())
}
