//! Each turn looks at what changed only. It must come to the same as looking at everything.

use super::*;
use crate::model::Routing;
use crate::snapshot::Fleet;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn layout() -> impl Strategy<Value = Settings> {
    prop::sample::select(&Routing::ALL[..]).prop_map(|routing| Settings { routing, ..Settings::default() })
}

/// What happens to one of a few files that often want the same.
#[derive(Clone, Debug)]
enum Step {
    Write {
        file: usize,
        name: usize,
        path: usize,
        proxies: usize,
        weight: u32,
    },
    Break {
        file: usize,
        name: usize,
    },
    Remove {
        file: usize,
    },
    /// Of the resources that Envoys are told, one is taken or refused.
    Verdict {
        at: usize,
        taken: bool,
    },
    Wait {
        millis: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = (0usize..6, 0usize..6, 0usize..4, 0usize..4, 0u32..3)
        .prop_map(|(file, name, path, proxies, weight)| Step::Write { file, name, path, proxies, weight });
    let others = prop_oneof![
        (0usize..6, 0usize..6).prop_map(|(file, name)| Step::Break { file, name }),
        (0usize..6).prop_map(|file| Step::Remove { file }),
        (0usize..20, any::<bool>()).prop_map(|(at, taken)| Step::Verdict { at, taken }),
        prop_oneof![Just(300u64), Just(6_000), Just(31_000)].prop_map(|millis| Step::Wait { millis }),
    ];
    prop::collection::vec(prop_oneof![3 => write, 2 => others], 1..40)
}

fn text(name: usize, path: usize, proxies: usize, weight: u32) -> String {
    let proxies = ["", "proxies: [edge]\n", "proxies: [lab]\n", "proxies: [edge, lab]\n"][proxies];
    // Some are there for gRPC without a proxy, with one weight or another.
    let protocol = if (name + usize::try_from(weight).unwrap()).is_multiple_of(2) { "grpc" } else { "http1" };
    let upstream = |n: u32| format!("v{n}: {{ endpoints: [\"10.0.0.{n}:80\"], protocol: {protocol} }}");
    let traffic = match weight {
        0 => format!("upstreams: {{ {} }}\n", upstream(1)),
        n => {
            let compared = if protocol == "http1" { "shadow: { upstream: v2, compare: {} }\n" } else { "" };
            format!(
                "traffic: {{ v1: {n}, v2: {} }}\nupstreams: {{ {}, {} }}\n{compared}",
                100 - n,
                upstream(1),
                upstream(2)
            )
        }
    };
    format!(
        "apiVersion: serin/v1\nname: g{name}\nhosts: [h{path}.example.com, all.example.com]\npath: /p{path}\n{proxies}{traffic}"
    )
}

impl Play {
    fn step(&mut self, step: &Step) {
        let file = |n: usize| format!("{n}.yaml");
        match step {
            Step::Write { file: f, name, path, proxies, weight } => {
                self.write(&file(*f), text(*name, *path, *proxies, *weight));
            }
            Step::Break { file: f, name } => self.write(&file(*f), broken(&format!("g{name}"))),
            Step::Remove { file: f } => self.remove(&file(*f)),
            Step::Wait { millis } => self.wait(Duration::from_millis(*millis)),
            Step::Verdict { at, taken } => {
                let snapshot = self.snapshot();
                let Some(resource) = snapshot.resources().nth(*at).cloned() else { return };
                let kind = resource.kind();
                self.event(if *taken {
                    let first = if resource.accept() { vec![resource] } else { Vec::new() };
                    takes(kind, first)
                } else {
                    refuses(kind, vec![resource], "no")
                });
            }
        }
    }
}

fn all(fleet: &Fleet) -> BTreeMap<String, Vec<(Kind, String, Version)>> {
    let named = fleet.named.iter().map(|(name, snapshot)| (name.to_string(), versions(snapshot)));
    named.chain([(String::new(), versions(&fleet.everyone))]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_patched_is_what_would_be_built(settings in layout(), steps in steps()) {
        let mut play = Play::with(settings);
        // Nothing is told before the first files.
        play.files(&[]);
        for step in &steps {
            play.step(step);
            let fleet = play.world.fleet();
            let (whole, files) = play.world.rebuilt();
            prop_assert_eq!(all(&fleet), all(&whole), "after {:?}", step);
            for (patched, whole) in fleet.snapshots().zip(whole.snapshots()) {
                prop_assert_eq!(patched.version(), whole.version());
            }
            prop_assert_eq!(play.world.serving_files(), files, "after {:?}", step);
        }
    }

    /// The views of some files stay, or are made again: the same as if nothing had been known.
    #[test]
    fn what_people_see_does_not_depend_on_when_they_look(steps in steps()) {
        let (mut often, mut once) = (Play::new(), Play::new());
        for step in &steps {
            often.step(step);
            once.step(step);
            let view = often.world.view();
            let busy: Vec<_> = view.gateways.values().filter(|gateway| gateway.is_busy()).collect();
            prop_assert_eq!(busy, view.busy.values().collect::<Vec<_>>());
        }
        prop_assert_eq!(often.world.view().gateways, once.world.view().gateways);
    }
}

/// Each host is a resource of its own: an edit changes those of its gateway, and Envoy's no names only these.
mod scoped {
    use super::*;

    fn scoped() -> Play {
        Play::with(Settings { routing: Routing::Scoped, ..Settings::default() })
    }

    fn on_host(name: &str, hosts: &str, v1: u32) -> String {
        split(name, v1).replace("path:", &format!("hosts: [{hosts}]\npath:"))
    }

    #[test]
    fn an_edit_changes_the_hosts_of_its_gateway() {
        let mut play = scoped();
        play.files(&[
            ("a", Some(on_host("a", "x.example.com, y.example.com", 90))),
            ("b", Some(on_host("b", "y.example.com", 90))),
            ("c", Some(on_host("c", "z.example.com", 90))),
        ]);
        let names = ["x", "y", "z"].map(|host| format!("host/default/{host}.example.com"));
        assert_eq!(play.names(Kind::Route), names);
        assert_eq!(play.names(Kind::ScopedRoute), names);
        let before = play.snapshot();
        play.write("c", on_host("c", "z.example.com", 50));
        assert_eq!(changed(&before, &play.snapshot()), [(Kind::Route, names[2].clone())]);
        let before = play.snapshot();
        play.write("a", on_host("a", "x.example.com, y.example.com", 50));
        let routes = [(Kind::Route, names[0].clone()), (Kind::Route, names[1].clone())];
        assert_eq!(changed(&before, &play.snapshot()), routes);
        let before = play.snapshot();
        play.write("a", on_host("a", "y.example.com", 50));
        let [x, ..] = names;
        assert_eq!(changed(&before, &play.snapshot()), [(Kind::ScopedRoute, x.clone()), (Kind::Route, x)]);
    }

    #[test]
    fn a_refused_host_is_blamed_on_its_gateways_alone() {
        let mut play = scoped();
        play.files(&[
            ("a", Some(on_host("a", "x.example.com", 90))),
            ("b", Some(on_host("b", "y.example.com", 90))),
            ("c", Some(on_host("c", "y.example.com", 90))),
        ]);
        let refuse = |play: &mut Play| {
            let route = play.snapshot().get(Kind::Route, "host/default/y.example.com").cloned().unwrap();
            let (kind, resources) = (Kind::Route, vec![route]);
            play.event(refuses(kind, resources, "no"));
        };
        // Of the two on that host one steps back; the other is asked for alone, and is the one.
        refuse(&mut play);
        assert!(!play.routes_say("/c") && play.routes_say("/a") && play.routes_say("/b"));
        refuse(&mut play);
        assert_eq!((play.codes("a"), play.codes("b"), play.codes("c")), (vec![], vec!["E001"], vec![]));
        assert!(!play.routes_say("/b") && play.routes_say("/c"));
    }

    #[test]
    fn a_gateway_without_exact_hosts_is_refused() {
        let mut play = scoped();
        play.files(&[
            ("a", Some(gateway("a"))),
            ("b", Some(on_host("b", "\"*.example.com\"", 90))),
            ("c", Some(on_host("c", "z.example.com", 90))),
        ]);
        assert_eq!((play.codes("a"), play.codes("b")), (vec!["G011"], vec!["G011"]));
        assert!(!play.is_serving("a") && !play.is_serving("b") && play.is_serving("c"));
    }
}
