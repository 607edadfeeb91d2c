//! What an Envoy starts with: who it is, where its control plane is, and what must not come over the network.
//!
//! Everything else comes over xDS. The text is YAML for people, with a comment where a reader would ask why; the
//! same values always give the same text. It asks for exactly what the control plane serves.

mod order;
mod text;

use crate::model::Endpoint;
use crate::translate::{self, Release};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// One Envoy's bootstrap; [`ToString`] gives the YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// `node.id`: unique among all Envoys.
    pub id: String,
    /// `node.cluster`: what gateways list in `proxies`.
    pub cluster: String,
    /// Where the control plane serves xDS. A name is resolved by Envoy, again and again.
    pub control_plane: Endpoint,
    /// Where others with the same database do: this Envoy goes to one of all of them, and to the next one when that is gone.
    pub others: Vec<Endpoint>,
    /// How the control plane proves who it is, and Envoy who it is; `None`: plain text.
    pub mtls: Option<Mtls>,
    /// Its release line.
    pub release: Release,
    /// How resources are asked for.
    pub variant: Variant,
    /// Where Envoy's own administration is.
    pub admin: Admin,
    /// How often Envoy sends its statistics.
    pub flush_interval: Duration,
    /// Connections from clients, at most; more are refused before they cost memory.
    pub max_connections: u32,
    /// What the heap may grow to, in MiB; Envoy refuses requests when 95 % are in use.
    pub max_heap: u32,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self {
            id: "edge-1".to_owned(),
            cluster: "edge".to_owned(),
            control_plane: Endpoint { host: Ipv4Addr::LOCALHOST.to_string(), port: 18000 },
            others: Vec::new(),
            mtls: None,
            release: translate::NEWEST,
            variant: Variant::Delta,
            admin: Admin::Loopback(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 9901)),
            flush_interval: Duration::from_secs(1),
            max_connections: 50_000,
            max_heap: 2048,
        }
    }
}

/// The two ways to ask for resources over one aggregated stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Only what differs is sent.
    Delta,
    /// Every answer has all resources of its type.
    StateOfTheWorld,
}

/// Certificates for the connection to the control plane, as files that Envoy reads again when they are replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mtls {
    /// The authorities that may have signed the control plane's certificate.
    pub ca: PathBuf,
    /// Envoy's certificate chain.
    pub certificate: PathBuf,
    /// The key of the certificate.
    pub key: PathBuf,
    /// The names or addresses of which the control plane's certificate has one; at least one.
    pub server_names: Vec<String>,
}

/// Where Envoy's admin listens. It can stop Envoy and shows configuration, so there is no way to say a public
/// address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admin {
    /// A port on a loopback address; 0 is a free one.
    Loopback(SocketAddr),
    /// A unix socket that only its owner may open.
    Socket(PathBuf),
}

impl std::str::FromStr for Admin {
    type Err = String;

    /// `127.0.0.1:9901`, `[::1]:9901` or `unix:/run/envoy/admin.sock`.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("a path is missing after unix:".into()),
                path => Ok(Self::Socket(path.into())),
            };
        }
        let address: SocketAddr =
            text.parse().map_err(|_| "write 127.0.0.1:9901 or unix:/run/envoy/admin.sock".to_owned())?;
        match address.ip() {
            IpAddr::V4(ip) if ip.is_loopback() => Ok(Self::Loopback(address)),
            IpAddr::V6(ip) if ip.is_loopback() => Ok(Self::Loopback(address)),
            other => Err(format!(
                "{other} is not a loopback address: whoever reaches Envoy's admin can stop it and read its \
                 configuration"
            )),
        }
    }
}
