//! Regular expressions that both this machine and Envoy's RE2 understand alike.
//!
//! Rust's `regex` has the syntax of RE2 with a few additions; those are refused, because Envoy would refuse the
//! whole route configuration for one of them.

use super::Wrong;
use crate::config::spelling::shorten;
use ::regex::RegexBuilder;
use regex_syntax::ast::{Ast, RepetitionKind, RepetitionRange};

const MAX_PATTERN: usize = 1000;
/// Of the compiled expression in bytes: far above any honest one.
const MAX_PROGRAM: usize = 1 << 20;
/// The most repetitions that RE2 takes (`kMaxRepeat` of its parser), also of one within others.
const MAX_REPEAT: u64 = 1000;

/// The general categories that RE2 knows (its `unicode_groups.cc`), by the very names that it has for them.
const CATEGORIES: &str = "Any C Cc Cf Co Cs L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl Zp Zs";
/// The scripts that RE2 knows. Rust knows more properties, such as `Emoji`, and more names for these.
const SCRIPTS: &str = "Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki \
    Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee \
    Chorasmian Common Coptic Cuneiform Cypriot Cypro_Minoan Cyrillic Deseret Devanagari Dives_Akuru Dogra \
    Duployan Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic Georgian Glagolitic Gothic Grantha Greek Gujarati \
    Gunjala_Gondi Gurmukhi Han Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic \
    Inherited Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kawi Kayah_Li \
    Kharoshthi Khitan_Small_Script Khmer Khojki Khudawadi Lao Latin Lepcha Limbu Linear_A Linear_B Lisu \
    Lycian Lydian Mahajani Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin \
    Meetei_Mayek Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar \
    Nabataean Nag_Mundari Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki \
    Old_Hungarian Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_Sogdian Old_South_Arabian \
    Old_Turkic Old_Uyghur Oriya Osage Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician \
    Psalter_Pahlavi Rejang Runic Samaritan Saurashtra Sharada Shavian Siddham SignWriting Sinhala Sogdian \
    Sora_Sompeng Soyombo Sundanese Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil \
    Tangsa Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Toto Ugaritic Vai Vithkuqi Wancho Warang_Citi \
    Yezidi Yi Zanabazar_Square";

/// Refuses what Envoy would refuse.
pub(super) fn check(text: &str) -> Result<(), Wrong> {
    let shown = shorten(text);
    let wrong = |what: String, help: &str| Err(Wrong::new(format!("the expression `{shown}` {what}"), help));
    if text.len() > MAX_PATTERN {
        return wrong("is very long".to_owned(), "shorten it to at most 1000 characters");
    }
    if let Err(error) = RegexBuilder::new(&with_ascii_classes(text)).size_limit(MAX_PROGRAM).build() {
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let help = if why.contains("look-around") || why.contains("backreference") {
            "write it without; RE2, which Envoy uses, has no look-around and no backreferences"
        } else {
            "write it in the syntax of RE2"
        };
        return wrong(format!("is not sound: {why}"), help);
    }
    let parsed = regex_syntax::ast::parse::Parser::new().parse(text);
    if parsed.is_ok_and(|ast| repetitions(&ast) > MAX_REPEAT) {
        let help = "RE2, which Envoy uses, takes no more, also of a repetition within another: `(a{50}){50}` is 2500";
        return wrong(format!("repeats a part of it more than {MAX_REPEAT} times"), help);
    }
    match addition(text) {
        Some(what) => {
            wrong(format!("has {what}, which Envoy's RE2 does not know"), "write it in the syntax of RE2")
        }
        None => Ok(()),
    }
}

/// Returns the expression with `\d`, `\w` and `\s` as RE2 has them: in ASCII. In Unicode, as here, `\w{1,63}` would be too
/// large.
fn with_ascii_classes(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let escaped = if c == '\\' { rest.next() } else { None };
        let Some(escaped) = escaped else {
            result.push(c);
            continue;
        };
        match escaped {
            'd' => result.push_str("[0-9]"),
            'D' => result.push_str("[^0-9]"),
            'w' => result.push_str("[0-9A-Za-z_]"),
            'W' => result.push_str("[^0-9A-Za-z_]"),
            's' => result.push_str(r"[\t\n\f\r ]"),
            'S' => result.push_str(r"[^\t\n\f\r ]"),
            _ => result.extend([c, escaped]),
        }
    }
    result
}

/// A part of a sound expression that RE2 does not have.
fn addition(text: &str) -> Option<&'static str> {
    let mut rest = text;
    let mut in_class = false;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        if c == '\\' {
            // An escape with what it escapes.
            let escaped = after.chars().next()?;
            if matches!(escaped, '<' | '>') || after.starts_with("b{") || (matches!(escaped, 'u' | 'U')) {
                return Some("an escape");
            }
            rest = &after[escaped.len_utf8()..];
            if matches!(escaped, 'p' | 'P') {
                let (name, behind) = property(rest)?;
                if ![CATEGORIES, SCRIPTS].iter().any(|known| known.split(' ').any(|k| k == name)) {
                    return Some("a class of characters");
                }
                rest = behind;
            }
            if escaped == 'x' && rest.starts_with('{') {
                rest = rest.split_once('}').map_or("", |(_, behind)| behind);
            }
            continue;
        }
        if in_class {
            if ["&&", "--", "~~"].iter().any(|operator| rest.starts_with(operator)) {
                return Some("an operation on classes");
            }
            if c == '[' && !after.starts_with(':') {
                return Some("a class within a class");
            }
            if c == '[' {
                rest = after.split_once(":]").map_or("", |(_, rest)| rest);
                continue;
            }
            in_class = c != ']';
        } else if c == '[' {
            in_class = true;
            // A bracket at the very beginning of a class is an ordinary character.
            let body = after.strip_prefix('^').unwrap_or(after);
            rest = body.strip_prefix(']').unwrap_or(body);
            continue;
        } else if let Some(flags) = after.strip_prefix('?').filter(|_| c == '(') {
            let flags: String = flags.chars().take_while(|c| c.is_ascii_alphabetic() || *c == '-').collect();
            if !flags.starts_with('P') && flags.contains(['x', 'R', 'u']) {
                return Some("a flag");
            }
        } else if matches!(c, '*' | '+' | '?' | '{') {
            let after = if c == '{' { after.split_once('}').map_or("", |(_, rest)| rest) } else { after };
            // As few as possible.
            rest = after.strip_prefix('?').unwrap_or(after);
            if rest.starts_with(['*', '+', '?', '{']) {
                return Some("a repetition of a repetition");
            }
            continue;
        }
        rest = after;
    }
    None
}

/// The name of a class such as `Lu` in `\p{Lu}` or `L` in `\pL`, and what follows it.
fn property(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('{') {
        Some(braced) => braced.split_once('}'),
        None => text.split_at_checked(text.chars().next()?.len_utf8()),
    }
}

/// Returns how often an expression repeats a part of it, counting repetitions within repetitions.
///
/// Sequences and alternatives repeat as often as the one among their parts that repeats most. `*`, `+` and `?` count once.
fn repetitions(ast: &Ast) -> u64 {
    let most = |parts: &[Ast]| parts.iter().map(repetitions).max().unwrap_or(1);
    match ast {
        Ast::Repetition(repetition) => {
            let times = match &repetition.op.kind {
                RepetitionKind::Range(
                    RepetitionRange::Exactly(n)
                    | RepetitionRange::AtLeast(n)
                    | RepetitionRange::Bounded(_, n),
                ) => *n,
                _ => 1,
            };
            repetitions(&repetition.ast).saturating_mul(u64::from(times.max(1)))
        }
        Ast::Group(group) => repetitions(&group.ast),
        Ast::Alternation(alternation) => most(&alternation.asts),
        Ast::Concat(concat) => most(&concat.asts),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_re2_knows_is_good() {
        for good in [
            "qa-.*",
            "^a+$",
            "[]a]",
            "[^]a]",
            "[[:alpha:]]+",
            r"\d{1,3}\.[a-z-]",
            "(?i)x",
            "(?P<n>a)",
            "(?:a|b)",
            "a{1000}",
            r"\p{Lu}\pL[\p{Greek}\PN]+",
            "a*?b+?c??d{2}?",
            r"\*+\?*",
            "[*+]?",
            r"\x{61}+\x61*",
            "(?i:a)?",
            "(a{10}b{100}){10}",
            "[a-z0-9-]{1,63}",
            r"[\w-]{1,63}",
            r"\w{21}\d{1,300}[^\s]{1,200}",
            r"[\W\d]+\\w",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn what_only_others_know_is_refused() {
        for bad in [
            "(",
            "a**b(",
            "(?=a)",
            "(?<!a)b",
            r"(a)\1",
            "[a&&b]",
            "[a[b]]",
            "(?x) a",
            "a{1001}",
            "(a{50}){50}",
            "((a{10,}b?){11}|c){10}",
            r"\<a",
            r"\u{61}",
            "(?u)a",
            r"\p{Emoji}",
            r"\p{Letter}",
            r"\p{greek}",
            r"[\p{sc=Greek}]",
            r"\p{Alphabetic}",
            "a**",
            "a+*",
            "a{2}{3}",
            "a??+",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
