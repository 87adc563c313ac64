//! The order of life: arguments, what needs no run, signals, the request, the run, the exit code.

use std::io;
use std::panic::AssertUnwindSafe;
use std::process::{ExitCode, exit};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures_util::FutureExt;
use podwright::cli::{self, Command, Invocation, Progress as Shown, render};
use podwright::config::{self, Env, Known, Settings};
use podwright::model::result::Document;
use podwright::model::{Failure, Phase, Reason};
use podwright::pipeline::{self, Cancel, DEFECT, Services};
use podwright::progress::{Mode, Options, Patience, Progress};
use podwright::support::redact::Redactor;
use podwright::support::run_id;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let begun = Instant::now();
    let command = match cli::parse(std::env::args_os(), &Env) {
        Ok(command) => command,
        Err(usage) => return complain(&Failure::new(Phase::Prepare, &usage)),
    };
    match (cli::answer(&command, &Env, &mut io::stdin()), command) {
        (None, Command::Build(invocation) | Command::Fetch(invocation)) => build(&invocation, begun),
        (None, Command::Receive(wanted)) => ExitCode::from(cli::receive::run(wanted)),
        (None, Command::Gc { dry_run }) => ExitCode::from(cli::gc::run(dry_run, &Env)),
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

fn build(invocation: &Invocation, begun: Instant) -> ! {
    let redactor = Arc::new(Redactor::default());
    cli::logging::start(&redactor);
    let id = run_id::new();
    let run = id.as_deref().unwrap_or("unknown").to_owned();
    let progress = Progress::start(Options::fitting(mode(invocation.progress), invocation.colour, &run), Arc::clone(&redactor));
    let services = Services { run, events: Arc::new(progress.clone()), redactor, cancel: Cancel::default(), begun };
    let known = Known::beforehand(&invocation.overrides, &Env);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let document = match (&id, &runtime) {
        (Ok(_), Ok(runtime)) => runtime.block_on(live(invocation, &known, &services)),
        (Err(why), _) => {
            pipeline::broken(Phase::Prepare, &format!("the kernel gives this pod no random numbers: {why}"), &known, &services)
        }
        (_, Err(why)) => pipeline::broken(Phase::Prepare, &format!("this pod may start no threads: {why}"), &known, &services),
    };
    progress.finish(if services.cancel.is_cancelled() { Patience::STOPPED } else { Patience::ENDED });
    // The runtime is left as it is: threads that still wait for a server or for standard input are nobody's concern any more.
    exit(document.exit_code.into())
}

fn mode(shown: Shown) -> Option<Mode> {
    match shown {
        Shown::Auto => None,
        Shown::Json => Some(Mode::Json),
        Shown::Plain => Some(Mode::Plain),
    }
}

async fn live(invocation: &Invocation, known: &Known, services: &Services) -> Document {
    obey_signals(&services.cancel);
    let settings = match request(invocation, known, services).await {
        Ok(settings) => Arc::new(settings),
        Err(document) => return *document,
    };
    settings.secrets().iter().for_each(|secret| services.redactor.add(secret));
    let known = Known { name: settings.name.clone(), result: settings.result.clone(), deadline: settings.deadline };
    let story = AssertUnwindSafe(pipeline::run(settings, services)).catch_unwind();
    story.await.unwrap_or_else(|_| pipeline::broken(Phase::Report, DEFECT, &known, services))
}

/// The settings, or the end of a run that never had any. In a thread of its own: standard input may never come to an end.
async fn request(invocation: &Invocation, known: &Known, services: &Services) -> Result<Settings, Box<Document>> {
    let overrides = invocation.overrides.clone();
    let loading = tokio::task::spawn_blocking(move || config::load(&overrides, &Env, &mut io::stdin()));
    let loaded = tokio::select! {
        biased;
        cause = services.cancel.cancelled() => Err(pipeline::stopped(cause, known, services)),
        () = tokio::time::sleep_until((services.begun + known.deadline).into()) => {
            Err(pipeline::stopped(Reason::DeadlineExceeded, known, services))
        }
        loaded = loading => match loaded {
            Ok(loaded) => loaded.map_err(|rejected| pipeline::reject(&rejected, services)),
            Err(_) => Err(pipeline::broken(Phase::Prepare, DEFECT, known, services)),
        },
    };
    loaded.map_err(Box::new)
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
