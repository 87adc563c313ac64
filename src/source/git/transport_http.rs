//! libgit2's smart subtransport over `net`: gitprotocol-http(5), the fetching half.
//!
//! It only turns libgit2's reads and writes into the requests of a session's `Http`, which knows the rest.

use std::io::{self, Read, Write};
use std::sync::Arc;

use git2::Error;
use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream};

use super::GitError;
use super::http::{Answered, Http};
use super::remote::Scanner;
use super::session::Session;

/// Bytes of one request: libgit2 asks in small steps.
const REQUEST_BYTES: usize = 64 << 20;

/// Requests and answers, each a stream of its own.
pub(super) struct HttpTransport {
    pub session: Session,
    pub http: Arc<Http>,
}

impl SmartSubtransport for HttpTransport {
    fn action(&self, _url: &str, action: Service) -> Result<Box<dyn SmartSubtransportStream>, Error> {
        let exchange = match action {
            Service::UploadPackLs => Exchange::new(self, true),
            Service::UploadPack => Exchange::new(self, false),
            Service::ReceivePackLs | Service::ReceivePack => return Err(Error::from_str("nothing is ever pushed")),
        };
        Ok(Box::new(exchange))
    }

    fn close(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// One request and its answer: what libgit2 writes is the body, sent when it begins to read.
struct Exchange {
    session: Session,
    http: Arc<Http>,
    listing: bool,
    request: Vec<u8>,
    answered: Option<Answered>,
    received: u64,
    scanner: Scanner,
}

impl Exchange {
    fn new(transport: &HttpTransport, listing: bool) -> Self {
        let (session, http) = (transport.session.clone(), Arc::clone(&transport.http));
        Self { session, http, listing, request: Vec::new(), answered: None, received: 0, scanner: Scanner::default() }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, GitError> {
        let answered = match &mut self.answered {
            Some(answered) => answered,
            None if self.listing => self.answered.insert(self.http.list(&self.session)?),
            None => self.answered.insert(self.http.upload_pack(&self.session, std::mem::take(&mut self.request))?),
        };
        let count = answered.read(buffer).map_err(|error| {
            self.session.heard(&self.scanner);
            self.session.read_error(error)
        })?;
        self.scanner.feed(&buffer[..count]);
        self.received += count as u64;
        if count == 0 || !self.scanner.errors.is_empty() {
            self.session.heard(&self.scanner);
        }
        if self.listing {
            self.session.listed(&self.scanner, self.received)?;
        }
        Ok(count)
    }
}

impl Read for Exchange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(buffer).map_err(|error| {
            self.session.keep(error);
            // libgit2 shows this to nobody: the session has the error itself.
            io::Error::other("the connection failed")
        })
    }
}

impl Write for Exchange {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.request.len() + bytes.len() > REQUEST_BYTES {
            return Err(io::Error::other("the request is too long"));
        }
        self.request.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
