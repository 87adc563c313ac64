//! What `DOCKER_CERT_PATH` holds, by the names that the Docker client looks for (docker/cli, cli/flags/options.go): `ca.pem`, which vouches
//! for the daemon, and `cert.pem` with `key.pem`, by which the daemon knows this pod. They are read at each connection.

use std::path::Path;

use secrecy::SecretString;

use crate::engine::EngineError;
use crate::net::{Identity, Trust};
use crate::support::guard::Guard;
use crate::support::secretdir::file;

pub fn read(directory: &Path) -> Result<(Trust, Option<Identity>), EngineError> {
    let bad = |what: String| EngineError::Certificates { directory: directory.to_owned(), what };
    // The operator's variable names the directory, not the request: it may lie anywhere.
    let anywhere = Guard::new([]);
    let file = |name: &str| file::read(&directory.join(name), &anywhere).map_err(|error| bad(format!("{name}: {error}")));
    let authority = file("ca.pem")?.ok_or_else(|| bad("there is no ca.pem, and without it nobody vouches for the daemon".into()))?;
    let identity = match (file("cert.pem")?, file("key.pem")?) {
        (Some(chain), Some(key)) => {
            let key = String::from_utf8(key).map_err(|_| bad("key.pem is no PEM".into()))?;
            Some(Identity { chain, key: SecretString::from(key) })
        }
        (None, None) => None,
        (Some(_), None) => return Err(bad("there is cert.pem without its key.pem".into())),
        (None, Some(_)) => return Err(bad("there is key.pem without its cert.pem".into())),
    };
    Ok((Trust { extra: vec![authority] }, identity))
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_pipe_in_place_of_a_certificate_is_refused_and_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        mknodat(CWD, directory.path().join("ca.pem"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let error = read(directory.path()).unwrap_err().to_string();
        assert!(error.contains("ca.pem") && error.contains("not a regular file"), "{error}");
    }
}
