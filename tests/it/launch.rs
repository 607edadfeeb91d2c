//! The launch room: Envoy found, installed, bootstrapped and run; toy servers and load.
#![cfg(test)]

mod bootstrap;
#[cfg(target_os = "linux")] // looks for what is left behind in /proc
mod child;
mod install;
mod toys;
