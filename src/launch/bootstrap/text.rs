//! The YAML of a bootstrap, section by section in the order a reader wants them.
//!
//! A section is one function that gives its lines, so that what the control plane learns to serve (runtime
//! layers) becomes one more function and one more line in `fmt`.

use super::{Admin, Bootstrap, Mtls, Variant};
use crate::model::Endpoint;
use crate::telemetry;
use crate::translate;
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

impl fmt::Display for Bootstrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(INTRODUCTION)?;
        f.write_str(&node(&self.id, &self.cluster))?;
        f.write_str(&admin(&self.admin))?;
        f.write_str(RUNTIME)?;
        f.write_str(&discovery(self.variant))?;
        f.write_str(&statistics(self.flush_interval, self.release >= translate::BATCHES))?;
        f.write_str(&overload(self.max_connections, self.max_heap))?;
        f.write_str(&control_plane(self))
    }
}

const INTRODUCTION: &str = "\
# The bootstrap of one Envoy: who it is and where its control plane is. All else comes from Serin over xDS.
# Printed by `serin bootstrap`; better printed anew than edited.
";

fn node(id: &str, cluster: &str) -> String {
    format!(
        "
node:
  id: {}  # every Envoy has its own; `envoy --service-node` says it too
  cluster: {}  # what a gateway lists in `proxies`
",
        scalar(id),
        scalar(cluster)
    )
}

fn admin(admin: &Admin) -> String {
    let address = match admin {
        Admin::Loopback(at) => {
            format!(
                "socket_address: {{ address: {}, port_value: {} }}",
                scalar(&at.ip().to_string()),
                at.port()
            )
        }
        Admin::Socket(path) => format!("pipe: {{ path: {}, mode: 384 }}  # 0600", file(path)),
    };
    format!(
        "
# The admin can stop Envoy and shows its configuration: never on a public address.
admin:
  address:
    {address}
"
    )
}

fn discovery(variant: Variant) -> String {
    let api_type = match variant {
        Variant::Delta => "DELTA_GRPC  # only what differs is sent",
        Variant::StateOfTheWorld => "GRPC",
    };
    format!(
        "
dynamic_resources:
  ads_config:
    api_type: {api_type}
    transport_api_version: V3
    set_node_on_first_message_only: true
    grpc_services:
    - envoy_grpc:
        cluster_name: control_plane
        # Without this, Envoy takes many seconds to notice that the control plane is back.
        retry_policy: {{ retry_back_off: {{ base_interval: 0.25s, max_interval: 2s }} }}
  # 0s: wait for the control plane rather than come up empty and answer 404.
  cds_config: {{ resource_api_version: V3, ads: {{}}, initial_fetch_timeout: 0s }}
  lds_config: {{ resource_api_version: V3, ads: {{}}, initial_fetch_timeout: 0s }}
"
    )
}

const RUNTIME: &str = "
layered_runtime:
  layers:
  - name: bootstrap
    # Envoy refuses expressions of more than 100 instructions; `[a-z0-9-]{1,63}` has 255. RE2 takes time in proportion to the
    # text whatever the expression is, and `serin validate` refuses what would need more memory than this.
    static_layer: { re2.max_program_size.error_level: 100000 }
  - name: serin
    # Switches for all gateways at once; Envoy starts without them rather than wait.
    rtds_layer: { name: serin, rtds_config: { resource_api_version: V3, ads: {}, initial_fetch_timeout: 2s } }
  - name: admin
    admin_layer: {}
";

fn statistics(interval: Duration, in_batches: bool) -> String {
    let names = telemetry::statistics().collect::<Vec<_>>().join("|").replace('.', r"\.");
    let bounds: Vec<_> = telemetry::envoy_bounds().map(|bound| bound.to_string()).collect();
    let (form, value) = telemetry::FORM;
    format!(
        r#"
# What rollouts decide on comes back over the connection to the control plane.
stats_flush_interval: {seconds}s
stats_sinks:
- name: envoy.stat_sinks.metrics_service
  typed_config:
    "@type": type.googleapis.com/envoy.config.metrics.v3.MetricsServiceConfig
    transport_api_version: V3
    report_counters_as_deltas: true  # so that a restart distorts nothing
    histogram_emit_mode: HISTOGRAM
{batch}    grpc_service:
      envoy_grpc: {{ cluster_name: control_plane }}
      # Which form this is. Serin counts no other, so better print a new bootstrap than edit what stands here.
      initial_metadata: [{{ key: {form}, value: "{value}" }}]
stats_config:
  # Only what rollouts decide on and operators ask for: each further number costs memory in each worker.
  stats_matcher:
    inclusion_list:
      patterns:
      - safe_regex: {{ regex: 'cluster\.[^.]+\.({names})' }}
      - safe_regex: {{ regex: '{keyless}' }}
      - prefix: control_plane.
      - prefix: http.gw.downstream_rq
      - prefix: server.
  # Milliseconds, up to five minutes. Each ends one of the bins that Envoy keeps, so that nothing is interpolated.
  histogram_bucket_settings:
  - match: {{ suffix: upstream_rq_time }}
    buckets: [{bounds}]
"#,
        seconds = interval.as_secs_f64(),
        keyless = telemetry::KEYLESS,
        batch = if in_batches { format!("    batch_size: {}\n", telemetry::BATCH) } else { String::new() },
        bounds = bounds.join(", "),
    )
}

fn overload(max_connections: u32, max_heap: u32) -> String {
    format!(
        r#"
# Better to refuse than to fall: past these limits Envoy answers 503, and lives.
overload_manager:
  refresh_interval: 0.25s
  resource_monitors:
  - name: envoy.resource_monitors.global_downstream_max_connections
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig
      max_active_downstream_connections: {max_connections}
  - name: envoy.resource_monitors.fixed_heap
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig
      max_heap_size_bytes: {bytes}  # {max_heap} MiB
  actions:
  - name: envoy.overload_actions.shrink_heap
    triggers: [{{ name: envoy.resource_monitors.fixed_heap, threshold: {{ value: 0.90 }} }}]
  - name: envoy.overload_actions.stop_accepting_requests
    triggers: [{{ name: envoy.resource_monitors.fixed_heap, threshold: {{ value: 0.95 }} }}]
"#,
        bytes = u64::from(max_heap) << 20,
    )
}

/// No limit of requests, and none of what waits on a connection. Where that limit is reached (1 MiB unless said
/// otherwise), a stream that is opened is told to wait while the upstream filter is still opening it, and Envoy 1.40 ends
/// with a segmentation fault: `docs/envoy.md`. What an Envoy keeps of answers that nobody takes is bounded by the time that
/// it keeps them instead.
const UNLIMITED: u32 = u32::MAX;

fn control_plane(bootstrap: &Bootstrap) -> String {
    let compared = translate::COMPARE_CLUSTER;
    format!(
        "
static_resources:
  clusters:
{}
  # The same once more, for the answers of shadows. Reaching a limit here could end Envoy.
{}",
        cluster(bootstrap, "control_plane", ""),
        cluster(
            bootstrap,
            compared,
            &format!(
                "    per_connection_buffer_limit_bytes: {UNLIMITED}
    circuit_breakers:
      thresholds:
      - {{ max_connections: {UNLIMITED}, max_requests: {UNLIMITED}, max_pending_requests: {UNLIMITED} }}\n"
            )
        ),
    )
}

fn cluster(bootstrap: &Bootstrap, name: &str, limits: &str) -> String {
    let all = bootstrap.control_planes();
    // A name is asked for IPv4 first: `localhost` is both, and Serin listens on 127.0.0.1.
    let discovery = match all[..] {
        [at] if at.ip().is_none() && name == translate::COMPARE_CLUSTER => {
            "LOGICAL_DNS  # both answers of a request go to one control plane, though the name led to several\n    \
             dns_lookup_family: V4_PREFERRED"
        }
        _ if all.iter().all(|at| at.ip().is_some()) => "STATIC",
        _ => "STRICT_DNS\n    dns_lookup_family: V4_PREFERRED",
    };
    let endpoints: String = all.iter().enumerate().map(|(i, at)| endpoints(i, at)).collect();
    let (silence, (leave, order)) = match all.len() {
        1 => ("interval: 30s, timeout: 5s", ("", "")),
        // Longer than a Serin takes for the first sync of all Envoys of another one, or they would leave it in herds.
        _ => ("interval: 5s, timeout: 10s", (LEAVE, ORDER)),
    };
    format!(
        r#"  - name: {name}
    type: {discovery}
    connect_timeout: 2s
{limits}    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config:
          http2_protocol_options:
            # Finds a control plane that is gone without a word.
            connection_keepalive: {{ {silence} }}
{leave}{transport}    load_assignment:
      cluster_name: {name}
{order}      endpoints:
{endpoints}"#,
        transport = bootstrap.mtls.as_ref().map_or(PLAIN.into(), mtls),
    )
}

/// What is first is 0, which needs not be said.
fn endpoints(priority: usize, at: &Endpoint) -> String {
    let priority = match priority {
        0 => String::new(),
        n => format!("priority: {n}\n        "),
    };
    format!(
        "      - {priority}lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: {host}, port_value: {port} }} }} }}
",
        host = scalar(&at.host),
        port = at.port,
    )
}

const LEAVE: &str = "    \
    # One connection that fails is enough to go to the next control plane. After a while the first one is tried again, by new
    # streams only: those that are open stay where they are. That is longer than a silent one takes to be found, or of two
    # that are silent each would be tried again as the other one is left.
    outlier_detection:
      split_external_local_origin_errors: true
      consecutive_local_origin_failure: 1
      max_ejection_percent: 100
      interval: 1s
      base_ejection_time: 30s
      max_ejection_time: 60s
";

const ORDER: &str = "      \
      # All streams of this Envoy go to the first that is there. The order comes from its name, so that Envoys spread.
";

const PLAIN: &str = "    # Plain text, which Serin serves on loopback. Elsewhere it wants mTLS: see `serin bootstrap --help`.\n";

fn mtls(mtls: &Mtls) -> String {
    // An address is in a certificate as an address, and is not sent as SNI (RFC 6066 section 3). Serin has one certificate,
    // so that of several names none needs to be sent.
    let matchers = mtls.server_names.iter().map(|name| {
        let san = if name.parse::<IpAddr>().is_ok() { "IP_ADDRESS" } else { "DNS" };
        format!("{{ san_type: {san}, matcher: {{ exact: {} }} }}", scalar(name))
    });
    let sni = match &mtls.server_names[..] {
        [name] if name.parse::<IpAddr>().is_err() => format!("\n        sni: {}", scalar(name)),
        _ => String::new(),
    };
    let folder = match mtls.certificate.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    format!(
        r#"    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext{sni}
        common_tls_context:
          alpn_protocols: [h2]
          # Both: Envoy's clients stop at 1.2 unless the maximum is raised.
          tls_params: {{ tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3 }}
          tls_certificates:
          - certificate_chain: {{ filename: {certificate} }}
            private_key: {{ filename: {key} }}
            watched_directory: {{ path: {folder} }}  # a renewed certificate is read without a restart
          validation_context:
            trusted_ca: {{ filename: {ca} }}
            match_typed_subject_alt_names: [{names}]
"#,
        certificate = file(&mtls.certificate),
        key = file(&mtls.key),
        folder = file(folder),
        ca = file(&mtls.ca),
        names = matchers.collect::<Vec<_>>().join(", "),
    )
}

/// A path of this text is UTF-8: it came from a command line or from our own temporary directory.
fn file(path: &Path) -> String {
    scalar(&path.to_string_lossy()).into_owned()
}

/// Plain where YAML cannot mistake it, else in double quotes: a JSON string is a YAML string.
fn scalar(text: &str) -> Cow<'_, str> {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    let dotted = text.parse::<std::net::Ipv4Addr>().is_ok();
    if plain || dotted { text.into() } else { serde_json::Value::from(text).to_string().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bootstrap: &Bootstrap) -> serde_json::Value {
        serde_yaml::from_str(&bootstrap.to_string()).unwrap()
    }

    #[test]
    fn every_text_comes_back_as_it_was() {
        for text in
            ["edge-1", "no", "1.5", "a: b # c", "", "\"", "ümlaut", "{x}", "/run/a b", "::1", "line\nbreak"]
        {
            let node = read(&Bootstrap { id: text.into(), cluster: text.into(), ..Bootstrap::default() });
            assert_eq!(node["node"]["id"], text);
            assert_eq!(node["node"]["cluster"], text);
        }
    }

    #[test]
    fn a_name_is_resolved_and_an_address_is_not() {
        for (host, kind) in [("127.0.0.1", "STATIC"), ("::1", "STATIC"), ("serin.local", "STRICT_DNS")] {
            let control_plane = Endpoint { host: host.into(), port: 1 };
            let cluster = &read(&Bootstrap { control_plane, ..Bootstrap::default() })["static_resources"]["clusters"]
                [0];
            assert_eq!(cluster["type"], kind, "{host}");
            let socket =
                &cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"];
            assert_eq!(socket["socket_address"]["address"], host);
        }
    }

    #[test]
    fn both_answers_of_a_request_go_the_same_way() {
        let at = |host: &str| Endpoint { host: host.into(), port: 1 };
        for (first, others, kind) in [
            ("serin.local", vec![], "LOGICAL_DNS"),
            ("serin.local", vec![at("10.0.0.1")], "STRICT_DNS"),
            ("10.0.0.1", vec![], "STATIC"),
        ] {
            let bootstrap = Bootstrap { control_plane: at(first), others, ..Bootstrap::default() };
            let cluster = &read(&bootstrap)["static_resources"]["clusters"][1];
            assert_eq!(
                (&cluster["name"], &cluster["type"]),
                (&translate::COMPARE_CLUSTER.into(), &kind.into())
            );
            // Each endpoint has a priority of its own, or there is one: nothing is left to choose between.
            let groups = cluster["load_assignment"]["endpoints"].as_array().unwrap();
            assert!(groups.iter().all(|group| group["lb_endpoints"].as_array().unwrap().len() == 1));
            let priorities: Vec<_> =
                groups.iter().map(|group| group["priority"].as_u64().unwrap_or(0)).collect();
            assert_eq!(priorities, (0..).take(groups.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn several_control_planes_are_tried_in_their_order() {
        let at = |host: &str, port| Endpoint { host: host.into(), port };
        let others = vec![at("10.0.0.2", 2), at("serin.local", 3)];
        let several = Bootstrap { others, control_plane: at("10.0.0.1", 1), ..Bootstrap::default() };
        let order: Vec<u64> = several.control_planes().iter().map(|at| at.port.into()).collect();
        for i in 0..2 {
            let cluster = read(&several)["static_resources"]["clusters"][i].clone();
            assert_eq!(cluster["type"], "STRICT_DNS", "one is a name");
            let groups = cluster["load_assignment"]["endpoints"].as_array().unwrap().clone();
            let port = |group: &serde_json::Value| {
                let endpoint = &group["lb_endpoints"][0]["endpoint"]["address"]["socket_address"];
                endpoint["port_value"].as_u64().unwrap()
            };
            assert_eq!(groups.iter().map(port).collect::<Vec<_>>(), order);
            let priorities = groups.iter().map(|group| group["priority"].as_u64().unwrap_or(0));
            assert_eq!(priorities.collect::<Vec<_>>(), [0, 1, 2]);
            assert_eq!(cluster["outlier_detection"]["max_ejection_percent"], 100);
        }
    }

    #[test]
    fn a_certificate_for_an_address_is_checked_as_one() {
        let of = |server_name: &str| {
            let file = |name: &str| format!("tls/{name}").into();
            let mtls = Some(Mtls {
                ca: file("ca"),
                certificate: file("cert"),
                key: file("key"),
                server_names: vec![server_name.into()],
            });
            read(&Bootstrap { mtls, ..Bootstrap::default() })["static_resources"]["clusters"][0]["transport_socket"]
                ["typed_config"]
                .clone()
        };
        let (name, address) = (of("serin.local"), of("10.0.0.7"));
        assert_eq!(name["sni"], "serin.local");
        assert_eq!(address["sni"], serde_json::Value::Null);
        let kind = "/common_tls_context/validation_context/match_typed_subject_alt_names/0/san_type";
        assert_eq!(name.pointer(kind).unwrap(), "DNS");
        assert_eq!(address.pointer(kind).unwrap(), "IP_ADDRESS");
    }

    #[test]
    fn the_admin_is_never_public() {
        assert!("0.0.0.0:9901".parse::<Admin>().unwrap_err().contains("loopback"));
        assert!("[::]:9901".parse::<Admin>().is_err());
        assert!("9901".parse::<Admin>().is_err());
        assert!("unix:".parse::<Admin>().is_err());
        assert_eq!("[::1]:0".parse(), Ok(Admin::Loopback("[::1]:0".parse().unwrap())));
        assert_eq!("unix:/run/a.sock".parse(), Ok(Admin::Socket("/run/a.sock".into())));
    }
}
