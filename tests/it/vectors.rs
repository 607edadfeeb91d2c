//! The test vectors of the decision procedure, in `tests/vectors`: after every report, every number.
#![cfg(test)]

use crate::examples::{entries, project};
use serin::simulate::{Restart, replay};

fn all(restart: Restart) {
    let files = entries(&project("tests/vectors"));
    let mut checked = 0;
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        checked += replay(&text, restart).unwrap_or_else(|e| panic!("{}: {e}", file.display())).checked;
    }
    assert!(files.len() >= 20 && checked >= 1_700, "{} files, {checked} reports", files.len());
}

#[test]
fn every_report_gives_the_numbers_of_the_reference() {
    all(Restart::AsWritten);
}

#[test]
fn a_restart_after_any_report_changes_nothing() {
    all(Restart::Always);
}
