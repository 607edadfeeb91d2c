//! Health checks.

use super::gateway::length;
use super::{Wrong, duration, path, report};
use crate::config::problems::{At, Problems};
use crate::config::raw;
use crate::diag::Code;
use crate::model::{HealthCheck, Protocol};
use std::ops::RangeInclusive;
use std::time::Duration;

const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
const DEFAULT_UNHEALTHY: u32 = 2;
const DEFAULT_HEALTHY: u32 = 1;
/// Faster checks are load, slower ones find an outage too late.
const INTERVALS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_hours(1);
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_hours(1);
const MAX_SERVICE: usize = 256;

/// A health check that fits the protocol.
pub(super) fn health_check(
    raw: &raw::HealthCheck,
    protocol: Protocol,
    at: &At<'_>,
    problems: &mut Problems<'_>,
) -> Option<HealthCheck> {
    let object = match raw {
        raw::HealthCheck::Object(object) => object,
        raw::HealthCheck::Path(_) if protocol == Protocol::Grpc => {
            let help = "write `healthCheck: { service: \"\" }`, with a service name or an empty one for the whole server";
            problems.error(
                Code::HealthCheck,
                at,
                "a gRPC server is not asked for a path but for a service",
                help,
            );
            return None;
        }
        raw::HealthCheck::Path(text) => {
            let target = report(path::path(text), Code::HealthCheck, at, problems)?;
            return Some(HealthCheck {
                target,
                interval: DEFAULT_INTERVAL,
                timeout: DEFAULT_TIMEOUT,
                unhealthy_threshold: DEFAULT_UNHEALTHY,
                healthy_threshold: DEFAULT_HEALTHY,
            });
        }
    };
    let target = target(object, protocol, at, problems);
    let time = |raw: &Option<_>, default, bounds, key, problems: &mut Problems<'_>| {
        duration::optional(raw.as_ref(), default, bounds, &at.at(key), problems)
    };
    let interval = time(&object.interval, DEFAULT_INTERVAL, INTERVALS, "interval", problems)?;
    // With a short interval the default has to shrink, or the file would be wrong without a word on timeouts.
    let timeout = time(&object.timeout, DEFAULT_TIMEOUT.min(interval), TIMEOUTS, "timeout", problems)?;
    if timeout > interval {
        let help = "make `timeout` shorter, or `interval` longer";
        let message = "a check may take longer than the time until the next one";
        problems.error(Code::HealthCheckTimes, &at.at("timeout"), message, help);
    }
    Some(HealthCheck {
        target: target?,
        interval,
        timeout,
        unhealthy_threshold: object.unhealthy_threshold.unwrap_or(DEFAULT_UNHEALTHY),
        healthy_threshold: object.healthy_threshold.unwrap_or(DEFAULT_HEALTHY),
    })
}

/// What to ask for: a service with gRPC, else a path.
fn target(
    object: &raw::HealthCheckObject,
    protocol: Protocol,
    at: &At<'_>,
    problems: &mut Problems<'_>,
) -> Option<String> {
    let grpc = protocol == Protocol::Grpc;
    let (wanted, other) = if grpc { ("service", "path") } else { ("path", "service") };
    if at.at(other).is_there() {
        let message = format!("`{other}` does not go with `protocol: {}`", protocol.as_str());
        let help = if grpc {
            "write `service`, with a service name or \"\" for the whole server"
        } else {
            "write `path`, such as `path: /healthz`, or say `protocol: grpc`"
        };
        problems.error(Code::HealthCheck, &at.key(other), message, help);
        return None;
    }
    if !at.at(wanted).is_there() {
        let message = format!("the health check says no `{wanted}`");
        let help = if grpc {
            "add `service: \"\"` for the whole server"
        } else {
            "add the path to ask for, such as `path: /healthz`"
        };
        problems.error(Code::HealthCheck, at, message, help);
        return None;
    }
    if grpc {
        let service = object.service.clone()?;
        let checked = length("the service name", &service, MAX_SERVICE).and_then(|()| {
            let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
            if service.chars().all(good) {
                return Ok(service);
            }
            Err(Wrong::new("this is not the name of a gRPC service", "write it as in `package.Service`"))
        });
        return report(checked, Code::HealthCheck, &at.at("service"), problems);
    }
    report(path::path(object.path.as_deref()?), Code::HealthCheck, &at.at("path"), problems)
}
