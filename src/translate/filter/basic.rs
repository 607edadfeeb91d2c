//! HTTP Basic: user and password.

use super::super::inline;
use super::identity::CLIENT_HEADER;
use super::{BASIC, OnRoute};
use crate::model::BasicAuth as Model;
use crate::resource::{any, field};
use envoy_types::pb::envoy::extensions::filters::http::basic_auth::v3::{BasicAuth, BasicAuthPerRoute};
use envoy_types::pb::google::protobuf::Any;
use std::fmt::Write;

/// The number of `realm` in `BasicAuthPerRoute`: Envoy 1.40 has it, the types we build with do not.
const REALM_FIELD: u32 = 2;

/// Without users of its own there is no filter. It stands in the listener alone, where the filter is switched off, and
/// each route that switches it on has its own users; no password is known that has this hash, twenty zeros.
const NOBODY: &str = "nobody:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA=";

pub(super) fn filter() -> Any {
    any(&BasicAuth {
        users: Some(inline(NOBODY.as_bytes())),
        forward_username_header: CLIENT_HEADER.into(),
        ..Default::default()
    })
}

pub(super) fn on_route(basic: &Model) -> OnRoute {
    if basic.users.is_empty() {
        return OnRoute::nobody();
    }
    let mut users = String::new();
    for user in &basic.users {
        // Writing to a string cannot fail.
        let _ = writeln!(users, "{}:{}", user.name, user.hash.expose());
    }
    let mut config = any(&BasicAuthPerRoute { users: Some(inline(users.as_bytes())) });
    field(REALM_FIELD, basic.realm.as_bytes(), &mut config.value);
    // Envoy's filter passes the password on.
    OnRoute {
        filters: vec![(BASIC, config)],
        remove_headers: vec!["authorization".into()],
        ..OnRoute::default()
    }
}
