//! stub
use crate::diag::*; use crate::model::*; use crate::names::*; use std::collections::*; use std::path::PathBuf; use std::sync::Arc;
#[derive(Clone, Debug, PartialEq, Eq)] pub struct Document { pub path: Arc<str>, pub content: Content }
#[derive(Clone, Debug, PartialEq, Eq)] pub enum Content { Text(Arc<[u8]>), TooLarge(u64), Unreadable(String) }
#[derive(Debug)] pub struct Context<'a> { pub listeners: &'a BTreeSet<ListenerName>, pub attached: &'a BTreeMap<PathBuf, Attachment> }
#[derive(Clone, Debug, PartialEq, Eq)] pub enum Attachment { Bytes(Arc<[u8]>), Missing, Unreadable(String), TooLarge(u64) }
#[derive(Clone, Debug)] pub struct Loaded { pub name: Option<GatewayName>, pub gateway: Option<Arc<Gateway>>, pub diagnostics: Vec<Diagnostic>, pub references: BTreeSet<PathBuf> }
pub fn load(_document: &Document, _context: &Context<'_>) -> Loaded { loop {} }
pub fn references(_document: &Document) -> BTreeSet<PathBuf> { loop {} }
pub fn conflicts<'a>(_loaded: impl IntoIterator<Item = &'a Loaded>) -> Vec<(usize, Diagnostic)> { loop {} }
