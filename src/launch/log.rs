//! What Envoy says, line by line: told on as our own log or written to a file, and its complaints kept.
//!
//! Envoy is given [`FORMAT`], so a line says how bad it is. A line without that head belongs to the one before:
//! Envoy prints whole messages when it refuses one.

use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::sync::watch;

/// Envoy's `--log-format`: level, time, component, message.
pub(super) const FORMAT: &str = "[%l][%Y-%m-%dT%H:%M:%S.%e][%n] %v";

/// Envoy's refusals can be thousands of lines long; the first ones name the field.
const KEPT: usize = 8;

/// Where the lines go.
#[derive(Clone, Debug, Default)]
pub enum LogTo {
    /// To `tracing`, target `envoy`, with the level that Envoy gave.
    #[default]
    Tracing,
    /// To this file as they are, appended.
    File(PathBuf),
}

/// Envoy's first complaints, for the error that explains its end.
#[derive(Clone, Debug, Default)]
pub(super) struct Complaints(Arc<watch::Sender<Vec<String>>>);

impl Complaints {
    pub(super) fn text(&self) -> String {
        let lines = self.0.borrow();
        if lines.is_empty() { "nothing".to_owned() } else { lines.join("\n") }
    }

    fn keep(&self, line: &str) {
        self.0.send_if_modified(|lines| {
            let room = lines.len() < KEPT;
            if room {
                lines.push(line.to_owned());
            }
            room
        });
    }
}

/// Reads until the other end is closed. A log that cannot be written is no reason to stop reading: Envoy would
/// stand still with a full pipe. Lines before any head have the level `at_first`.
pub(super) async fn follow(
    said: impl AsyncRead + Unpin,
    at_first: &'static str,
    mut file: Option<tokio::fs::File>,
    complaints: Complaints,
) {
    let mut lines = BufReader::new(said).split(b'\n');
    let mut level = at_first.to_owned();
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        let (component, message) = match head(line) {
            Some((said, component, message)) => {
                said.clone_into(&mut level);
                (component, message)
            }
            None => ("", line),
        };
        if matches!(level.as_str(), "error" | "critical") && !message.is_empty() {
            complaints.keep(message);
        }
        match &mut file {
            Some(file) => {
                let _ = file.write_all(format!("{line}\n").as_bytes()).await;
            }
            None => tell(&level, component, message),
        }
    }
    if let Some(mut file) = file {
        let _ = file.flush().await;
    }
}

/// Level, component and message of a line in [`FORMAT`].
fn head(line: &str) -> Option<(&str, &str, &str)> {
    let (level, rest) = line.strip_prefix('[')?.split_once("][")?;
    let (_time, rest) = rest.split_once("][")?;
    let (component, message) = rest.split_once("] ")?;
    let known = ["trace", "debug", "info", "warning", "error", "critical", "off"];
    known.contains(&level).then_some((level, component, message))
}

fn tell(level: &str, component: &str, message: &str) {
    match level {
        "critical" | "error" => tracing::error!(target: "envoy", component, "{message}"),
        "warning" => tracing::warn!(target: "envoy", component, "{message}"),
        "debug" => tracing::debug!(target: "envoy", component, "{message}"),
        "trace" => tracing::trace!(target: "envoy", component, "{message}"),
        _ => tracing::info!(target: "envoy", component, "{message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_head_or_belongs_to_the_one_before() {
        let line = "[warning][2026-01-02T03:04:05.678][main] [source/server.cc:1] caught [x] y";
        assert_eq!(head(line), Some(("warning", "main", "[source/server.cc:1] caught [x] y")));
        assert_eq!(head("clusters {"), None);
        assert_eq!(head("[a][b][c] d"), None);
    }

    #[tokio::test]
    async fn only_the_first_complaints_are_kept_with_what_belongs_to_them() {
        let mut said = "[info][t][main] fine\n[critical][t][main] bad field\n  in this message\n".to_owned();
        said += &"  and on\n".repeat(100);
        said += "[info][t][main] exiting\n";
        let complaints = Complaints::default();
        follow(said.as_bytes(), "error", None, complaints.clone()).await;
        assert!(complaints.text().starts_with("bad field\n  in this message\n"));
        assert_eq!(complaints.text().lines().count(), KEPT);
    }
}
