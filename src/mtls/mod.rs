//! Who comes in on our ports: TCP, and TLS, in which on the xDS port both sides show certificates.
//!
//! Files become [`Credentials`] outside of any connection, so that a broken file never meets a client. A new
//! connection takes the newest credentials; those that exist go on with what they began with. A handshake that
//! fails ends its own connection and nothing else: the server behind hears only of those that succeeded.

mod accept;
mod connection;
mod credentials;
mod names;

pub use accept::{Door, plain, secure};
pub use connection::Connection;
pub use credentials::{Credentials, Files, Unusable};
