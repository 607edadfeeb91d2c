//! What operators may say in which phase.

use super::*;

const VERBS: [Verb; 8] = [
    Verb::Promote { full: false },
    Verb::Promote { full: true },
    Verb::Abort,
    Verb::Pause,
    Verb::Resume,
    Verb::Retry,
    Verb::SetWeight(Weight::ALL),
    Verb::Undo { to_revision: None },
];

/// A rollout in a phase.
fn in_phase(phase: Phase) -> Play {
    let mut play = Play::begun(plan());
    match phase {
        Phase::Stable => {
            play.plan.identity = Identity { primary: side("v2", "2.0"), canary: side("v2", "2.0") };
            play.adopt();
        }
        Phase::Waiting => play = Play::new(plan()),
        Phase::Progressing => {}
        Phase::Holding => {
            play.pass(Duration::from_mins(1));
            play.input(&Input::Tick);
        }
        Phase::Paused => drop(play.order(Verb::Pause).unwrap()),
        Phase::Baking | Phase::Promoted => drop(play.until(phase, 1000.0, (0.0, 0.0))),
        Phase::RolledBack => drop(play.order(Verb::Abort).unwrap()),
    }
    assert_eq!(play.state.phase, phase);
    play
}

#[test]
fn each_phase_allows_its_orders() {
    use Phase::{Baking, Holding, Paused, Progressing, Promoted, RolledBack, Stable, Waiting};
    // For each of VERBS: where it leads to; `-`: refused; `=`: there is nothing to do.
    let table = [
        (Stable, ["-", "-", "=", "-", "-", "-", "-", "-"]),
        (Waiting, ["-", "-", "RolledBack", "Paused", "-", "-", "Paused", "-"]),
        (Progressing, ["Progressing", "Promoted", "RolledBack", "Paused", "-", "-", "Paused", "Paused"]),
        (Holding, ["Progressing", "Promoted", "RolledBack", "Paused", "-", "-", "Paused", "Paused"]),
        (Paused, ["Progressing", "Promoted", "RolledBack", "=", "Progressing", "-", "Paused", "Paused"]),
        (Baking, ["Promoted", "Promoted", "RolledBack", "Paused", "-", "-", "Paused", "Paused"]),
        (Promoted, ["=", "=", "=", "-", "-", "-", "Paused", "RolledBack"]),
        (RolledBack, ["-", "-", "=", "-", "-", "Waiting", "-", "-"]),
    ];
    for (phase, expected) in table {
        for (verb, expected) in VERBS.into_iter().zip(expected) {
            let mut play = in_phase(phase);
            let before = play.state.clone();
            let came = match play.order(verb) {
                Ok(outcome) if outcome.changed => play.state.phase.as_str(),
                Ok(_) => "=",
                Err(Refusal::NotNow { .. }) => "-",
                Err(other) => panic!("{other}"),
            };
            assert_eq!(came, expected, "{verb:?} in {phase}");
            assert_eq!(matches!(came, "=" | "-"), play.state == before, "{verb:?} in {phase}");
        }
    }
}

#[test]
fn a_weight_by_hand_stays_until_somebody_goes_on() {
    let mut play = in_phase(Phase::Progressing);
    play.order(Verb::SetWeight(percent("30"))).unwrap();
    for _ in 0..100 {
        play.second(1000.0, (0.0, 0.0));
    }
    assert_eq!((play.state.phase, play.state.weight), (Phase::Paused, percent("30")));
    play.order(Verb::Resume).unwrap();
    play.second(1000.0, (0.0, 0.0));
    // The next step above; the evidence was there.
    assert_eq!(play.state.weight, percent("50"));
    play.order(Verb::SetWeight(Weight::NONE)).unwrap();
    play.order(Verb::Resume).unwrap();
    assert_eq!((play.state.phase, play.state.weight), (Phase::Waiting, Weight::NONE));
}

#[test]
fn undo_goes_back_to_a_weight_of_this_release() {
    let mut play = in_phase(Phase::Baking);
    play.order(Verb::Undo { to_revision: None }).unwrap();
    assert_eq!((play.state.phase, play.state.weight), (Phase::Paused, percent("50")));
    let first = play.state.weights.iter().find(|w| w.weight == percent("5")).unwrap().revision;
    play.order(Verb::Undo { to_revision: Some(first) }).unwrap();
    assert_eq!((play.state.phase, play.state.weight), (Phase::Paused, percent("5")));
    let unknown = play.order(Verb::Undo { to_revision: Some(99) }).unwrap_err().to_string();
    assert!(unknown.contains("revision 99 is none"), "{unknown}");
    assert!(unknown.contains(&format!("1 (0 %), {first} (5 %)")), "{unknown}");
}

#[test]
fn an_order_for_another_revision_is_a_conflict() {
    let play = in_phase(Phase::Progressing);
    let said = |revision| Order {
        verb: Verb::Pause,
        actor: "ann".to_owned(),
        reason: None,
        if_revision: Some(revision),
    };
    let revision = play.state.revision;
    assert_eq!(
        order(&play.plan, &play.state, &said(revision - 1), play.now).unwrap_err(),
        Refusal::Conflict { expected: revision - 1, found: revision }
    );
    assert!(order(&play.plan, &play.state, &said(revision), play.now).is_ok());
}

#[test]
fn a_release_that_ended_says_what_to_write() {
    let mut play = in_phase(Phase::Promoted);
    let outcome = play.order(Verb::Promote { full: false }).unwrap();
    assert_eq!(outcome.patch.as_deref(), Some("rollout:\n  primary: v2\n"));
    let entry = play.told.last().unwrap();
    assert_eq!((entry.actor.as_str(), &entry.reason), (ENGINE, &None));
    play.order(Verb::Undo { to_revision: None }).unwrap();
    let entry = play.told.last().unwrap();
    assert_eq!((entry.actor.as_str(), entry.reason.as_deref()), ("ann", Some("trial")));
    assert!(entry.message.ends_with("ann said so: trial"), "{}", entry.message);
    // Once the file says so as well, it is the file that takes it back.
    let refused = in_phase(Phase::Stable).order(Verb::Undo { to_revision: None }).unwrap_err().to_string();
    assert!(
        refused.contains("v2 is the primary of the file") && refused.contains("as `canary`"),
        "{refused}"
    );
}
