//! `serin diff`: what would change at Envoy.

use super::client::{Answer, ServerArgs};
use super::output::Output;
use super::settings::SettingsArgs;
use super::{Failure, Outcome, read_directory, wrong};
use crate::admin::resources_of;
use crate::clock;
use crate::control::{Event, View, World};
use crate::diag::Severity;
use crate::model::{SessionKey, Settings};
use serde_json::Value;
use similar::TextDiff;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct DiffArgs {
    /// The directory with the changed gateway files
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Another directory to compare with, in place of a running server
    #[arg(long, value_name = "DIR")]
    against: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// Of each gateway: its resources as text.
type Texts = BTreeMap<String, String>;

pub(super) async fn run(args: DiffArgs, out: &Output) -> Outcome {
    let settings = args.settings.settings_of(&args.directory, out)?;
    let (new, broken) = of_directory(&args.directory, &settings, out)?;
    let old = match &args.against {
        Some(other) => of_directory(other, &settings, out)?.0,
        None => of_server(&args.server).await?,
    };
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut changed = 0;
    for name in names {
        let text = match (old.get(name), new.get(name)) {
            (Some(_), None) if broken.contains(name.as_str()) => continue,
            (Some(old), Some(new)) if old == new => continue,
            (Some(old), Some(new)) => format!("gateway {name}: changed\n{}", lines(old, new)),
            (None, Some(new)) => format!("gateway {name}: new\n{}", lines("", new)),
            (Some(old), None) => format!("gateway {name}: removed\n{}", lines(old, "")),
            (None, None) => continue,
        };
        out.text(&text);
        changed += 1;
    }
    if changed == 0 {
        out.note("nothing would change at Envoy");
    }
    if broken.is_empty() { Ok(()) } else { Err(Failure::Input(None)) }
}

fn lines(old: &str, new: &str) -> String {
    TextDiff::from_lines(old, new).unified_diff().context_radius(3).to_string()
}

/// What a server would serve of a directory, and the gateways whose files are broken.
fn of_directory(
    directory: &Path,
    settings: &Settings,
    out: &Output,
) -> Result<(Texts, BTreeSet<String>), Failure> {
    if !directory.is_dir() {
        return Err(wrong(format!("{} is not a directory", directory.display())));
    }
    // The key is masked; with one, all resources are there that a server would tell.
    let key = SessionKey::new([0; SessionKey::LENGTH]);
    let mut world = World::new(settings.clone()).with_session_key(key);
    let files = read_directory(directory, settings).map_err(|unlisted| {
        out.diagnostics(&unlisted);
        Failure::Input(None)
    })?;
    world.apply(Event::Files(files), clock::now());
    let view = world.view();
    let mut broken = BTreeSet::new();
    for gateway in view.gateways.values() {
        out.diagnostics(&gateway.diagnostics);
        if gateway.diagnostics.iter().any(|d| d.severity == Severity::Error) {
            broken.insert(gateway.name.to_string());
        }
    }
    Ok((of_view(&view)?, broken))
}

fn of_view(view: &View) -> anyhow::Result<Texts> {
    let mut texts = Texts::new();
    for gateway in view.gateways.values().filter(|g| g.serving) {
        let resources = resources_of(view, gateway, None).map_err(anyhow::Error::msg)?;
        texts.insert(gateway.name.to_string(), text(&serde_json::to_value(resources)?)?);
    }
    Ok(texts)
}

async fn of_server(server: &ServerArgs) -> Result<Texts, Failure> {
    let mut texts = Texts::new();
    let Answer::Found(list) = server.get("gateways").await? else { return Ok(texts) };
    for gateway in list["gateways"].as_array().into_iter().flatten().filter(|g| g["serving"] == true) {
        let name = gateway["name"].as_str().unwrap_or_default();
        if let Answer::Found(resources) = server.get(&format!("config/{name}")).await? {
            texts.insert(name.to_owned(), text(&resources)?);
        }
    }
    Ok(texts)
}

fn text(resources: &Value) -> anyhow::Result<String> {
    let mut text = String::new();
    for resource in resources.as_array().into_iter().flatten() {
        let (kind, name) = (resource["kind"].as_str(), resource["name"].as_str());
        let yaml = serde_yaml::to_string(&resource["resource"])?;
        write!(text, "# {} {}\n{yaml}", kind.unwrap_or_default(), name.unwrap_or_default())?;
    }
    Ok(text)
}
