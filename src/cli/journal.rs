//! `serin history` and `serin events`: the journal.

use super::client::{Answer, ServerArgs};
use super::output::{Format, Output};
use super::serve::StopSignals;
use super::{Outcome, wrong};
use serde_json::Value;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct HistoryArgs {
    /// The gateway
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct EventsArgs {
    /// Of which gateway [default: all]
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Go on as things happen, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Clone, Debug, clap::Args)]
struct PageArgs {
    /// Only of these kinds, such as changed,invalid
    #[arg(long, value_name = "KINDS")]
    kind: Option<String>,
    /// How many of the newest
    #[arg(long, default_value_t = 100, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// In which form
    #[arg(short, long, default_value = "table", value_name = "FORM")]
    output: Format,
    #[command(flatten)]
    server: ServerArgs,
}

/// What happened to one gateway, with what it was before and after.
pub(super) async fn history(args: HistoryArgs, out: &Output) -> Outcome {
    let events = read(&format!("gateways/{}/events", args.name), &args.page).await?;
    if out.data(args.page.output, &events)? {
        return Ok(());
    }
    let rows: Vec<Vec<String>> = events.iter().map(row).collect();
    out.table(&["TIME", "KIND", "BY", "REVISION", "WHAT"], &rows);
    Ok(())
}

/// What happened, one line each.
pub(super) async fn events(args: EventsArgs, out: &Output) -> Outcome {
    let page =
        args.name.as_ref().map_or_else(|| "events".to_owned(), |name| format!("gateways/{name}/events"));
    let mut signals = StopSignals::listen()?;
    let work = async {
        let events = read(&page, &args.page).await?;
        if !args.follow && out.data(args.page.output, &events)? {
            return Ok(());
        }
        let mut last = 0;
        for event in &events {
            last = event["sequence"].as_u64().unwrap_or(last);
            one(event, args.page.output, out)?;
        }
        if args.follow {
            let page = with_kind(&page, &args.page, '?');
            args.page.server.follow(&page, last, |event| one(&event, args.page.output, out)).await?;
            return Err(anyhow::anyhow!("the server has ended the stream").into());
        }
        Ok(())
    };
    tokio::select! {
        outcome = work => outcome,
        _ = signals.next() => Ok(()),
    }
}

/// One entry of a stream.
fn one(event: &Value, format: Format, out: &Output) -> anyhow::Result<()> {
    match format {
        Format::Table => out.line(&line(event)),
        // One object a line, and one document each, as programs read streams.
        Format::Json => out.line(&event.to_string()),
        Format::Yaml => {
            out.line("---");
            out.data(format, event)?;
        }
    }
    Ok(())
}

async fn read(page: &str, args: &PageArgs) -> Result<Vec<Value>, super::Failure> {
    let page = with_kind(&format!("{page}?limit={}", args.limit), args, '&');
    match args.server.get(&page).await? {
        Answer::Found(mut found) => match found["events"].take() {
            Value::Array(events) => Ok(events),
            _ => Ok(Vec::new()),
        },
        Answer::NotFound(sentence) => Err(wrong(sentence)),
    }
}

fn with_kind(page: &str, args: &PageArgs, joint: char) -> String {
    args.kind.as_ref().map_or_else(|| page.to_owned(), |kind| format!("{page}{joint}kind={kind}"))
}

/// To the second, as people read it.
fn time(event: &Value) -> String {
    let text = event["time"].as_str().unwrap_or_default();
    text.split('.').next().unwrap_or_default().replace('T', " ")
}

fn sentence(event: &Value) -> String {
    let text = |key: &str| event[key].as_str().unwrap_or_default();
    let mut sentence = plain(text("message"));
    if let Some(reason) = event["reason"].as_str() {
        sentence = format!("{sentence} (reason: {})", plain(reason));
    }
    sentence
}

/// On one line, and without what would move a terminal's cursor: some of it are the words of others.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn row(event: &Value) -> Vec<String> {
    let text = |key: &str| plain(event[key].as_str().unwrap_or("-"));
    let revision = event["revision"].as_u64().map_or_else(|| "-".to_owned(), |r| r.to_string());
    vec![time(event), text("kind"), text("actor"), revision, sentence(event)]
}

fn line(event: &Value) -> String {
    let text = |key: &str| plain(event[key].as_str().unwrap_or("-"));
    format!("{}  {:<11}  {:<16}  {}", time(event), text("kind"), text("gateway"), sentence(event))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_entry_is_one_line_whatever_it_says() {
        let event = json!({ "sequence": 3, "time": "2026-01-31T12:00:05.123Z", "gateway": "fraud", "kind": "refused",
            "actor": "envoy", "message": "no\n\u{1b}[2Jthing", "reason": "x" });
        assert_eq!(
            line(&event),
            "2026-01-31 12:00:05  refused      fraud             no  [2Jthing (reason: x)"
        );
        assert_eq!(row(&event)[3], "-");
    }
}
