//! From a source to an image on the node.

use std::sync::Arc;

use super::told;
use crate::config::Settings;
use crate::config::settings::Network;
use crate::context::ContextError;
use crate::context::dockerfile::{bases, frontend};
use crate::context::tree::ContextTree;
use crate::engine::{BuildSpec, Built, Context, Engine};
use crate::event::Pairs;
use crate::model::Reference;
use crate::model::tree::SourceTree;

/// Everything a build reads, checked as far as it can be before the daemon sees it.
pub fn context(settings: &Settings, source: Arc<dyn SourceTree>, builder: &str) -> Result<ContextTree, ContextError> {
    let context = ContextTree::lay(source, &settings.build.dockerfile, settings.source.dockerfile.as_deref())?;
    if builder != "classic" {
        frontend::check(context.dockerfile(), &arguments(&context, settings), settings.policy.frontends())?;
    }
    Ok(context)
}

/// Says the build in the engine's terms and runs it.
pub async fn run<E: Engine>(
    engine: &E,
    settings: &Settings,
    temporary: &str,
    context: ContextTree,
    no_cache: bool,
) -> Result<Built, ContextError> {
    let wanted = &settings.build;
    let spec = BuildSpec {
        reference: temporary.to_owned(),
        target: wanted.target.clone(),
        args: arguments(&context, settings),
        labels: told::labels(context.revision(), &wanted.labels),
        platform: wanted.platform.clone(),
        pull: wanted.pull,
        no_cache,
        no_network: wanted.network == Network::None,
        base_hosts: base_hosts(&context, settings),
    };
    let context = if engine.info().builder == "classic" {
        let told = context.told()?;
        Context::Told { name: told.name.clone(), tar: Box::new(move |out| told.write(out)) }
    } else {
        let asked = context.asked()?;
        Context::Asked { context: asked.context, dockerfile: asked.dockerfile, name: asked.name, shared_key: asked.shared_key }
    };
    Ok(engine.build(&spec, context).await)
}

fn arguments(context: &ContextTree, settings: &Settings) -> Pairs {
    told::arguments(context.revision(), &settings.build.args, settings.build.source_args)
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
