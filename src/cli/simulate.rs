//! `serin simulate`: a rollout on invented traffic, or recorded reports replayed; no Envoy takes part.

use super::output::{Format, Output};
use super::settings::SettingsArgs;
use super::{Failure, Outcome, wrong};
use crate::config::parse_duration;
use crate::model::Rollout;
use crate::rollout;
use crate::simulate::{
    Behaviour, Disturbance, Forecast, Plan, Restart, Scenario, Spread, Stop, asked, forecast, plan, replay,
};
use crate::stats::{Settings, log_linear};
use crate::weight::{WHOLE, Weight};
use clap::ArgMatches;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Latency buckets, as powers of ten of seconds: from a millisecond to a quarter of an hour.
const BUCKETS: (i32, i32) = (-3, 3);

#[derive(Clone, Debug, clap::Args)]
pub(super) struct SimulateArgs {
    /// A gateway file with a rollout, for its steps, times and limits
    #[arg(value_name = "FILE", conflicts_with_all = ["steps", "pause", "bake", "deadline", "confidence", "vectors"])]
    file: Option<PathBuf>,
    /// How many requests arrive in a second
    #[arg(long, default_value_t = 50.0, value_name = "N", value_parser = rate)]
    requests_per_second: f64,
    /// How the primary answers: errors=, latency= (median), p99=, hangs= (never answered)
    #[arg(long, default_value = "errors=0.5%,latency=100ms", value_name = "BEHAVIOUR")]
    primary: String,
    /// How the canary answers; what is not said is as with the primary
    #[arg(long, default_value = "", value_name = "BEHAVIOUR")]
    canary: String,
    /// The canary's shares of the traffic, in percent
    #[arg(long, default_value = "5,25,50,100", value_delimiter = ',', value_name = "PERCENTS", value_parser = step)]
    steps: Vec<Weight>,
    /// The least time at each step
    #[arg(long, default_value = "10m", value_name = "TIME", value_parser = time)]
    pause: Duration,
    /// For how long the last step is watched after it passed
    #[arg(long, default_value = "10m", value_name = "TIME", value_parser = time)]
    bake: Duration,
    /// The longest wait for evidence at one step
    #[arg(long, default_value = "24h", value_name = "TIME", value_parser = time)]
    deadline: Duration,
    /// How sure a roll-back is, in percent
    #[arg(long, default_value = "99%", value_name = "PERCENT", value_parser = confidence)]
    confidence: Weight,
    /// How often Envoy reports
    #[arg(long, default_value = "1s", value_name = "TIME", value_parser = interval)]
    report_every: Duration,
    /// How many rollouts are simulated
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: u32,
    /// The same seed gives the same numbers
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Replay the test vectors of a folder in place of a simulation, and stop at the first difference
    #[arg(long, value_name = "DIR", conflicts_with_all = [
        "requests_per_second", "primary", "canary", "steps", "pause", "bake", "deadline", "confidence",
        "report_every", "runs", "seed",
    ])]
    vectors: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// In which form
    #[arg(short, long, default_value = "table", value_name = "FORM")]
    output: Format,
}

/// Settings say how a file is read: without one they have no effect. A variable of the environment is not about this
/// command alone, so it may be there.
pub(super) fn check(matches: &ArgMatches) -> Result<(), clap::Error> {
    let is_said = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    match ["config", "routing"].into_iter().find(|id| is_said(id) && !matches.contains_id("file")) {
        Some(id) => {
            let why = format!("--{id} is for the gateway FILE, and none is named\n");
            Err(clap::Error::raw(ErrorKind::MissingRequiredArgument, why))
        }
        None => Ok(()),
    }
}

pub(super) fn run(args: &SimulateArgs, out: &Output) -> Outcome {
    if let Some(directory) = &args.vectors {
        return vectors(directory, args.output, out);
    }
    let primary =
        behaviour(&args.primary, Behaviour::default()).map_err(|e| wrong(format!("--primary: {e}")))?;
    let canary = behaviour(&args.canary, primary).map_err(|e| wrong(format!("--canary: {e}")))?;
    let bounds = log_linear(BUCKETS.0, BUCKETS.1);
    let mut others = BTreeMap::new();
    let (plan, settings) = match &args.file {
        Some(file) => {
            let (rollout, timeout) = of_file(file, args, out)?;
            others = asked(&rollout);
            (plan(&rollout), rollout::settings(&rollout, timeout, &bounds))
        }
        None => by_flags(args, bounds.clone())?,
    };
    settings.check().map_err(wrong)?;
    let scenario = Scenario {
        canary,
        later: None,
        primary,
        requests_per_second: args.requests_per_second,
        report_every: args.report_every.as_secs_f64(),
        bounds,
        disturbance: Disturbance::default(),
        asked: others,
    };
    let forecast = forecast(&settings, &plan, &scenario, args.runs, args.seed).map_err(anyhow::Error::new)?;
    if !out.data(args.output, &forecast)? {
        print(&forecast, out);
    }
    Ok(())
}

/// The rollout of a gateway file, and the timeout of its requests.
fn of_file(file: &Path, args: &SimulateArgs, out: &Output) -> Result<(Rollout, Duration), Failure> {
    if file.is_dir() {
        return Err(wrong(format!("{} is a directory; name one gateway file in it", file.display())));
    }
    let loaded = super::check::load(file, &args.settings.settings_of(file, out)?)?.loaded;
    let mut gateway = None;
    for loaded in loaded.into_values() {
        out.diagnostics(&loaded.diagnostics);
        gateway = loaded.gateway;
    }
    let gateway = gateway.ok_or(Failure::Input(None))?;
    let missing = || {
        wrong(format!("{} has no `rollout`; add one, or leave the file out and use --steps", file.display()))
    };
    let timeout = gateway.timeout;
    gateway.rollout.clone().ok_or_else(missing).map(|rollout| (rollout, timeout))
}

fn by_flags(args: &SimulateArgs, bounds: Vec<f64>) -> Result<(Plan, Settings), Failure> {
    if args.steps.windows(2).any(|w| w[0] >= w[1]) {
        return Err(wrong("--steps: put the steps in rising order"));
    }
    if args.pause >= args.deadline || args.bake >= args.deadline {
        return Err(wrong("--deadline: make it longer than --pause and --bake"));
    }
    let pause = args.pause.as_secs_f64();
    let plan = Plan {
        steps: args.steps.iter().map(|w| Stop { weight: share(*w), pause }).collect(),
        bake: args.bake.as_secs_f64(),
        deadline: args.deadline.as_secs_f64(),
        least_rate: 0.0,
    };
    Ok((plan, Settings { alpha: 1.0 - share(args.confidence), bounds, ..Settings::default() }))
}

fn share(weight: Weight) -> f64 {
    f64::from(weight.hundredths()) / f64::from(WHOLE)
}

/// A behaviour such as `errors=1%,latency=120ms,p99=500ms`, on top of another one.
fn behaviour(text: &str, base: Behaviour) -> Result<Behaviour, String> {
    let mut out = base;
    let mut p99 = None;
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (key, value) =
            part.split_once('=').ok_or_else(|| format!("`{part}` wants a value, as in errors=1%"))?;
        match key {
            "errors" => out.errors = percent(value)?,
            "hangs" => out.hangs = percent(value)?,
            "latency" => out.latency = interval(value)?.as_secs_f64(),
            "p99" => p99 = Some(interval(value)?.as_secs_f64()),
            _ => return Err(format!("`{key}` is none of errors, latency, p99, hangs")),
        }
    }
    // Without one, the shape of the distribution stays.
    out.p99 = p99.unwrap_or(base.p99 * (out.latency / base.latency));
    if out.p99 < out.latency {
        return Err("p99 is below the median that `latency` says".to_owned());
    }
    Ok(out)
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches('%').parse::<f64>().ok().filter(|p| (0.0..=100.0).contains(p));
    number.map(|p| p / 100.0).ok_or_else(|| format!("`{text}` is not a percent from 0 to 100"))
}

fn time(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .ok_or_else(|| "write a time with its unit, such as 500ms, 60s, 10m or 24h".to_owned())
}

fn interval(text: &str) -> Result<Duration, String> {
    time(text)
        .and_then(|t| if t.is_zero() { Err("it must be longer than nothing".to_owned()) } else { Ok(t) })
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|n| *n > 0.0 && *n <= 1e6);
    number.ok_or_else(|| "write a number above 0, and at most 1000000".to_owned())
}

fn step(text: &str) -> Result<Weight, String> {
    let weight = Weight::parse(text).map_err(|e| e.to_string())?;
    if weight == Weight::NONE {
        Err("a step of 0 gives the canary no traffic".to_owned())
    } else {
        Ok(weight)
    }
}

fn confidence(text: &str) -> Result<Weight, String> {
    let good = Weight::parse(text).ok().filter(|w| (8000..=9999).contains(&w.hundredths()));
    good.ok_or_else(|| "write a percent from 80 to 99.99".to_owned())
}

fn print(forecast: &Forecast, out: &Output) {
    let Forecast { runs, promoted, rolled_back, paused, .. } = forecast;
    out.line(&format!(
        "{runs} simulated rollouts: {promoted} promoted, {rolled_back} rolled back, {paused} paused at a deadline\n"
    ));
    let row = |step: &crate::simulate::Step| {
        let seconds = |of: fn(Spread) -> f64| step.seconds.map_or("-".to_owned(), |s| long(of(s)));
        let weight = format!("{}%", (step.weight * 1e4).round() / 100.0);
        vec![weight, format!("{} of {runs}", step.passed), seconds(|s| s.median), seconds(|s| s.p90)]
    };
    out.table(&["STEP", "PASSED", "MEDIAN", "P90"], &forecast.steps.iter().map(row).collect::<Vec<_>>());
    out.line("");
    if let Some(Spread { median, p90 }) = forecast.promotion {
        out.line(&format!("promoted after     {} (p90 {})", long(median), long(p90)));
    }
    if let (Some(time), Some(requests), Some(hurt)) = (forecast.rollback, forecast.requests, forecast.hurt) {
        out.line(&format!("rolled back after  {} (p90 {})", long(time.median), long(time.p90)));
        out.line(&format!("canary requests    {} (p90 {})", requests.median, requests.p90));
        out.line(&format!("failed or hung     {} (p90 {})", hurt.median, hurt.p90));
        let blamed: Vec<String> = forecast.blamed.iter().map(|(test, n)| format!("{test} {n}")).collect();
        out.line(&format!("blamed             {}", blamed.join(", ")));
    }
    for (name, interval) in &forecast.taken_as_good {
        out.line(&format!("taken as good      {name}, an answer every {}", long(*interval)));
    }
    out.line(&format!("for example        {}", forecast.example));
}

/// Seconds as people write them.
fn long(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0}s"),
        s if s < 7200.0 => format!("{:.1}m", s / 60.0),
        s => format!("{:.1}h", s / 3600.0),
    }
}

/// A file of test vectors that passed.
#[derive(Serialize)]
struct Passed {
    file: String,
    name: String,
    checked: usize,
}

fn vectors(directory: &Path, format: Format, out: &Output) -> Outcome {
    let unreadable = |path: &Path, e: std::io::Error| wrong(format!("cannot read {}: {e}", path.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(|e| unreadable(directory, e))? {
        files.push(entry.map_err(|e| unreadable(directory, e))?.path());
    }
    files.retain(|file| file.extension().is_some_and(|e| e == "json"));
    files.sort();
    if files.is_empty() {
        return Err(wrong(format!("{} has no test vectors (*.json)", directory.display())));
    }
    let mut passed = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(|e| unreadable(&file, e))?;
        let good =
            replay(&text, Restart::AsWritten).map_err(|e| wrong(format!("{}: {e}", file.display())))?;
        let shown = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        passed.push(Passed { file: shown, name: good.name, checked: good.checked });
    }
    if !out.data(format, &passed)? {
        let row = |p: &Passed| vec![p.file.clone(), p.checked.to_string(), "ok".to_owned()];
        out.table(&["FILE", "CHECKED", ""], &passed.iter().map(row).collect::<Vec<_>>());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_behaviour_changes_only_what_it_says() {
        let base = Behaviour::default();
        assert_eq!(behaviour("", base), Ok(base));
        assert_eq!(behaviour("errors=2%", base), Ok(Behaviour { errors: 0.02, ..base }));
        let slow = Ok(Behaviour { latency: 0.2, p99: 0.8, ..base });
        assert_eq!(behaviour("latency=200ms", base), slow);
        assert_eq!(behaviour(" latency=200ms, p99=800ms", base), slow);
    }

    #[test]
    fn a_wrong_behaviour_says_what_is_wrong() {
        let says = |text| behaviour(text, Behaviour::default()).unwrap_err();
        assert!(says("errors").contains("errors=1%"));
        assert!(says("error=1%").contains("none of errors"));
        assert!(says("errors=101%").contains("0 to 100"));
        assert!(says("latency=5").contains("unit"));
        assert!(says("latency=1s,p99=500ms").contains("below the median"));
    }
}
