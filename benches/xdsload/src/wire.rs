//! Just enough protobuf to speak xDS without decoding resources.
//!
//! Responses are scanned in place: version, type, nonce, the number of
//! resources and (only where asked) the names in them. Requests are written by
//! hand, so that a list of 20,000 resource names is encoded once and shared by
//! every client that sends it.

use bytes::{BufMut, Bytes, BytesMut};

/// Clusters.
pub const CDS: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
/// Endpoints.
pub const EDS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
/// Listeners.
pub const LDS: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
/// Routes.
pub const RDS: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";

/// Scoped routes.
pub const SRDS: &str = "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration";

/// Type URLs, by the index of a resource type in every per-type array of this program; what refers to routes comes
/// before them.
pub const TYPES: [&str; KINDS] = [CDS, EDS, LDS, SRDS, RDS];
/// The names of the types in files and figures.
pub const NAMES: [&str; KINDS] = ["cds", "eds", "lds", "srds", "rds"];
/// How many types there are.
pub const KINDS: usize = 5;
/// Index of clusters.
pub const T_CDS: usize = 0;
/// Index of endpoints.
pub const T_EDS: usize = 1;
/// Index of listeners.
pub const T_LDS: usize = 2;
/// Index of scoped routes.
pub const T_SRDS: usize = 3;
/// Index of routes.
pub const T_RDS: usize = 4;

/// The index of a type URL.
pub fn type_index(url: &[u8]) -> Option<usize> {
    TYPES.iter().position(|t| t.as_bytes() == url)
}

/// One field of a protobuf message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Val<'a> {
    /// A varint.
    Int(u64),
    /// Bytes, a text or a message.
    Len(&'a [u8]),
    /// Four or eight bytes, which nothing here needs.
    Fixed,
}

/// Walks the fields of one message. Stops at the first malformed byte.
pub struct Fields<'a>(pub &'a [u8]);

fn varint(buf: &mut &[u8]) -> Option<u64> {
    let mut v = 0u64;
    for (i, &b) in buf.iter().enumerate().take(10) {
        v |= u64::from(b & 0x7f) << (7 * i);
        if b < 0x80 {
            *buf = &buf[i + 1..];
            return Some(v);
        }
    }
    None
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, Val<'a>);
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let key = varint(&mut self.0)?;
        let val = match key & 7 {
            0 => Val::Int(varint(&mut self.0)?),
            1 => {
                self.0 = self.0.get(8..)?;
                Val::Fixed
            }
            2 => {
                let n = varint(&mut self.0)? as usize;
                let (a, b) = (self.0.get(..n)?, self.0.get(n..)?);
                self.0 = b;
                Val::Len(a)
            }
            5 => {
                self.0 = self.0.get(4..)?;
                Val::Fixed
            }
            _ => return None,
        };
        Some(((key >> 3) as u32, val))
    }
}

/// First length-delimited field `no` of `msg`.
pub fn field(msg: &[u8], no: u32) -> Option<&[u8]> {
    Fields(msg).find_map(|(n, v)| match v {
        Val::Len(b) if n == no => Some(b),
        _ => None,
    })
}

/// All length-delimited fields `no` of `msg`.
pub fn fields(msg: &[u8], no: u32) -> impl Iterator<Item = &[u8]> {
    Fields(msg).filter_map(move |(n, v)| match v {
        Val::Len(b) if n == no => Some(b),
        _ => None,
    })
}

/// What a client needs to know of a (Delta)DiscoveryResponse.
#[derive(Default, Debug)]
pub struct Head<'a> {
    /// `version_info` or `system_version_info`
    pub version: &'a [u8],
    /// `type_url`
    pub type_url: &'a [u8],
    /// `nonce`
    pub nonce: &'a [u8],
    /// How many resources there are.
    pub resources: usize,
    /// Bytes of all resources together, without version and nonce.
    pub body: usize,
}

/// Reads what a client needs to know of a response of either protocol.
pub fn head(msg: &[u8]) -> Head<'_> {
    let mut h = Head::default();
    for (no, v) in Fields(msg) {
        let Val::Len(b) = v else { continue };
        match no {
            1 => h.version = b,
            2 => {
                h.resources += 1;
                h.body += b.len();
            }
            4 => h.type_url = b,
            5 => h.nonce = b,

            _ => {}
        }
    }
    h
}

/// Bytes of each resource (the inside of its Any) of a response.
pub fn resource_values(msg: &[u8], delta: bool) -> impl Iterator<Item = &[u8]> {
    fields(msg, 2).filter_map(move |r| {
        let any = if delta { field(r, 2)? } else { r };
        Some(field(any, 2).unwrap_or(&[]))
    })
}

/// `(name, version)` of each resource of a delta response.
pub fn delta_versions(msg: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    fields(msg, 2).map(|r| (field(r, 3).unwrap_or(&[]), field(r, 1).unwrap_or(&[])))
}

/// Names removed by a delta response.
pub fn delta_removed(msg: &[u8]) -> impl Iterator<Item = &[u8]> {
    fields(msg, 6)
}

/// EDS name a Cluster asks for, if it is an EDS cluster.
pub fn eds_name(cluster: &[u8]) -> Option<&[u8]> {
    let (mut name, mut eds, mut service) = (None, false, None);
    for (no, v) in Fields(cluster) {
        match (no, v) {
            (1, Val::Len(b)) => name = Some(b),
            (2, Val::Int(3)) => eds = true,
            (3, Val::Len(b)) => service = field(b, 2),
            _ => {}
        }
    }
    if !eds {
        return None;
    }
    service.or(name)
}

/// The name of the routes that a `ScopedRouteConfiguration` asks for.
pub fn scope_routes_name(scope: &[u8]) -> Option<&[u8]> {
    field(scope, 2)
}

const HCM: &[u8] =
    b"type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// RDS names the filter chains of a Listener ask for.
pub fn rds_names<'a>(listener: &'a [u8], out: &mut Vec<&'a [u8]>) {
    let mut hcm = |any: &'a [u8]| {
        if field(any, 1) != Some(HCM) {
            return;
        }
        if let Some(name) = field(any, 2).and_then(|h| field(h, 3)).and_then(|r| field(r, 2)) {
            out.push(name);
        }
    };
    for (no, v) in Fields(listener) {
        let Val::Len(b) = v else { continue };
        match no {
            // filter_chains, default_filter_chain
            3 | 25 => fields(b, 3).filter_map(|f| field(f, 4)).for_each(&mut hcm),
            // api_listener
            19 => fields(b, 1).for_each(&mut hcm),
            _ => {}
        }
    }
}

/// Is there, anywhere in `msg`, a WeightedCluster.ClusterWeight of this name and weight?
/// Looks the name up as bytes, so that no route has to be decoded.
pub fn has_weight(msg: &[u8], finder: &memchr::memmem::Finder<'_>, name: &str, weight: u32) -> bool {
    for at in finder.find_iter(msg) {
        let mut rest = &msg[at + 2 + name.len()..];
        // Fields of ClusterWeight follow; the next ones may already be another message's.
        for _ in 0..4 {
            let Some(key) = varint(&mut rest) else { break };
            if key & 7 != 2 {
                break;
            }
            let Some(n) = varint(&mut rest) else { break };
            let Some(b) = rest.get(..n as usize) else { break };
            rest = &rest[n as usize..];
            if key >> 3 == 2 {
                let got = Fields(b)
                    .find_map(|(no, v)| match v {
                        Val::Int(i) if no == 1 => Some(i),
                        _ => None,
                    })
                    .unwrap_or(0);
                if got == u64::from(weight) {
                    return true;
                }
                break;
            }
        }
    }
    false
}

/// Search key for [`has_weight`]: field 1 with this name.
pub fn weight_needle(name: &str) -> Vec<u8> {
    encode_names([name.as_bytes()].into_iter(), 1).to_vec()
}

fn put_varint(b: &mut BytesMut, mut v: u64) {
    while v >= 0x80 {
        b.put_u8(v as u8 | 0x80);
        v >>= 7;
    }
    b.put_u8(v as u8);
}

/// Writes a length-delimited field.
pub fn put_len(b: &mut BytesMut, no: u32, val: &[u8]) {
    put_varint(b, u64::from(no) << 3 | 2);
    put_varint(b, val.len() as u64);
    b.put_slice(val);
}

/// `repeated string` field 3: `resource_names` (state of the world) and `resource_names_subscribe` (delta).
pub fn encode_names<'a>(names: impl Iterator<Item = &'a [u8]>, no: u32) -> Bytes {
    let mut b = BytesMut::new();
    names.for_each(|n| put_len(&mut b, no, n));
    b.freeze()
}

/// envoy.config.core.v3.Node with an id and a cluster.
pub fn node(id: &str, cluster: &str) -> Bytes {
    let mut b = BytesMut::new();
    put_len(&mut b, 1, id.as_bytes());
    put_len(&mut b, 2, cluster.as_bytes());
    put_len(&mut b, 6, b"xdsload");
    b.freeze()
}

fn status(msg: &str) -> BytesMut {
    let mut s = BytesMut::new();
    s.put_slice(&[0x08, 13]); // google.rpc.Status.code = INTERNAL, what Envoy sends in a NACK
    put_len(&mut s, 2, msg.as_bytes());
    s
}

/// A request: a small head and the shared list of names.
pub fn sotw_request(
    node: Option<&[u8]>,
    type_url: &str,
    version: &[u8],
    nonce: &[u8],
    names: Bytes,
    error: Option<&str>,
) -> [Bytes; 2] {
    let mut b = BytesMut::with_capacity(160);
    if !version.is_empty() {
        put_len(&mut b, 1, version);
    }
    if let Some(n) = node {
        put_len(&mut b, 2, n);
    }
    put_len(&mut b, 4, type_url.as_bytes());
    if !nonce.is_empty() {
        put_len(&mut b, 5, nonce);
    }
    if let Some(e) = error {
        put_len(&mut b, 6, &status(e));
    }
    [b.freeze(), names]
}

/// A delta request: a small head and the shared rest of it.
pub fn delta_request(
    node: Option<&[u8]>,
    type_url: &str,
    nonce: &[u8],
    body: Bytes,
    error: Option<&str>,
) -> [Bytes; 2] {
    let mut b = BytesMut::with_capacity(160);
    if let Some(n) = node {
        put_len(&mut b, 1, n);
    }
    put_len(&mut b, 2, type_url.as_bytes());
    if !nonce.is_empty() {
        put_len(&mut b, 6, nonce);
    }
    if let Some(e) = error {
        put_len(&mut b, 7, &status(e));
    }
    [b.freeze(), body]
}

/// `initial_resource_versions` of a delta request.
pub fn initial_versions<'a>(it: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Bytes {
    let mut b = BytesMut::new();
    for (name, version) in it {
        let mut e = BytesMut::new();
        put_len(&mut e, 1, name);
        put_len(&mut e, 2, version);
        put_len(&mut b, 5, &e);
    }
    b.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use envoy_types::pb::envoy::config::{
        cluster::v3 as c, core::v3 as core, listener::v3 as l, route::v3 as r,
    };
    use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
    use envoy_types::pb::envoy::service::discovery::v3 as d;
    use envoy_types::pb::google::protobuf::{Any, UInt32Value};
    use prost::Message;

    fn any(t: &str, m: &impl Message) -> Any {
        Any { type_url: t.into(), value: m.encode_to_vec() }
    }

    fn route(weight: u32) -> r::RouteConfiguration {
        let cw = |n: &str, w| r::weighted_cluster::ClusterWeight {
            name: n.into(),
            weight: Some(UInt32Value { value: w }),
            ..Default::default()
        };
        let wc = r::WeightedCluster {
            clusters: vec![cw("m-stable", 100 - weight), cw("m-canary", weight)],
            ..Default::default()
        };
        let action = r::RouteAction {
            cluster_specifier: Some(r::route_action::ClusterSpecifier::WeightedClusters(wc)),
            ..Default::default()
        };
        r::RouteConfiguration {
            name: "m".into(),
            virtual_hosts: vec![r::VirtualHost {
                name: "m".into(),
                routes: vec![r::Route {
                    action: Some(r::route::Action::Route(action)),
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    #[test]
    fn scans_what_prost_wrote() {
        let cl = c::Cluster {
            name: "a".into(),
            cluster_discovery_type: Some(c::cluster::ClusterDiscoveryType::Type(3)),
            eds_cluster_config: Some(c::cluster::EdsClusterConfig {
                service_name: "svc".into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let st = c::Cluster { name: "b".into(), ..Default::default() };
        let resp = d::DiscoveryResponse {
            version_info: "7".into(),
            type_url: CDS.into(),
            nonce: "n1".into(),
            resources: vec![any(CDS, &cl), any(CDS, &st)],
            ..Default::default()
        }
        .encode_to_vec();
        let h = head(&resp);
        assert_eq!(
            (h.version, h.nonce, h.resources, type_index(h.type_url)),
            (&b"7"[..], &b"n1"[..], 2, Some(T_CDS))
        );
        let names: Vec<_> = resource_values(&resp, false).filter_map(eds_name).collect();
        assert_eq!(names, [b"svc"]);

        let resp = d::DeltaDiscoveryResponse {
            type_url: CDS.into(),
            nonce: "n2".into(),
            resources: vec![d::Resource {
                name: "a".into(),
                version: "v".into(),
                resource: Some(any(CDS, &cl)),
                ..Default::default()
            }],
            removed_resources: vec!["gone".into()],
            ..Default::default()
        }
        .encode_to_vec();
        let h = head(&resp);
        assert_eq!((h.resources, h.nonce), (1, &b"n2"[..]));
        assert_eq!(resource_values(&resp, true).filter_map(eds_name).count(), 1);
        assert_eq!(delta_versions(&resp).collect::<Vec<_>>(), [(&b"a"[..], &b"v"[..])]);
        assert_eq!(delta_removed(&resp).collect::<Vec<_>>(), [b"gone"]);
    }

    #[test]
    fn finds_rds_names() {
        let rds =
            hcm::Rds { route_config_name: "rc".into(), config_source: Some(core::ConfigSource::default()) };
        let h = hcm::HttpConnectionManager {
            route_specifier: Some(hcm::http_connection_manager::RouteSpecifier::Rds(rds)),
            ..Default::default()
        };
        let f = l::Filter {
            name: "hcm".into(),
            config_type: Some(l::filter::ConfigType::TypedConfig(any(std::str::from_utf8(HCM).unwrap(), &h))),
        };
        let lis = l::Listener {
            name: "x".into(),
            filter_chains: vec![l::FilterChain { filters: vec![f], ..Default::default() }],
            ..Default::default()
        };
        let buf = lis.encode_to_vec();
        let mut out = vec![];
        rds_names(&buf, &mut out);
        assert_eq!(out, [b"rc"]);
    }

    #[test]
    fn finds_the_routes_of_a_scope() {
        let scope = r::ScopedRouteConfiguration {
            name: "fraud.example.com".into(),
            route_configuration_name: "host/fraud.example.com".into(),
            ..Default::default()
        };
        assert_eq!(scope_routes_name(&scope.encode_to_vec()), Some(&b"host/fraud.example.com"[..]));
    }

    #[test]
    fn finds_weights() {
        let needle = weight_needle("m-canary");
        let f = memchr::memmem::Finder::new(&needle);
        for w in [0, 1, 25, 100] {
            let buf = route(w).encode_to_vec();
            for x in [0, 1, 25, 100] {
                assert_eq!(has_weight(&buf, &f, "m-canary", x), x == w, "{w} {x}");
            }
        }
    }

    #[test]
    fn writes_requests_prost_can_read() {
        let names = encode_names([&b"a"[..], b"b"].into_iter(), 3);
        let cat = |c: [Bytes; 2]| c.concat();
        let n = node("id", "cl");
        let r = d::DiscoveryRequest::decode(
            &cat(sotw_request(Some(&n), EDS, b"3", b"x", names.clone(), Some("no")))[..],
        )
        .unwrap();
        assert_eq!(
            (r.version_info.as_str(), r.response_nonce.as_str(), r.resource_names.len()),
            ("3", "x", 2)
        );
        assert_eq!((r.node.unwrap().id.as_str(), r.error_detail.unwrap().message.as_str()), ("id", "no"));
        let r =
            d::DeltaDiscoveryRequest::decode(&cat(delta_request(None, EDS, b"x", names, None))[..]).unwrap();
        assert_eq!((r.resource_names_subscribe.len(), r.type_url.as_str()), (2, EDS));
        let iv = initial_versions([(&b"a"[..], &b"1"[..])].into_iter());
        let r = d::DeltaDiscoveryRequest::decode(&cat(delta_request(None, EDS, b"", iv, None))[..]).unwrap();
        assert_eq!(r.initial_resource_versions["a"], "1");
    }
}
