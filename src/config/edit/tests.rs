//! What an edit changes, and what it leaves alone.

#![expect(clippy::format_push_string, reason = "texts of tests read better as one format")]

use super::*;
use proptest::prelude::*;

fn weights(pairs: &[(&str, &str)]) -> Vec<(UpstreamName, Weight)> {
    pairs.iter().map(|(n, w)| (UpstreamName::new(n).unwrap(), Weight::parse(w).unwrap())).collect()
}

fn edit(text: &str, pairs: &[(&str, &str)]) -> Result<String, EditError> {
    set_weights(text, &weights(pairs))
}

const UPSTREAMS: &str = "upstreams: { v1: http://a, v2: http://b, v3: http://c }\n";

#[test]
fn only_the_numbers_change() {
    let text = "\u{feff}# 🐤\r\ntraffic:   # by hand\r\n  v1: 95.0   # old\r\n  \"v2\": '5'\r\n\r\n# end\r\nupstreams: { v1: http://a, v2: http://b }\r\n";
    let edited = edit(text, &[("v1", "74.5"), ("v2", "25.5")]).unwrap();
    assert_eq!(edited, text.replace("95.0", "74.5").replace("'5'", "'25.5'"));
}

#[test]
fn an_equal_weight_keeps_its_text_and_a_percent_sign_stays() {
    let text = format!("traffic: {{ v1: 95.00, v2: 5%, v3: 0 }}\n{UPSTREAMS}");
    assert_eq!(edit(&text, &[("v1", "95"), ("v2", "5")]).unwrap(), text);
    assert!(
        edit(&text, &[("v2", "4"), ("v3", "1")])
            .unwrap()
            .starts_with("traffic: { v1: 95.00, v2: 4%, v3: 1 }")
    );
}

#[test]
fn new_entries_are_written_like_their_neighbours() {
    let flow = format!("traffic: {{ v1: 100 }} # all\n{UPSTREAMS}");
    let edited = edit(&flow, &[("v1", "75"), ("v2", "20"), ("v3", "5")]).unwrap();
    assert!(edited.starts_with("traffic: { v1: 75, v2: 20, v3: 5 } # all\n"), "{edited}");
    let block = format!("traffic:\r\n    v1: 100 # all\r\n# next\r\n{UPSTREAMS}");
    let edited = edit(&block, &[("v1", "75"), ("v2", "25")]).unwrap();
    assert!(edited.starts_with("traffic:\r\n    v1: 75 # all\r\n    v2: 25\r\n# next\r\n"), "{edited}");
    let last = format!("{UPSTREAMS}traffic:\n  v1: 100");
    assert!(edit(&last, &[("v1", "0"), ("v2", "100")]).unwrap().ends_with("traffic:\n  v1: 0\n  v2: 100"));
    let empty = format!("traffic: {{}}\n{UPSTREAMS}");
    assert!(edit(&empty, &[("v1", "100")]).unwrap().starts_with("traffic: { v1: 100 }\n"));
    let numeric = "upstreams: { '1': http://a, '2': http://b }\ntraffic: { 1: 100 }\n";
    assert!(edit(numeric, &[("1", "50"), ("2", "50")]).unwrap().ends_with("traffic: { 1: 50, \"2\": 50 }\n"));
    let trailing = format!("traffic: {{ v1: 100, }}\n{UPSTREAMS}");
    assert!(
        edit(&trailing, &[("v1", "50"), ("v2", "50")]).unwrap().starts_with("traffic: { v1: 50, v2: 50, }\n")
    );
}

#[test]
fn what_cannot_be_edited_is_refused_with_a_sentence() {
    let refused =
        |text: &str, pairs: &[(&str, &str)]| edit(&format!("{UPSTREAMS}{text}"), pairs).unwrap_err();
    assert_eq!(refused("", &[("v1", "100")]), EditError::NoTraffic);
    assert_eq!(refused("traffic: [v1]\n", &[("v1", "100")]), EditError::NotWeights);
    assert_eq!(refused("traffic: { v1: most }\n", &[("v1", "100")]), EditError::NotWeights);
    assert_eq!(
        refused("traffic: { v1: |\n  100\n", &[("v1", "100")]),
        EditError::Broken("line 2: a text cannot begin with `|` in YAML".into())
    );
    assert_eq!(refused("traffic:\n  v1: |-\n    100\n", &[("v1", "100")]), EditError::Style("v1".into()));
    assert_eq!(refused("traffic: { v1: 95, v2: 5 }\n", &[("v1", "90")]), EditError::Sum(9500));
    assert_eq!(
        refused("traffic: { v1: 100 }\n", &[("v9", "100")]),
        EditError::UnknownUpstream(UpstreamName::new("v9").unwrap())
    );
    let anchored = refused("traffic: { v1: &x 50, v2: *x }\n", &[("v1", "40"), ("v2", "60")]);
    assert_eq!(
        anchored.to_string(),
        "the file cannot be edited before it is correct: line 2: anchors are not used in these files"
    );
}

/// A file with weights in any style, the places of its weights, and the weights.
fn files() -> impl Strategy<Value = (String, Vec<Range<usize>>, Vec<u32>)> {
    let quote = prop::sample::select(vec!["", "'", "\""]);
    let noise = prop::sample::select(vec![
        "",
        "# é: {}\n",
        "\n\n",
        "description: \"a: b\"\n",
        "labels: { traffic: x }\n",
    ]);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (0u32..=WHOLE, prop::collection::vec(quote, 2), flags, noise).prop_map(
        |(part, quotes, (flow, crlf, mark), noise)| {
            let numbers = [part, WHOLE - part];
            let mut text = format!("{noise}{UPSTREAMS}traffic:{}", if flow { " { " } else { "\n" });
            let mut places = Vec::new();
            for (i, (number, quote)) in numbers.iter().zip(&quotes).enumerate() {
                text += &format!("{}v{}: ", if flow { "" } else { "  " }, i + 1);
                let start = text.len();
                text += &format!("{quote}{}{quote}", Weight::new(*number).unwrap());
                places.push(start..text.len());
                text += match (flow, i) {
                    (true, 0) => ", ",
                    (true, _) => " }\n",
                    (false, _) => " # note\n",
                };
            }
            if crlf {
                let shift = |at: usize| at + text[..at].matches('\n').count();
                places = places.into_iter().map(|p| shift(p.start)..shift(p.end)).collect();
                text = text.replace('\n', "\r\n");
            }
            if mark {
                text.insert(0, '\u{feff}');
                places = places.into_iter().map(|p| p.start + 3..p.end + 3).collect();
            }
            (text, places, numbers.to_vec())
        },
    )
}

proptest! {
    #[test]
    fn an_edit_and_its_inverse_give_the_same_bytes((text, places, old) in files(), part in 0u32..=WHOLE) {
        let pairs = |parts: [u32; 2]| {
            let names = ["v1", "v2"].map(|n| UpstreamName::new(n).unwrap());
            names.into_iter().zip(parts.map(|p| Weight::new(p).unwrap())).collect::<Vec<_>>()
        };
        let edited = set_weights(&text, &pairs([part, WHOLE - part])).unwrap();
        // Outside the two values every byte is the same.
        prop_assert_eq!(&edited[..places[0].start], &text[..places[0].start]);
        let between = &text[places[0].end..places[1].start];
        prop_assert!(edited[places[0].start..].contains(between));
        prop_assert!(edited.ends_with(&text[places[1].end..]));
        prop_assert_eq!(set_weights(&edited, &pairs([old[0], old[1]])).unwrap(), text);
    }

    #[test]
    fn any_text_is_edited_or_refused(text in "(?s).{0,200}") {
        let _ = edit(&text, &[("v1", "100")]);
        let _ = edit(&format!("{UPSTREAMS}traffic: {text}"), &[("v1", "100")]);
        let _ = edit(&format!("{UPSTREAMS}traffic:\n  v1: {text}"), &[("v1", "100")]);
    }
}
