//! Tests of the whole, against real sockets and a real Envoy: one program, one module for each room.

mod launch;
mod real;
