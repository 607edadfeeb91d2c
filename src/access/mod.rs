//! Who comes in on the HTTP port: tokens in a file, and the sessions of people who showed one.
//!
//! Tokens are random, 256 bits, so a plain hash hides them: nobody finds one by trying. A session is worth what its token
//! is worth: it ends with the token's line in the file, and counts as much as that line says now.

mod guard;
pub mod run;
mod tokens;

pub use guard::{Denied, Guard, LIFETIME};
pub use run::Key;
pub use tokens::{Digest, Identity, Role, Tokens, WrongName, line, token};
