//! `serin keys new` and `serin users set`: the files of an `authentication`.

use super::output::Output;
use super::{Failure, Outcome, prompt, rewrite, wrong};
use crate::config;
use crate::replace;
use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha1::{Digest, Sha1};
use std::path::{Path, PathBuf};

/// Nobody guesses 256 bits.
const KEY_BYTES: usize = 32;

#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum KeysCommand {
    /// Make a key for a client: it is added to the file and printed, once
    New(NewKeyArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct NewKeyArgs {
    /// A keys file; made when it is not there
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Whom the key stands for
    #[arg(value_name = "CLIENT")]
    client: String,
}

#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum UsersCommand {
    /// Set the password of a user, who is added when new; it is asked for, or the first line of standard input
    Set(SetUserArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct SetUserArgs {
    /// A users file; made when it is not there
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The user
    #[arg(value_name = "USER")]
    user: String,
}

pub(super) fn keys(command: &KeysCommand, out: &Output) -> Outcome {
    let KeysCommand::New(NewKeyArgs { file, client }) = command;
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).map_err(anyhow::Error::msg).context("the system gives no random numbers")?;
    let key = BASE64_URL_SAFE_NO_PAD.encode(bytes);
    rewrite::edit_secret(file, |text| config::add_key(text, client, &key).map_err(wrong))?;
    out.line(&key);
    warn_if_exposed(file, out);
    out.note(&format!(
        "{}: {client} has a new key; give it to them, for it is not shown again",
        file.display()
    ));
    Ok(())
}

pub(super) fn users(command: &UsersCommand, out: &Output) -> Outcome {
    let UsersCommand::Set(SetUserArgs { file, user }) = command;
    // A wrong name is said before anybody types a password.
    config::set_user("", user, &[0; 20]).map_err(wrong)?;
    let password = prompt::password(&format!("Password of {user}: ")).map_err(unread)?;
    if password.is_empty() {
        return Err(wrong("the password is empty"));
    }
    let sha1 = Sha1::digest(password.as_bytes()).into();
    rewrite::edit_secret(file, |text| config::set_user(text, user, &sha1).map_err(wrong))?;
    warn_if_exposed(file, out);
    out.note(&format!("{}: {user} has a new password", file.display()));
    Ok(())
}

/// An edit keeps the mode of the file, so somebody has to hear that it is a bad one.
fn warn_if_exposed(file: &Path, out: &Output) {
    if replace::is_exposed(file) {
        let file = file.display();
        out.note(&format!("warning: every user of the machine may read {file}; run `chmod o-r {file}`"));
    }
}

fn unread(error: std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::Interrupted => wrong("interrupted; the password stays as it was"),
        std::io::ErrorKind::InvalidData => wrong("the password is not UTF-8, or longer than 1024 bytes"),
        _ => Failure::World(anyhow::Error::new(error).context("cannot read the password")),
    }
}
