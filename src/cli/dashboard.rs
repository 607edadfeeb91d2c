//! `serin dashboard`: opens the pages of a running server in a browser.

use super::client::{Answer, ServerArgs};
use super::output::Output;
use super::{Failure, Outcome, wrong};
use crate::names::GatewayName;
use std::process::Stdio;
use tokio::process::Command;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct DashboardArgs {
    /// The gateway to begin with; all of them, if none is named
    name: Option<String>,
    /// Print the address only
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// What opens an address in the browser of its user: <https://www.freedesktop.org/wiki/Software/xdg-utils/>, or macOS.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

pub(super) async fn run(args: DashboardArgs, out: &Output) -> Outcome {
    let name = args.name.as_deref().map(GatewayName::new).transpose().map_err(wrong)?;
    let page = name.as_ref().map_or_else(|| "proxies".to_owned(), |name| format!("gateways/{name}"));
    // Nobody wants to see the error page of a browser.
    if let Answer::NotFound(why) = args.server.get(&page).await? {
        return Err(wrong(why));
    }
    let path = name.map_or_else(String::new, |name| format!("gateways/{name}"));
    let url = format!("{}/{path}", args.server.server.trim_end_matches('/'));
    out.line(&url);
    if args.print {
        return Ok(());
    }
    let null = Stdio::null;
    let opened = Command::new(OPENER).arg(&url).stdin(null()).stdout(null()).stderr(null()).status().await;
    if !opened.is_ok_and(|status| status.success()) {
        out.note(&format!("{OPENER} opened no browser here; open the address in one"));
        return Err(Failure::Code(2));
    }
    Ok(())
}
