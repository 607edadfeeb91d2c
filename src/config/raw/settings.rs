//! The settings file, `serin.yaml`.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

/// The settings of one Serin control plane.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(title = "serin.yaml")]
pub(crate) struct Settings {
    /// The watched directory, relative to this file. Default: `./gateways`.
    pub(crate) gateways: Option<String>,
    /// Where Envoys connect.
    pub(crate) xds: Option<Xds>,
    /// Where people and scrapers connect.
    pub(crate) http: Option<Server>,
    /// The ports that Envoys open for clients. Default: `default` on 0.0.0.0:8080.
    pub(crate) listeners: Option<IndexMap<String, Option<Listener>>>,
    /// How routes are divided: `plain` (the default), or `scoped`, in which an edit costs the same however many
    /// gateways there are, and hosts are exact.
    pub(crate) routing: Option<Routing>,
    /// Where rollouts and the journal are kept: `sqlite:` and a file, relative to this one, or the URL of a database of
    /// PostgreSQL, which several control planes may share. Default: `sqlite:serin.db`.
    #[schemars(example = &"sqlite:/var/lib/serin/serin.db", example = &"postgres://serin@db.example.com/serin?passwordFile=secrets/db")]
    pub(crate) store: Option<String>,
    /// The file of the tokens that open the HTTP port, as `serin tokens new` writes it; relative to this file. Without one
    /// everyone on this machine may read, and nobody else can.
    #[schemars(example = &"secrets/tokens")]
    pub(crate) tokens_file: Option<String>,
    /// Whom metrics of rollouts ask that name no server of their own.
    pub(crate) prometheus: Option<PrometheusServer>,
}

/// A server that speaks the HTTP API of Prometheus. The files are read again when they change.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct PrometheusServer {
    /// Its root, to which `/api/v1/query` is added.
    #[schemars(required, example = &"http://prometheus:9090")]
    pub(crate) url: Option<String>,
    /// Lines `name: value`, sent with each query; relative to this file.
    #[schemars(example = &"secrets/prometheus.headers")]
    pub(crate) headers_file: Option<String>,
    /// A PEM file with who signs the server's certificate, relative to this file. Default: whom the system trusts.
    #[schemars(example = &"tls/prometheus-ca.crt")]
    pub(crate) ca_file: Option<String>,
}

/// How routes are divided among Envoy's resources.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Routing {
    Plain,
    Scoped,
}

/// Where Envoys connect, and how.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Xds {
    /// An IP address and a port. Default: `127.0.0.1:18000`.
    #[schemars(example = &"0.0.0.0:18000")]
    pub(crate) address: Option<String>,
    /// Set: both sides show certificates. Needed on every address that is not loopback.
    pub(crate) tls: Option<MutualTls>,
}

/// Certificates for both sides of the connection with Envoys. The files are read again when they change.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct MutualTls {
    /// A PEM file with Serin's certificate and those it hangs on, relative to this file.
    #[schemars(required, example = &"tls/serin.crt")]
    pub(crate) cert_file: Option<String>,
    /// A PEM file with the private key, relative to this file.
    #[schemars(required, example = &"tls/serin.key")]
    pub(crate) key_file: Option<String>,
    /// A PEM file with the authorities that sign the certificates of Envoys, relative to this file.
    #[schemars(required, example = &"tls/clients-ca.crt")]
    pub(crate) client_ca_file: Option<String>,
    /// Which Envoys may connect. Default: each that has a certificate of these authorities.
    pub(crate) allow: Option<Allow>,
}

/// Which Envoys may connect, and as whom.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Allow {
    /// Subject alternative names. A certificate must have one of them, and the Envoy's `node.id` must be that name,
    /// or that name with `/` and more after it.
    #[schemars(required, example = &["edge-1.example.com", "*.edge.example.com", "spiffe://example.com/edge"])]
    pub(crate) san: Option<Vec<String>>,
}

/// Where people and scrapers connect.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Server {
    /// An IP address and a port. Default: `127.0.0.1:18080`.
    #[schemars(example = &"127.0.0.1:18080")]
    pub(crate) address: Option<String>,
    /// Set: the port speaks TLS. Needed, with `tokensFile`, on every address that is not loopback.
    pub(crate) tls: Option<ServerTls>,
}

/// The certificate of the HTTP port. The files are read again when they change.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ServerTls {
    /// A PEM file with the certificate and those it hangs on, relative to this file.
    #[schemars(required, example = &"tls/serin.crt")]
    pub(crate) cert_file: Option<String>,
    /// A PEM file with the private key, relative to this file.
    #[schemars(required, example = &"tls/serin.key")]
    pub(crate) key_file: Option<String>,
}

/// A port that Envoys open for clients.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Listener {
    /// The IP address where Envoy binds. Default: `0.0.0.0`.
    pub(crate) address: Option<String>,
    /// The port.
    #[schemars(required, range(min = 1, max = 65535), example = 8080)]
    pub(crate) port: Option<u16>,
    /// Set: clients speak TLS.
    pub(crate) tls: Option<ListenerTls>,
}

/// The server certificate of a listener, or several for several hosts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ListenerTls {
    /// A PEM file with the certificate and those it hangs on, relative to this file.
    #[schemars(example = &"tls/edge.crt")]
    pub(crate) cert_file: Option<String>,
    /// A PEM file with the private key, relative to this file.
    #[schemars(example = &"tls/edge.key")]
    pub(crate) key_file: Option<String>,
    /// Several certificates, in place of `certFile` and `keyFile`. Clients get the one with the name that they ask for,
    /// and else the first.
    pub(crate) certificates: Option<Vec<Option<CertificateFiles>>>,
}

/// One of several server certificates.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct CertificateFiles {
    /// A PEM file with the certificate and those it hangs on, relative to this file.
    #[schemars(required, example = &"tls/edge.crt")]
    pub(crate) cert_file: Option<String>,
    /// A PEM file with the private key, relative to this file.
    #[schemars(required, example = &"tls/edge.key")]
    pub(crate) key_file: Option<String>,
}
