//! Resources as people read them: Envoy's own YAML, every `Any` opened, secrets masked.
//!
//! The same text serves `translate`, `diff`, the API and the golden tests.

use crate::resource::{Kind, Resource, canonical};
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What stands in place of a secret.
const MASK: &str = "[redacted]";
/// What stands in place of a hash: twenty zeros, which no password has.
const MASKED_HASH: &str = "{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// A resource as JSON with Envoy's field names. `Err` says what could not be read.
pub fn dump(resource: &Resource) -> Result<Value, String> {
    let descriptor = canonical::pool()
        .get_message_by_name(resource.kind().message())
        .ok_or_else(|| format!("no descriptor of {}", resource.kind().message()))?;
    let message = DynamicMessage::decode(descriptor, resource.message())
        .map_err(|e| format!("{}: {e}", resource.name()))?;
    let options = SerializeOptions::new().use_proto_field_name(true);
    let mut value =
        message.serialize_with_options(serde_json::value::Serializer, &options).map_err(|e| e.to_string())?;
    match resource.kind() {
        Kind::Secret => mask(&mut value),
        Kind::Route | Kind::Listener => mask_credentials(&mut value),
        Kind::Runtime | Kind::Cluster | Kind::Endpoint | Kind::ScopedRoute => {}
    }
    Ok(value)
}

/// Masks access keys and hashes of passwords, wherever routes have them. What is left has the form that Envoy wants,
/// so that it can be validated.
fn mask_credentials(value: &mut Value) {
    let kind = value.get("@type").and_then(Value::as_str).unwrap_or_default();
    if kind.ends_with("ApiKeyAuthPerRoute") {
        let keys = value.get_mut("credentials").and_then(Value::as_array_mut).into_iter().flatten();
        for (number, credential) in keys.enumerate() {
            credential["key"] = json!(format!("[redacted {}]", number + 1));
        }
    } else if kind.ends_with("BasicAuthPerRoute") || kind.ends_with("BasicAuth") {
        if let Some(Value::String(users)) = value.pointer_mut("/users/inline_string") {
            let names = users.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name);
            *users = names.flat_map(|name| [name, ":", MASKED_HASH, "\n"]).collect();
        }
    } else {
        match value {
            Value::Object(map) => map.values_mut().for_each(mask_credentials),
            Value::Array(list) => list.iter_mut().for_each(mask_credentials),
            _ => {}
        }
    }
}

/// Masks private keys; certificates are public, and text reads better than base64.
fn mask(value: &mut Value) {
    if let Some(key) = value.pointer_mut("/tls_certificate/private_key") {
        *key = json!({ "inline_string": MASK });
    }
    if let Some(secret) = value.pointer_mut("/generic_secret/secret") {
        *secret = json!({ "inline_string": MASK });
    }
}

/// A static bootstrap that holds the given resources, for `envoy --mode validate`: listeners get their routes
/// inline, clusters their endpoints.
pub fn dump_bootstrap<'a>(resources: impl IntoIterator<Item = &'a Arc<Resource>>) -> Result<Value, String> {
    let (mut clusters, mut endpoints, mut secrets) = (Vec::new(), Map::new(), Vec::new());
    let (mut listeners, mut routes, mut scopes) = (Vec::new(), Map::new(), Vec::new());
    for resource in resources {
        let mut value = dump(resource)?;
        static_secrets(&mut value);
        match resource.kind() {
            Kind::Cluster => clusters.push(value),
            Kind::Endpoint => drop(endpoints.insert(resource.name().to_string(), value)),
            Kind::Secret => secrets.push(value),
            Kind::Listener => listeners.push(value),
            // A layer of its own in the bootstrap, which has nothing to do with the others.
            Kind::Runtime => {}
            Kind::ScopedRoute => scopes.push(value),
            Kind::Route => drop(routes.insert(resource.name().to_string(), value)),
        }
    }
    for cluster in &mut clusters {
        let name = cluster.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        if let (Some(assignment), Some(cluster)) = (endpoints.remove(&name), cluster.as_object_mut()) {
            cluster.remove("eds_cluster_config");
            cluster.insert("type".into(), json!("STATIC"));
            cluster.insert("load_assignment".into(), assignment);
        }
    }
    for listener in &mut listeners {
        let config =
            listener.pointer_mut("/filter_chains/0/filters/0/typed_config").and_then(Value::as_object_mut);
        let name = listener_routes(config.as_deref());
        let Some(config) = config else { continue };
        if let Some(route) = routes.remove(&name) {
            config.remove("rds");
            config.insert("route_config".into(), route);
        } else if let Some(scoped) = config.get_mut("scoped_routes").and_then(Value::as_object_mut) {
            scoped.remove("scoped_rds");
            let inline = static_scopes(&scopes, &mut routes);
            scoped.insert("scoped_route_configurations_list".into(), inline);
        }
    }
    Ok(json!({
        "static_resources": { "listeners": listeners, "clusters": clusters, "secrets": secrets }
    }))
}

fn listener_routes(config: Option<&Map<String, Value>>) -> String {
    config
        .and_then(|c| c.get("rds"))
        .and_then(|rds| rds.get("route_config_name"))
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// Scopes with their routes inside.
fn static_scopes(scopes: &[Value], routes: &mut Map<String, Value>) -> Value {
    let scopes = scopes.iter().cloned().map(|mut scope| {
        let name =
            scope.get("route_configuration_name").and_then(Value::as_str).unwrap_or_default().to_owned();
        if let (Some(route), Some(scope)) = (routes.remove(&name), scope.as_object_mut()) {
            scope.remove("route_configuration_name");
            scope.insert("route_configuration".into(), route);
        }
        scope
    });
    json!({ "scoped_route_configurations": scopes.collect::<Vec<_>>() })
}

/// A secret without a source of configuration is looked up among the static ones.
fn static_secrets(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("sds_config");
            map.values_mut().for_each(static_secrets);
        }
        Value::Array(list) => list.iter_mut().for_each(static_secrets),
        _ => {}
    }
}
