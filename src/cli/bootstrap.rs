//! `serin bootstrap`: prints what an Envoy of one's own starts with.

use crate::launch::{Admin, Bootstrap, Mtls, Variant};
use crate::model::{Endpoint, Settings};
use crate::translate::{self, Release};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Prints a ready Envoy bootstrap: `serin bootstrap > edge.yaml && envoy -c edge.yaml`.
#[derive(Clone, Debug, clap::Args)]
pub struct BootstrapArgs {
    /// The Envoy's own name, unique among all Envoys
    #[arg(long, value_name = "NAME", default_value = "edge-1")]
    pub id: String,
    /// The group of Envoys it belongs to, which gateways list in `proxies`
    #[arg(long, value_name = "NAME", default_value = "edge")]
    pub cluster: String,
    /// The settings of Serin, for what follows from them: where it serves xDS, and whether it wants mTLS
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where Serin serves xDS; several with one database, with commas or again [default: 127.0.0.1:18000]
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', value_parser = endpoint)]
    pub xds: Vec<Endpoint>,
    /// The Envoy's version: what it starts with is what that takes
    #[arg(long, value_name = "VERSION", default_value = "1.40", value_parser = release)]
    pub envoy: Release,
    /// Where Envoy's admin listens: a loopback port or a unix socket
    #[arg(long, value_name = "IP:PORT|unix:PATH", default_value = "127.0.0.1:9901")]
    pub admin: Admin,
    /// mTLS to Serin: the authorities that may have signed its certificate
    #[arg(long, value_name = "FILE", requires_all = ["tls_cert", "tls_key"])]
    pub tls_ca: Option<PathBuf>,
    /// mTLS to Serin: Envoy's certificate chain
    #[arg(long, value_name = "FILE", requires_all = ["tls_ca", "tls_key"])]
    pub tls_cert: Option<PathBuf>,
    /// mTLS to Serin: the key of Envoy's certificate
    #[arg(long, value_name = "FILE", requires_all = ["tls_ca", "tls_cert"])]
    pub tls_key: Option<PathBuf>,
    /// mTLS to Serin: the name in its certificate [default: the hosts of --xds]
    #[arg(long, value_name = "NAME", requires = "tls_ca")]
    pub tls_server_name: Option<String>,
    /// Ask for all resources of a type each time (state of the world), not for differences
    #[arg(long)]
    pub sotw: bool,
    /// How often Envoy sends its statistics, in seconds: 5 from a hundred Envoys on
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub flush_interval: u32,
    /// Connections from clients, at most
    #[arg(long, value_name = "COUNT", default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: u32,
    /// What Envoy's heap may grow to, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_heap: u32,
}

impl BootstrapArgs {
    /// With what follows from the settings. `Err`: they and the flags do not go together.
    pub fn with(mut self, settings: &Settings) -> anyhow::Result<Self> {
        let at = settings.xds;
        if self.xds.is_empty() {
            anyhow::ensure!(
                !at.ip().is_unspecified() && at.port() != 0,
                "the settings say xDS at {at}, where no Envoy finds it: say with --xds by which name or address they reach it"
            );
            self.xds.push(Endpoint { host: at.ip().to_string(), port: at.port() });
        }
        match (&settings.xds_tls, &self.tls_ca) {
            (Some(_), None) => {
                anyhow::bail!("the settings say mTLS for xDS: say --tls-ca, --tls-cert and --tls-key")
            }
            (None, Some(_)) => {
                anyhow::bail!("the settings say plain xDS: leave out --tls-ca, --tls-cert and --tls-key")
            }
            _ => Ok(self),
        }
    }
}

/// The YAML to print.
pub fn run(args: BootstrapArgs) -> anyhow::Result<String> {
    let mut all = args.xds;
    if all.is_empty() {
        all.push(Bootstrap::default().control_plane);
    }
    for (i, at) in all.iter().enumerate() {
        anyhow::ensure!(!all[..i].contains(at), "--xds has {}:{} twice", at.host, at.port);
    }
    let mtls = match (args.tls_ca, args.tls_cert, args.tls_key) {
        (Some(ca), Some(certificate), Some(key)) => {
            let hosts = || all.iter().map(|at| at.host.clone()).collect();
            let server_names: BTreeSet<_> = args.tls_server_name.map_or_else(hosts, |name| [name].into());
            Some(Mtls { ca, certificate, key, server_names: server_names.into_iter().collect() })
        }
        (None, None, None) => None,
        _ => anyhow::bail!("--tls-ca, --tls-cert and --tls-key belong together"),
    };
    let control_plane = all.remove(0);
    let bootstrap = Bootstrap {
        id: args.id,
        cluster: args.cluster,
        control_plane,
        others: all,
        mtls,
        release: args.envoy,
        variant: if args.sotw { Variant::StateOfTheWorld } else { Variant::Delta },
        admin: args.admin,
        flush_interval: Duration::from_secs(args.flush_interval.into()),
        max_connections: args.max_connections,
        max_heap: args.max_heap,
    };
    Ok(bootstrap.to_string())
}

/// `serin.example.com:18000`, `10.0.0.7:18000` or `[fd00::7]:18000`.
fn endpoint(text: &str) -> Result<Endpoint, String> {
    let (host, port) = text.rsplit_once(':').ok_or("a port is missing, as in 127.0.0.1:18000")?;
    let port =
        port.parse().ok().filter(|&port: &u16| port != 0).ok_or("the port is a number from 1 to 65535")?;
    let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        None if host.contains('/') => return Err("host and port are wanted, not a URL".into()),
        Some(v6) if v6.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) => v6,
        Some(_) => return Err("in brackets belongs an IPv6 address".into()),
        None if host.contains(':') => return Err("an IPv6 address wants brackets, as in [::1]:18000".into()),
        None if host.is_empty() => return Err("a host is missing, as in 127.0.0.1:18000".into()),
        None => host,
    };
    Ok(Endpoint { host: host.to_owned(), port })
}

/// `1.36` or `1.36.4`: a release that Serin knows.
fn release(text: &str) -> Result<Release, String> {
    let ((_, oldest), (major, newest)) = (translate::OLDEST, translate::NEWEST);
    let known = translate::release(text).filter(|r| (translate::OLDEST..=translate::NEWEST).contains(r));
    known.ok_or_else(|| format!("Serin knows Envoy {major}.{oldest} to {major}.{newest}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: BootstrapArgs,
    }

    fn text(flags: &[&str]) -> Result<String, String> {
        let line = Line::try_parse_from(["bootstrap"].iter().chain(flags)).map_err(|e| e.to_string())?;
        run(line.args).map_err(|e| e.to_string())
    }

    #[test]
    fn without_flags_it_is_the_default_bootstrap() {
        assert_eq!(text(&[]).unwrap(), Bootstrap::default().to_string());
    }

    #[test]
    fn an_older_envoy_starts_with_what_it_takes() {
        assert_eq!(text(&["--envoy", "1.40.2"]), text(&[]));
        assert_eq!(text(&["--envoy", "1.37"]), text(&[]));
        let oldest = text(&["--envoy", "1.36"]).unwrap();
        assert_eq!(oldest, text(&[]).unwrap().replace("    batch_size: 2000\n", ""));
        for unknown in ["1.35.9", "1.41", "2.0", "new"] {
            assert!(text(&["--envoy", unknown]).unwrap_err().contains("1.36 to 1.40"), "{unknown}");
        }
    }

    #[test]
    fn half_of_mtls_is_refused() {
        assert!(text(&["--tls-ca", "ca.pem"]).unwrap_err().contains("--tls-cert"));
        assert!(text(&["--tls-server-name", "x"]).unwrap_err().contains("--tls-ca"));
    }

    #[test]
    fn the_server_name_is_the_host_unless_said() {
        let mtls = ["--xds", "serin.local:18000", "--tls-ca", "a", "--tls-cert", "b", "--tls-key", "c"];
        assert!(text(&mtls).unwrap().contains("sni: serin.local\n"));
        let named = [&mtls[..], &["--tls-server-name", "other.local"]].concat();
        assert!(text(&named).unwrap().contains("sni: other.local\n"));
    }

    #[test]
    fn several_are_said_with_commas_or_again_and_none_twice() {
        let commas = text(&["--xds", "10.0.0.1:1,serin.local:2"]).unwrap();
        assert_eq!(text(&["--xds", "serin.local:2", "--xds", "10.0.0.1:1"]).unwrap(), commas);
        assert!(commas.contains("address: 10.0.0.1, port_value: 1") && commas.contains("priority: 1"));
        assert!(text(&["--xds", "a:1,a:1"]).unwrap_err().contains("a:1 twice"));
        let mtls = ["--xds", "a:1,b:1,a:2", "--tls-ca", "a", "--tls-cert", "b", "--tls-key", "c"];
        let both = text(&mtls).unwrap();
        let names = "[{ san_type: DNS, matcher: { exact: a } }, { san_type: DNS, matcher: { exact: b } }]";
        assert!(both.contains(names) && !both.contains("sni:"), "{both}");
    }

    #[test]
    fn what_the_settings_say_need_not_be_said_again() {
        let with = |settings: &Settings, flags: &[&str]| {
            let line = Line::try_parse_from(["bootstrap"].iter().chain(flags)).unwrap();
            line.args.with(settings).and_then(run).map_err(|e| e.to_string())
        };
        let near = Settings { xds: "127.0.0.1:7".parse().unwrap(), ..Settings::default() };
        assert_eq!(with(&near, &[]), text(&["--xds", "127.0.0.1:7"]));
        assert_eq!(with(&near, &["--xds", "a:1"]), text(&["--xds", "a:1"]));
        let tls = ["--tls-ca", "a", "--tls-cert", "b", "--tls-key", "c"];
        assert!(with(&near, &tls).unwrap_err().contains("plain xDS"));
        let all = Settings { xds: "0.0.0.0:7".parse().unwrap(), ..Settings::default() };
        assert!(with(&all, &[]).unwrap_err().contains("--xds"));
        let file = |name: &str| PathBuf::from(name);
        let mutual = crate::model::MutualTls {
            cert_file: file("x"),
            key_file: file("y"),
            client_ca_file: file("z"),
            allow: None,
        };
        let mutual = Settings { xds_tls: Some(mutual), ..near };
        assert!(with(&mutual, &[]).unwrap_err().contains("--tls-ca"));
        assert!(with(&mutual, &tls).is_ok());
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for (wrong, hint) in [
            ("serin", "port"),
            ("serin:0", "65535"),
            (":18000", "host"),
            ("::1:18000", "brackets"),
            ("[x]:1", "IPv6"),
            ("http://serin:18000", "URL"),
        ] {
            assert!(text(&["--xds", wrong]).unwrap_err().contains(hint), "{wrong}");
        }
        assert_eq!(endpoint("[::1]:18000"), Ok(Endpoint { host: "::1".into(), port: 18000 }));
    }
}
