//! The order of life: arguments, what needs no run, the request, signals, the run, the exit code.

use std::io;
use std::panic::AssertUnwindSafe;
use std::process::{ExitCode, exit};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use podwright::cli::{self, Command, Invocation, Progress as Shown, render};
use podwright::config::{self, Env};
use podwright::model::result::Document;
use podwright::model::{Failure, Phase, Reason};
use podwright::pipeline::{self, Cancel, Services};
use podwright::progress::{Mode, Options, Patience, Progress};
use podwright::support::redact::Redactor;
use podwright::support::run_id;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os(), &Env) {
        Ok(command) => command,
        Err(usage) => return complain(&Failure::new(Phase::Prepare, &usage)),
    };
    match (cli::answer(&command, &Env, &mut io::stdin()), command) {
        (None, Command::Build(invocation)) => build(&invocation),
        (Some(Err(failure)), _) => complain(&failure),
        (Some(Ok(text)), _) => {
            render::say(&text);
            ExitCode::SUCCESS
        }
        (None, _) => ExitCode::from(Reason::Internal.code()),
    }
}

fn complain(failure: &Failure) -> ExitCode {
    render::complain(&render::failure(failure));
    ExitCode::from(failure.exit_code)
}

fn build(invocation: &Invocation) -> ! {
    let redactor = Arc::new(Redactor::default());
    cli::logging::start(Arc::clone(&redactor));
    let run = run_id::new();
    let progress = Progress::start(Options::fitting(mode(invocation.progress), &run), Arc::clone(&redactor));
    let services = Services { run, events: Arc::new(progress.clone()), redactor, cancel: Cancel::default() };
    let document = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime.block_on(live(invocation, &services)),
        Err(_) => pipeline::broken(&config::ResultSinks::default(), &services),
    };
    progress.finish(if services.cancel.is_cancelled() { Patience::STOPPED } else { Patience::ENDED });
    // Threads that still wait for a server are nobody's concern any more.
    exit(document.exit_code.into())
}

fn mode(shown: Shown) -> Option<Mode> {
    match shown {
        Shown::Auto => None,
        Shown::Json => Some(Mode::Json),
        Shown::Plain => Some(Mode::Plain),
    }
}

async fn live(invocation: &Invocation, services: &Services) -> Document {
    let settings = match config::load(&invocation.overrides, &Env, &mut io::stdin()) {
        Ok(settings) => Arc::new(settings),
        Err(rejected) => return pipeline::reject(&rejected, services),
    };
    settings.secrets().iter().for_each(|secret| services.redactor.add(secret));
    obey_signals(&services.cancel);
    let sinks = settings.result.clone();
    let story = AssertUnwindSafe(pipeline::run(settings, services)).catch_unwind();
    story.await.unwrap_or_else(|_| pipeline::broken(&sinks, services))
}

/// The first signal stops the run in good order, the second at once.
fn obey_signals(cancel: &Cancel) {
    let heard = Arc::new(AtomicBool::new(false));
    for (kind, reason) in [(SignalKind::interrupt(), Reason::Interrupted), (SignalKind::terminate(), Reason::Terminated)] {
        let Ok(mut signals) = signal(kind) else { continue };
        let (cancel, heard) = (cancel.clone(), Arc::clone(&heard));
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if heard.swap(true, Ordering::Relaxed) {
                    exit(reason.code().into());
                }
                cancel.cancel(reason);
            }
        });
    }
}
