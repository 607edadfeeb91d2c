//! Compiles our own protos without a system `protoc`, and takes from the envoy-types package the descriptors of
//! the Envoy messages that we send. Those let us print a message as YAML and encode its maps in a fixed order.
//! No network is used, and nothing of Envoy's is copied into the repository.
#![expect(clippy::disallowed_methods, reason = "cargo speaks to a build script through the environment")]

use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The protos whose messages may stand in a resource or a bootstrap of ours; what they import comes along.
const ROOTS: &[&str] = &[
    "envoy/config/bootstrap/v3/bootstrap.proto",
    "envoy/config/cluster/v3/cluster.proto",
    "envoy/config/endpoint/v3/endpoint.proto",
    "envoy/config/listener/v3/listener.proto",
    "envoy/config/route/v3/route.proto",
    "envoy/config/route/v3/scoped_route.proto",
    "envoy/extensions/filters/http/api_key_auth/v3/api_key_auth.proto",
    "envoy/extensions/filters/http/basic_auth/v3/basic_auth.proto",
    "envoy/extensions/filters/http/ext_proc/v3/ext_proc.proto",
    "envoy/extensions/filters/http/filter_chain/v3/filter_chain.proto",
    "envoy/extensions/filters/http/grpc_stats/v3/config.proto",
    "envoy/extensions/filters/http/header_mutation/v3/header_mutation.proto",
    "envoy/extensions/filters/http/header_to_metadata/v3/header_to_metadata.proto",
    "envoy/extensions/filters/http/jwt_authn/v3/config.proto",
    "envoy/extensions/filters/http/oauth2/v3/oauth.proto",
    "envoy/extensions/filters/http/rbac/v3/rbac.proto",
    "envoy/extensions/filters/http/router/v3/router.proto",
    "envoy/extensions/filters/http/upstream_codec/v3/upstream_codec.proto",
    "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto",
    "envoy/extensions/http/early_header_mutation/header_mutation/v3/header_mutation.proto",
    "envoy/extensions/transport_sockets/tls/v3/tls.proto",
    "envoy/extensions/transport_sockets/tls/v3/secret.proto",
    "envoy/extensions/upstreams/http/v3/http_protocol_options.proto",
    "envoy/service/runtime/v3/rtds.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=Cargo.lock");
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);

    let own = protox::compile(["serin/v1/state.proto"], ["proto"])?;
    std::fs::write(out.join("serin_descriptor.bin"), own.encode_to_vec())?;
    tonic_prost_build::configure().btree_map(".").compile_fds(own)?;

    let all = std::fs::read(envoy_types_folder()?.join("src/generated/types.bin"))?;
    std::fs::write(out.join("envoy_descriptor.bin"), closure(&all, ROOTS)?.encode_to_vec())?;
    Ok(())
}

/// Where cargo keeps the source of the envoy-types package.
fn envoy_types_folder() -> Result<PathBuf, Box<dyn Error>> {
    let run = Command::new(std::env::var("CARGO")?)
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .args(["--filter-platform", &std::env::var("TARGET")?]) // packages of other platforms are not on this disk
        .current_dir(std::env::var("CARGO_MANIFEST_DIR")?)
        .output()?;
    if !run.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&run.stderr)).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&run.stdout)?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let manifest = packages
        .iter()
        .find(|p| p["name"] == "envoy-types")
        .and_then(|p| p["manifest_path"].as_str())
        .ok_or("cargo metadata does not list envoy-types")?;
    Ok(Path::new(manifest).parent().ok_or("a manifest without a folder")?.to_path_buf())
}

/// The descriptors of `roots` and of all they import, imports first, without comments.
fn closure(set: &[u8], roots: &[&str]) -> Result<FileDescriptorSet, Box<dyn Error>> {
    let all: BTreeMap<String, FileDescriptorProto> =
        FileDescriptorSet::decode(set)?.file.into_iter().map(|f| (f.name().to_owned(), f)).collect();
    let (mut file, mut seen) = (Vec::new(), BTreeSet::new());
    for root in roots {
        visit(root, &all, &mut seen, &mut file)?;
    }
    Ok(FileDescriptorSet { file })
}

fn visit(
    name: &str,
    all: &BTreeMap<String, FileDescriptorProto>,
    seen: &mut BTreeSet<String>,
    out: &mut Vec<FileDescriptorProto>,
) -> Result<(), Box<dyn Error>> {
    if !seen.insert(name.to_owned()) {
        return Ok(());
    }
    let file = all.get(name).ok_or_else(|| format!("envoy-types has no {name}"))?;
    for import in &file.dependency {
        visit(import, all, seen, out)?;
    }
    out.push(FileDescriptorProto { source_code_info: None, ..file.clone() });
    Ok(())
}
