//! The kinds of mistakes, each with a text that never changes: people search for it.
//!
//! `A` is about authentication and secrets, `F` about files and YAML, `G` about the fields of a gateway, `U` about upstreams, `T`
//! about traffic and matches, `N` about who is told, `R` about rollouts, `S` about `serin.yaml`, `C` about two files that do not fit together,
//! `W` about edits through the API and `E` about what only shows when it runs. A new kind gets the next number of its group and a page in
//! `docs/errors/`; a number is never used again.

use serde::{Serialize, Serializer};
use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What kind of mistake it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code once, in the order of their texts.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable text, such as `G001`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

codes! {
    /// `authentication` without a mode, or with several.
    AuthenticationMode = "A001",
    /// A file or a variable with secrets or keys that is not there or cannot be read.
    SecretFile = "A002",
    /// A file with secrets that every user of the machine may read.
    SecretExposed = "A003",
    /// A users file without a user, or with a line that says none.
    UsersFile = "A004",
    /// A hash of a password that Envoy does not take.
    PasswordHash = "A005",
    /// A realm that cannot stand in a header.
    Realm = "A006",
    /// A keys file without a key, or with a line that says none.
    KeysFile = "A007",
    /// An access key that can be guessed.
    ShortKey = "A008",
    /// More than one place where requests carry their key.
    KeySource = "A009",
    /// An issuer that no token can have.
    Issuer = "A010",
    /// Neither `jwksUri` nor `jwksFile`, or both.
    JwksSource = "A011",
    /// A file that is not a set of public keys.
    JwksFile = "A012",
    /// A private key where public ones belong.
    PrivateKey = "A013",
    /// A URL from which no keys can be had safely.
    JwksUri = "A014",
    /// An audience that is empty or comes twice.
    Audiences = "A015",
    /// A claim, or the value of one, that no token can have.
    Claim = "A016",
    /// A headers file without a header, or with a line that says none.
    HeadersFile = "A017",
    /// A secret that travels in plain text.
    PlainSecret = "A018",
    /// Neither an issuer nor its endpoints, or both, or half of them.
    OAuth2Provider = "A019",
    /// A URL to which no login can be sent safely.
    OAuth2Url = "A020",
    /// A client id or a client secret that no provider gives.
    OAuth2Client = "A021",
    /// A scope that no provider has, or one that is missing.
    Scopes = "A022",
    /// A cookie domain that does not cover the hosts of the gateway.
    CookieDomain = "A023",
    /// Tokens are to be verified, and nothing says by what.
    OAuth2Tokens = "A024",
    /// Logins on a listener without TLS.
    LoginInTheClear = "A025",
    /// Logins for every host.
    LoginAnywhere = "A026",

    /// Two files claim one gateway name.
    SameName = "C001",
    /// Two gateways claim the same listener, host and path.
    SameRoute = "C002",

    /// Envoy refuses what the file became.
    RefusedByEnvoy = "E001",
    /// The keys of a token issuer cannot be fetched.
    KeysNotFetched = "E002",
    /// What a provider of logins says of itself cannot be fetched.
    ProviderNotFound = "E003",
    /// Some Envoys refuse what the file became.
    RefusedBySome = "E004",

    /// The file cannot be read.
    Unreadable = "F001",
    /// The file is larger than any honest one.
    TooLarge = "F002",
    /// The file is not text in UTF-8.
    Encoding = "F003",
    /// The text is not YAML.
    Syntax = "F004",
    /// Too deeply nested, or too many values.
    TooComplex = "F005",
    /// Nothing but comments and space.
    Empty = "F006",
    /// More than one YAML document.
    SeveralDocuments = "F007",
    /// An anchor, an alias or a merge key.
    Anchor = "F008",
    /// A tag or a directive.
    Tag = "F009",
    /// A key that was there before.
    DuplicateKey = "F010",
    /// A key that is a list or a map.
    KeyNotText = "F011",
    /// A key that the format does not have.
    UnknownKey = "F012",
    /// A key that must be there.
    MissingKey = "F013",
    /// A value of another type than the format has there.
    WrongType = "F014",
    /// A key without a value.
    NoValue = "F015",
    /// A value that is none of the few allowed ones.
    NotAllowed = "F016",
    /// A number outside its range.
    OutOfRange = "F017",
    /// A text that is not a duration, or a duration outside its range.
    Duration = "F018",
    /// More problems than we show.
    TooManyProblems = "F019",

    /// The name of a gateway is not a DNS-1123 label.
    GatewayName = "G001",
    /// The description is too long.
    Description = "G002",
    /// A label has a key or a value that does not fit.
    Label = "G003",
    /// An entry of `proxies` that selects nothing, or the same again.
    Proxies = "G004",
    /// A listener that the settings do not have.
    UnknownListener = "G005",
    /// A host in a form that Envoy would not match.
    Host = "G006",
    /// A host said twice, or in both `host` and `hosts`.
    HostTwice = "G007",
    /// A path in a form that would never match, or match too much.
    Path = "G008",
    /// A rewrite that is not a path.
    Rewrite = "G009",
    /// A name that is not the name of a request header, or one that has a meaning of its own.
    HeaderName = "G010",
    /// A host that is a pattern, where routes are divided by host.
    HostNotExact = "G011",

    /// `notify` that would never tell anything.
    Notify = "N001",
    /// A webhook that is told things and is no URL, or stands in the gateway file.
    NotifyUrl = "N002",

    /// Both `traffic` and `rollout`.
    TrafficAndRollout = "R001",
    /// A rollout between an upstream and itself.
    NothingToRelease = "R002",
    /// Steps that are no shares, or do not grow.
    Steps = "R003",
    /// A deadline that comes before a step could end.
    RolloutTimes = "R004",
    /// A confidence at which nothing could be decided.
    Confidence = "R005",
    /// A metric that comes twice, or a limit that is none.
    Metric = "R006",
    /// A metric of one's own, and nobody or two who are asked.
    MetricSource = "R007",
    /// A query that does not ask about one version.
    Query = "R008",
    /// Answers about a metric that overlap.
    MetricWindow = "R009",
    /// A URL that is not one of a server that can be asked.
    RemoteUrl = "R010",
    /// A shadow before the first step that gets no copies.
    ShadowFirst = "R011",
    /// Two shadows at one time.
    TwoShadows = "R012",
    /// A metric of predictions, and none are compared.
    NothingCompared = "R013",

    /// `serin.yaml`: not an address with a port.
    SocketAddress = "S001",
    /// `serin.yaml`: the name of a listener is not a DNS-1123 label.
    ListenerName = "S002",
    /// `serin.yaml`: `listeners` without a listener.
    NoListener = "S003",
    /// `serin.yaml`: a listener's address is not an IP address.
    ListenerAddress = "S004",
    /// `serin.yaml`: two listeners want one port.
    SamePort = "S005",
    /// `serin.yaml`: an empty path of a file or directory.
    EmptyPath = "S006",
    /// `serin.yaml`: an entry of `allow.san` that no certificate has, or none at all.
    AltName = "S007",
    /// `serin.yaml`: `store` is not a store.
    Store = "S008",
    /// `serin.yaml`: a TLS listener without a certificate, or with two ways to say which.
    ListenerCertificates = "S009",
    /// `serin.yaml`: the URL of Prometheus is none.
    PrometheusUrl = "S010",
    /// `serin.yaml`: a password stands in `store`.
    StorePassword = "S018",

    /// Traffic does not sum to 100.
    TrafficSum = "T001",
    /// An upstream is mentioned that does not exist.
    UnknownUpstream = "T002",
    /// Several upstreams and no word on how to split.
    NoTraffic = "T003",
    /// A weight that is not a percent with at most two decimals.
    Percent = "T004",
    /// A match without a condition.
    NoCondition = "T005",
    /// A pattern that says nothing, or two things.
    Pattern = "T006",
    /// A regular expression that Envoy would refuse.
    Regex = "T007",
    /// The name of a query parameter or a cookie that no request can have.
    ConditionName = "T008",
    /// More matches than Envoy should try for each request.
    TooManyMatches = "T009",
    /// `sessionAffinity` that says nothing, or two things.
    SessionAffinity = "T010",
    /// A shadow of more than half of the requests.
    ShadowShare = "T011",
    /// A shadow where requests have no limit of time.
    ShadowTimeout = "T012",
    /// A shadow of the upstream that answers everything.
    ShadowOfItself = "T013",
    /// A way to a part of an answer that is none.
    JsonPath = "T014",
    /// A tolerance or a similarity that is no such measure.
    Tolerance = "T015",
    /// `top1` beside what it leaves no room for.
    TopOne = "T016",
    /// A share of matches that no number of pairs proves, or that all have.
    MinMatch = "T017",
    /// Answers that are never compared.
    NotComparable = "T018",

    /// No upstream at all.
    NoUpstream = "U001",
    /// The name of an upstream is not a DNS-1123 label.
    UpstreamName = "U002",
    /// Not a URL that says just where a server is.
    Url = "U003",
    /// Neither `url` nor `endpoints`, or both.
    UrlOrEndpoints = "U004",
    /// An endpoint that is not `host:port`, or one twice.
    Endpoint = "U005",
    /// `https` without `tls`, or `tls` without `https`.
    Tls = "U006",
    /// The name in the server's certificate is unknown or malformed.
    ServerName = "U007",
    /// A certificate file that is not there, holds no certificate, or more than that.
    CertificateFile = "U008",
    /// What to ask in a health check does not fit the protocol.
    HealthCheck = "U009",
    /// A health check with times that do not fit together.
    HealthCheckTimes = "U010",
    /// A model or version text that is empty or too long.
    Revision = "U011",
    /// An upstream that gets no request.
    UnusedUpstream = "U012",
    /// More upstreams than one gateway can have.
    TooManyUpstreams = "U013",
    /// A client certificate without its key, or one that does not go with it.
    ClientCertificate = "U014",
    /// An edit that would give a gateway another name.
    OtherName = "W001",
    /// A file or a variable that is not looked at for who asks.
    NotLookedAt = "W002",
    /// An edit through the API that leads out of the directory of gateway files.
    LeadsOut = "W003",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_is_there_once_and_in_order() {
        let texts: Vec<_> = Code::ALL.iter().map(|c| c.as_str()).collect();
        assert!(texts.is_sorted_by(|a, b| a < b), "{texts:?}");
    }

    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors");
        let pages: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        let codes: BTreeSet<String> = Code::ALL.iter().map(ToString::to_string).collect();
        assert_eq!(codes, pages);
        for code in Code::ALL {
            let page = std::fs::read_to_string(format!("{folder}/{code}.md")).unwrap();
            assert!(page.starts_with(&format!("# {code}: ")), "{code} has another title");
        }
    }
}
