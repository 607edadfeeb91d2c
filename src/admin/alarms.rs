//! `GET /api/v1/alarms`: what somebody should look at that is about no gateway in particular. Pages show it above everything.

use super::Sources;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;

/// The answer.
#[derive(Debug, PartialEq, Serialize)]
pub struct Alarms {
    /// Those of now.
    pub alarms: Vec<Alarm>,
}

/// Something that is wrong with the gateway files as a whole, or with the store.
#[derive(Debug, PartialEq, Serialize)]
pub struct Alarm {
    /// `unlisted`: a directory cannot be listed; `vanished`: all files are gone at once; `store`: what happens is not kept.
    pub kind: &'static str,
    /// The directory, by its path below that of the gateway files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<Arc<str>>,
    /// A sentence.
    pub message: String,
}

pub(super) async fn all(State(sources): State<Sources>) -> Json<Alarms> {
    Json(sources.alarms())
}

impl Sources {
    /// The alarms of now.
    pub(super) fn alarms(&self) -> Alarms {
        let unlisted = self.unlisted.load();
        let alarm = |(directory, message): (&Arc<str>, String)| {
            let directory = Some(Arc::clone(directory));
            Alarm { kind: "unlisted", directory, message }
        };
        let vanished = self.view.load().all_vanished.then(|| Alarm {
            kind: "vanished",
            directory: None,
            message: "all gateway files are gone at once; everything serves on until one is back".to_owned(),
        });
        let store = self.store.status().load().failure.as_ref().map(|why| Alarm {
            kind: "store",
            directory: None,
            message: format!("what happens cannot be kept, and traffic goes on as it is: {why}"),
        });
        let files = unlisted.sentences(self.is_ready()).map(alarm).chain(vanished);
        Alarms { alarms: files.chain(store).collect() }
    }
}
