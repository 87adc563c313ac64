//! The session's FileSync service: the daemon asks for a tree and fetches the bodies it needs (moby/buildkit,
//! session/filesync; tonistiigi/fsutil, send.go).
//!
//! One stream for each tree it looks at. We announce entries in order, numbered from 0; it asks for bodies by number, in any
//! order and while we still announce; its FIN ends it. What is announced lands in the context, so every filter is ours to apply.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::StreamExt;
use http::{Request, Response};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;

use super::serve::{Batch, View, Workers};
use super::wire::{Packet, PacketType};
use super::{Ledger, Served};

pub const DIFF_COPY: &str = "/moby.filesync.v1.FileSync/DiffCopy";

/// Batches on their way to the connection, at most; one has some 64 KiB.
const BATCHES: usize = 8;

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;
type Outgoing = Pin<Box<dyn futures_util::Stream<Item = Result<Packet, Status>> + Send>>;

#[derive(Clone)]
pub struct FileSync {
    served: Arc<Served>,
    ledger: Arc<Ledger>,
}

pub fn service(served: Served, ledger: Arc<Ledger>) -> FileSync {
    FileSync { served: Arc::new(served), ledger }
}

impl NamedService for FileSync {
    const NAME: &'static str = "moby.filesync.v1.FileSync";
}

impl Service<Request<Body>> for FileSync {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answering {
        let diff_copy = DiffCopy(self.clone());
        Box::pin(async move {
            if request.uri().path() == DIFF_COPY {
                Ok(Grpc::new(ProstCodec::<Packet, Packet>::default()).streaming(diff_copy, request).await)
            } else {
                Ok(Status::unimplemented("only DiffCopy is served").into_http())
            }
        })
    }
}

struct DiffCopy(FileSync);

impl StreamingService<Packet> for DiffCopy {
    type Response = Packet;
    type ResponseStream = Outgoing;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<Outgoing>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<Streaming<Packet>>) -> Self::Future {
        let FileSync { served, ledger } = self.0.clone();
        Box::pin(async move { diff_copy(&served, ledger, request) })
    }
}

fn diff_copy(
    served: &Served,
    ledger: Arc<Ledger>,
    request: tonic::Request<Streaming<Packet>>,
) -> Result<tonic::Response<Outgoing>, Status> {
    let view = View::of(served, request.metadata()).map_err(|error| ledger.refuse(error))?;
    let (batches, receiver) = mpsc::channel::<Result<Batch, Status>>(BATCHES);
    tokio::spawn(answer(Arc::new(view), ledger, request.into_inner(), batches));
    let packets = ReceiverStream::new(receiver).flat_map(|batch| {
        let packets: Vec<Result<Packet, Status>> = match batch {
            Ok(batch) => batch.into_iter().map(Ok).collect(),
            Err(status) => vec![Err(status)],
        };
        futures_util::stream::iter(packets)
    });
    Ok(tonic::Response::new(Box::pin(packets)))
}

/// One stream's life: announce, answer, and part when the daemon has all it wants.
async fn answer(view: Arc<View>, ledger: Arc<Ledger>, mut incoming: Streaming<Packet>, batches: mpsc::Sender<Result<Batch, Status>>) {
    let mut workers = Workers::start(&view, &ledger, &batches);
    while let Some(Ok(packet)) = incoming.next().await {
        match PacketType::try_from(packet.kind) {
            Ok(PacketType::Req) => workers.ask(packet.id),
            Ok(PacketType::Fin) => {
                let _ = batches.send(Ok(vec![Packet::fin()])).await;
                break;
            }
            _ => break,
        }
    }
    drop(batches);
    workers.finish().await;
    view.account(&ledger);
}
