//! Words of users: what they surely meant, and how much of them a message repeats.

/// The longest part of a user's text that a message repeats, in characters.
const MAX_QUOTED: usize = 60;

/// A text short enough for a message.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The known word that was surely meant, if there is one.
pub(super) fn nearest<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if word.len() > 2 * MAX_QUOTED {
        return None;
    }
    let plain = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let word = plain(word);
    // No slip in a very short word, one in a short, two in a long one: more is another word.
    let slips = |k: &str| match k.chars().count().min(word.chars().count()) {
        0..=2 => 0,
        3..=5 => 1,
        _ => 2,
    };
    // `v2` and `v3` are two things and no slip.
    let letters = |text: &str| text.chars().filter(|c| !c.is_numeric()).collect::<String>();
    known
        .map(|k| (strsim::damerau_levenshtein(&word, &plain(k)), k))
        .filter(|(distance, k)| {
            *distance <= slips(k) && (*distance == 0 || letters(&word) != letters(&plain(k)))
        })
        .min()
        .map(|(_, k)| k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_understood_and_another_word_is_not() {
        let known = ["host", "hosts", "path", "traffic", "healthCheck", "upstreams"];
        let near = |word| nearest(word, known.into_iter());
        assert_eq!(near("trafic"), Some("traffic"));
        assert_eq!(near("health_check"), Some("healthCheck"));
        assert_eq!(near("Host"), Some("host"));
        assert_eq!(near("upstream"), Some("upstreams"));
        assert_eq!(near("shadow"), None);
        assert_eq!(near("a"), None);
        assert_eq!(nearest("fraud-v3", ["fraud-v1"].into_iter()), None);
        assert_eq!(nearest("v1", ["v2"].into_iter()), None);
    }
}
