//! Tests of the whole, against real sockets and a real Envoy: one program, one module for each room.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic")]

mod admin;
mod bad_files;
mod cli;
mod docs;
mod e2e;
mod examples;
mod golden;
mod grafana;
mod launch;
mod others;
mod postgres;
mod prometheus;
mod protocol;
mod real;
mod schema;
mod store;
mod ui;
mod vectors;
