//! The gateway files on disk, as those change them who come by HTTP. One change at a time.

use super::problem::Problem;
use crate::config::{self, Attachment, Content, Document, Reference, Withheld};
use crate::replace::{self, Error};
use crate::resource::Version;
use crate::source::{Environment, attachments};
use axum::http::StatusCode;
use rustix::fs::Access;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Who may read a new file: it holds no secret.
const MODE: u32 = 0o644;

/// Where gateway files are, and what they refer to.
#[derive(Debug)]
pub struct Editor {
    directory: PathBuf,
    environment: Environment,
    one: Semaphore,
}

/// What becomes of a file.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Create(Vec<u8>),
    Replace { before: Vec<u8>, after: Vec<u8> },
    Remove { before: Vec<u8> },
}

/// Where a text that comes by HTTP may lead, beside where the file on disk leads: what is said of a file tells whether it
/// is there, and what is sent to a server of one's choice tells all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Nowhere: its author only looks.
    Nowhere,
    /// To files in the folder of the gateway file, and below.
    Below,
}

impl Reach {
    fn covers(self, reference: &Reference) -> bool {
        let is_below =
            |path: &Path| path.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        match (self, reference) {
            (Self::Nowhere, _) | (Self::Below, Reference::Environment(_)) => false,
            (Self::Below, Reference::File(path)) => is_below(path),
        }
    }

    fn why(self) -> Withheld {
        match self {
            Self::Nowhere => Withheld::Viewer,
            Self::Below => Withheld::Outside,
        }
    }
}

impl Editor {
    /// For the files of a directory.
    pub fn new(directory: PathBuf, environment: Environment) -> Arc<Self> {
        Arc::new(Self { directory, environment, one: Semaphore::new(1) })
    }

    /// Waits for one's turn; it ends when what is given back is dropped.
    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.one
            .acquire()
            .await
            .map_err(|_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Serin is stopping"))
    }

    /// Why a file cannot be changed, or without one, why no file can be created.
    pub(super) async fn hindrance(self: &Arc<Self>, file: Option<&str>) -> Option<String> {
        let folder = match file.and_then(|file| self.directory.join(file).parent().map(Path::to_path_buf)) {
            Some(folder) => folder,
            None => self.directory.clone(),
        };
        let path = file.map(|file| self.directory.join(file));
        blocking(move || hindrance(&folder, path.as_deref()))
            .await
            .unwrap_or_else(|problem| Some(problem.detail))
    }

    /// What a file holds.
    pub(super) async fn read(self: &Arc<Self>, file: &str) -> Result<Vec<u8>, Problem> {
        let path = self.directory.join(file);
        blocking(move || replace::read(&path)).await?.map_err(|e| problem(&e))
    }

    /// What a document refers to, as it is now, as far as its author reaches and as its file leads already.
    pub(super) async fn attached(
        self: &Arc<Self>,
        document: Document,
        reach: Reach,
    ) -> Result<BTreeMap<Reference, Attachment>, Problem> {
        let editor = Arc::clone(self);
        blocking(move || {
            let path = Arc::clone(&document.path);
            let present = replace::read(&editor.directory.join(&*path)).unwrap_or_default();
            let present = Document { path, content: Content::Text(present.into()) };
            let known = config::references(&present);
            let (looked, left): (BTreeSet<_>, BTreeSet<_>) =
                config::references(&document).into_iter().partition(|r| known.contains(r) || reach.covers(r));
            let mut found = attachments(&editor.directory, &editor.environment, looked);
            found.extend(left.into_iter().map(|reference| (reference, Attachment::Withheld(reach.why()))));
            found
        })
        .await
    }

    /// Changes a file, at once and for good.
    pub(super) async fn change(self: &Arc<Self>, file: &str, change: Change) -> Result<(), Problem> {
        let path = self.directory.join(file);
        let done = blocking(move || match change {
            Change::Create(bytes) => replace::create(&path, &bytes, MODE),
            Change::Replace { before, after } => replace::replace(&path, &before, &after),
            Change::Remove { before } => replace::remove(&path, &before),
        });
        done.await?.map_err(|e| problem(&e))
    }
}

/// The entity tag of a file.
pub(super) fn tag(bytes: &[u8]) -> String {
    format!("\"{}\"", Version::of(bytes))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the files cannot be reached: {e}"))
    })
}

fn hindrance(folder: &Path, path: Option<&Path>) -> Option<String> {
    if !folder.is_dir() {
        return Some("the directory of gateway files is not there".to_owned());
    }
    // Kubernetes swaps this link when it writes the files anew, over whatever somebody else wrote.
    if folder.join("..data").symlink_metadata().is_ok() {
        let why =
            "the gateway files are mounted from a ConfigMap or a Secret; change them where they come from";
        return Some(why.to_owned());
    }
    // Behind a link lies the file, and the new one is made beside it.
    let real = path.and_then(|path| path.canonicalize().ok());
    let beside = real.as_deref().and_then(Path::parent).unwrap_or(folder);
    let allowed = rustix::fs::access(beside, Access::WRITE_OK | Access::EXEC_OK);
    allowed.err().map(|_| {
        "Serin may not write in the directory of gateway files; change them where they come from".to_owned()
    })
}

fn problem(error: &Error) -> Problem {
    let status = match error {
        Error::Meanwhile(_) => StatusCode::PRECONDITION_FAILED,
        Error::File { source, .. } if source.kind() == ErrorKind::NotFound => StatusCode::NOT_FOUND,
        Error::Folder(..) | Error::Owner(..) => StatusCode::CONFLICT,
        Error::File { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    // Where the directory lies is nobody's business.
    let detail = match error {
        Error::Meanwhile(_) => {
            "the file was changed by somebody else meanwhile; look at it and try again".to_owned()
        }
        Error::Folder(_, why) => format!("Serin cannot write in the directory of gateway files: {why}"),
        Error::Owner(..) => "the file has another owner than Serin; change it as that owner".to_owned(),
        Error::File { source, .. } if source.kind() == ErrorKind::NotFound => "the file is gone".to_owned(),
        Error::File { verb, source, .. } => format!("Serin cannot {verb} the file: {source}"),
    };
    Problem::new(status, detail)
}
