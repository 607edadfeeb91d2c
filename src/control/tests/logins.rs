//! Gateways whose people log in: what Envoys are told of them, and when.

use super::*;
use crate::control::{Fetch, Fetched};
use crate::model::{Endpoints, Metadata, Pem, SessionKey, TokenEndpoint};
use std::collections::BTreeSet;

const ISSUER: &str = "https://idp.test";
const KEYS: &str = "https://idp.test/keys";

fn login(name: &str, rest: &str) -> String {
    format!(
        "{}host: a.test\nproxies: [{name}]\nauthentication:\n  oauth2: {{ issuer: '{ISSUER}', clientId: c, clientSecretFile: {name}.secret{rest} }}\n",
        gateway(name)
    )
}

fn play() -> Play {
    let mut play = Play::new();
    let world = World::new(Settings::default()).with_session_key(SessionKey::new([7; 32]));
    play.world = world.with_authorities(&Pem::new(*b"PEM"));
    play.attach("a.secret", Attachment::private(*b"one"));
    play.attach("b.secret", Attachment::private(*b"two"));
    play
}

fn metadata(tls: bool) -> Event {
    let scheme = if tls { "https" } else { "http" };
    let uri = format!("{scheme}://localhost/token");
    let token = TokenEndpoint { uri, host: "localhost".into(), port: 443, tls, secret_in_body: false };
    let endpoints = Endpoints { authorization: format!("{ISSUER}/authorize"), token, end_session: None };
    let metadata = Metadata { endpoints, jwks_uri: KEYS.into() };
    Event::Fetched { what: Fetch::Metadata(ISSUER.into()), result: Ok(Fetched::Metadata(Arc::new(metadata))) }
}

fn names_for(play: &Play, audience: &str, kind: Kind) -> Vec<String> {
    play.world.fleet().snapshot(audience).set(kind).resources().map(|r| r.name().to_string()).collect()
}

/// Whether the routes of an audience name the login filter.
fn is_open(play: &Play, audience: &str) -> bool {
    let fleet = play.world.fleet();
    let mut routes = fleet.snapshot(audience).set(Kind::Route).resources();
    let text = b"OAuth2PerRoute";
    routes.any(|r| r.message().windows(text.len()).any(|w| w == text))
}

#[test]
fn secrets_are_told_to_those_who_serve_the_gateway_and_to_no_others() {
    let mut play = play();
    play.write("a.yaml", login("a", ""));
    play.write("b.yaml", login("b", ""));
    assert_eq!(names_for(&play, "a", Kind::Secret), [""; 0], "nothing is known of the provider");
    assert!(!is_open(&play, "a"));
    play.event(metadata(true));
    for name in ["a", "b"] {
        let own = [format!("oauth2/{name}/client"), format!("oauth2/{name}/session")];
        assert_eq!(
            names_for(&play, name, Kind::Secret),
            ["ca/system".to_owned(), own[0].clone(), own[1].clone()]
        );
        assert_eq!(names_for(&play, name, Kind::Cluster), [format!("{name}/_oauth2"), format!("{name}/v1")]);
        assert!(is_open(&play, name));
    }
    assert!(play.snapshot().resources().all(|r| r.kind() == Kind::Runtime), "others hear of nothing");
    play.event(metadata(false));
    assert!(!names_for(&play, "a", Kind::Secret).contains(&"ca/system".to_owned()), "plain text needs none");
}

#[test]
fn authorities_stay_until_the_last_login_is_gone() {
    let mut play = play();
    for name in ["a", "b"] {
        play.write(&format!("{name}.yaml"), login(name, "").replace(&format!("[{name}]"), "[edge]"));
    }
    play.event(metadata(true));
    let is_told = |play: &Play| names_for(play, "edge", Kind::Secret).contains(&"ca/system".to_owned());
    let same = |play: &Play| {
        let (now, anew) = (play.world.fleet(), play.world.rebuilt().0);
        assert_eq!(versions(now.snapshot("edge")), versions(anew.snapshot("edge")));
    };
    assert!(is_told(&play));
    for (name, stays) in [("a", true), ("b", false)] {
        play.write(&format!("{name}.yaml"), format!("{}proxies: [edge]\n", gateway(name)));
        assert!(is_told(&play), "what {name} had stays for a while");
        play.wait(LINGER);
        assert_eq!(is_told(&play), stays, "after {name}");
        same(&play);
    }
}

#[test]
fn a_new_client_secret_is_one_secret_and_a_broken_one_changes_nothing() {
    let mut play = play();
    play.write("a.yaml", login("a", ""));
    play.event(metadata(true));
    let of = |play: &Play| Arc::clone(play.world.fleet().snapshot("a"));
    let before = of(&play);
    play.attach("a.secret", Attachment::private(*b"three\n"));
    assert_eq!(changed(&before, &of(&play)), [(Kind::Secret, "oauth2/a/client".into())]);
    let before = of(&play);
    for broken in [Attachment::Missing, Attachment::private(*b""), Attachment::private(*b"a\nb")] {
        play.attach("a.secret", broken);
        assert!(Arc::ptr_eq(&before, &of(&play)) && play.gateway("a").phase == Phase::Invalid);
    }
}

#[test]
fn what_was_fetched_last_counts_and_keys_are_wanted_where_tokens_are_verified() {
    let mut play = play();
    play.write("a.yaml", login("a", ", acceptBearer: true"));
    let wanted = |play: &mut Play| play.world.view().fetches;
    let provider = Fetch::Metadata(ISSUER.into());
    assert_eq!(*wanted(&mut play), BTreeSet::from([provider.clone()]));
    play.event(Event::Fetched { what: provider.clone(), result: Err("no".into()) });
    assert_eq!((play.codes("a"), play.gateway("a").phase), (vec!["A025", "E003"], Phase::Invalid));
    play.event(metadata(true));
    let keys = Fetch::Keys(KEYS.into());
    assert_eq!(*wanted(&mut play), BTreeSet::from([provider.clone(), keys.clone()]));
    assert!(!is_open(&play, "a"), "its keys are not there");
    play.event(Event::Fetched { what: keys.clone(), result: Ok(Fetched::Keys("{}".into())) });
    assert!(is_open(&play, "a"));
    let before = play.world.fleet();
    for what in [provider, keys] {
        play.event(Event::Fetched { what, result: Err("no".into()) });
    }
    assert_eq!(
        (play.codes("a"), play.gateway("a").phase),
        (vec!["A025", "E002", "E003"], Phase::Of(rollout::Phase::Stable))
    );
    assert!(Arc::ptr_eq(before.snapshot("a"), play.world.fleet().snapshot("a")));

    // Without keys to verify, none are wanted.
    play.write("a.yaml", login("a", ""));
    assert_eq!(*wanted(&mut play), BTreeSet::from([Fetch::Metadata(ISSUER.into())]));
}

#[test]
fn without_a_key_there_is_no_secret_to_log_in_with() {
    let mut play = Play::new();
    play.attach("a.secret", Attachment::private(*b"one"));
    play.write("a.yaml", login("a", ""));
    play.event(metadata(false));
    assert_eq!(names_for(&play, "a", Kind::Secret), ["oauth2/a/client"]);
}
