//! Which Envoys there are, and what they can take.

/// The oldest and the newest release line that this Serin was tried with. Envoy maintains the last four
/// (<https://github.com/envoyproxy/envoy/blob/main/RELEASES.md>).
const OLDEST: (u32, u32) = (1, 36);
const NEWEST: (u32, u32) = (1, 40);

/// The release line that an Envoy states; `None`: it states none.
pub fn release(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

/// What is to be said of an Envoy of a version that this Serin was not tried with; `None`: it was, or the Envoy states none.
pub fn unknown_version(version: &str) -> Option<String> {
    let stated = release(version).filter(|release| *release != (0, 0))?;
    let (why, then) = match stated {
        stated if stated < OLDEST => ("older", "what it cannot take is refused or passed over in silence"),
        stated if stated > NEWEST => ("newer", "look whether it takes what it is told"),
        _ => return None,
    };
    let ((major, first), (_, last)) = (OLDEST, NEWEST);
    Some(format!("is {why} than those that Serin was tried with ({major}.{first} to {major}.{last}); {then}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_releases_that_were_tried_are_known() {
        for known in ["1.36.0", "1.40.7", "", "text"] {
            assert_eq!(unknown_version(known), None, "{known}");
        }
        assert!(unknown_version("1.35.9").unwrap().contains("older than those"));
        assert!(unknown_version("1.41.0").unwrap().contains("newer than those"));
        assert!(unknown_version("2.0.0").unwrap().contains("newer than those"));
    }
}
