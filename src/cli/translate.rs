//! `serin translate`: what Envoy would be told of one gateway.

use super::output::Output;
use super::settings::SettingsArgs;
use super::{Failure, Outcome, check, wrong};
use crate::model::{Authentication, Gateway, SessionKey, Settings};
use crate::resource::{Kind, Resource};
use crate::snapshot::{dump, dump_bootstrap};
use crate::translate::{self, RouteTable};
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct TranslateArgs {
    /// A gateway file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    settings: SettingsArgs,
    /// As one static bootstrap, which `envoy --mode validate` reads
    #[arg(long)]
    bootstrap: bool,
}

pub(super) fn run(args: &TranslateArgs, out: &Output) -> Outcome {
    if args.file.is_dir() {
        return Err(wrong(format!("{} is a directory; name one gateway file in it", args.file.display())));
    }
    let settings = args.settings.settings_of(&args.file, out)?;
    let loaded = check::load(&args.file, &settings)?.loaded;
    let mut broken = false;
    for loaded in loaded.values() {
        out.diagnostics(&loaded.diagnostics);
        let Some(gateway) = &loaded.gateway else {
            broken = true;
            continue;
        };
        let resources = resources(gateway, &settings);
        let text = if args.bootstrap {
            let bootstrap = dump_bootstrap(&resources).map_err(anyhow::Error::msg)?;
            serde_yaml::to_string(&bootstrap)?
        } else {
            yaml(&resources)?
        };
        out.text(&text);
    }
    if broken { Err(Failure::Input(None)) } else { Ok(()) }
}

/// All resources that an Envoy would need for this gateway alone.
fn resources(gateway: &Gateway, settings: &Settings) -> Vec<Arc<Resource>> {
    let shown = with_some_key(gateway);
    let parts = translate::gateway(&shown);
    let mut all = parts.resources.clone();
    if let Some(listener) = settings.listeners.get(&gateway.listener) {
        let message = translate::listener(&gateway.listener, listener, settings.routing, translate::NEWEST);
        all.push(Arc::new(Resource::new(Kind::Listener, gateway.listener.as_str(), &message)));
    }
    let mut table = RouteTable::new(settings.routing);
    table.add(gateway, &parts.routes);
    all.extend(table.take_changed().into_iter().filter_map(|(_, _, resource)| resource));
    all.sort_by(|a, b| (a.kind(), a.name()).cmp(&(b.kind(), b.name())));
    all
}

/// With a key for logins, which is masked, so that all resources are there that a server would tell.
fn with_some_key(gateway: &Gateway) -> Gateway {
    let mut gateway = gateway.clone();
    if let Authentication::OAuth2(oauth2) = &mut gateway.authentication {
        oauth2.session_secret = Some(SessionKey::new([0; SessionKey::LENGTH]).of_gateway(&gateway.name));
    }
    gateway
}

/// One YAML document for each resource.
fn yaml(resources: &[Arc<Resource>]) -> anyhow::Result<String> {
    let mut text = String::new();
    for resource in resources {
        let value = dump(resource).map_err(anyhow::Error::msg)?;
        write!(text, "---\n# {} {}\n{}", resource.kind(), resource.name(), serde_yaml::to_string(&value)?)?;
    }
    Ok(text)
}
