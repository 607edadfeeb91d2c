//! `authentication` of a gateway file.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// How a gateway finds out who is calling; exactly one of these.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Authentication {
    /// Open to everyone, as without `authentication`.
    #[schemars(example = json!({}))]
    pub(crate) none: Option<Nothing>,
    /// User and password, by HTTP Basic.
    #[schemars(example = json!({ "usersFile": "secrets/fraud.htpasswd" }))]
    pub(crate) basic_auth: Option<BasicAuth>,
    /// A key that stands for a client.
    #[schemars(example = json!({ "keysFile": "secrets/fraud.keys" }))]
    pub(crate) access_key: Option<AccessKey>,
    /// A signed token (JWT) of a known issuer.
    #[schemars(example = json!({ "issuer": "https://idp.example.com", "jwksFile": "idp.jwks" }))]
    pub(crate) jwt: Option<Jwt>,
    /// A login by a browser, at a provider (OAuth 2.0, OpenID Connect).
    #[schemars(example = json!({ "issuer": "https://idp.example.com", "clientId": "fraud", "clientSecretFile": "secrets/client" }))]
    pub(crate) oauth2: Option<OAuth2>,
}

/// There is nothing to say: `{}`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// A file, relative to the gateway file, or a variable of the environment that holds the same.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Content {
    File(String),
    Variable(Variable),
}

/// A variable of the environment in which Serin was started.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Variable {
    /// Its name.
    #[schemars(required, example = &"FRAUD_KEYS")]
    pub(crate) env: Option<String>,
}

/// The users of a gateway.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct BasicAuth {
    /// Lines `user:{SHA}...` as `serin users set` writes them.
    #[schemars(required, example = &"secrets/fraud.htpasswd")]
    pub(crate) users_file: Option<Content>,
    /// What a browser shows when it asks. Default: the name of the gateway.
    #[schemars(example = &"fraud")]
    pub(crate) realm: Option<String>,
}

/// The keys of a gateway, and where requests carry them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct AccessKey {
    /// Lines `client:key` as `serin keys new` writes them.
    #[schemars(required, example = &"secrets/fraud.keys")]
    pub(crate) keys_file: Option<Content>,
    /// The request header with the key. Default: `x-api-key`, else `Authorization: Bearer`.
    #[schemars(example = &"x-api-key")]
    pub(crate) header: Option<String>,
    /// The query parameter with the key, in place of a header.
    #[schemars(example = &"key")]
    pub(crate) query: Option<String>,
    /// The cookie with the key, in place of a header.
    #[schemars(example = &"key")]
    pub(crate) cookie: Option<String>,
    /// The request header that tells the model which client it is. Default: `x-serin-client`.
    #[schemars(example = &"x-serin-client")]
    pub(crate) client_header: Option<String>,
}

/// Tokens of one issuer.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Jwt {
    /// The claim `iss` of every token.
    #[schemars(required, example = &"https://idp.example.com")]
    pub(crate) issuer: Option<String>,
    /// Where the issuer publishes its public keys.
    #[schemars(example = &"https://idp.example.com/jwks.json")]
    pub(crate) jwks_uri: Option<String>,
    /// The issuer's public keys, in place of `jwksUri`.
    #[schemars(example = &"idp.jwks")]
    pub(crate) jwks_file: Option<Content>,
    /// A token is for one of these: its claim `aud`. Default: any.
    pub(crate) audiences: Option<Vec<Option<String>>>,
    /// Request headers that tell the model what a token claims: a header and a claim each.
    #[schemars(example = json!({ "x-user": "sub" }))]
    pub(crate) claim_headers: Option<IndexMap<String, Option<String>>>,
    /// Claims that a token must have, each with its value or a list of values of which one is enough.
    #[schemars(example = json!({ "scope": "predict" }))]
    pub(crate) require: Option<IndexMap<String, Option<OneOrMore>>>,
}

/// A login at a provider.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct OAuth2 {
    /// A provider of OpenID Connect, whose endpoints are found below this URL.
    #[schemars(example = &"https://idp.example.com")]
    pub(crate) issuer: Option<String>,
    /// Where browsers are sent to log in, for a provider without `issuer`.
    #[schemars(example = &"https://idp.example.com/authorize")]
    pub(crate) authorization_endpoint: Option<String>,
    /// Where codes are exchanged for tokens, for a provider without `issuer`.
    #[schemars(example = &"https://idp.example.com/token")]
    pub(crate) token_endpoint: Option<String>,
    /// Where browsers are sent to log out, for a provider without `issuer`. Default: nowhere.
    #[schemars(example = &"https://idp.example.com/logout")]
    pub(crate) end_session_endpoint: Option<String>,
    /// What the provider calls this gateway.
    #[schemars(required, example = &"fraud")]
    pub(crate) client_id: Option<String>,
    /// The secret that the provider gave to this gateway.
    #[schemars(required, example = &"secrets/fraud.client")]
    pub(crate) client_secret_file: Option<Content>,
    /// What people are asked to allow. Default: `openid`.
    pub(crate) scopes: Option<Vec<Option<String>>>,
    /// A domain whose hosts share the login. Default: each host has its own.
    #[schemars(example = &"example.com")]
    pub(crate) cookie_domain: Option<String>,
    /// Whether a signed token (JWT) of the provider passes without a login. Default: false.
    pub(crate) accept_bearer: Option<bool>,
    /// With `acceptBearer`, a token is for one of these: its claim `aud`. Default: `clientId`.
    pub(crate) audiences: Option<Vec<Option<String>>>,
    /// Request headers that tell the model what is claimed of the caller: a header and a claim each.
    #[schemars(example = json!({ "x-user": "email" }))]
    pub(crate) claim_headers: Option<IndexMap<String, Option<String>>>,
}

/// A value, or a list of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum OneOrMore {
    One(ClaimValue),
    More(Vec<Option<ClaimValue>>),
}

/// The value of a claim: text, a whole number, `true` or `false`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum ClaimValue {
    Text(String),
    Number(#[schemars(range(min = -9_007_199_254_740_992_i64, max = 9_007_199_254_740_992_i64))] i64),
    Truth(bool),
}
