//! The gateway files on disk, as those change them who come by HTTP. One change at a time, each to its end: a task of its
//! own carries them out, so that nobody who hangs up leaves half a change behind, or one that the journal does not know.

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
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch as signal;
use tokio::sync::{mpsc, oneshot};

/// Who may read a new file: it holds no secret.
const MODE: u32 = 0o644;
/// Changes that may wait for their turn; more wait to wait.
const QUEUE: usize = 64;

/// Where gateway files are, and what they refer to.
#[derive(Debug)]
pub struct Editor {
    directory: PathBuf,
    environment: Environment,
    edits: mpsc::Sender<Edit>,
}

/// A change from its beginning to its end.
type Edit = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The task to be, which carries out the changes one after the other.
#[derive(Debug)]
pub struct Edits(mpsc::Receiver<Edit>);

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
    /// For the files of a directory, and the task without which nothing is changed.
    pub fn new(directory: PathBuf, environment: Environment) -> (Arc<Self>, Edits) {
        let (edits, queue) = mpsc::channel(QUEUE);
        (Arc::new(Self { directory, environment, edits }), Edits(queue))
    }

    /// Carries out a change when its turn has come. Whoever goes away before that changes nothing; afterwards it goes on
    /// to its end without them. Turns end when their change does.
    pub(super) async fn in_turn<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, Problem>> + Send + 'static,
    ) -> Result<T, Problem> {
        let (asker, answer) = oneshot::channel();
        let edit = async move {
            if !asker.is_closed() {
                // Whoever asked may be gone now, and what is done is done.
                let _ = asker.send(change.await);
            }
        };
        let stopping = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Serin is stopping");
        self.edits.send(Box::pin(edit)).await.map_err(|_| stopping())?;
        answer.await.unwrap_or_else(|_| Err(stopping()))
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

    /// Thinks about what a file should hold, which may take a moment.
    pub(super) async fn edited(
        edit: impl FnOnce() -> Result<Vec<u8>, Problem> + Send + 'static,
    ) -> Result<Vec<u8>, Problem> {
        blocking(edit).await?
    }

    /// Changes a file, at once and for good.
    pub(super) async fn change(self: &Arc<Self>, file: &str, change: Change) -> Result<(), Problem> {
        let path = self.directory.join(file);
        let done = blocking(move || match change {
            Change::Create(bytes) => replace::create(&path, &bytes, MODE),
            Change::Replace { before, after } => replace::replace(&path, &before, &after),
            Change::Remove { before } => replace::remove(&path, &before),
        });
        done.await?.map_err(|error| match error {
            Error::Exists(_) => {
                let why = format!(
                    "there is a file {file} already, which is of another gateway or of none; give that file another name, \
                     then create this gateway again"
                );
                Problem::new(StatusCode::CONFLICT, why)
            }
            error => problem(&error),
        })
    }
}

impl Edits {
    /// Runs until `stopped` is true; a change that is under way then is carried out.
    pub async fn run(mut self, mut stopped: signal::Receiver<bool>) {
        loop {
            let edit = tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => return,
                edit = self.0.recv() => edit,
            };
            let Some(edit) = edit else { return };
            edit.await;
        }
    }
}

/// The entity tag of a file.
pub(super) fn tag(bytes: &[u8]) -> String {
    Version::of(bytes).tag()
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
        Error::Exists(_) | Error::Unfit(..) | Error::Folder(..) | Error::Owner(..) => StatusCode::CONFLICT,
        Error::File { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    // Where the directory lies is nobody's business.
    let detail = match error {
        Error::Meanwhile(_) => {
            "the file was changed by somebody else meanwhile; look at it and try again".to_owned()
        }
        Error::Exists(_) => "the file is there already".to_owned(),
        Error::Unfit(_, why) => format!("the file cannot be changed here: {why}"),
        Error::Folder(_, why) => format!("Serin cannot write in the directory of gateway files: {why}"),
        Error::Owner(..) => "the file has another owner than Serin; change it as that owner".to_owned(),
        Error::File { source, .. } if source.kind() == ErrorKind::NotFound => "the file is gone".to_owned(),
        Error::File { verb, source, .. } => format!("Serin cannot {verb} the file: {source}"),
    };
    Problem::new(status, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Notify;

    #[tokio::test]
    async fn what_has_begun_goes_on_to_its_end_when_nobody_waits_any_more() {
        let (editor, edits) = Editor::new(PathBuf::new(), Environment::default());
        let (stop, stopped) = signal::channel(false);
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (told, mut heard) = mpsc::unbounded_channel();
        let slow = {
            let (begun, go_on, told) = (Arc::clone(&begun), Arc::clone(&go_on), told.clone());
            async move {
                begun.notify_one();
                go_on.notified().await;
                told.send("first").unwrap();
                Ok(())
            }
        };
        let people = async {
            tokio::select! {
                _ = editor.in_turn(slow) => panic!("nobody told it to go on"),
                () = begun.notified() => {}
            }
            // One who hung up while others were at it.
            let mut late = Box::pin(editor.in_turn({
                let told = told.clone();
                async move {
                    told.send("gone").unwrap();
                    Ok(())
                }
            }));
            tokio::select! {
                biased;
                _ = &mut late => panic!("it is not its turn"),
                () = std::future::ready(()) => drop(late),
            }
            let next = editor.in_turn(async move {
                told.send("second").unwrap();
                Ok(())
            });
            let release = async { go_on.notify_one() };
            let (answer, ()) = tokio::join!(next, release);
            answer.unwrap();
            stop.send(true).unwrap();
        };
        tokio::join!(edits.run(stopped), people);
        assert_eq!((heard.try_recv(), heard.try_recv()), (Ok("first"), Ok("second")));
        assert!(heard.try_recv().is_err());
    }
}
