//! Compares the watched directory with what was told of it before.

use super::environment::Environment;
use super::list::{Listing, is_gateway_file};
use super::read::{Found, Stamp, read, stamp};
use crate::config::{self, Attachment, Content, Document, Read, Reference};
use crate::control::{Changes, Unlisted};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// What to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The directory of gateway files.
    pub directory: PathBuf,
    /// Files that are read whatever the gateway files say, by absolute paths.
    pub files: BTreeSet<PathBuf>,
}

/// Remembers what it told, tells what differs.
#[derive(Debug)]
pub struct Scanner {
    watched: Watched,
    environment: Environment,
    documents: BTreeMap<Arc<str>, Seen>,
    /// By the keys of [`config::Context::attached`].
    attached: BTreeMap<Reference, Attached>,
    /// How many documents, or the settings, refer to each.
    referring: BTreeMap<Reference, usize>,
    /// What lies at a path.
    by_path: BTreeMap<PathBuf, BTreeSet<Reference>>,
    /// Directories that could not be listed the last time, and why.
    unread: BTreeMap<PathBuf, String>,
    /// Files that were good before the start, until anything is seen.
    last_good: BTreeSet<Arc<str>>,
    /// How many more bytes of text may be handed on with what was read of them.
    room: usize,
}

/// So many bytes of text are handed on with what was read of them: an edit, or a few, and not all files at a start.
const ROOM: usize = 256 << 10;

#[derive(Debug)]
struct Attached {
    attachment: Attachment,
    stamp: Option<Stamp>,
    /// Where it lies, without `..`, as events name it; `None`: in the environment, which never changes.
    path: Option<PathBuf>,
}

#[derive(Debug)]
struct Seen {
    content: Content,
    stamp: Option<Stamp>,
    references: BTreeSet<Reference>,
}

/// How closely to look at files that seem unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Time, size and identity decide.
    Stamps,
    /// Everything is read.
    Content,
}

impl Scanner {
    /// Has told nothing yet.
    pub fn new(watched: Watched) -> Self {
        let referring = watched.files.iter().map(|file| (Reference::File(file.clone()), 1)).collect();
        Self {
            watched,
            environment: Environment::default(),
            documents: BTreeMap::new(),
            room: 0,
            attached: BTreeMap::new(),
            referring,
            by_path: BTreeMap::new(),
            unread: BTreeMap::new(),
            last_good: BTreeSet::new(),
        }
    }

    /// With variables to which gateway files may refer.
    #[must_use]
    pub fn with_environment(self, environment: Environment) -> Self {
        Self { environment, ..self }
    }

    /// With what was good before the start, by path below the directory: a file that is broken now may need what its
    /// last good version refers to. Until the next start it is looked at like what the settings refer to. One in a
    /// directory that cannot be listed is told as one that cannot be read.
    #[must_use]
    pub fn with_last_good(mut self, documents: &BTreeMap<Arc<str>, Arc<str>>) -> Self {
        for (path, text) in documents {
            let document =
                Document { path: Arc::clone(path), content: Content::Text(text.as_bytes().into()) };
            for reference in config::references(&document) {
                *self.referring.entry(reference).or_default() += 1;
            }
        }
        self.last_good = documents.keys().cloned().collect();
        self
    }

    /// Looks at everything; tells what differs from what was told before.
    pub fn scan(&mut self) -> Changes {
        self.look(Depth::Stamps)
    }

    pub(super) fn look(&mut self, depth: Depth) -> Changes {
        let mut changes = Changes::default();
        self.room = ROOM;
        let Listing { files, unread } = Listing::of(&self.watched.directory);
        let present: BTreeSet<Arc<str>> =
            files.iter().filter_map(|path| name(&self.watched.directory, path)).collect();
        // What cannot be seen is not gone: its gateways are served as they were.
        let hidden = |name: &Arc<str>| {
            let path = self.watched.directory.join(&**name);
            unread.iter().find(|(directory, _)| path.starts_with(directory)).map(|(_, why)| why.clone())
        };
        let known = self.documents.keys();
        let gone: Vec<Arc<str>> =
            known.filter(|name| !present.contains(*name) && hidden(name).is_none()).cloned().collect();
        // At the first look that sees anything; before, whoever listens waits.
        let is_blind = unread.contains_key(&self.watched.directory);
        let last_good = if is_blind { BTreeSet::new() } else { std::mem::take(&mut self.last_good) };
        let remembered: Vec<(Arc<str>, String)> =
            last_good.into_iter().filter_map(|name| hidden(&name).map(|why| (name, why))).collect();
        self.unread = unread;
        for (name, why) in remembered {
            self.put(name, Content::Unreadable(why), None, &mut changes);
        }
        for name in gone {
            self.forget(&name);
            changes.documents.insert(name, None);
        }
        for name in present {
            self.look_at_document(name, depth, &mut changes);
        }
        let all: Vec<Reference> = self.referring.keys().cloned().collect();
        all.into_iter().for_each(|reference| self.look_at_attached(reference, depth, &mut changes));
        changes
    }

    /// Looks at some files only. What they refer to is looked at as well.
    pub fn scan_files<'a>(&mut self, paths: impl IntoIterator<Item = &'a Path>) -> Changes {
        let mut changes = Changes::default();
        self.room = ROOM;
        let mut attached = BTreeSet::new();
        for path in paths {
            if let Some(name) = name(&self.watched.directory, path).filter(|_| is_gateway_file(path)) {
                self.look_at_document(Arc::clone(&name), Depth::Content, &mut changes);
                attached.extend(self.documents.get(&name).iter().flat_map(|s| s.references.iter().cloned()));
            }
            attached.extend(self.by_path.get(path).into_iter().flatten().cloned());
            attached.extend(self.watched.files.get(path).map(|file| Reference::File(file.clone())));
        }
        attached.into_iter().for_each(|r| self.look_at_attached(r, Depth::Stamps, &mut changes));
        changes
    }

    /// Whether a path is one that [`Scanner::scan_files`] would look at.
    pub(super) fn knows(&self, path: &Path) -> bool {
        self.is_attached(path) || (is_gateway_file(path) && name(&self.watched.directory, path).is_some())
    }

    fn is_attached(&self, path: &Path) -> bool {
        self.by_path.contains_key(path)
    }

    /// The directories in which something may change.
    pub(super) fn directories(&self) -> BTreeSet<PathBuf> {
        let outside = self.by_path.keys().filter(|path| !path.starts_with(&self.watched.directory));
        outside.filter_map(|path| path.parent().map(Path::to_path_buf)).collect()
    }

    /// The directories that the last full look could not list, and why. What was told of the files below them stands.
    #[cfg(test)]
    fn unread(&self) -> &BTreeMap<PathBuf, String> {
        &self.unread
    }

    /// The same, by their paths below the watched directory.
    pub(super) fn unlisted(&self) -> Unlisted {
        let below = |path: &Path| {
            path.strip_prefix(&self.watched.directory).unwrap_or(path).to_string_lossy().into_owned()
        };
        self.unread.iter().map(|(path, why)| (below(path), why.as_str())).collect()
    }

    /// The directory of gateway files.
    pub(super) fn directory(&self) -> &Path {
        &self.watched.directory
    }

    fn look_at_document(&mut self, name: Arc<str>, depth: Depth, changes: &mut Changes) {
        let path = self.watched.directory.join(&*name);
        let seen = self.documents.get(&name);
        if depth == Depth::Stamps && seen.is_some_and(|s| s.stamp.is_some() && s.stamp == stamp(&path)) {
            return;
        }
        let (found, stamp) = read(&path);
        let content = match found {
            Found::Bytes(bytes) => Content::Text(bytes),
            Found::TooLarge(size) => Content::TooLarge(size),
            Found::Unreadable(why) => Content::Unreadable(why),
            Found::Gone => {
                if self.forget(&name) {
                    changes.documents.insert(name, None);
                }
                return;
            }
        };
        if let Some(seen) = self.documents.get_mut(&name).filter(|s| s.content == content) {
            seen.stamp = stamp;
            return;
        }
        self.put(name, content, stamp, changes);
    }

    /// A document is new, or has another content.
    fn put(&mut self, name: Arc<str>, content: Content, stamp: Option<Stamp>, changes: &mut Changes) {
        let read = Read::new(Document { path: Arc::clone(&name), content: content.clone() });
        let references = read.references();
        for reference in &references {
            *self.referring.entry(reference.clone()).or_default() += 1;
        }
        // After the new ones are counted, so that what stays is not read anew.
        self.forget(&name);
        self.documents.insert(Arc::clone(&name), Seen { content, stamp, references });
        changes.documents.insert(name, Some(self.handed_on(read)));
    }

    /// What is read takes many times the memory of its text, so what goes beyond some is read anew by whoever needs it.
    fn handed_on(&mut self, read: Read) -> Read {
        let Content::Text(text) = &read.document().content else { return read };
        match self.room.checked_sub(text.len()) {
            Some(room) => {
                self.room = room;
                read
            }
            None => read.into_document().into(),
        }
    }

    /// A document is no more, and with it what only it referred to. True when it was known.
    fn forget(&mut self, name: &str) -> bool {
        let Some(seen) = self.documents.remove(name) else { return false };
        for reference in &seen.references {
            let Some(count) = self.referring.get_mut(reference) else { continue };
            *count -= 1;
            if *count == 0 {
                self.referring.remove(reference);
                if let Some(path) = self.attached.remove(reference).and_then(|a| a.path)
                    && let Some(references) = self.by_path.get_mut(&path)
                {
                    references.remove(reference);
                    if references.is_empty() {
                        self.by_path.remove(&path);
                    }
                }
            }
        }
        true
    }

    fn look_at_attached(&mut self, key: Reference, depth: Depth, changes: &mut Changes) {
        let seen = self.attached.get(&key);
        let (attachment, stamp, path) = match &key {
            Reference::Environment(_) if seen.is_some() => return,
            Reference::Environment(name) => (self.environment.find(name), None, None),
            Reference::File(file) => {
                let path = seen.and_then(|a| a.path.clone());
                let path = path.unwrap_or_else(|| without_dots(&self.watched.directory.join(file)));
                let same = |a: &Attached| a.stamp.is_some() && a.stamp == stamp(&path);
                if depth == Depth::Stamps && seen.is_some_and(same) {
                    return;
                }
                let (attachment, stamp) = attachment(&path);
                (attachment, stamp, Some(path))
            }
        };
        if seen.map(|a| &a.attachment) != Some(&attachment) {
            changes.attached.insert(key.clone(), attachment.clone());
        }
        if let Some(path) = &path {
            self.by_path.entry(path.clone()).or_default().insert(key.clone());
        }
        self.attached.insert(key, Attached { attachment, stamp, path });
    }
}

/// What a gateway file refers to that is not written yet, as a scanner would find it.
pub fn attachments(
    directory: &Path,
    environment: &Environment,
    references: BTreeSet<Reference>,
) -> BTreeMap<Reference, Attachment> {
    let found = |reference: &Reference| match reference {
        Reference::Environment(name) => environment.find(name),
        Reference::File(file) => attachment(&without_dots(&directory.join(file))).0,
    };
    references.into_iter().map(|reference| (reference.clone(), found(&reference))).collect()
}

/// A file that something refers to.
fn attachment(path: &Path) -> (Attachment, Option<Stamp>) {
    let (found, stamp) = read(path);
    let attachment = match found {
        Found::Bytes(bytes) => Attachment::Bytes { bytes, exposed: stamp.is_some_and(|s| s.is_exposed()) },
        Found::TooLarge(size) => Attachment::TooLarge(size),
        Found::Unreadable(why) => Attachment::Unreadable(why),
        Found::Gone => Attachment::Missing,
    };
    (attachment, stamp)
}

/// A path without its `.` and `..`.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// The name of a gateway file: its path below the directory.
fn name(directory: &Path, path: &Path) -> Option<Arc<str>> {
    let below = path.strip_prefix(directory).ok()?;
    let hidden = below
        .components()
        .any(|c| matches!(c, Component::Normal(n) if n.as_encoded_bytes().starts_with(b".")));
    (!hidden).then(|| below.to_string_lossy().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(changes: &Changes) -> Vec<(&str, bool)> {
        changes.documents.iter().map(|(n, d)| (&**n, d.is_some())).collect()
    }

    #[test]
    fn tells_what_differs_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        std::fs::create_dir(file("team")).unwrap();
        for name in ["b.yaml", "team/a.yml", "notes.txt", ".hidden.yaml", "b.yaml~", "serin.yaml"] {
            std::fs::write(file(name), "x").unwrap();
        }
        let mut scanner = Scanner::new(Watched { directory: folder.path().into(), files: BTreeSet::new() });
        assert_eq!(names(&scanner.scan()), [("b.yaml", true), ("team/a.yml", true)]);
        assert!(scanner.scan().is_empty());

        std::fs::write(file("b.yaml"), "y").unwrap();
        assert_eq!(names(&scanner.scan_files([file("b.yaml").as_path()])), [("b.yaml", true)]);
        std::fs::write(file("b.yaml"), "y").unwrap();
        assert!(scanner.scan().is_empty(), "the same content is no change");

        std::fs::remove_file(file("b.yaml")).unwrap();
        assert_eq!(names(&scanner.scan()), [("b.yaml", false)]);
        std::fs::remove_dir_all(folder.path()).unwrap();
        assert_eq!(names(&scanner.scan()), [("team/a.yml", false)]);
    }

    #[test]
    fn what_cannot_be_listed_is_not_gone() {
        let folder = tempfile::tempdir().unwrap();
        let gateways = folder.path().join("gateways");
        let team = gateways.join("team");
        std::fs::create_dir_all(&team).unwrap();
        for path in [gateways.join("a.yaml"), team.join("b.yaml")] {
            std::fs::write(path, "x").unwrap();
        }
        let mut scanner = Scanner::new(Watched { directory: gateways.clone(), files: BTreeSet::new() });
        assert_eq!(scanner.scan().documents.len(), 2);
        // A link to itself fails for every user, root among them, and by another error than that nothing is there.
        let (kept, looped) = (folder.path().join("kept"), |path: &Path| {
            std::os::unix::fs::symlink(path, path).unwrap();
        });
        for hidden in [&team, &gateways] {
            std::fs::rename(hidden, &kept).unwrap();
            looped(hidden);
            assert!(scanner.scan().is_empty(), "{}", hidden.display());
            assert_eq!(scanner.unread().keys().collect::<Vec<_>>(), [hidden]);
            assert!(!scanner.unread()[hidden].contains("os error"));
            std::fs::remove_file(hidden).unwrap();
            std::fs::rename(&kept, hidden).unwrap();
            assert!(scanner.scan().is_empty() && scanner.unread().is_empty());
        }
        // A file in a directory that can be listed goes as ever.
        std::fs::rename(&team, &kept).unwrap();
        looped(&team);
        std::fs::remove_file(gateways.join("a.yaml")).unwrap();
        assert_eq!(names(&scanner.scan()), [("a.yaml", false)]);
        std::fs::remove_file(&team).unwrap();
        assert_eq!(names(&scanner.scan()), [("team/b.yaml", false)]);
    }

    #[test]
    fn of_what_was_good_and_cannot_be_seen_at_the_start_the_last_good_version_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let gateways = folder.path().join("gateways");
        let team = gateways.join("team");
        std::fs::create_dir(&gateways).unwrap();
        let good = ["team/a.yaml", "b.yaml"].map(|name| (Arc::from(name), Arc::from("x"))).into();
        let scanner = |directory: &Path| {
            Scanner::new(Watched { directory: directory.into(), files: BTreeSet::new() })
                .with_last_good(&good)
        };
        std::os::unix::fs::symlink(&team, &team).unwrap();
        let mut partly = scanner(&gateways);
        let first = partly.scan();
        let told = first.documents.get("team/a.yaml").unwrap().as_ref().unwrap();
        assert!(matches!(&told.document().content, Content::Unreadable(_)));
        assert_eq!(names(&first), [("team/a.yaml", true)]);
        assert_eq!(partly.unlisted().sentences(true).map(|(path, _)| &**path).collect::<Vec<_>>(), ["team"]);
        assert!(partly.scan().is_empty());
        std::fs::remove_file(&team).unwrap();
        std::fs::create_dir(&team).unwrap();
        assert_eq!(names(&partly.scan()), [("team/a.yaml", false)]);
        // Once gone, it does not come back by not being seen.
        std::fs::remove_dir(&team).unwrap();
        std::os::unix::fs::symlink(&team, &team).unwrap();
        assert!(partly.scan().is_empty());
        // Where nothing can be seen, nothing is told until something can.
        let looped = folder.path().join("looped");
        std::os::unix::fs::symlink(&looped, &looped).unwrap();
        let mut blind = scanner(&looped);
        assert!(blind.scan().is_empty() && blind.unlisted().everything().is_some());
        std::fs::remove_file(&looped).unwrap();
        std::os::unix::fs::symlink(&gateways, &looped).unwrap();
        assert_eq!(names(&blind.scan()), [("team/a.yaml", true)]);
    }

    #[test]
    fn what_file_systems_put_there_themselves_is_no_directory_of_gateways() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("lost+found")).unwrap();
        std::fs::write(folder.path().join("lost+found/a.yaml"), "x").unwrap();
        let mut scanner = Scanner::new(Watched { directory: folder.path().into(), files: BTreeSet::new() });
        assert!(scanner.scan().is_empty());
    }

    #[test]
    fn what_files_refer_to_is_told_with_who_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let text =
            "apiVersion: serin/v1\nname: a\nupstreams: { v1: http://a }\nauthentication: { accessKey: ";
        let from = |name: &str, keys: &str| {
            std::fs::write(file(name), format!("{text}{{ keysFile: {keys} }} }}\n")).unwrap();
        };
        from("file.yaml", "a.keys");
        from("here.yaml", "{ env: FRAUD_KEYS }");
        from("nowhere.yaml", "{ env: NO_SUCH_VARIABLE }");
        std::fs::write(file("a.keys"), "x").unwrap();
        let allow = |mode| {
            std::fs::set_permissions(file("a.keys"), std::fs::Permissions::from_mode(mode)).unwrap();
        };
        allow(0o644);
        let environment: Environment = [("FRAUD_KEYS", "y")].into_iter().collect();
        assert!(!format!("{environment:?}").contains('y'));
        let mut scanner = Scanner::new(Watched { directory: folder.path().into(), files: BTreeSet::new() })
            .with_environment(environment);
        let variable = |name: &str| Reference::Environment(name.to_owned());
        let keys = |exposed| {
            (Reference::File("a.keys".into()), Attachment::Bytes { bytes: (*b"x").into(), exposed })
        };
        let expected = [
            keys(true),
            (variable("FRAUD_KEYS"), Attachment::private(*b"y")),
            (variable("NO_SUCH_VARIABLE"), Attachment::Missing),
        ];
        assert_eq!(scanner.scan().attached, expected.into());
        assert!(scanner.scan().is_empty());
        allow(0o640);
        assert_eq!(scanner.scan().attached, [keys(false)].into());
    }

    #[test]
    fn a_config_map_swap_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let version = |name: &str, text: &str| {
            std::fs::create_dir(file(name)).unwrap();
            std::fs::write(file(name).join("gw.yaml"), text).unwrap();
        };
        let link = |target: &str, link: &str| std::os::unix::fs::symlink(target, file(link)).unwrap();
        version("..1", "one");
        link("..1", "..data");
        link("..data/gw.yaml", "gw.yaml");
        let mut scanner = Scanner::new(Watched { directory: folder.path().into(), files: BTreeSet::new() });
        assert_eq!(names(&scanner.scan()), [("gw.yaml", true)]);
        version("..2", "two");
        link("..2", "..data_tmp");
        std::fs::rename(file("..data_tmp"), file("..data")).unwrap();
        assert_eq!(names(&scanner.scan()), [("gw.yaml", true)]);
    }

    #[test]
    fn what_is_too_large_or_no_file_is_told_without_being_read() {
        let folder = tempfile::tempdir().unwrap();
        let large = std::fs::File::create(folder.path().join("large.yaml")).unwrap();
        large.set_len(1 << 30).unwrap();
        let mut scanner = Scanner::new(Watched { directory: folder.path().into(), files: BTreeSet::new() });
        let changes = scanner.scan();
        let document = changes.documents.get("large.yaml").unwrap().as_ref().unwrap();
        assert_eq!(document.document().content, Content::TooLarge(1 << 30));
    }
}
