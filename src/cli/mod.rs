//! The command line: data to standard output, everything else to standard error.
//!
//! Exit codes: 0 good, 1 the user's input is wrong, 2 the world failed; `status` has its own.

pub mod bootstrap;
mod check;
mod client;
mod compared;
mod dashboard;
mod demo;
mod diff;
mod edit;
pub mod envoy;
mod get;
mod journal;
mod output;
mod place;
mod prompt;
mod release;
mod rewrite;
mod secrets;
mod serve;
mod settings;
mod simulate;
mod status;
mod story;
mod switch;
mod tokens;
mod translate;
mod tree;
mod up;
mod verbs;

pub use check::read_directory;

use crate::observe;
use crate::source::Environment;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use output::Output;
use std::process::ExitCode;

/// An Envoy control plane for releasing machine-learning models safely.
#[derive(Debug, Parser)]
#[command(name = "serin", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What to log, as in `info` or `serin=debug` [default: info; of `demo`: error]
    #[arg(long, global = true, env = "SERIN_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// How to log
    #[arg(long, global = true, env = "SERIN_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    log_format: observe::Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the control plane
    Serve(serve::ServeArgs),
    /// Run the control plane and one Envoy: gateways work in one command
    Up(up::UpArgs),
    /// Watch two releases, a good one and a bad one: control plane, Envoy, toy models and light traffic
    Demo(demo::DemoArgs),
    /// Check gateway files, without a server: all problems at once
    Validate(check::ValidateArgs),
    /// Show what would change at Envoy, against a running server or another directory
    Diff(diff::DiffArgs),
    /// Print the Envoy resources of a gateway as YAML, secrets masked
    Translate(translate::TranslateArgs),
    /// Simulate a rollout without an Envoy: how long it takes, how soon a bad canary is caught; or replay test vectors
    Simulate(simulate::SimulateArgs),
    /// Print a ready Envoy bootstrap
    Bootstrap(bootstrap::BootstrapArgs),
    /// List gateways, or show one
    Get(get::GetArgs),
    /// Open the pages of a running server in a browser
    Dashboard(dashboard::DashboardArgs),
    /// List connected Envoys and what they acknowledged or refused
    Proxies(get::ProxiesArgs),
    /// Where a release stands: 0 promoted, 1 rolled back or failed, 2 not over in time, 3 paused
    Status(status::StatusArgs),
    /// What happened to a gateway, and who did it
    History(journal::HistoryArgs),
    /// What happened
    Events(journal::EventsArgs),
    /// Take the next step of a rollout; or, with --to, give all traffic to one upstream in its gateway file
    Promote(verbs::PromoteArgs),
    /// Take all traffic from the canary of a rollout, for good
    Abort(verbs::VerbArgs),
    /// Keep a rollout where it is
    Pause(verbs::VerbArgs),
    /// Let a paused rollout go on
    Resume(verbs::VerbArgs),
    /// Begin a rollout again that was rolled back
    Retry(verbs::VerbArgs),
    /// Set the share of a canary and pause the rollout; or, as UPSTREAM=PERCENT, weights in a gateway file
    SetWeight(verbs::SetWeightArgs),
    /// Take back the last change of a rollout's weights
    Undo(verbs::UndoArgs),
    /// Switch something on or off for all gateways at once
    Switch(switch::SwitchArgs),
    /// Access keys of clients
    #[command(subcommand)]
    Keys(secrets::KeysCommand),
    /// Users with a password
    #[command(subcommand)]
    Users(secrets::UsersCommand),
    /// Who may come in by HTTP
    #[command(subcommand)]
    Tokens(tokens::TokensCommand),
    /// Find an Envoy, or install the pinned one, and print its path
    Envoy(envoy::EnvoyArgs),
    /// Print the JSON Schema of gateway files, for editors
    Schema,
    /// Print shell completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    #[command(hide = true)]
    Man,
}

/// Why a command did not succeed.
#[derive(Debug)]
enum Failure {
    /// The user's input is wrong. What is wrong was said already, unless there is a text.
    Input(Option<anyhow::Error>),
    /// The world failed.
    World(anyhow::Error),
    /// All is said; the exit code says the rest.
    Code(u8),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::World(error.into())
    }
}

/// Wrong input with a sentence.
fn wrong(text: impl std::fmt::Display) -> Failure {
    Failure::Input(Some(anyhow::anyhow!("{text}")))
}

/// What gateway files may refer to by `env`.
fn environment() -> Environment {
    std::env::vars_os().collect()
}

type Outcome = Result<(), Failure>;

/// The words of this process.
fn parse() -> Result<Cli, clap::Error> {
    let matches = Cli::command().try_get_matches()?;
    matches.subcommand_matches("simulate").map_or(Ok(()), simulate::check)?;
    Cli::from_arg_matches(&matches)
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match parse() {
        Ok(cli) => cli,
        Err(error) => {
            // It fails only when nobody reads it.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    // The demo says itself what happens.
    let log = if matches!(cli.command, Command::Demo(_)) { "error" } else { "info" };
    observe::start(cli.log.as_deref().unwrap_or(log), cli.log_format);
    let out = Output::new();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            out.error(&anyhow::Error::new(error));
            return ExitCode::from(2);
        }
    };
    match runtime.block_on(run(cli.command, &out)) {
        Ok(()) if out.has_lost_data() => ExitCode::from(2),
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Input(text)) => {
            text.iter().for_each(|t| out.error(t));
            ExitCode::from(1)
        }
        Err(Failure::World(error)) => {
            out.error(&error);
            ExitCode::from(2)
        }
        Err(Failure::Code(code)) => ExitCode::from(code),
    }
}

async fn run(command: Command, out: &Output) -> Outcome {
    match command {
        Command::Serve(args) => serve::run(args, out).await,
        Command::Up(args) => up::run(args, out).await,
        Command::Demo(args) => demo::run(args, out).await,
        Command::Validate(args) => check::run(&args, out),
        Command::Diff(args) => diff::run(args, out).await,
        Command::Translate(args) => translate::run(&args, out),
        Command::Simulate(args) => simulate::run(&args, out),
        Command::Get(args) => get::run(args, out).await,
        Command::Dashboard(args) => dashboard::run(args, out).await,
        Command::Proxies(args) => get::proxies(args, out).await,
        Command::Status(args) => status::run(args, out).await,
        Command::History(args) => journal::history(args, out).await,
        Command::Events(args) => journal::events(args, out).await,
        Command::Promote(args) => verbs::promote(args, out).await,
        Command::Switch(args) => switch::run(args, out).await,
        Command::Abort(args) => verbs::plain("abort", args, out).await,
        Command::Pause(args) => verbs::plain("pause", args, out).await,
        Command::Resume(args) => verbs::plain("resume", args, out).await,
        Command::Retry(args) => verbs::plain("retry", args, out).await,
        Command::SetWeight(args) => verbs::set_weight(args, out).await,
        Command::Undo(args) => verbs::undo(args, out).await,
        Command::Keys(command) => secrets::keys(&command, out),
        Command::Users(command) => secrets::users(&command, out),
        Command::Tokens(command) => tokens::run(&command, out),
        Command::Bootstrap(args) => {
            let args = match args.config.clone() {
                Some(file) => args.with(&settings::read(Some(&file), out)?),
                None => Ok(args),
            };
            out.text(&args.and_then(bootstrap::run).map_err(|e| Failure::Input(Some(e)))?);
            Ok(())
        }
        Command::Envoy(args) => {
            out.line(&envoy::run(args).await?);
            Ok(())
        }
        Command::Schema => {
            out.text(&format!("{:#}\n", crate::config::schema()));
            Ok(())
        }
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "serin", &mut text);
            out.text(&String::from_utf8_lossy(&text));
            Ok(())
        }
        Command::Man => {
            let mut text = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut text)?;
            out.text(&String::from_utf8_lossy(&text));
            Ok(())
        }
    }
}
