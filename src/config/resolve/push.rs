//! Where the image goes, or that it goes nowhere, which somebody has to say.

use std::path::PathBuf;

use super::{build, duration};
use crate::config::error::ConfigError;
use crate::config::policy::Policy;
use crate::config::request;
use crate::config::settings::{Build, Push, Retries};

/// The push, if there is one, and the directory with credentials, which base images need without a push too.
pub fn resolve(
    push: Option<request::Push>,
    no_push: bool,
    build: &Build,
    policy: &Policy,
) -> Result<(Option<Push>, Option<PathBuf>), ConfigError> {
    let to = match push {
        Some(request::Push::To(to)) => to,
        Some(request::Push::None(_)) | None => request::PushTo::default(),
    };
    let secret = to.secret.map(|path| policy.readable_file("push.secret", &path)).transpose()?;
    let destinations = build::names("push.destinations", &to.destinations)?;
    if destinations.is_empty() && !no_push && build.keep.is_empty() {
        let fix = "name push.destinations (-d), or build.keep (-t) to leave it on the node, or say `push: none` (--no-push)";
        return Err(ConfigError::invalid("push", "goes nowhere, and the image is not kept either", fix));
    }
    let defaults = Retries::default();
    let retries = Retries {
        max: to.retries.max.unwrap_or(defaults.max),
        within: to.retries.within.map_or(Ok(defaults.within), |text| duration("push.retries.within", &text))?,
    };
    let verify = to.verify.unwrap_or_default();
    let push = (!no_push && !destinations.is_empty()).then_some(Push { destinations, retries, verify });
    Ok((push, secret))
}
