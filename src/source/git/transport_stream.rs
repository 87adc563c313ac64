//! libgit2's smart subtransport over one connection, both ways: git-upload-pack as ssh and git's daemon run it
//! (gitprotocol-pack(5), "GIT TRANSPORT" and "SSH TRANSPORT"), in protocol version 2 where the other side speaks it.

use std::io::{self, BufReader, Cursor, Read, Write};

use git2::Error;
use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream};

use super::GitError;
use super::answer::Answer;
use super::pkt::{FLUSH, Fault};
use super::remote::{Scanner, readable};
use super::session::{Door, Session};
use super::version2::{self, List, Opening, Wants};
use crate::net::{NetError, RedactedUrl, RemoteCommand, Stream};

/// The port of git's daemon (git-daemon(1)).
const DAEMON_PORT: u16 = 9418;

/// Bytes that are read from the connection at once.
const AT_ONCE: usize = 64 << 10;

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

/// What is spoken on the connection, once the other side has begun.
enum Spoken {
    /// By libgit2 itself.
    Version0,
    /// With the answer to libgit2's request, once that is made.
    Version2(Option<Answer>),
}

/// What is said on the connection, once there is one.
struct Conversation {
    session: Session,
    stream: Option<BufReader<Stream>>,
    spoken: Option<Spoken>,
    /// What libgit2 reads before anything else: what was read to know the version, or the list.
    before: Box<dyn Read + Send>,
    received: u64,
    scanner: Scanner,
}

impl Conversation {
    fn new(session: Session) -> Self {
        Self { session, stream: None, spoken: None, before: Box::new(io::empty()), received: 0, scanner: Scanner::default() }
    }

    fn stream(&mut self) -> Result<&mut BufReader<Stream>, GitError> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => BufReader::with_capacity(AT_ONCE, open(&self.session)?),
        };
        Ok(self.stream.insert(stream))
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, GitError> {
        let count = self.next(buffer)?;
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
            self.session.listed(&self.scanner, self.received)?;
        }
        Ok(count)
    }

    /// The next bytes of version 0.
    fn next(&mut self, buffer: &mut [u8]) -> Result<usize, GitError> {
        if self.spoken.is_none() {
            self.begin()?;
        }
        let count = self.before.read(buffer).map_err(|error| self.read_error(error))?;
        if count > 0 {
            return Ok(count);
        }
        self.stream()?;
        let read = match (&mut self.stream, &mut self.spoken) {
            (Some(stream), Some(Spoken::Version2(Some(answer)))) => answer.read(stream, buffer),
            (Some(stream), _) => stream.read(buffer),
            (None, _) => Ok(0),
        };
        read.map_err(|error| self.read_error(error))
    }

    fn begin(&mut self) -> Result<(), GitError> {
        let opening = version2::open(self.stream()?).map_err(|error| self.read_error(error))?;
        match opening {
            Opening::Other(begin) => {
                self.before = Box::new(Cursor::new(begin));
                self.spoken = Some(Spoken::Version0);
            }
            Opening::Version2(offer) => {
                let asked = self.session.asked().clone();
                let list = version2::list(&asked, |prefixes| self.list(prefixes))?;
                self.before = Box::new(list.into_version0(b"", offer));
                self.spoken = Some(Spoken::Version2(None));
            }
        }
        Ok(())
    }

    fn list(&mut self, prefixes: &[String]) -> Result<List, GitError> {
        self.say(&version2::ls_refs(prefixes))?;
        List::read(self.stream()?, prefixes).map_err(|error| self.read_error(error))
    }

    fn read_error(&self, error: io::Error) -> GitError {
        if let Some(Fault::Ended) = error.get_ref().and_then(|cause| cause.downcast_ref()) {
            return self.ended();
        }
        self.session.heard(&self.scanner);
        self.session.read_error(error)
    }

    /// The other side went away: what it said last is all there is to know.
    fn ended(&self) -> GitError {
        let beside = self.stream.as_ref().and_then(|stream| readable(&stream.get_ref().said()));
        let url = self.session.address().redacted();
        let said = beside.or_else(|| self.scanner.said());
        let refused = if self.received == 0 { refusal(&url, said.as_deref()) } else { None };
        refused.unwrap_or_else(|| GitError::Broken { url, problem: "the other side closed the connection".to_owned(), said })
    }

    fn send(&mut self, bytes: &[u8]) -> Result<usize, GitError> {
        let Some(Spoken::Version2(answer)) = &mut self.spoken else { return self.say(bytes) };
        // A flush ends the conversation in either version.
        if bytes == FLUSH {
            return self.say(bytes);
        }
        // The second step of a shallow fetch says no more: version 2 was told all of it at once.
        if answer.is_some() && bytes == b"0009done\n" {
            return Ok(bytes.len());
        }
        let (wants, _) = Wants::parse(bytes).ok_or_else(version2::not_first)?;
        *answer = Some(Answer::new(wants.deepens()));
        self.say(&wants.command())?;
        Ok(bytes.len())
    }

    fn say(&mut self, bytes: &[u8]) -> Result<usize, GitError> {
        let sent = self.stream()?.get_mut().write_all(bytes);
        sent.map_err(|error| self.session.net_error(NetError::of_io(error)))?;
        Ok(bytes.len())
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
        Door::Ssh(identity) => {
            let remote = RemoteCommand { line: command(&address.path()), variable: Some(("GIT_PROTOCOL", version2::ASKED)) };
            net.ssh(address.url(), identity, remote, session.is_checked()).map_err(failed)
        }
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

/// The first packet to git's daemon (gitprotocol-pack(5), "Git Transport"). A daemon of old reads no further than the host.
fn greeting(path: &[u8], host: &str) -> Vec<u8> {
    let request = [b"git-upload-pack ", path, b"\0host=", host.as_bytes(), b"\0\0", version2::ASKED.as_bytes(), b"\0"].concat();
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
            Some(stream) => stream.get_mut().flush(),
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
        assert_eq!(greeting(b"/project.git", "myserver.com"), b"003egit-upload-pack /project.git\0host=myserver.com\0\0version=2\0");
    }
}
