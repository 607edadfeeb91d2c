//! Tests of the whole, against real sockets and a real Envoy: one program, one module for each room.

mod bad_files;
mod launch;
mod real;
