//! Compiles our own protos without a system `protoc`, and takes from the envoy-types package the descriptors of
//! the Envoy messages that we send. Those let us print a message as YAML and encode its maps in a fixed order.
//! No network and no command is used, and nothing of Envoy's is copied into the repository.
#![expect(clippy::disallowed_methods, reason = "cargo speaks to a build script through the environment")]

use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

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

    let all = std::fs::read(envoy_descriptors()?)?;
    std::fs::write(out.join("envoy_descriptor.bin"), closure(&all, ROOTS)?.encode_to_vec())?;
    Ok(())
}

/// Finds the descriptors that the envoy-types package carries beside its sources.
///
/// The compiler knows where it read that package, whichever way cargo got it there: every panic message depends on it.
/// So we call into the package, and our caller's location is a file of the package. Asking cargo would not do: it wants
/// packages that only tests need, and reads the registry, the lock file and the user's configuration anew.
///
/// # Errors
/// Names `SERIN_ENVOY_TYPES` where the compiler was told to hide paths (`--remap-path-prefix`).
fn envoy_descriptors() -> Result<PathBuf, Box<dyn Error>> {
    println!("cargo:rerun-if-env-changed=SERIN_ENVOY_TYPES");
    let below = |package: &Path| Some(package.join("src/generated/types.bin")).filter(|file| file.is_file());
    if let Some(package) = std::env::var_os("SERIN_ENVOY_TYPES") {
        let wrong = || format!("SERIN_ENVOY_TYPES={}: no envoy-types package is there", package.display());
        return Ok(below(Path::new(&package)).ok_or_else(wrong)?);
    }
    envoy_types::util::pack_any(Probe {});
    let source = Path::new(CALLER.get().ok_or("envoy-types did not ask for the type URL of a message")?);
    let package =
        source.parent().and_then(Path::parent).ok_or("a source file of envoy-types without a folder")?;
    // Cargo names a package inside the workspace, such as a vendored one, relative to the root of the workspace.
    let own = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    own.ancestors().find_map(|root| below(&root.join(package))).ok_or_else(|| {
        format!(
            "The descriptors of envoy-types are not in {}, where the compiler says that it read the package. If RUSTFLAGS \
             has --remap-path-prefix, set SERIN_ENVOY_TYPES to the folder of the package's Cargo.toml.",
            package.display()
        )
        .into()
    })
}

/// The file of the envoy-types package that asked for the type URL of a [`Probe`].
static CALLER: OnceLock<&'static str> = OnceLock::new();

/// An empty message that remembers who asks for its type URL.
#[derive(Clone, PartialEq, prost::Message)]
struct Probe {}

impl prost::Name for Probe {
    const NAME: &'static str = "Probe";
    const PACKAGE: &'static str = "serin";

    #[track_caller]
    fn type_url() -> String {
        let caller = Location::caller(); // not within the closure, which would be its own caller
        CALLER.get_or_init(|| caller.file());
        String::new()
    }
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
