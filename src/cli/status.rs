//! `serin status`: where a release stands, as an exit code for pipelines.

use super::client::{Answer, ServerArgs, Silence};
use super::output::{Format, Output};
use super::serve::StopSignals;
use super::{Failure, Outcome, wrong};
use crate::clock::Stopwatch;
use crate::config;
use serde_json::Value;
use std::time::Duration;

/// Between two looks.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// The gateway
    #[arg(value_name = "NAME")]
    name: String,
    /// Until the release is over, or somebody has to say how it goes on
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, default_value = "30m", value_name = "TIME", value_parser = config::duration, requires = "wait")]
    timeout: Duration,
    /// In which form
    #[arg(short, long, default_value = "table", value_name = "FORM")]
    output: Format,
    #[command(flatten)]
    server: ServerArgs,
}

/// What a pipeline should do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Go on: the canary has all traffic, or there is nothing to release.
    Good,
    /// Stop: it was rolled back, or the file is wrong.
    Bad,
    /// Somebody has to say how to go on.
    Paused,
    /// It is not over.
    Open,
}

/// What a phase means. One that this version does not know is not over.
fn end(phase: &str) -> End {
    match phase {
        "Promoted" | "Stable" => End::Good,
        "RolledBack" | "Invalid" => End::Bad,
        "Paused" => End::Paused,
        _ => End::Open,
    }
}

pub(super) async fn run(args: StatusArgs, out: &Output) -> Outcome {
    let mut signals = StopSignals::listen()?;
    tokio::select! {
        outcome = look(&args, out) => outcome,
        _ = signals.next() => Err(Failure::Code(2)),
    }
}

async fn look(args: &StatusArgs, out: &Output) -> Outcome {
    let watch = Stopwatch::start();
    let mut said = String::new();
    loop {
        let late = !args.wait || watch.elapsed() >= args.timeout;
        let gateway = match args.server.get(&format!("gateways/{}", args.name)).await {
            Ok(Answer::Found(gateway)) => gateway,
            Ok(Answer::NotFound(sentence)) => return Err(wrong(sentence)),
            // A server that starts anew ends no pipeline that has time.
            Err(silence @ Silence::Gone(..)) if !late => {
                news(&mut said, "gone", || format!("{:#}", anyhow::Error::from(silence)), out);
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            Err(silence) => return Err(silence.into()),
        };
        let end = end(gateway["phase"].as_str().unwrap_or_default());
        if end == End::Open && !late {
            // The sentence grows with each request; a revision is what people are told of.
            let stand = format!("{} {}", gateway["phase"], gateway["rollout"]["revision"]);
            news(&mut said, &stand, || line(&gateway), out);
            tokio::time::sleep(AGAIN.min(args.timeout.saturating_sub(watch.elapsed()))).await;
            continue;
        }
        if !out.data(args.output, &gateway)? {
            out.line(&line(&gateway));
        }
        return match end {
            End::Good => Ok(()),
            End::Bad => Err(Failure::Code(1)),
            End::Open => Err(Failure::Code(2)),
            End::Paused => Err(Failure::Code(3)),
        };
    }
}

/// What is new, once.
fn news(said: &mut String, now: &str, line: impl FnOnce() -> String, out: &Output) {
    if said != now {
        out.note(&line());
        now.clone_into(said);
    }
}

/// A gateway in one line.
fn line(gateway: &Value) -> String {
    let text = |key: &str| gateway[key].as_str().unwrap_or_default();
    let upstreams = gateway["upstreams"].as_array().into_iter().flatten();
    let split: Vec<String> =
        upstreams.map(|u| format!("{} {} %", u["name"].as_str().unwrap_or_default(), u["weight"])).collect();
    let mut line = format!("{}: {}", text("name"), text("phase"));
    if !split.is_empty() {
        line = format!("{line}, {}", split.join(", "));
    }
    let problem = gateway["diagnostics"].as_array().into_iter().flatten().find(|d| d["severity"] == "error");
    // A file that is wrong comes first: its release goes on as it was.
    let why = problem.unwrap_or(&gateway["rollout"]);
    if let Some(message) = why["message"].as_str() {
        line = format!("{line}: {message}");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_tells_a_pipeline_what_to_do() {
        use crate::rollout::Phase::{
            Baking, Holding, Paused, Progressing, Promoted, RolledBack, Stable, Waiting,
        };
        for (phases, meant) in [
            (&[Promoted, Stable][..], End::Good),
            (&[RolledBack], End::Bad),
            (&[Paused], End::Paused),
            (&[Waiting, Progressing, Holding, Baking], End::Open),
        ] {
            for phase in phases {
                assert_eq!(end(phase.as_str()), meant, "{phase}");
            }
        }
        assert_eq!(end("Invalid"), End::Bad);
    }

    #[test]
    fn a_line_says_what_is_wrong() {
        let gateway = serde_json::json!({ "name": "fraud", "phase": "Invalid",
            "upstreams": [{ "name": "v1", "weight": 75 }, { "name": "v2", "weight": 24.5 }],
            "diagnostics": [{ "severity": "warning", "message": "odd" }, { "severity": "error", "message": "wrong" }] });
        assert_eq!(line(&gateway), "fraud: Invalid, v1 75 %, v2 24.5 %: wrong");
        let release = serde_json::json!({ "name": "fraud", "phase": "RolledBack", "diagnostics": [],
            "rollout": { "message": "v2 is worse" } });
        assert_eq!(line(&release), "fraud: RolledBack: v2 is worse");
    }
}
