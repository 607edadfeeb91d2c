//! `serin tokens new`: the file of those who may come in by HTTP.

use super::output::Output;
use super::{Outcome, rewrite, wrong};
use crate::access::{self, Role};
use crate::replace;
use anyhow::Context;
use clap::builder::PossibleValuesParser;
use std::path::PathBuf;

#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum TokensCommand {
    /// Make a token for a person or a program: its hash is added to the file, and it is printed, once
    New(NewTokenArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct NewTokenArgs {
    /// The `tokensFile` of serin.yaml; made when it is not there
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Whom the token stands for, in the journal
    #[arg(value_name = "NAME")]
    name: String,
    /// What they may do: a viewer looks, an operator changes things too
    #[arg(long, default_value = "viewer", value_parser = PossibleValuesParser::new(Role::ALL.map(Role::as_str)))]
    role: String,
}

pub(super) fn run(command: &TokensCommand, out: &Output) -> Outcome {
    let TokensCommand::New(NewTokenArgs { file, name, role }) = command;
    let role = Role::ALL.into_iter().find(|r| r.as_str() == role).unwrap_or(Role::Viewer);
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(anyhow::Error::msg).context("the system gives no random numbers")?;
    let token = access::token(random);
    let line = access::line(name, role, &token).map_err(wrong)?;
    rewrite::edit_secret(file, |text| {
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        Ok(format!("{text}{end}{line}\n"))
    })?;
    out.line(&token);
    let is_exposed = replace::is_exposed(file);
    let file = file.display();
    if is_exposed {
        out.note(&format!("warning: every user of the machine may read {file}; run `chmod o-r {file}`"));
    }
    let role = role.as_str();
    out.note(&format!("{file}: {name} has a new token ({role}); give it to them, for it is not shown again"));
    Ok(())
}
