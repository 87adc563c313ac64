//! An upload: where it is waited for, and that a token does not travel in the clear unless the operator says so.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::error::ConfigError;
use crate::config::policy::Policy;
use crate::config::request;
use crate::config::settings::{UploadFrom, UploadHttp, UploadSocket};

const FIELD: &str = "source.archive.upload";

pub fn resolve(upload: request::Upload, policy: &Policy) -> Result<UploadFrom, ConfigError> {
    let socket = match upload.socket {
        None | Some(request::UploadSocket::On(false)) => None,
        Some(request::UploadSocket::On(true)) => Some(UploadSocket::Workspace),
        // A flag or a variable can only say text.
        Some(request::UploadSocket::Path(path)) => match path.as_str() {
            "true" => Some(UploadSocket::Workspace),
            "false" => None,
            path => Some(UploadSocket::At(writable(path, policy)?)),
        },
    };
    let files = Files { token: upload.token_file, certificate: upload.certificate, key: upload.key, secret: upload.secret };
    let http = match upload.listen {
        Some(listen) => Some(http(&listen, files, policy)?),
        None if files.any() => {
            return Err(ConfigError::invalid(
                FIELD,
                "has a token or certificate, and nothing that listens",
                "add listen, or leave them out",
            ));
        }
        None => None,
    };
    if http.is_none() && socket.is_none() {
        return Err(ConfigError::invalid(FIELD, "says not where it is waited for", "name listen, socket or both"));
    }
    Ok(UploadFrom { http, socket })
}

fn writable(path: &str, policy: &Policy) -> Result<PathBuf, ConfigError> {
    if !path.starts_with('/') {
        return Err(ConfigError::invalid("source.archive.upload.socket", "is not absolute", "write the path from the root on, or true"));
    }
    policy.writable("source.archive.upload.socket", path)
}

struct Files {
    token: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
    secret: Option<String>,
}

impl Files {
    fn any(&self) -> bool {
        [&self.token, &self.certificate, &self.key, &self.secret].iter().any(|file| file.is_some())
    }
}

fn http(listen: &str, files: Files, policy: &Policy) -> Result<UploadHttp, ConfigError> {
    let field = "source.archive.upload.listen";
    let listen: SocketAddr = listen
        .parse()
        .map_err(|_| ConfigError::invalid(field, "is not IP:PORT", "write such as 0.0.0.0:8080, 127.0.0.1:8080 or [::]:8080"))?;
    let file = |name: &str, path: String| policy.readable_file(&format!("{FIELD}.{name}"), &path);
    let secret = files.secret.map(|path| file("secret", path)).transpose()?;
    let of_secret = |name: &str| secret.as_deref().map(|dir: &Path| dir.join(name));
    let certificate = files.certificate.map(|path| file("certificate", path)).transpose()?.or_else(|| of_secret("tls.crt"));
    let key = files.key.map(|path| file("key", path)).transpose()?.or_else(|| of_secret("tls.key"));
    let tls = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) if listen.ip().is_loopback() || policy.plain_http => None,
        (None, None) => return Err(ConfigError::not_permitted(field, "takes a bearer token in the clear", "plain-http")),
        _ => return Err(ConfigError::invalid(FIELD, "has a certificate or a key, and not both", "name both files, or a secret directory")),
    };
    let token = files.token.map(|path| file("tokenFile", path)).transpose()?.or_else(|| of_secret("token"));
    let token =
        token.ok_or_else(|| ConfigError::invalid(FIELD, "has no token", "name tokenFile: whoever finds the port could send anything"))?;
    Ok(UploadHttp { listen, token, tls })
}
