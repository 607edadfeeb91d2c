//! Where the store is when nobody says so.

use crate::resource::Version;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What the environment says of places.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// Of a service of systemd, with `StateDirectory=`: folders with colons between them.
    state_directory: Option<OsString>,
    xdg_state_home: Option<PathBuf>,
    home: Option<PathBuf>,
}

impl Places {
    /// Of this process.
    pub(super) fn of_environment() -> Self {
        let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|f| f.is_absolute());
        Self {
            state_directory: std::env::var_os("STATE_DIRECTORY"),
            xdg_state_home: folder("XDG_STATE_HOME"),
            home: folder("HOME"),
        }
    }

    /// The file of `serin serve`: beside the settings, if there is one already; the state directory of its service; beside the
    /// settings, if something can be written there; the user's folder for such things, with a name for these settings; and where
    /// none of these can be, beside the settings, which fails in a way that people understand.
    pub(super) fn store(&self, beside: PathBuf) -> PathBuf {
        let folder = beside.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let is_writable = can_write(folder);
        let is_there = beside.exists() && is_writable;
        let of_service = || {
            let first = std::env::split_paths(self.state_directory.as_ref()?).next()?;
            (first.is_absolute() && can_write(&first)).then(|| first.join("serin.db"))
        };
        let of_user = || {
            let name = Version::of(folder.canonicalize().ok()?.as_os_str().as_encoded_bytes());
            Some(self.of_user()?.join(format!("serve-{name}.db")))
        };
        if is_there {
            return beside;
        }
        of_service().or_else(|| is_writable.then(|| beside.clone())).or_else(of_user).unwrap_or(beside)
    }

    /// The user's folder for states, made if it is not there.
    pub(super) fn of_user(&self) -> Option<PathBuf> {
        let state = self.xdg_state_home.clone().or_else(|| Some(self.home.as_ref()?.join(".local/state")))?;
        let own = state.join("serin");
        std::fs::create_dir_all(&own).ok()?;
        can_write(&own).then_some(own)
    }
}

/// Whether files can be made in a folder: rights alone do not say so, where it is on a file system that is only read.
fn can_write(folder: &Path) -> bool {
    tempfile::tempfile_in(folder).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_where_it_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let [settings, state, home] = ["settings", "state", "home"].map(|name| folder.path().join(name));
        [&settings, &state, &home].iter().for_each(|folder| std::fs::create_dir(folder).unwrap());
        let beside = settings.join("serin.db");
        let nowhere = folder.path().join("nowhere/serin.db");
        let none = Places::default();
        assert_eq!(none.store(beside.clone()), beside);
        assert_eq!(none.store(nowhere.clone()), nowhere, "it says what is wrong");

        let user = Places { home: Some(home.clone()), ..Places::default() };
        assert_eq!(user.store(beside.clone()), beside);
        // Where nobody can make a file, as on a file system that is only read.
        let locked = Path::new("/proc/self/fd/serin.db").to_path_buf();
        let own = user.store(locked.clone());
        assert_eq!(own.parent(), Some(&*home.join(".local/state/serin")));
        let xdg = Places { xdg_state_home: Some(state.clone()), ..user.clone() };
        assert_eq!(xdg.store(locked.clone()).parent(), Some(&*state.join("serin")));

        let service = Places { state_directory: Some(state.clone().into()), ..user };
        let of_service = state.join("serin.db");
        assert_eq!(service.store(beside.clone()), of_service);
        assert_eq!(service.store(locked), of_service);
        let several = OsString::from(format!("{}:/elsewhere", state.display()));
        assert_eq!(Places { state_directory: Some(several), ..none }.store(beside.clone()), of_service);
        std::fs::write(&beside, "").unwrap();
        assert_eq!(service.store(beside.clone()), beside, "it is not left behind");
    }
}
