//! Parts that the load generator and the floor share.

pub mod client;
pub mod codec;
pub mod proc;
pub mod shared;
pub mod wire;
