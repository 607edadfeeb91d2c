//! Test vectors: recorded reports, and what must follow from each.
//!
//! A file is JSON. Either `cases` of the primitive, or `config`, `steps` (`start_stage`, `observe` with what to `expect`,
//! `restart`) and `final`. Names in `config` are those of [`Settings`] in snake case.

use crate::stats::{Analysis, Block, Decision, Harm, Null, Report, Safety, Settings, Tally, interval};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// When the state is written to JSON and read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Where the file says so.
    AsWritten,
    /// After every report.
    Always,
}

/// A file whose every number was right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Its name, as it says.
    pub name: String,
    /// How many reports or cases it has.
    pub checked: usize,
}

/// Why a file did not pass.
#[derive(Clone, Debug, PartialEq)]
pub enum Unfit {
    /// It is not a file of test vectors.
    Broken(String),
    /// The first number or word that is different.
    Different(Mismatch),
}

/// A number or a word that is different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Where: `step 12 (t = 24)`.
    pub place: String,
    /// Which: `bad.errors`.
    pub field: String,
    /// What the file says.
    pub expected: String,
    /// What came out.
    pub got: String,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(why) => write!(f, "not a file of test vectors: {why}"),
            Self::Different(Mismatch { place, field, expected, got }) => {
                write!(f, "{place}: `{field}` is expected to be {expected}, got {got}")
            }
        }
    }
}

impl std::error::Error for Unfit {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    #[serde(rename = "about")]
    _about: Option<String>,
    #[serde(default)]
    tolerance: Tolerance,
    cases: Option<Vec<Case>>,
    #[serde(default)]
    config: Map<String, Value>,
    #[serde(default)]
    steps: Vec<Step>,
    #[serde(rename = "final")]
    end: Option<Last>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tolerance {
    logs: f64,
    interval: f64,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { logs: 1e-9, interval: 1e-6 }
    }
}

/// One bet of each kind, or an interval alone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    xc: Option<f64>,
    nc: Option<f64>,
    #[serde(default)]
    xp: f64,
    #[serde(default)]
    np: f64,
    #[serde(default)]
    r: f64,
    #[serde(default)]
    d: f64,
    #[serde(default)]
    one_c: f64,
    bad: Option<Vec<f64>>,
    good: Option<Vec<f64>>,
    one: Option<Vec<f64>>,
    bad_wealth: Option<f64>,
    good_wealth: Option<f64>,
    x: Option<f64>,
    n: Option<f64>,
    interval: [f64; 2],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    op: Op,
    t: Option<f64>,
    weight: Option<f64>,
    report: Option<Report>,
    expect: Option<Expect>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Op {
    StartStage,
    Observe,
    Restart,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    t: f64,
    action: String,
    why: String,
    evidence: f64,
    srm: f64,
    bad: BTreeMap<String, f64>,
    good: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    action: String,
    why: String,
    reports: Option<usize>,
    line: Option<String>,
    #[serde(default)]
    intervals: BTreeMap<String, Counted>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Counted {
    n: f64,
    err: f64,
    interval95: [f64; 2],
}

/// Replays a file, and stops at the first difference.
pub fn replay(text: &str, restart: Restart) -> Result<Replayed, Unfit> {
    let file: File = serde_json::from_str(text).map_err(broken)?;
    let checked = match &file.cases {
        Some(cases) => {
            for (n, case) in cases.iter().enumerate() {
                check_case(&Checker { place: format!("case {n}"), tolerance: file.tolerance }, case)?;
            }
            cases.len()
        }
        None => replay_steps(&file, restart)?,
    };
    if checked == 0 {
        return Err(Unfit::Broken("it has neither `cases` nor a step that observes".to_owned()));
    }
    Ok(Replayed { name: file.name, checked })
}

fn broken(why: impl fmt::Display) -> Unfit {
    Unfit::Broken(why.to_string())
}

fn replay_steps(file: &File, restart: Restart) -> Result<usize, Unfit> {
    let settings = settings(&file.config)?;
    let mut analysis: Option<Analysis> = None;
    let mut last: Option<Decision> = None;
    let mut observed = 0;
    for (n, step) in file.steps.iter().enumerate() {
        let lacks = |what: &str| broken(format!("step {n} lacks {what}"));
        let early = || broken(format!("step {n} comes before the first `start_stage`"));
        match step.op {
            Op::StartStage => {
                let (at, weight) = step.t.zip(step.weight).ok_or_else(|| lacks("`t` or `weight`"))?;
                match &mut analysis {
                    Some(analysis) => analysis.start_stage(&settings, at, weight),
                    None => analysis = Some(Analysis::new(&settings, at, weight)),
                }
            }
            Op::Restart => analysis = Some(restored(analysis.as_ref().ok_or_else(early)?)?),
            Op::Observe => {
                let report = step.report.as_ref().ok_or_else(|| lacks("`report`"))?;
                let expect = step.expect.as_ref().ok_or_else(|| lacks("`expect`"))?;
                let analysis = analysis.as_mut().ok_or_else(early)?;
                if restart == Restart::Always {
                    *analysis = restored(analysis)?;
                }
                let refused = |why| broken(format!("step {n}: the report is refused: {why}"));
                let decision = analysis.observe(&settings, report).map_err(refused)?;
                let place = format!("step {n} (t = {})", report.to);
                check_decision(&Checker { place, tolerance: file.tolerance }, expect, &decision)?;
                observed += 1;
                last = Some(decision);
            }
        }
    }
    let checker = Checker { place: "final".to_owned(), tolerance: file.tolerance };
    if let (Some(end), Some(analysis), Some(decision)) = (&file.end, &analysis, &last) {
        checker.word("action", &end.action, &decision.action.to_string())?;
        checker.word("why", &end.why, &decision.reason())?;
        checker.word("reports", &end.reports.unwrap_or(observed).to_string(), &observed.to_string())?;
        if let Some(line) = &end.line {
            checker.word("line", line, &analysis.sentence(&settings, decision))?;
        }
        for (arm, counted) in &end.intervals {
            let field = format!("intervals.{arm}");
            checker.interval(&field, counted.interval95, interval(counted.err, counted.n, 0.95))?;
        }
    }
    Ok(observed)
}

/// What a process would find that was started anew.
fn restored(analysis: &Analysis) -> Result<Analysis, Unfit> {
    let text = serde_json::to_string(analysis).map_err(broken)?;
    serde_json::from_str(&text).map_err(broken)
}

fn settings(config: &Map<String, Value>) -> Result<Settings, Unfit> {
    let camel = |name: &str| {
        let mut words = name.split('_');
        let first = words.next().unwrap_or_default().to_owned();
        words.fold(first, |name, word| {
            let (head, rest) = word.split_at_checked(1).unwrap_or((word, ""));
            name + &head.to_uppercase() + rest
        })
    };
    let renamed: Map<String, Value> =
        config.iter().map(|(name, value)| (camel(name), value.clone())).collect();
    let settings: Settings =
        serde_json::from_value(Value::Object(renamed)).map_err(|e| broken(format!("`config`: {e}")))?;
    settings.check().map_err(|e| broken(format!("`config`: {e}")))?;
    Ok(settings)
}

fn check_decision(checker: &Checker, expect: &Expect, got: &Decision) -> Result<(), Unfit> {
    checker.number("t", expect.t, got.at)?;
    checker.word("action", &expect.action, &got.action.to_string())?;
    checker.word("why", &expect.why, &got.reason())?;
    checker.number("evidence", expect.evidence, got.evidence)?;
    checker.number("srm", expect.srm, got.sample_ratio)?;
    for (group, expected, got) in [("bad", &expect.bad, &got.harm), ("good", &expect.good, &got.safety)] {
        let got: BTreeMap<String, f64> = got.iter().map(|(test, log)| (test.to_string(), *log)).collect();
        let names = |map: &BTreeMap<String, f64>| map.keys().cloned().collect::<Vec<_>>().join(" ");
        checker.word(group, &names(expected), &names(&got))?;
        for ((test, expected), got) in expected.iter().zip(got.values()) {
            checker.number(&format!("{group}.{test}"), *expected, *got)?;
        }
    }
    Ok(())
}

fn check_case(checker: &Checker, case: &Case) -> Result<(), Unfit> {
    let lacks = |what: &str| broken(format!("{} lacks {what}", checker.place));
    let (x, n) =
        case.x.or(case.xc).zip(case.n.or(case.nc)).ok_or_else(|| lacks("`x` and `n`, or `xc` and `nc`"))?;
    let (low, high) = interval(x, n, 0.95);
    checker.interval("interval", case.interval, (low, high))?;
    let block = Block {
        canary: Tally { events: x, requests: n },
        primary: Tally { events: case.xp, requests: case.np },
    };
    let null = Null::Relative { ratio: case.r, offset: case.d };
    let (mut bad, mut good, mut one) = (Harm::default(), Safety::default(), Harm::default());
    bad.update(null, &block);
    good.update(null, &block);
    one.update(Null::Fixed(case.one_c), &block);
    let capitals = [
        ("bad", &case.bad, bad.capital()),
        ("good", &case.good, good.capital()),
        ("one", &case.one, one.capital()),
    ];
    for (field, expected, got) in capitals {
        let Some(expected) = expected else { continue };
        checker.word(field, &format!("{} numbers", expected.len()), &format!("{} numbers", got.len()))?;
        for (j, (expected, got)) in expected.iter().zip(got).enumerate() {
            checker.number(&format!("{field}[{j}]"), *expected, *got)?;
        }
    }
    for (field, expected, got) in
        [("bad_wealth", case.bad_wealth, bad.wealth()), ("good_wealth", case.good_wealth, good.wealth())]
    {
        expected.map_or(Ok(()), |expected| checker.number(field, expected, got))?;
    }
    Ok(())
}

/// Compares, at one place of a file.
struct Checker {
    place: String,
    tolerance: Tolerance,
}

impl Checker {
    fn word(&self, field: &str, expected: &str, got: &str) -> Result<(), Unfit> {
        let same = expected == got;
        if same { Ok(()) } else { Err(self.different(field, format!("{expected:?}"), format!("{got:?}"))) }
    }

    fn number(&self, field: &str, expected: f64, got: f64) -> Result<(), Unfit> {
        self.near(field, expected, got, self.tolerance.logs)
    }

    fn interval(&self, field: &str, [low, high]: [f64; 2], got: (f64, f64)) -> Result<(), Unfit> {
        self.near(&format!("{field}[0]"), low, got.0, self.tolerance.interval)?;
        self.near(&format!("{field}[1]"), high, got.1, self.tolerance.interval)
    }

    fn near(&self, field: &str, expected: f64, got: f64, tolerance: f64) -> Result<(), Unfit> {
        // Not a number is near nothing.
        let same = (got - expected).abs() <= tolerance * expected.abs().max(1.0);
        if same { Ok(()) } else { Err(self.different(field, expected.to_string(), got.to_string())) }
    }

    fn different(&self, field: &str, expected: String, got: String) -> Unfit {
        let (place, field) = (self.place.clone(), field.to_owned());
        Unfit::Different(Mismatch { place, field, expected, got })
    }
}
