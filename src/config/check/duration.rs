//! Durations as people write them: `500ms`, `60s`, `1m30s`.

use super::{Wrong, report};
use crate::config::problems::{At, Problems};
use crate::config::{raw, spelling};
use crate::diag::Code;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The longest duration of all.
pub(super) const DAY: Duration = Duration::from_hours(24);

/// The units, from the largest, in milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// A duration within bounds, or its default when the file has none.
pub(super) fn optional(
    raw: Option<&raw::Duration>,
    default: Duration,
    bounds: RangeInclusive<Duration>,
    at: &At<'_>,
    problems: &mut Problems<'_>,
) -> Option<Duration> {
    let Some(raw::Duration(text)) = raw else { return (!at.is_there()).then_some(default) };
    let checked = read(text).and_then(|duration| {
        if bounds.contains(&duration) {
            return Ok(duration);
        }
        let message = format!("the duration {} is out of range", spelling::shorten(text));
        Err(Wrong::new(
            message,
            format!("write a duration from {} to {}", write(*bounds.start()), write(*bounds.end())),
        ))
    });
    report(checked, Code::Duration, at, problems)
}

/// A duration of a flag; or what is wrong and what to do.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    read(text).map_err(|wrong| format!("{}; {}", wrong.message, wrong.help))
}

fn read(text: &str) -> Result<Duration, Wrong> {
    parse(text).ok_or_else(|| {
        let message = format!("`{}` is not a duration", spelling::shorten(text));
        let help = if !text.is_empty() && text.len() < 10 && text.bytes().all(|b| b.is_ascii_digit()) {
            format!("durations need a unit: write {text}s")
        } else {
            "write whole numbers with units, such as 500ms, 60s, 1m30s or 2h".to_owned()
        };
        Wrong::new(message, help)
    })
}

/// Whole numbers, each with its unit, the larger units first and each at most once.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let letters = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, after) = after.split_at(letters);
        let (_, factor) = units.by_ref().find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*factor)?)?;
        rest = after;
    }
    (!text.is_empty()).then(|| Duration::from_millis(total))
}

/// The shortest text that reads as this duration.
fn write(duration: Duration) -> String {
    let mut rest = duration.as_millis();
    let mut out = String::new();
    for (unit, factor) in UNITS {
        let factor = u128::from(factor);
        if rest >= factor {
            out += &(rest / factor).to_string();
            out += unit;
            rest %= factor;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_have_units() {
        let ms = Duration::from_millis;
        for (text, duration) in
            [("500ms", ms(500)), ("60s", ms(60_000)), ("1m30s", ms(90_000)), ("0s", ms(0)), ("24h", DAY)]
        {
            assert_eq!(parse(text), Some(duration), "{text}");
        }
        for bad in [
            "",
            "60",
            "s",
            "1.5s",
            "1s1m",
            "1s1s",
            "-1s",
            " 1s",
            "1 s",
            "1d",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(ms in 0u64..=86_400_000) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse(&write(duration)), Some(duration));
        }
    }
}
