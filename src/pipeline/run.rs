//! The story of a run, from the settings to the document.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::cancel::{self, Cancel, GRACE};
use super::draft::Draft;
use super::limits::{self, Held};
use super::outbox::Outbox;
use super::preflight::Workspace;
use super::push::Parcel;
use super::reject::DEFECT;
use super::sweep;
use super::tidy::{Names, PREFIX};
use super::{build, engine, fetch, publish, registries, upload};
use crate::config::Settings;
use crate::engine::docker::{Docker, Endpoint};
use crate::engine::{Built, Engine, EngineError};
use crate::event::{Event, EventSink, ImageBuilt, RunStarted, millis};
use crate::model::keychain::Keychain;
use crate::model::result::{Document, Image, TagResult, TagStatus};
use crate::model::tree::SourceTree;
use crate::model::{Classified, Failure, ImageId, Outcome, Phase, Reason, Reference};
use crate::registry::{self, DockerKeychain};
use crate::report;
use crate::source::upload::Desk;
use crate::support::cgroup::{self, Own};
use crate::support::clock;
use crate::support::redact::Redactor;

/// How long a run that was not stopped may take to tidy up; a busy daemon on a slow disk needs its time.
const TIDY: Duration = Duration::from_mins(1);

/// What a run is given beside its settings.
#[derive(Clone)]
pub struct Services {
    /// The run's id.
    pub run: String,
    pub events: Arc<dyn EventSink>,
    pub redactor: Arc<Redactor>,
    pub cancel: Cancel,
    /// From when the deadline counts: the program's start, since reading the request takes time as well.
    pub begun: std::time::Instant,
}

/// Where the story takes place: what outlives it, however it ends.
struct Site<'a> {
    settings: Arc<Settings>,
    services: &'a Services,
    draft: Draft,
    names: Names,
    keychain: Arc<DockerKeychain>,
    engine: Option<Arc<Docker<DockerKeychain>>>,
    /// Takes away what dead runs left, beside the story; where it is not done at the end, the next run goes on with it.
    sweeping: Option<AbortOnDropHandle<()>>,
    workspace: Option<Workspace>,
    /// Where a fetch alone leaves what it fetched.
    outbox: Option<Outbox>,
    /// Where uploads are waited for, and turned away once there was one.
    desk: Option<Desk>,
    /// The deadline.
    ends: Instant,
}

/// Runs to the end, whatever that is. The document is what `run.finished` said.
pub async fn run(settings: Arc<Settings>, services: &Services) -> Document {
    let events = &services.events;
    events.emit(Event::RunStarted(RunStarted {
        agent: concat!("podwright ", env!("CARGO_PKG_VERSION")).to_owned(),
        request_digest: settings.request_digest.clone(),
        name: settings.name.clone(),
        deadline_ms: Some(millis(settings.deadline)),
        traceparent: settings.ambient.traceparent.clone(),
    }));
    let mut site = Site::new(settings, services);
    let end = tokio::select! {
        biased;
        cause = services.cancel.cancelled() => Err(cause),
        () = tokio::time::sleep_until(site.ends) => Err(Reason::DeadlineExceeded),
        told = AssertUnwindSafe(site.tell()).catch_unwind() => Ok(told),
    };
    let told = match end {
        // What fails once the run is stopped fails for that, whoever hears of it first.
        Ok(told) if services.cancel.is_cancelled() && !matches!(told, Ok(Ok(()))) => {
            let cause = services.cancel.cancelled().await;
            Err(site.stop(cause))
        }
        Ok(told) => told.unwrap_or_else(|_| Err(Failure::plain(site.draft.phase(), Reason::Internal, DEFECT))),
        Err(cause) => Err(site.stop(cause)),
    };
    site.end(told).await
}

impl<'a> Site<'a> {
    fn new(settings: Arc<Settings>, services: &'a Services) -> Self {
        Self {
            services,
            draft: Draft::new(Arc::clone(&services.events)),
            names: Names::default(),
            keychain: Arc::new(registries::keychain(&settings, Arc::clone(&services.redactor))),
            ends: Instant::from_std(services.begun) + settings.deadline,
            settings,
            engine: None,
            sweeping: None,
            workspace: None,
            outbox: None,
            desk: None,
        }
    }

    /// The story.
    async fn tell(&mut self) -> Result<(), Failure> {
        self.draft.enter(Phase::Prepare);
        if let Some(output) = self.settings.output.clone() {
            return self.tell_of_a_fetch(&output).await;
        }
        let engine = self.prepare().await?;
        self.draft.enter(Phase::Fetch);
        let source = self.fetch().await?;
        self.draft.enter(Phase::Build);
        let id = self.build(&engine, source).await?;
        self.draft.enter(Phase::Push);
        self.push(&engine, &id).await?;
        self.keep(&engine, &id).await
    }

    /// The story of a fetch alone: it needs no engine and pushes nothing.
    async fn tell_of_a_fetch(&mut self, output: &Path) -> Result<(), Failure> {
        self.claim_workspace()?;
        let outbox = Outbox::claim(output, &self.services.run).map_err(|error| self.failure(&error))?;
        let outbox = self.outbox.insert(outbox).clone();
        self.draft.enter(Phase::Fetch);
        let source = self.fetch().await?;
        let filled = outbox.fill(source, self.settings.limits.source_bytes, self.services).await;
        filled.map_err(|error| self.failure(&error))
    }

    async fn prepare(&mut self) -> Result<Arc<Docker<DockerKeychain>>, Failure> {
        let connected = engine::connect(&self.settings, &self.keychain, &self.services.events).await;
        let engine = Arc::new(connected.map_err(|error| self.failure(&error))?);
        self.engine = Some(Arc::clone(&engine));
        let mut info = engine.info().clone();
        let held = self.hold_limits(&engine);
        info.limits = held.as_ref().ok().and_then(|held| held.told.clone());
        self.services.events.emit(Event::EngineConnected(Box::new(info.clone())));
        self.draft.engine = Some(info);
        build::asked(&self.settings).into_iter().try_for_each(|option| engine.honours(option)).map_err(|error| self.failure(&error))?;
        Arc::make_mut(&mut self.settings).build.options.limits = held.map_err(|error| self.failure(&error))?.asked;
        self.check_credentials()?;
        self.claim_workspace()?;
        let swept = Arc::clone(&engine);
        self.sweeping = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            let _ = sweep::sweep(swept.as_ref(), clock::unix(), false).await;
        })));
        Ok(engine)
    }

    /// What RUN steps are to be bounded by, of this engine.
    fn hold_limits(&self, engine: &Docker<DockerKeychain>) -> Result<Held, EngineError> {
        let build = &self.settings.build;
        let mut own = if build.inherit.is_some() { cgroup::own() } else { Own::default() };
        // A daemon across a network has another node's control groups.
        own.path = own.path.filter(|_| matches!(self.settings.ambient.docker_host, Endpoint::Unix(_)));
        limits::hold(&build.options.limits, build.inherit, &own, cgroup::node_swaps, engine.info(), |option| engine.honours(option))
    }

    fn claim_workspace(&mut self) -> Result<(), Failure> {
        // A workspace that the request names must be good, whether or not this source needs it.
        if fetch::needs_workspace(&self.settings) || self.settings.workspace.len() == 1 {
            self.workspace = Some(Workspace::claim(&self.settings.workspace, &self.services.run).map_err(|error| self.failure(&error))?);
        }
        Ok(())
    }

    /// Credentials, a CA and a proxy that cannot be used are found before anything is fetched, not after the build.
    fn check_credentials(&self) -> Result<(), Failure> {
        let Some(wanted) = &self.settings.push else { return Ok(()) };
        registries::check_secret(&self.settings).map_err(|error| self.failure(&error))?;
        for reference in &wanted.destinations {
            self.keychain.resolve(reference).map_err(|error| self.failure(&error))?;
        }
        self.reader().map(drop)
    }

    /// How this pod reads tags back.
    fn reader(&self) -> Result<registry::Client, Failure> {
        registries::client(&self.settings, Arc::clone(&self.services.redactor)).map_err(|error| self.failure(&error))
    }

    async fn fetch(&mut self) -> Result<Arc<dyn SourceTree>, Failure> {
        // A source that needs no workspace never looks at it.
        let workspace = self.workspace.as_ref().map_or(Path::new(""), Workspace::path);
        let inbox = match upload::open(&self.settings, workspace, self.services).await.map_err(|error| self.failure(&error))? {
            Some((desk, inbox)) => {
                self.desk = Some(desk);
                Some(inbox)
            }
            None => None,
        };
        let source = fetch::source(&self.settings, workspace, inbox, self.services).await.map_err(|error| self.failure(&error))?;
        let revision = source.revision().clone();
        self.services.events.emit(Event::SourceResolved(Box::new(revision.clone())));
        self.draft.source = Some(revision);
        Ok(source)
    }

    async fn build(&mut self, engine: &Docker<DockerKeychain>, source: Arc<dyn SourceTree>) -> Result<ImageId, Failure> {
        let begun = Instant::now();
        let temporary = self.names.begin(&self.services.run, self.ends.saturating_duration_since(Instant::now()));
        let built = build::run(engine, &self.settings, &temporary, &source, self.services).await.map_err(|error| self.failure(&error))?;
        let (Built { outcome, steps, warnings }, builder) = built;
        if let Some(engine) = &mut self.draft.engine {
            engine.is_built_by(builder);
        }
        self.draft.steps = steps;
        self.draft.warnings = warnings;
        let settled = engine::settle(engine, outcome, &temporary, self.settings.limits.engine_wait, &self.services.events).await;
        let image = settled.map_err(|error| self.failure(&error))?;
        let id = image.id;
        self.names.built(&id);
        self.names.built_from(image.parent);
        let (size, platforms) = (image.size, vec![image.platform]);
        self.services.events.emit(Event::ImageBuilt(ImageBuilt {
            image_id: id.clone(),
            size,
            platforms: platforms.clone(),
            duration_ms: millis(begun.elapsed()),
        }));
        let pending =
            |reference: &Reference| TagResult { r#ref: reference.clone(), status: TagStatus::Pending, digest: None, verified_by: None };
        self.draft.image = Some(Image {
            image_id: id.clone(),
            config_digest: None,
            digest: None,
            media_type: None,
            size: None,
            platforms,
            refs: Vec::new(),
            tags: self.settings.push.iter().flat_map(|push| &push.destinations).map(pending).collect(),
            kept: Vec::new(),
        });
        Ok(id)
    }

    async fn push(&mut self, engine: &Docker<DockerKeychain>, id: &ImageId) -> Result<(), Failure> {
        let Some(wanted) = &self.settings.push else { return Ok(()) };
        let reader = self.reader()?;
        let parcel = Parcel { id, engine, keychain: self.keychain.as_ref(), reader: &reader, verify: wanted.verify };
        let done = publish::all(&parcel, wanted, self.services, &mut self.names, &mut self.draft).await;
        done.map_err(|error| self.failure(&error))
    }

    /// Leaves the image on the node where the request wants that.
    async fn keep(&mut self, engine: &Docker<DockerKeychain>, id: &ImageId) -> Result<(), Failure> {
        for reference in &Arc::clone(&self.settings).build.keep {
            engine.tag(id, &reference.to_string()).await.map_err(|error| self.failure(&error))?;
            if let Some(image) = &mut self.draft.image {
                image.kept.push(reference.clone());
            }
        }
        Ok(())
    }

    /// The story was broken off.
    fn stop(&mut self, cause: Reason) -> Failure {
        self.services.cancel.cancel(cause);
        let (event, message) = cancel::told(cause, self.settings.deadline);
        self.services.events.emit(event);
        Failure::plain(self.draft.phase(), cause, message)
    }

    /// Writes the result, tidies up, and says the last word.
    async fn end(mut self, told: Result<(), Failure>) -> Document {
        let mut error = told.err();
        let lost = error.as_ref().is_some_and(|failure| failure.reason == Reason::EngineLost);
        let left_in_build = self.draft.phase() == Phase::Build && (lost || self.services.cancel.is_cancelled());
        self.draft.leave(error.as_ref().map_or(Outcome::Success, |failure| failure.reason.outcome()));
        if let Some(failure) = &error {
            self.services.events.emit(Event::Failed(Box::new(failure.clone())));
        }
        self.draft.enter(Phase::Report);
        let mut document = self.document(error.clone());
        if let Err(unwritten) = report::write(&document, &self.settings.result, &self.services.redactor) {
            self.services.events.emit(Event::Notice { message: unwritten.to_string(), hint: unwritten.hint() });
            // What failed before stays the reason; a success that cannot be told is none.
            if error.is_none() {
                let failure = self.failure(&unwritten);
                self.services.events.emit(Event::Failed(Box::new(failure.clone())));
                document = self.document(Some(failure.clone()));
                let _ = report::write(&document, &self.settings.result, &self.services.redactor);
                error = Some(failure);
            }
        }
        drop(self.sweeping.take());
        if let Some(engine) = self.engine.take() {
            self.tidy(engine.as_ref(), left_in_build).await;
        }
        if let Some(desk) = self.desk.take() {
            desk.close().await;
        }
        if let Some(outbox) = &self.outbox {
            outbox.discard();
        }
        drop(self.workspace.take());
        self.draft.leave(error.as_ref().map_or(Outcome::Success, |failure| failure.reason.outcome()));
        // The very document that was written: how long the report took is in its phase's event.
        self.services.events.emit(Event::RunFinished(Box::new(document.clone())));
        document
    }

    /// Takes this run's names away: in a hurry once the run is stopped or its time is up, and with patience before.
    async fn tidy(&mut self, engine: &Docker<DockerKeychain>, left_in_build: bool) {
        let (cancel, ends) = (self.services.cancel.clone(), self.ends);
        let patience = async {
            tokio::select! {
                _ = cancel.cancelled() => {}
                () = tokio::time::sleep_until(ends) => {}
                () = tokio::time::sleep(TIDY) => {}
            }
            tokio::time::sleep(GRACE / 4 * 3).await;
        };
        let why = tokio::select! {
            tidied = self.names.abandon(engine, left_in_build) => match tidied {
                Ok(()) => return,
                Err(error) => error.to_string(),
            },
            () = patience => "the engine did not answer in time".to_owned(),
        };
        let message = format!("names of this run may be left on the node: {why}");
        let hint = format!("they begin with {PREFIX} and hold this run's id, {}: docker rmi --no-prune takes them away", self.services.run);
        self.services.events.emit(Event::Notice { message, hint: Some(hint) });
    }

    fn document(&self, error: Option<Failure>) -> Document {
        self.draft.document(&self.services.run, self.settings.name.as_deref(), error)
    }

    fn failure(&self, error: &dyn Classified) -> Failure {
        Failure::new(self.draft.phase(), error)
    }
}
