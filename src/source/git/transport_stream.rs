//! libgit2's smart subtransport over one connection, both ways: git-upload-pack as ssh and git's daemon run it
//! (gitprotocol-pack(5), "GIT TRANSPORT" and "SSH TRANSPORT"), protocol version 0.

use std::io::{self, Read, Write};

use git2::Error;
use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream};

use super::GitError;
use super::remote::{Scanner, readable};
use super::session::{Door, Session};
use crate::net::{NetError, RedactedUrl, Stream};

/// The port of git's daemon (git-daemon(1)).
const DAEMON_PORT: u16 = 9418;

/// One connection for the list of refs and all that follows.
pub(super) struct StreamTransport(pub Session);

impl SmartSubtransport for StreamTransport {
    fn action(&self, _url: &str, action: Service) -> Result<Box<dyn SmartSubtransportStream>, Error> {
        match action {
            // libgit2 keeps the one stream it got for the list.
            Service::UploadPackLs | Service::UploadPack => Ok(Box::new(Conversation::new(self.0.clone()))),
            Service::ReceivePackLs | Service::ReceivePack => Err(Error::from_str("nothing is ever pushed")),
        }
    }

    fn close(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// What is said on the connection, once there is one.
struct Conversation {
    session: Session,
    stream: Option<Stream>,
    received: u64,
    scanner: Scanner,
}

impl Conversation {
    fn new(session: Session) -> Self {
        Self { session, stream: None, received: 0, scanner: Scanner::default() }
    }

    fn stream(&mut self) -> Result<&mut Stream, GitError> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => open(&self.session)?,
        };
        Ok(self.stream.insert(stream))
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, GitError> {
        let read = self.stream()?.read(buffer);
        let count = read.map_err(|error| self.session.net_error(NetError::of_io(error)))?;
        let listing = !self.scanner.listed;
        self.scanner.feed(&buffer[..count]);
        self.received += count as u64;
        if count == 0 || !self.scanner.errors.is_empty() {
            self.session.heard(&self.scanner);
        }
        if count == 0 {
            return Err(self.ended());
        }
        if listing {
            self.session.listed(self.scanner.capabilities, self.received)?;
        }
        Ok(count)
    }

    /// The other side went away: what it said last is all there is to know.
    fn ended(&self) -> GitError {
        let beside = self.stream.as_ref().and_then(|stream| readable(&stream.said()));
        let url = self.session.address().redacted();
        let said = beside.or_else(|| self.scanner.said());
        let refused = if self.received == 0 { refusal(&url, said.as_deref()) } else { None };
        refused.unwrap_or_else(|| GitError::Broken { url, problem: "the other side closed the connection".to_owned(), said })
    }

    fn send(&mut self, bytes: &[u8]) -> Result<usize, GitError> {
        let sent = self.stream()?.write(bytes);
        sent.map_err(|error| self.session.net_error(NetError::of_io(error)))
    }

    fn failed(&self, error: GitError) -> io::Error {
        self.session.keep(error);
        // libgit2 shows this to nobody: the session has the error itself.
        io::Error::other("the connection failed")
    }
}

fn open(session: &Session) -> Result<Stream, GitError> {
    let (address, net) = (session.address(), session.net());
    let failed = |cause: NetError| session.net_error(cause);
    match session.door() {
        Door::Ssh(identity) => net.ssh(address.url(), identity, command(&address.path()), session.is_checked()).map_err(failed),
        Door::Daemon => {
            let mut stream = net.tcp(address.url(), DAEMON_PORT, session.is_checked()).map_err(failed)?;
            let greeting = greeting(&address.path(), address.url().host_str().unwrap_or_default());
            stream.write_all(&greeting).map_err(|error| session.net_error(NetError::of_io(error)))?;
            Ok(stream)
        }
        Door::Http(_) => Err(GitError::Library("a connection of its own on a session of http".to_owned())),
    }
}

/// What a shell on the other side is to run.
fn command(path: &[u8]) -> Vec<u8> {
    [b"git-upload-pack ", &quoted(path)[..]].concat()
}

/// A path as one word of a shell, in quotes as git writes it (quote.c, `sq_quote_buf`).
pub(super) fn quoted(path: &[u8]) -> Vec<u8> {
    let mut word = b"'".to_vec();
    for byte in path {
        match byte {
            b'\'' => word.extend_from_slice(b"'\\''"),
            b'!' => word.extend_from_slice(b"'\\!'"),
            other => word.push(*other),
        }
    }
    word.push(b'\'');
    word
}

/// The first packet to git's daemon (gitprotocol-pack(5), "Git Transport").
fn greeting(path: &[u8], host: &str) -> Vec<u8> {
    let request = [b"git-upload-pack ", path, b"\0host=", host.as_bytes(), b"\0"].concat();
    [format!("{:04x}", request.len() + 4).as_bytes(), &request].concat()
}

/// What the last words mean: hosts say in text alone that there is no such repository, or that it is not for us.
pub(super) fn refusal(url: &RedactedUrl, said: Option<&str>) -> Option<GitError> {
    let lower = said?.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let (url, status, authenticated, said) = (url.clone(), None, true, said.map(str::to_owned));
    // git's daemon says the same of both, and nobody can be let in there.
    if has(&["not found", "not a git repository", "does not appear to be", "does not exist", "no such", "not exported", "not be found"]) {
        return Some(GitError::NotFound { url, status, authenticated, said });
    }
    has(&["denied", "not allowed", "unauthorized", "forbidden", "no access"]).then_some(GitError::Auth { url, status, authenticated, said })
}

impl Read for Conversation {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(buffer).map_err(|error| self.failed(error))
    }
}

impl Write for Conversation {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes).map_err(|error| self.failed(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Some(stream) => stream.flush(),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g7_a_path_is_one_word_to_the_shell_on_the_other_side() {
        for (path, want) in [
            ("/srv/web.git", "git-upload-pack '/srv/web.git'"),
            ("a b;rm -rf /", "git-upload-pack 'a b;rm -rf /'"),
            ("a'$(x)'!b", r"git-upload-pack 'a'\''$(x)'\'''\!'b'"),
        ] {
            assert_eq!(String::from_utf8(command(path.as_bytes())).unwrap(), want);
        }
    }

    #[test]
    fn the_daemon_is_greeted_as_git_does() {
        assert_eq!(greeting(b"/project.git", "myserver.com"), b"0033git-upload-pack /project.git\0host=myserver.com\0");
    }
}
