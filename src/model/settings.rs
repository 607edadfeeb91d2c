//! The settings of one control plane: `serin.yaml`, checked.

use super::Endpoint;
use crate::names::ListenerName;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Everything that `serin.yaml`, flags and environment say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The watched directory.
    pub gateways: PathBuf,
    /// Where Envoys connect.
    pub xds: SocketAddr,
    /// Set: both sides of a connection there show certificates.
    pub xds_tls: Option<MutualTls>,
    /// Where people and scrapers connect.
    pub http: SocketAddr,
    /// Set: that port speaks TLS.
    pub http_tls: Option<ServerTls>,
    /// Whose tokens open that port; `None`: nobody needs one to read.
    pub tokens_file: Option<PathBuf>,
    /// At least one.
    pub listeners: BTreeMap<ListenerName, Listener>,
    /// How routes are laid out.
    pub routing: Routing,
    /// Where rollouts and the journal are kept; `None`: nobody said.
    pub store: Option<StoreAt>,
    /// Who is asked by metrics that name no server of their own.
    pub prometheus: Option<PrometheusServer>,
}

/// A server that speaks the HTTP API of Prometheus. The files are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrometheusServer {
    /// Its root: `http://` or `https://`, with a host, without user, password or fragment.
    pub url: String,
    /// Lines `name: value`, sent with each query; a secret.
    pub headers_file: Option<PathBuf>,
    /// PEM: who signs its certificate; `None`: whom the system trusts.
    pub ca_file: Option<PathBuf>,
}

impl PrometheusServer {
    /// All files.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.headers_file.iter().chain(&self.ca_file)
    }
}

/// How the routes of gateways are divided among Envoy's resources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Routing {
    /// All gateways of a listener are one route configuration.
    #[default]
    Plain,
    /// Each host of a listener is a route configuration of its own. Hosts are exact.
    Scoped,
}

impl Routing {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Scoped];

    /// The word of the settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Scoped => "scoped",
        }
    }
}

impl Settings {
    /// All files that they name but for the store: certificates, keys, authorities, tokens and headers.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let listeners = self.listeners.values().filter_map(|l| l.tls.as_ref());
        let listeners = listeners.flat_map(|t| &t.certificates).flat_map(|c| [&c.cert_file, &c.key_file]);
        let xds = self.xds_tls.iter().flat_map(MutualTls::files);
        let http = self.http_tls.iter().flat_map(|t| [&t.cert_file, &t.key_file]);
        let prometheus = self.prometheus.iter().flat_map(PrometheusServer::files);
        listeners.chain(xds).chain(http).chain(&self.tokens_file).chain(prometheus)
    }
}

impl Default for Settings {
    /// What counts without a file: everything near, and nothing but the listener open to others.
    fn default() -> Self {
        let listener = Listener { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), port: 8080, tls: None };
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            gateways: PathBuf::from("./gateways"),
            xds: local(18_000),
            xds_tls: None,
            http: local(18_080),
            http_tls: None,
            tokens_file: None,
            listeners: ListenerName::new("default").map(|name| (name, listener)).into_iter().collect(),
            routing: Routing::default(),
            store: None,
            prometheus: None,
        }
    }
}

/// Where rollouts and the journal are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreAt {
    /// Nowhere: it ends with the process.
    Memory,
    /// In a file of `SQLite`.
    Sqlite(PathBuf),
    /// In a database of `PostgreSQL`, which several control planes may share.
    Postgres(Database),
}

/// A database of `PostgreSQL`, and how to get in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// At least one; whichever can be written is it.
    pub hosts: Vec<Endpoint>,
    /// Who we are there.
    pub user: String,
    /// Which database of the server.
    pub name: String,
    /// The user's password, and nothing else but a line end; read at every connection. `None`: the server wants none.
    pub password_file: Option<PathBuf>,
    /// `None`: plain text.
    pub tls: Option<DatabaseTls>,
    /// The file in which what is kept there is remembered for a start without it; `None`: nowhere.
    pub cache: Option<PathBuf>,
}

/// How a database proves who it is: by a certificate for its host's name, as libpq's `verify-full` wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseTls {
    /// PEM: who signs the server's certificate; `None`: whom the system trusts.
    pub root_file: Option<PathBuf>,
}

impl Database {
    /// All files.
    pub fn files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let own = self.password_file.iter_mut().chain(&mut self.cache);
        own.chain(self.tls.iter_mut().flat_map(|tls| &mut tls.root_file))
    }
}

impl fmt::Display for Database {
    /// As people are told of it, which holds no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hosts, user, name, .. } = self;
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        write!(f, "postgres://{user}@{}/{name}", hosts.join(","))
    }
}

/// A port that Envoys open for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where Envoy binds.
    pub address: IpAddr,
    /// From 1 to 65535.
    pub port: u16,
    /// Set: clients speak TLS.
    pub tls: Option<ListenerTls>,
}

/// How a listener proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// At least one. Clients get the first whose names have the one that they ask for (SNI, RFC 6066 section 3),
    /// and the very first when none has it.
    pub certificates: Vec<CertificateFiles>,
}

/// The files of a server certificate. They are watched; their content reaches Envoy as a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM: the certificate and those it hangs on.
    pub cert_file: PathBuf,
    /// PEM: the private key.
    pub key_file: PathBuf,
}

/// How the HTTP port proves who it is. The files are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// PEM: our certificate and those it hangs on.
    pub cert_file: PathBuf,
    /// PEM: its private key.
    pub key_file: PathBuf,
}

/// How the two ends of an xDS connection prove who they are. The files are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MutualTls {
    /// PEM: our certificate and those it hangs on.
    pub cert_file: PathBuf,
    /// PEM: its private key.
    pub key_file: PathBuf,
    /// PEM: the authorities that sign the certificates of Envoys.
    pub client_ca_file: PathBuf,
    /// Set: only these may connect. Otherwise every Envoy with a certificate may.
    pub allow: Option<Vec<AltName>>,
}

impl MutualTls {
    /// All files.
    pub fn files(&self) -> [&PathBuf; 3] {
        [&self.cert_file, &self.key_file, &self.client_ca_file]
    }
}

/// A subject alternative name that a client's certificate may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AltName {
    /// A DNS name, in lower case.
    Dns(String),
    /// Every DNS name below this one, in lower case: `*.` is not part of it.
    DnsBelow(String),
    /// A URI, as SPIFFE has them.
    Uri(String),
    /// An address.
    Ip(IpAddr),
}
