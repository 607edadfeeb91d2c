//! Takes the cookies of logins away from what models see, and leaves all others.
//!
//! Envoy's filter for logins takes its own away but for the ID token, which it leaves decrypted: whoever has it can pose as
//! the person for a while. Its cookies of other gateways on the same host it does not know. No filter of Envoy removes a
//! single cookie, so two do it together: one moves what is left of the header to where filters keep notes, the other
//! brings it back. A request whose other cookies have 8 KiB or more goes on without them: Envoy keeps no longer notes.

use super::oauth2::COOKIE_PREFIX;
use crate::resource::any;
use envoy_types::pb::envoy::config::common::mutation_rules::v3::HeaderMutation as Mutation;
use envoy_types::pb::envoy::config::common::mutation_rules::v3::header_mutation::Action;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::extensions::filters::http::header_mutation::v3::{
    HeaderMutation, HeaderMutationPerRoute, Mutations,
};
use envoy_types::pb::envoy::extensions::filters::http::header_to_metadata::v3::Config;
use envoy_types::pb::envoy::extensions::filters::http::header_to_metadata::v3::config::{KeyValuePair, Rule};
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatchAndSubstitute, RegexMatcher};
use envoy_types::pb::google::protobuf::Any;

const NAMESPACE: &str = "serin";
const KEY: &str = "cookie";

/// The two filters, in the order in which requests pass them.
pub(super) fn filters() -> [Any; 2] {
    [any(&Config::default()), any(&HeaderMutation::default())]
}

/// What a gateway with logins says to them.
pub(super) fn on_route() -> [Any; 2] {
    // All of them that stand in a row at once, else the next would have lost the semicolon before it. At the end the
    // semicolon before them goes too.
    let one = format!("{COOKIE_PREFIX}[^=;]*=[^;]*");
    let regex = format!("(?:; *{one})+;? *$|(^|; *)(?:{one}(?:; *|$))+");
    let rest = RegexMatchAndSubstitute {
        pattern: Some(RegexMatcher { regex, ..Default::default() }),
        substitution: r"\1".into(),
    };
    let note = KeyValuePair {
        metadata_namespace: NAMESPACE.into(),
        key: KEY.into(),
        regex_value_rewrite: Some(rest),
        ..Default::default()
    };
    let rule =
        Rule { header: "cookie".into(), on_header_present: Some(note), remove: true, ..Default::default() };
    let rules = Config { request_rules: vec![rule], ..Default::default() };
    let back = HeaderValueOption {
        header: Some(HeaderValue {
            key: "cookie".into(),
            value: format!("%DYNAMIC_METADATA({NAMESPACE}:{KEY})%"),
            ..Default::default()
        }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd as i32,
        ..Default::default()
    };
    let mutations = Mutations {
        request_mutations: vec![Mutation { action: Some(Action::Append(back)) }],
        ..Default::default()
    };
    [any(&rules), any(&HeaderMutationPerRoute { mutations: Some(mutations) })]
}
