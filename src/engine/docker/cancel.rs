//! A build that is left before its end is cancelled by its id as well (moby, api/server/router/build: `POST /build/cancel`, and
//! builder-next, which knows a build by the `buildid` that it was begun with).
//!
//! Closing the connection stops a build, unless something between this pod and the daemon keeps the daemon's side of it open. Only
//! BuildKit can be told so: the classic builder and Podman know no such id.

use std::time::Duration;

use http::Method;

use super::client::{Client, no_body};

/// Less than stopping may take in all.
const PATIENCE: Duration = Duration::from_secs(3);

/// Cancels the build when it is dropped, unless that came to its end.
pub struct Cancelling {
    /// None once the daemon itself said how it ended.
    build: Option<(Client, String)>,
}

impl Cancelling {
    /// The id is one that needs no escape in a URL.
    pub fn unless_it_ends(client: &Client, id: &str) -> Self {
        Self { build: Some((client.clone(), id.to_owned())) }
    }

    pub fn ended(&mut self) {
        self.build = None;
    }
}

impl Drop for Cancelling {
    fn drop(&mut self) {
        // Whoever drops a build's future cannot wait; the run does, while it takes its names away.
        let (Some((client, id)), Ok(runtime)) = (self.build.take(), tokio::runtime::Handle::try_current()) else { return };
        runtime.spawn(async move {
            let request = client.request(Method::POST, &format!("/build/cancel?id={id}")).body(no_body());
            // Closing the connection is the other way, and no less likely to be heard.
            let _ = client.call("cancel a build", PATIENCE, request).await;
        });
    }
}
