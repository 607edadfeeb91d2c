//! `serin set-weight NAME UPSTREAM=PERCENT` and `serin promote --to`: the user's hand in the user's file.
//!
//! Only the weights change, every other byte stays. The file is replaced as a whole, so that no reader sees half
//! of it, and not at all when somebody else changed it meanwhile.

use super::check::{self, Files};
use super::output::Output;
use super::settings::{DirectoryArgs, SettingsArgs};
use super::{Failure, Outcome, rewrite, wrong};
use crate::config::{self, Loaded};
use crate::model::Gateway;
use crate::names::UpstreamName;
use crate::weight::{WHOLE, Weight};
use std::path::{Path, PathBuf};

/// Where the file is.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct PlaceArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    directory: DirectoryArgs,
}

/// Gives upstreams the weights of `UPSTREAM=PERCENT`.
pub(super) fn set_weight(name: &str, weights: &[String], place: &PlaceArgs, out: &Output) -> Outcome {
    let texts = weights;
    let (path, gateway) = find(name, place, out)?;
    let mut weights = Vec::new();
    for text in texts {
        let form = || wrong(format!("{text} is not of the form UPSTREAM=PERCENT, as in v2=25"));
        let (upstream, percent) = text.split_once('=').ok_or_else(form)?;
        let weight = Weight::parse(percent).map_err(|why| wrong(format!("{text}: {why}")))?;
        weights.push((known(&gateway, upstream)?, weight));
    }
    write(&path, &gateway, &complete(&gateway, weights)?, out)
}

/// Gives all traffic to one upstream.
pub(super) fn promote(name: &str, to: &str, place: &PlaceArgs, out: &Output) -> Outcome {
    let (path, gateway) = find(name, place, out)?;
    let to = known(&gateway, to)?;
    let others = gateway.traffic.parts().iter().map(|(u, _)| u).filter(|u| **u != to);
    let mut weights: Vec<_> = others.map(|u| (u.clone(), Weight::NONE)).collect();
    weights.push((to, Weight::ALL));
    write(&path, &gateway, &weights, out)
}

/// The file of a gateway. Its newest version must be right: a broken file is repaired by hand first.
fn find(name: &str, place: &PlaceArgs, out: &Output) -> Result<(PathBuf, Gateway), Failure> {
    let mut settings = match place.directory.named() {
        Some(directory) => place.settings.settings_of(directory, out)?,
        None => place.settings.settings(out)?,
    };
    place.directory.over(&mut settings);
    let directory = &settings.gateways;
    if !directory.is_dir() {
        return Err(wrong(format!("{} is not a directory; name one with --gateways", directory.display())));
    }
    let Files { loaded: files, unlisted } = check::load(directory, &settings)?;
    if !unlisted.is_empty() {
        // Another file may describe the same gateway there.
        out.diagnostics(&unlisted);
        return Err(Failure::Input(None));
    }
    let named = |l: &&Loaded| l.name.as_ref().is_some_and(|n| n.as_str() == name);
    let mut found = files.iter().filter(|(_, l)| named(l));
    let Some((file, loaded)) = found.next() else {
        return Err(wrong(format!("no file in {} describes a gateway {name}", directory.display())));
    };
    if let Some((other, _)) = found.next() {
        return Err(wrong(format!(
            "both {file} and {other} describe a gateway {name}; correct one of them first"
        )));
    }
    let Some(gateway) = &loaded.gateway else {
        out.diagnostics(&loaded.diagnostics);
        return Err(wrong(format!("{file} is broken and stays as it is; correct it first")));
    };
    if gateway.rollout.is_some() {
        return Err(wrong(format!(
            "{file} has a `rollout`, so the server moves the weights: say `serin promote {name}`, or `serin set-weight \
             {name} PERCENT` for the share of the canary"
        )));
    }
    Ok((directory.join(&**file), Gateway::clone(gateway)))
}

fn known(gateway: &Gateway, upstream: &str) -> Result<UpstreamName, Failure> {
    let found = gateway.upstreams.iter().find(|u| u.name.as_str() == upstream);
    found.map(|u| u.name.clone()).ok_or_else(|| {
        let names: Vec<&str> = gateway.upstreams.iter().map(|u| u.name.as_str()).collect();
        wrong(format!("gateway {} has no upstream {upstream}, but {}", gateway.name, names.join(", ")))
    })
}

/// Gives the rest to the one upstream of the split that was left out, if there is one.
fn complete(
    gateway: &Gateway,
    mut weights: Vec<(UpstreamName, Weight)>,
) -> Result<Vec<(UpstreamName, Weight)>, Failure> {
    let said = |name: &UpstreamName| weights.iter().any(|(u, _)| u == name);
    let mut left_out: Vec<UpstreamName> =
        gateway.traffic.parts().iter().map(|(u, _)| u.clone()).filter(|u| !said(u)).collect();
    let sum: u32 = weights.iter().map(|(_, w)| w.hundredths()).sum();
    let rest = WHOLE.checked_sub(sum).and_then(Weight::new);
    match (left_out.pop(), left_out.is_empty(), rest) {
        (_, _, None) => Err(wrong("these weights sum to more than 100")),
        (None, _, Some(Weight::NONE)) => Ok(weights),
        (None, _, Some(rest)) => {
            Err(wrong(format!("these weights leave {rest} % to nobody; make them sum to 100")))
        }
        (Some(last), true, Some(rest)) => {
            weights.push((last, rest));
            Ok(weights)
        }
        (Some(_), false, _) => {
            Err(wrong("more than one upstream was left out; say the weight of all but one"))
        }
    }
}

fn write(path: &Path, gateway: &Gateway, weights: &[(UpstreamName, Weight)], out: &Output) -> Outcome {
    let changed = rewrite::edit(path, |text| {
        config::set_weights(text, weights)
            .map_err(|why| wrong(format!("{} stays as it is: {why}", path.display())))
    })?;
    if !changed {
        out.note(&format!("{} says so already", path.display()));
        return Ok(());
    }
    let parts: Vec<String> = weights.iter().map(|(u, w)| format!("{u} {w} %")).collect();
    out.note(&format!("{}: gateway {} is now {}", path.display(), gateway.name, parts.join(", ")));
    Ok(())
}
