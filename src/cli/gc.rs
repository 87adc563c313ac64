//! `podwright gc`: one JSON document says what was taken away; what kept it from doing so is said on standard error.

use serde_json::json;

use super::render;
use crate::config::{Ambient, Environment};
use crate::model::{Classified, Failure, Phase, Reason};
use crate::pipeline;

/// Does it; the exit code.
pub fn run(dry: bool, env: &dyn Environment) -> u8 {
    match sweep(dry, env) {
        Ok(text) => {
            render::say(&text);
            0
        }
        Err(failure) => {
            render::complain(&render::failure(&failure));
            failure.exit_code
        }
    }
}

fn sweep(dry: bool, env: &dyn Environment) -> Result<String, Failure> {
    let failure = |error: &dyn Classified| Failure::new(Phase::Prepare, error);
    let ambient = Ambient::read(env).map_err(|error| failure(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|why| Failure::plain(Phase::Prepare, Reason::Internal, format!("no runtime: {why}")))?;
    let swept = runtime.block_on(pipeline::gc(&ambient, dry)).map_err(|error| failure(&error))?;
    Ok(format!("{}\n", json!({"schema": "podwright/gc/v1", "dry_run": dry, "removed": swept.removed, "alive": swept.alive})))
}
