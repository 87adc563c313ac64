//! The command line: arguments in, a command out; and what is said to people on the way.
//!
//! It parses and validates only. The commands that need no run (`plan`, `schema`, `version`) are answered here; nothing here
//! fetches, builds or pushes; `receive` hands its standard input to the agent that does, `gc` asks the pipeline to sweep.

mod args;
mod context;
pub mod gc;
mod help;
pub mod logging;
mod plan;
pub mod receive;
pub mod render;
mod schema;
mod usage;
mod version;

use std::ffi::OsString;
use std::io::Read;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};

use args::{BuildArgs, Cli, Sub};
pub use args::{Progress, SchemaOf};

use crate::config::{self, Environment, Overrides, Settings};
use crate::model::{Classified, Failure, Phase, Reason};
use crate::source::upload::HandOver;
use crate::support::redact::Redactor;

/// What was asked for.
#[derive(Debug)]
pub enum Command {
    Build(Box<Invocation>),
    Fetch(Box<Invocation>),
    Receive(HandOver),
    /// With or without taking anything away.
    Gc {
        dry_run: bool,
    },
    Plan(Box<Invocation>),
    Schema(SchemaOf),
    Version {
        json: bool,
    },
    /// `--help` or `--version`: the text to print.
    Help(String),
}

/// A build, or a fetch alone, as the command line asks for it.
#[derive(Debug, Default)]
pub struct Invocation {
    pub overrides: Overrides,
    pub progress: Progress,
    /// Whether people may be shown colours: no non-empty `NO_COLOR` forbids them (no-color.org).
    pub colour: bool,
}

/// A command line that cannot be understood: exit code 2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UsageError {
    message: String,
    fix: String,
}

impl UsageError {
    fn new(message: &str, fix: &str) -> Self {
        Self { message: message.to_owned(), fix: fix.to_owned() }
    }
}

impl Classified for UsageError {
    fn reason(&self) -> Reason {
        Reason::Usage
    }

    fn hint(&self) -> Option<String> {
        Some(self.fix.clone())
    }
}

/// Understands the arguments, the program's name first. The environment is asked for `PODWRIGHT_PROGRESS`, and for build
/// arguments that are named without a value.
pub fn parse(args: impl IntoIterator<Item = OsString>, env: &dyn Environment) -> Result<Command, UsageError> {
    let args = with_command(args.into_iter().collect());
    let matches = flags(args.iter().any(|arg| arg == "--help")).try_get_matches_from(args);
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return answered_by_clap(&error),
    };
    Ok(match cli.command {
        Sub::Build(args) => Command::Build(invocation(*args, env)?),
        Sub::Fetch(args) => {
            let progress = args.progress();
            Command::Fetch(rendered(args.overrides()?, progress, env)?)
        }
        Sub::Receive(args) => Command::Receive(receive::resolve(args, env)?),
        Sub::Gc { dry_run } => Command::Gc { dry_run },
        Sub::Plan(args) => Command::Plan(invocation(*args, env)?),
        Sub::Schema { of } => Command::Schema(of),
        Sub::Version { json } => Command::Version { json },
    })
}

/// The answer to a command that needs no run; `None` for `build`, `fetch`, `receive` and `gc`. Ends in a line end.
pub fn answer(command: &Command, env: &dyn Environment, stdin: &mut dyn Read) -> Option<Result<String, Failure>> {
    Some(match command {
        Command::Build(_) | Command::Fetch(_) | Command::Receive(_) | Command::Gc { .. } => return None,
        Command::Plan(invocation) => config::load(&invocation.overrides, env, stdin)
            .map(|settings| masked(&settings, &lines(&plan::of(&settings))))
            .map_err(|rejected| Failure::new(Phase::Prepare, &rejected.error)),
        Command::Schema(of) => Ok(lines(&schema::of(*of))),
        Command::Version { json: true } => Ok(lines(&version::json())),
        Command::Version { json: false } => Ok(version::text()),
        Command::Help(text) => Ok(text.clone()),
    })
}

/// Without a command, `build` is meant: a pod's arguments are flags, or none at all. A word is always a command, so that a
/// misspelt one is not taken for a directory.
fn with_command(mut args: Vec<OsString>) -> Vec<OsString> {
    let first = args.get(1).and_then(|first| first.to_str());
    let is_flag = first.is_some_and(|first| first.starts_with('-') && !["-h", "--help", "-V", "--version"].contains(&first));
    if args.len() < 2 || is_flag {
        if args.is_empty() {
            args.push("podwright".into());
        }
        args.insert(1, "build".into());
    }
    args
}

/// With the long end to the help of what has many flags. clap's own long help would give each flag three lines.
fn flags(long: bool) -> clap::Command {
    let command = Cli::command();
    if !long {
        return command;
    }
    ["build", "plan"].into_iter().fold(command, |all, name| all.mut_subcommand(name, |one| one.after_help(help::whole(args::EXAMPLE))))
}

fn answered_by_clap(error: &clap::Error) -> Result<Command, UsageError> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(Command::Help(error.render().to_string())),
        _ => Err(usage::explain(error)),
    }
}

fn invocation(args: BuildArgs, env: &dyn Environment) -> Result<Box<Invocation>, UsageError> {
    let progress = args.progress();
    rendered(args.overrides(env)?, progress, env)
}

/// With how its progress is to be shown.
fn rendered(overrides: Overrides, progress: Option<Progress>, env: &dyn Environment) -> Result<Box<Invocation>, UsageError> {
    let progress = match progress {
        Some(progress) => progress,
        None => progress_of(env)?,
    };
    let colour = env.get("NO_COLOR").is_none_or(|value| value.is_empty());
    Ok(Box::new(Invocation { overrides, progress, colour }))
}

fn progress_of(env: &dyn Environment) -> Result<Progress, UsageError> {
    match env.get("PODWRIGHT_PROGRESS").as_deref().map(|value| value.to_str()) {
        None | Some(Some("" | "auto")) => Ok(Progress::Auto),
        Some(Some("json")) => Ok(Progress::Json),
        Some(Some("plain")) => Ok(Progress::Plain),
        Some(_) => Err(UsageError::new("PODWRIGHT_PROGRESS is not one of auto, json and plain", "set it to one of them, or unset it")),
    }
}

/// No field of a plan is there to hold a secret, and any text of it may.
fn masked(settings: &Settings, text: &str) -> String {
    let redactor = Redactor::default();
    settings.secrets().iter().for_each(|secret| redactor.add(secret));
    redactor.scrub(text).into_owned()
}

fn lines(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests;
