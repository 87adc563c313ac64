//! The session's SSH service: `RUN --mount=type=ssh` (moby/buildkit, session/sshforward/ssh.proto).

use std::sync::Arc;

use bollard::moby::sshforward::v1::ssh_server::{Ssh, SshServer};
use bollard::moby::sshforward::v1::{BytesMessage, CheckAgentRequest, CheckAgentResponse};
use futures_util::StreamExt;
use tokio::io::{AsyncWriteExt, split};
use tokio_util::io::ReaderStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status, Streaming};

use super::Ledger;
use crate::engine::Vault;
use crate::net::SshAgent;

pub const CHECK_AGENT: &str = "/moby.sshforward.v1.SSH/CheckAgent";
pub const FORWARD_AGENT: &str = "/moby.sshforward.v1.SSH/ForwardAgent";

/// What a mount without an id asks for, and the header in which the daemon names it (session/sshforward/ssh.go).
const DEFAULT: &str = "default";
const ID: &str = "buildkit.ssh.id";

pub fn service(vault: Arc<dyn Vault>, ledger: Arc<Ledger>) -> SshServer<Service> {
    SshServer::new(Service { vault, ledger })
}

pub struct Service {
    vault: Arc<dyn Vault>,
    ledger: Arc<Ledger>,
}

impl Service {
    fn agent(&self, id: &str) -> Result<SshAgent, Status> {
        let id = if id.is_empty() { DEFAULT } else { id };
        let found = self.vault.agent(id).map_err(|error| self.ledger.refuse(error))?;
        found.ok_or_else(|| self.ledger.not_given("build.ssh", id))
    }
}

type Answers = futures_util::stream::BoxStream<'static, Result<BytesMessage, Status>>;

#[tonic::async_trait]
impl Ssh for Service {
    async fn check_agent(&self, request: Request<CheckAgentRequest>) -> Result<Response<CheckAgentResponse>, Status> {
        self.agent(&request.into_inner().id).map(|_| Response::new(CheckAgentResponse {}))
    }

    type ForwardAgentStream = Answers;

    async fn forward_agent(&self, request: Request<Streaming<BytesMessage>>) -> Result<Response<Answers>, Status> {
        let id = request.metadata().get(ID).and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
        let agent = self.agent(&id)?;
        let stream = agent.connect().await.map_err(|cause| Status::unavailable(format!("the ssh agent of this pod: {cause}")))?;
        let (answers, mut questions) = split(stream);
        let mut asked = request.into_inner();
        // The conversation ends with whichever side goes first.
        let asking = AbortOnDropHandle::new(tokio::spawn(async move {
            while let Some(Ok(message)) = asked.next().await {
                if questions.write_all(&message.data).await.is_err() {
                    return;
                }
            }
            let _ = questions.shutdown().await;
        }));
        let answers = ReaderStream::new(answers).map(move |piece| {
            let _asking = &asking;
            piece.map(|bytes| BytesMessage { data: bytes.to_vec() }).map_err(|cause| Status::unavailable(cause.to_string()))
        });
        Ok(Response::new(answers.boxed()))
    }
}
