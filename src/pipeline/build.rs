//! From a source to an image on the node.

use std::sync::Arc;

use super::retry::{self, Remedy};
use super::run::Services;
use super::told::{self, epoch, proxies};
use super::vault::SettingsVault;
use crate::config::Settings;
use crate::config::settings::{BuildProxy, Verify};
use crate::context::ContextError;
use crate::context::dockerfile::{bases, frontend};
use crate::context::tree::ContextTree;
use crate::engine::{BuildOption, BuildOptions, BuildSpec, Built, Context, Engine, Network, Vault};
use crate::event::{Event, Pairs};
use crate::model::tree::SourceTree;
use crate::model::{Classified, Reference};

/// The builder that is told everything and asks for nothing.
const CLASSIC: &str = "classic";

/// Everything a build reads, checked as far as it can be before the daemon sees it.
fn context(settings: &Settings, source: Arc<dyn SourceTree>, builder: &str) -> Result<ContextTree, ContextError> {
    let context = ContextTree::lay(source, &settings.build.dockerfile, settings.source.dockerfile.as_deref())?;
    if builder != CLASSIC {
        frontend::check(context.dockerfile(), &arguments(&context, settings), settings.policy.frontends())?;
    }
    Ok(context)
}

/// The options that this request makes use of.
pub fn asked(settings: &Settings) -> Vec<BuildOption> {
    use BuildOption as O;
    let build = &settings.build;
    let uses = |option: &O| match option {
        O::Target => build.options.target.is_some(),
        O::Args => !build.options.args.is_empty() || build.source_args,
        O::Labels => !build.options.labels.is_empty(),
        O::Platform => build.options.platform.is_some(),
        O::Pull => build.options.pull,
        O::NoCache => build.options.no_cache,
        O::NoNetwork => build.options.network == Network::None,
        O::HostNetwork => build.options.network == Network::Host,
        O::AddHosts => !build.options.add_hosts.is_empty(),
        O::HostGateway => build.options.add_hosts.iter().any(|host| host.ends_with(":host-gateway")),
        O::ShmSize => build.options.shm_bytes.is_some(),
        O::Ulimits => !build.options.ulimits.is_empty(),
        O::CacheFrom => !build.options.cache_from.is_empty(),
        O::InlineCache => build.options.args.get("BUILDKIT_INLINE_CACHE").is_some_and(|value| value != "0" && value != "false"),
        O::Reproducible => build.reproducible,
        O::Proxy => build.proxy == BuildProxy::Inherit,
        O::Secrets => !build.secrets.is_empty(),
        O::Ssh => !build.ssh.is_empty(),
        O::Memory => build.options.limits.memory.is_some(),
        O::Cpus => build.options.limits.cpu.is_some(),
        O::CgroupParent => build.options.limits.parent.is_some(),
        O::VerifyByEngine => settings.push.as_ref().is_some_and(|push| push.verify == Verify::Engine),
    };
    O::ALL.into_iter().filter(uses).collect()
}

/// Builds the source; twice, where something can be done about what went wrong the first time.
pub async fn run<E: Engine>(
    engine: &E,
    settings: &Arc<Settings>,
    temporary: &str,
    source: &Arc<dyn SourceTree>,
    services: &Services,
) -> Result<(Built, &'static str), ContextError> {
    let chosen = if engine.info().builder == CLASSIC { CLASSIC } else { "buildkit" };
    let build = async |builder: &'static str, no_cache| {
        let context = context(settings, Arc::clone(source), builder)?;
        let vault = SettingsVault { settings: Arc::clone(settings), redactor: Arc::clone(&services.redactor) };
        let built = once(engine, settings, temporary, context, Arc::new(vault), builder, no_cache).await?;
        Ok((built, builder))
    };
    let no_cache = settings.build.options.no_cache;
    let first = build(chosen, no_cache).await?;
    let Some(error) = first.0.outcome.as_ref().err() else { return Ok(first) };
    let say = |message: String| services.events.emit(Event::Notice { message, hint: error.hint() });
    match retry::remedy(error, settings) {
        None => Ok(first),
        Some(Remedy::Again) => {
            say(format!("{error}; the image is built once more"));
            build(chosen, no_cache).await
        }
        Some(Remedy::WithoutCache) => {
            say(format!("{error}; the image is built once more, without the cache"));
            build(chosen, true).await
        }
        Some(Remedy::Classic) => match asked(settings).into_iter().try_for_each(|option| engine.classic_honours(option)) {
            Ok(()) => {
                say(format!("{error}; the classic builder builds the image"));
                build(CLASSIC, no_cache).await
            }
            Err(needs) => {
                say(format!("the classic builder cannot take the place of BuildKit: {needs}"));
                Ok(first)
            }
        },
        Some(Remedy::MakeRoom) => match engine.make_room().await {
            Ok(Some(bytes)) => {
                say(format!("{error}; {bytes} bytes or more were freed of what no build uses, and the image is built once more"));
                build(chosen, no_cache).await
            }
            none => {
                let why = none.err().map_or_else(|| "there is nothing that no build uses".to_owned(), |error| error.to_string());
                say(format!("no room can be made on the node's disk: {why}"));
                Ok(first)
            }
        },
    }
}

/// Says the build in the engine's terms and runs it.
async fn once<E: Engine>(
    engine: &E,
    settings: &Settings,
    temporary: &str,
    context: ContextTree,
    vault: Arc<dyn Vault>,
    builder: &str,
    no_cache: bool,
) -> Result<Built, ContextError> {
    let wanted = &settings.build;
    let mut args = arguments(&context, settings);
    if wanted.reproducible {
        args.entry("SOURCE_DATE_EPOCH".to_owned()).or_insert(epoch(wanted.epoch, context.revision()));
    }
    if wanted.proxy == BuildProxy::Inherit {
        args = told::with(proxies(&settings.ambient.proxies), args);
    }
    let spec = BuildSpec {
        reference: temporary.to_owned(),
        options: BuildOptions {
            args,
            labels: told::labels(context.revision(), &wanted.options.labels),
            no_cache,
            ..wanted.options.clone()
        },
        base_hosts: base_hosts(&context, settings),
    };
    let context = if builder == CLASSIC {
        let told = context.told()?;
        if engine.info().engine == "podman" {
            told.links_stay_inside()?;
        }
        Context::Told { name: told.name.clone(), tar: Box::new(move |out| told.write(out)) }
    } else {
        let asked = context.asked()?;
        Context::Asked { context: asked.context, dockerfile: asked.dockerfile, name: asked.name, shared_key: asked.shared_key, vault }
    };
    Ok(engine.build(&spec, context).await)
}

fn arguments(context: &ContextTree, settings: &Settings) -> Pairs {
    told::arguments(context.revision(), &settings.build.options.args, settings.build.source_args)
}

/// The registries that the base images come from; `None` where the Dockerfile does not tell them all.
fn base_hosts(context: &ContextTree, settings: &Settings) -> Option<Vec<String>> {
    let bases = bases::bases(context.dockerfile(), &arguments(context, settings));
    if bases.unknown {
        return None;
    }
    let mut hosts: Vec<String> = bases.images.iter().map(Reference::host).map(str::to_owned).collect();
    hosts.sort_unstable();
    hosts.dedup();
    Some(hosts)
}
