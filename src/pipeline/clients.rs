//! The connectors of one fetch, each kept for as long as the fetch lasts: repositories of one host share their connections, and the
//! system's roots are read once. Secrets are read anew for each; what a connector is made of decides whether one will do.

use std::cell::RefCell;
use std::path::Path;

use secrecy::ExposeSecret;
use url::Url;

use super::access::{AccessError, connector};
use crate::config::Ambient;
use crate::net::{self, Client, NetError};
use crate::support::secretdir::{ClientCertificate, Secrets};

/// For the fetch of what one user named.
pub struct Clients {
    loopback: bool,
    made: RefCell<Vec<(Parts, Client)>>,
}

/// What of a secret a connector is made of.
struct Parts {
    ca: Option<Vec<u8>>,
    client: Option<ClientCertificate>,
}

impl Parts {
    fn are_those_of(&self, secrets: &Secrets) -> bool {
        let same = |ours: &ClientCertificate, theirs: &ClientCertificate| {
            ours.chain == theirs.chain && ours.key.expose_secret() == theirs.key.expose_secret()
        };
        let clients = match (&self.client, &secrets.client) {
            (Some(ours), Some(theirs)) => same(ours, theirs),
            (None, None) => true,
            _ => false,
        };
        clients && self.ca == secrets.ca
    }
}

impl Clients {
    /// `home` is the address that the user named.
    pub fn of(home: &Url) -> Self {
        Self { loopback: net::is_on_loopback(home), made: RefCell::default() }
    }

    /// The connector for what this secret holds; `path` is where it lies.
    pub fn client(&self, secrets: &Secrets, path: Option<&Path>, ambient: &Ambient) -> Result<Client, AccessError> {
        if let Some((_, client)) = self.made.borrow().iter().find(|(parts, _)| parts.are_those_of(secrets)) {
            return Ok(client.clone());
        }
        let client = Client::new(&connector(ambient, secrets, self.loopback)?).map_err(|cause| match (cause, path) {
            (cause @ NetError::Authority(_), Some(path)) => AccessError::Authority { path: path.to_owned(), cause },
            (cause @ NetError::Identity(_), Some(path)) => AccessError::Identity { path: path.to_owned(), cause },
            (cause, _) => cause.into(),
        })?;
        let parts = Parts { ca: secrets.ca.clone(), client: secrets.client.clone() };
        self.made.borrow_mut().push((parts, client.clone()));
        Ok(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::trial::Pki;

    #[test]
    fn one_connector_serves_all_that_is_made_of_the_same() {
        let (one, other) = (Pki::new(), Pki::new());
        let clients = Clients::of(&Url::parse("https://git.example/x").unwrap());
        let with = |pki: &Pki, token: &str| Secrets { ca: Some(pki.ca_pem.clone()), token: Some(token.into()), ..Secrets::default() };
        let made = |secrets: &Secrets| {
            clients.client(secrets, None, &Ambient::default()).unwrap();
            clients.made.borrow().len()
        };
        // A credential belongs to a request, not to a connector.
        for (secrets, count) in [
            (with(&one, "a"), 1),
            (with(&one, "b"), 1),
            (with(&other, "a"), 2),
            (Secrets::default(), 3),
            (with(&one, "a"), 3),
            (Secrets::default(), 3),
        ] {
            assert_eq!(made(&secrets), count);
        }
        let nonsense = Secrets { ca: Some(b"no certificate".to_vec()), ..Secrets::default() };
        let refused = || clients.client(&nonsense, Some(Path::new("/secrets/git")), &Ambient::default()).unwrap_err();
        assert!(matches!(refused(), AccessError::Authority { .. }) && matches!(refused(), AccessError::Authority { .. }));
        assert_eq!(made(&Secrets::default()), 3);
    }

    #[test]
    fn a_connector_of_another_identity_is_another_one() {
        let identity = |key: &str| Some(ClientCertificate { chain: b"chain".to_vec(), key: key.into() });
        let parts = Parts { ca: None, client: identity("a") };
        let holding = |client| Secrets { client, ..Secrets::default() };
        assert!(parts.are_those_of(&holding(identity("a"))));
        assert!(!parts.are_those_of(&holding(identity("b"))) && !parts.are_those_of(&holding(None)));
    }
}
