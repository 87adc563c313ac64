//! What `DOCKER_CERT_PATH` holds, by the names that the Docker client looks for (docker/cli, cli/flags/options.go): `ca.pem`, which vouches
//! for the daemon, and `cert.pem` with `key.pem`, by which the daemon knows this pod. They are read at each connection.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use secrecy::SecretString;

use crate::engine::EngineError;
use crate::net::{Identity, Trust};

/// Bytes of one file.
const MOST: u64 = 1 << 20;

pub fn read(directory: &Path) -> Result<(Trust, Option<Identity>), EngineError> {
    let bad = |what: String| EngineError::Certificates { directory: directory.to_owned(), what };
    let file = |name: &str| match contents(&directory.join(name)) {
        Ok(bytes) if bytes.len() as u64 > MOST => Err(bad(format!("{name} is larger than {MOST} bytes"))),
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(bad(format!("{name} cannot be read by this pod: {error}"))),
    };
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

fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
