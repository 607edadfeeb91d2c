//! `serin switch`: what is on or off for all gateways at once.

use super::client::{Answer, ServerArgs, Verdict};
use super::output::{Format, Output};
use super::{Outcome, wrong};
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Position {
    On,
    Off,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct SwitchArgs {
    /// Which: `shadow` is the copies of requests for the shadows of all gateways. Without it, all are listed
    #[arg(value_name = "NAME", requires = "position")]
    name: Option<String>,
    /// Its position from now on, also after a restart
    #[arg(value_name = "on|off")]
    position: Option<Position>,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT", requires = "position")]
    reason: Option<String>,
    /// In which form
    #[arg(short, long, default_value = "table", value_name = "FORM")]
    output: Format,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) async fn run(args: SwitchArgs, out: &Output) -> Outcome {
    let switches = match (&args.name, args.position) {
        (Some(name), Some(position)) => {
            let mut body = json!({ "on": matches!(position, Position::On) });
            if let Some(reason) = &args.reason {
                body["reason"] = json!(reason);
            }
            match args.server.put(&format!("switches/{name}"), &body).await? {
                Verdict::Done(switches) => switches,
                Verdict::Refused(sentence) => return Err(wrong(sentence)),
            }
        }
        _ => match args.server.get("switches").await? {
            Answer::Found(switches) => switches,
            Answer::NotFound(sentence) => return Err(wrong(sentence)),
        },
    };
    if out.data(args.output, &switches)? {
        return Ok(());
    }
    for (name, on) in switches.as_object().into_iter().flatten() {
        out.line(&format!("{name}  {}", if *on == Value::Bool(true) { "on" } else { "off" }));
    }
    Ok(())
}
