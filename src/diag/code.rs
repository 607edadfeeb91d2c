//! stub
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Code { E001, E002 }
