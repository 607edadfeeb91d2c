//! A headers file: lines `name: value`, sent with requests that Serin makes.

use super::{Fault, Faults, lines};
use crate::diag::Code;
use crate::model::Secret;

const FORM: &str = "write lines such as `authorization: Bearer abc`";
/// What the connection itself is about, so that a file cannot say it.
const TAKEN: [&str; 8] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Reads a headers file; the names come in lower case.
pub(in crate::config) fn parse(text: &str) -> (Vec<(String, Secret)>, Faults) {
    let (mut headers, mut faults) = (Vec::<(String, Secret)>::new(), Faults::default());
    for (number, line) in lines(text) {
        match header(line) {
            Ok((name, _)) if headers.iter().any(|(known, _)| *known == name) => {
                let what = "the header of an earlier line comes again";
                faults.add(number, Fault::error(Code::HeadersFile, what, "give each header one line"));
            }
            Ok(header) => headers.push(header),
            Err(what) => faults.add(number, Fault::error(Code::HeadersFile, what, FORM)),
        }
    }
    (headers, faults)
}

/// Names are tokens and values visible, with spaces and tabs between (RFC 9110 sections 5.1 and 5.5).
fn header(line: &str) -> Result<(String, Secret), &'static str> {
    let (name, value) = line.split_once(':').ok_or("it is not of the form `name: value`")?;
    let is_token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("what stands before the colon is not the name of a header");
    }
    let name = name.to_ascii_lowercase();
    if TAKEN.contains(&name.as_str()) {
        return Err("the header belongs to the connection itself");
    }
    let value = value.trim_matches([' ', '\t']);
    let is_visible = |c: u8| c.is_ascii_graphic() || c == b' ' || c == b'\t';
    if value.is_empty() || !value.bytes().all(is_visible) {
        return Err("what follows the colon cannot be the value of a header");
    }
    Ok((name, Secret::new(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_header_and_its_spaces_are_its_own() {
        let (headers, faults) =
            parse("# of the monitoring team\nAuthorization:  Bearer a:b c \r\n\nx-scope-orgid:risk\n");
        let said: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.expose())).collect();
        assert_eq!(said, [("authorization", "Bearer a:b c"), ("x-scope-orgid", "risk")]);
        assert_eq!(faults, Faults::default());
    }

    #[test]
    fn a_line_that_is_no_header_is_never_shown() {
        let text = "tiger\n: tiger\ntig er: a\nhost: tiger\na:\na: tiger\u{7}\nb: 1\nB: tiger\n";
        let (headers, faults) = parse(text);
        assert_eq!(headers.len(), 1);
        let told: Vec<String> = faults.told("the file").map(|(_, message)| message).collect();
        assert_eq!(told.len(), 5, "{told:?}");
        assert!(told.iter().all(|t| !t.contains("tiger")), "{told:?}");
    }
}
