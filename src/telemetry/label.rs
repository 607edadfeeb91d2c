//! What a name of Envoy's statistics stands for.

/// What of an upstream is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Statistic {
    /// Requests that were begun: each is counted by one of several counters, whatever became of it.
    Started,
    /// Requests whose outcome is known; a client that went away has none.
    Completed,
    /// Answers 4xx.
    ClientErrors,
    /// Answers 5xx, and what Envoy answers so: resets, timeouts, refused connections, overflow, nobody healthy.
    Errors,
    /// gRPC calls that ended with a status that stands for 4xx.
    GrpcClientErrors,
    /// gRPC calls that ended with a status that stands for 5xx.
    GrpcErrors,
    /// How long answers took.
    Latency,
    /// Requests in flight.
    Active,
    /// Endpoints.
    Endpoints,
    /// Endpoints that get requests.
    Healthy,
}

/// The statistics of clusters that a bootstrap asks for, and what they stand for.
///
/// A status of gRPC counts as the HTTP status that `google.rpc.Code` gives it
/// (<https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto>).
///
/// Each beginning of a request is counted by exactly one of the first four (tried on Envoy 1.40): an attempt that
/// was sent, one whose connection failed, one beyond the circuit breaker, one that found nobody healthy.
pub(super) const STATISTICS: [(&str, Statistic); 27] = [
    ("upstream_rq_total", Statistic::Started),
    ("upstream_rq_pending_failure_eject", Statistic::Started),
    ("upstream_rq_pending_overflow", Statistic::Started),
    ("upstream_cx_none_healthy", Statistic::Started),
    ("upstream_rq_completed", Statistic::Completed),
    ("upstream_rq_4xx", Statistic::ClientErrors),
    ("upstream_rq_5xx", Statistic::Errors),
    ("upstream_rq_time", Statistic::Latency),
    ("upstream_rq_active", Statistic::Active),
    ("membership_total", Statistic::Endpoints),
    ("membership_healthy", Statistic::Healthy),
    ("grpc.2", Statistic::GrpcErrors),
    ("grpc.4", Statistic::GrpcErrors),
    ("grpc.12", Statistic::GrpcErrors),
    ("grpc.13", Statistic::GrpcErrors),
    ("grpc.14", Statistic::GrpcErrors),
    ("grpc.15", Statistic::GrpcErrors),
    ("grpc.1", Statistic::GrpcClientErrors),
    ("grpc.3", Statistic::GrpcClientErrors),
    ("grpc.5", Statistic::GrpcClientErrors),
    ("grpc.6", Statistic::GrpcClientErrors),
    ("grpc.7", Statistic::GrpcClientErrors),
    ("grpc.8", Statistic::GrpcClientErrors),
    ("grpc.9", Statistic::GrpcClientErrors),
    ("grpc.10", Statistic::GrpcClientErrors),
    ("grpc.11", Statistic::GrpcClientErrors),
    ("grpc.16", Statistic::GrpcClientErrors),
];

/// Of a route with a name for its statistics: all requests whose outcome is known, each once, whatever became of it and
/// however often it was tried; copies for a shadow are none (tried on Envoy 1.40).
const OF_ROUTE: &[u8] = b".upstream_rq_completed";

/// The statistics of routes for requests without the key of `sessionAffinity`, as a regular expression.
pub const KEYLESS: &str = r"vhost\..+\.route\.[a-z0-9-]+/keyless\.upstream_rq_completed";

/// The route of a name like `vhost.fraud.example.com.route.fraud/keyless.upstream_rq_completed`; `None` for everything
/// else. Names of hosts have dots, those of our routes have none.
pub(super) fn parse_route(name: &[u8]) -> Option<&str> {
    let rest = name.strip_prefix(b"vhost.")?.strip_suffix(OF_ROUTE)?;
    let dot = rest.iter().rposition(|b| *b == b'.')?;
    rest[..dot].ends_with(b".route").then(|| std::str::from_utf8(&rest[dot + 1..]).ok())?
}

/// The statistics of a cluster that Envoys are to send: what stands after `cluster.<name>.`.
pub fn statistics() -> impl Iterator<Item = &'static str> {
    STATISTICS.iter().map(|(name, _)| *name)
}

/// The cluster and the statistic of a name like `cluster.fraud/v1.upstream_rq_total`; `None` for everything else.
pub(super) fn parse(name: &[u8]) -> Option<(&[u8], Statistic)> {
    let rest = name.strip_prefix(b"cluster.")?;
    // No name of a cluster has a dot.
    let dot = rest.iter().position(|b| *b == b'.')?;
    let (cluster, statistic) = (&rest[..dot], &rest[dot + 1..]);
    let known = STATISTICS.iter().find(|(name, _)| name.as_bytes() == statistic)?;
    Some((cluster, known.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{GatewayName, UpstreamName};
    use crate::translate::{Leg, cluster_name, parse_cluster_name};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_comes_back_as_it_was(
            gateway in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?",
            upstream in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?",
            which in 0..STATISTICS.len(),
            is_shadow: bool,
        ) {
            let leg = if is_shadow { Leg::Shadow } else { Leg::Live };
            let names = (GatewayName::new(&gateway).unwrap(), UpstreamName::new(&upstream).unwrap(), leg);
            let (statistic, meaning) = STATISTICS[which];
            let name = format!("cluster.{}.{statistic}", cluster_name(&names.0, &names.1, leg));
            let (cluster, seen) = parse(name.as_bytes()).unwrap();
            prop_assert_eq!(seen, meaning);
            prop_assert_eq!(parse_cluster_name(std::str::from_utf8(cluster).unwrap()), Some(names));
        }
    }

    #[test]
    fn a_route_is_found_behind_any_host() {
        for host in ["*", "*.example.com", "fraud.example.com", "a.route.b"] {
            let name = format!("vhost.{host}.route.fraud/keyless.upstream_rq_completed");
            assert_eq!(parse_route(name.as_bytes()), Some("fraud/keyless"), "{name}");
        }
        for name in [
            "vhost.a.route.fraud/keyless.upstream_rq_total",
            "vhost.a.vcluster.other.upstream_rq_completed",
            "cluster.fraud/v1.upstream_rq_completed",
            "vhost.upstream_rq_completed",
        ] {
            assert_eq!(parse_route(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in [
            "server.live",
            "cluster.",
            "cluster.fraud/v1",
            "cluster.fraud/v1.",
            "cluster.fraud/v1.external.upstream_rq_5xx",
            "cluster.fraud/v1.upstream_rq_5xxx",
            "http.gw.downstream_rq_5xx",
        ] {
            assert_eq!(parse(name.as_bytes()), None, "{name}");
        }
    }
}
