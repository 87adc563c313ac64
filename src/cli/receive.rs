//! `podwright receive`: standard input goes to the agent that waits in the same pod. One JSON document says what became of it,
//! whatever that is: the receipt, or the error.

use std::io;
use std::path::PathBuf;

use serde_json::json;

use super::UsageError;
use super::args::ReceiveArgs;
use super::render;
use crate::config::Environment;
use crate::model::{Digest, Failure, Phase};
use crate::source::upload::{HandOver, SOCKET_NAME, hand_over};

/// What the arguments ask for. Without a path, the agent's own rules say where its socket is: what its variables say, and else
/// its name in the first of the usual workspaces where it is.
pub fn resolve(args: ReceiveArgs, env: &dyn Environment) -> Result<HandOver, UsageError> {
    let sha256 = args.sha256.map(|hex| {
        let digest = Digest::parse(&format!("sha256:{}", hex.to_ascii_lowercase()));
        digest.map_err(|_| UsageError::new("--sha256 is not 64 hexadecimal digits", "write what `sha256sum` prints for the archive"))
    });
    let variable = |name: &str| env.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let by_flag = args.socket.is_some();
    let named = args.socket.or_else(|| variable("PODWRIGHT_SOURCE_ARCHIVE_UPLOAD_SOCKET").filter(|path| path.is_absolute()));
    let sockets = named.map_or_else(
        || {
            let usual = || ["TMPDIR"].into_iter().filter_map(variable).chain(["/workspace", "/tmp"].map(PathBuf::from)).collect();
            let workspaces: Vec<PathBuf> = variable("PODWRIGHT_WORKSPACE").map_or_else(usual, |one| vec![one]);
            workspaces.into_iter().map(|workspace| workspace.join(SOCKET_NAME)).collect()
        },
        |path| vec![path],
    );
    Ok(HandOver { sockets, named: by_flag, sha256: sha256.transpose()?, bytes: args.bytes })
}

/// Does it; the exit code.
pub fn run(wanted: HandOver) -> u8 {
    match hand_over(io::stdin(), wanted) {
        Ok(receipt) => {
            render::say(&format!("{}\n", json!(receipt)));
            0
        }
        Err(error) => {
            let failure = Failure::new(Phase::Fetch, &error);
            render::say(&format!("{}\n", json!({"error": failure})));
            failure.exit_code
        }
    }
}
