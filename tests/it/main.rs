//! Tests of the crate from outside, in one program.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic")]

mod bad_files;
