//! The kinds of resource that we serve, in the order in which they are made.

use std::fmt;

/// A kind of resource. The order is make-before-break: what refers comes after what is referred to
/// (<https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#eventual-consistency-considerations>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// RTDS
    Runtime,
    /// CDS
    Cluster,
    /// EDS
    Endpoint,
    /// SDS
    Secret,
    /// LDS
    Listener,
    /// SRDS
    ScopedRoute,
    /// RDS
    Route,
}

impl Kind {
    /// All kinds, in order.
    pub const ALL: [Self; 7] = [
        Self::Runtime,
        Self::Cluster,
        Self::Endpoint,
        Self::Secret,
        Self::Listener,
        Self::ScopedRoute,
        Self::Route,
    ];

    /// The type URL of its resources.
    pub const fn type_url(self) -> &'static str {
        match self {
            Self::Runtime => "type.googleapis.com/envoy.service.runtime.v3.Runtime",
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoint => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::ScopedRoute => "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration",
            Self::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        }
    }

    /// The full name of its message.
    pub fn message(self) -> &'static str {
        self.type_url().trim_start_matches("type.googleapis.com/")
    }

    /// The kind that a type URL names.
    pub fn of_type_url(type_url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.type_url() == type_url)
    }

    /// Whether an empty first request means "all of them", and a state-of-the-world answer holds the whole state
    /// (<https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#how-the-client-specifies-what-resources-to-return>).
    pub const fn is_wildcard(self) -> bool {
        matches!(self, Self::Cluster | Self::Listener | Self::ScopedRoute)
    }

    /// The word for people, metrics and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Runtime => "runtime",
            Self::Cluster => "cluster",
            Self::Endpoint => "endpoint",
            Self::Secret => "secret",
            Self::Listener => "listener",
            Self::ScopedRoute => "scope",
            Self::Route => "route",
        }
    }
}

/// One of something for each kind.
#[derive(Clone, Debug, Default)]
pub struct ByKind<T>([T; 7]);

impl<T> ByKind<T> {
    /// The one of a kind.
    pub fn get(&self, kind: Kind) -> &T {
        let [runtimes, clusters, endpoints, secrets, listeners, scopes, routes] = &self.0;
        match kind {
            Kind::Runtime => runtimes,
            Kind::Cluster => clusters,
            Kind::Endpoint => endpoints,
            Kind::Secret => secrets,
            Kind::Listener => listeners,
            Kind::ScopedRoute => scopes,
            Kind::Route => routes,
        }
    }

    /// The one of a kind, to change it.
    pub fn get_mut(&mut self, kind: Kind) -> &mut T {
        let [runtimes, clusters, endpoints, secrets, listeners, scopes, routes] = &mut self.0;
        match kind {
            Kind::Runtime => runtimes,
            Kind::Cluster => clusters,
            Kind::Endpoint => endpoints,
            Kind::Secret => secrets,
            Kind::Listener => listeners,
            Kind::ScopedRoute => scopes,
            Kind::Route => routes,
        }
    }

    /// All of them, in the order of [`Kind::ALL`].
    pub fn all(&self) -> &[T] {
        &self.0
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use envoy_types::pb::envoy::config::{cluster, endpoint, listener, route};
    use envoy_types::pb::envoy::extensions::transport_sockets::tls;
    use envoy_types::pb::envoy::service::runtime;
    use prost::Name;

    #[test]
    fn each_kind_has_its_own() {
        let mut by_kind = ByKind::default();
        Kind::ALL.into_iter().for_each(|kind| *by_kind.get_mut(kind) = Some(kind));
        assert!(by_kind.all().iter().copied().eq(Kind::ALL.map(Some)));
        assert!(Kind::ALL.into_iter().all(|kind| *by_kind.get(kind) == Some(kind)));
    }

    #[test]
    fn type_urls_are_those_of_the_messages() {
        let urls = [
            runtime::v3::Runtime::type_url(),
            cluster::v3::Cluster::type_url(),
            endpoint::v3::ClusterLoadAssignment::type_url(),
            tls::v3::Secret::type_url(),
            listener::v3::Listener::type_url(),
            route::v3::ScopedRouteConfiguration::type_url(),
            route::v3::RouteConfiguration::type_url(),
        ];
        assert_eq!(Kind::ALL.map(|k| k.type_url().to_owned()), urls);
        for kind in Kind::ALL {
            assert_eq!(Kind::of_type_url(kind.type_url()), Some(kind));
        }
    }
}
