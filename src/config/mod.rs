//! x
mod source; mod tree; mod problems; mod yaml; mod raw;
use std::sync::Arc;
pub struct Document { pub path: Arc<str>, pub content: Content }
pub enum Content { Text(Arc<[u8]>), TooLarge(u64), Unreadable(String) }
#[test] fn s() { println!("{}", serde_json::to_string_pretty(raw::gateway_schema()).unwrap()); }
