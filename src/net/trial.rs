//! For tests only: a server over real sockets, with or without TLS, that remembers what it was asked.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use url::Url;

/// One request as it came in.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    over: Arc<AtomicBool>,
}

impl Asked {
    /// A header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// The request as it would have been without this header.
    pub fn without(&self, name: &str) -> Self {
        let mut asked = self.clone();
        asked.headers.retain(|(have, _)| have != name);
        asked
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// Says nothing more while the server is there, for at most 30 s.
    pub fn silence(&self) {
        let until = Instant::now() + Duration::from_secs(30);
        while !self.over.load(Ordering::Relaxed) && Instant::now() < until {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

type Handler = dyn Fn(&Asked, &mut dyn Write) -> io::Result<()> + Send + Sync;

/// Runs until it is dropped, and with it every connection: what its handler holds is gone then. Every request is a connection
/// of its own.
pub struct Server {
    pub url: Url,
    log: Arc<Mutex<Vec<Asked>>>,
    over: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Whoever waits for a connection looks again when one comes.
        let woken = TcpStream::connect(("127.0.0.1", self.url.port().unwrap_or_default()));
        if let (Ok(_), Some(accepting)) = (woken, self.accepting.take()) {
            let _ = accepting.join();
        }
    }
}

impl Server {
    pub fn plain(handler: impl Fn(&Asked, &mut dyn Write) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::start(None, Arc::new(handler))
    }

    pub fn tls(pki: &Pki, handler: impl Fn(&Asked, &mut dyn Write) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::start(Some(Arc::clone(&pki.server)), Arc::new(handler))
    }

    fn start(tls: Option<Arc<ServerConfig>>, handler: Arc<Handler>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = Url::parse(&format!("{scheme}://127.0.0.1:{}/", listener.local_addr().unwrap().port())).unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let (seen, ending) = (Arc::clone(&log), Arc::clone(&over));
        let accepting = thread::spawn(move || {
            let mut connections = Vec::new();
            for stream in listener.incoming().flatten().take_while(|_| !ending.load(Ordering::Relaxed)) {
                let (tls, handler, seen, over) = (tls.clone(), Arc::clone(&handler), Arc::clone(&seen), Arc::clone(&ending));
                let (twin, end) = (stream.try_clone().unwrap(), stream.try_clone().unwrap());
                let connection = thread::spawn(move || {
                    serve(stream, tls, &*handler, &seen, &over);
                    let _ = end.shutdown(Shutdown::Both);
                });
                connections.push((twin, connection));
            }
            for (stream, connection) in connections {
                let _ = stream.shutdown(Shutdown::Both);
                let _ = connection.join();
            }
        });
        Self { url, log, over, accepting: Some(accepting) }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.log.lock().unwrap().clone()
    }

    pub fn at(&self, path: &str) -> Url {
        self.url.join(path).unwrap()
    }
}

fn serve(stream: TcpStream, tls: Option<Arc<ServerConfig>>, handler: &Handler, log: &Mutex<Vec<Asked>>, over: &Arc<AtomicBool>) {
    let _ = match tls {
        None => exchange(stream, handler, log, over).map(|_| ()),
        Some(config) => {
            let stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
            exchange(stream, handler, log, over).and_then(|mut stream| {
                stream.conn.send_close_notify();
                stream.flush()
            })
        }
    };
}

fn exchange<S: Read + Write>(stream: S, handler: &Handler, log: &Mutex<Vec<Asked>>, over: &Arc<AtomicBool>) -> io::Result<S> {
    let mut reader = BufReader::new(stream);
    let asked = parse(&mut reader, over)?;
    log.lock().unwrap().push(asked.clone());
    let mut stream = reader.into_inner();
    let answered = handler(&asked, &mut stream);
    stream.flush()?;
    answered.map(|()| stream)
}

fn parse(reader: &mut impl BufRead, over: &Arc<AtomicBool>) -> io::Result<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    if method.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Asked { method, target, headers, body, over: Arc::clone(over) })
}

/// A whole answer.
pub fn answer(out: &mut dyn Write, status: u16, headers: &[(&str, &str)], body: &[u8]) -> io::Result<()> {
    write!(out, "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n", body.len())?;
    headers.iter().try_for_each(|(name, value)| write!(out, "{name}: {value}\r\n"))?;
    out.write_all(b"\r\n")?;
    out.write_all(body)
}

/// A redirect.
pub fn redirect(out: &mut dyn Write, status: u16, location: &str) -> io::Result<()> {
    answer(out, status, &[("Location", location)], b"")
}

/// A CA of this test's own, and a server's configuration with a certificate of it for 127.0.0.1 and localhost.
pub struct Pki {
    pub ca_pem: Vec<u8>,
    server: Arc<ServerConfig>,
}

impl Pki {
    pub fn new() -> Self {
        Self::with(&["127.0.0.1", "localhost"], |_| {})
    }

    /// With a leaf for these names, changed as the test likes.
    pub fn with(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "a CA for a test");
        let ca_key = KeyPair::generate().unwrap();
        let ca_pem = ca.self_signed(&ca_key).unwrap().pem().into_bytes();
        let issuer = Issuer::new(ca, ca_key);
        let (mut leaf, key) = leaf(names);
        change(&mut leaf);
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        Self { ca_pem, server: server(leaf.der().clone(), &key) }
    }

    /// As `openssl req -x509` makes it: signed by itself, and calling itself a CA.
    pub fn self_signed() -> Self {
        let (mut leaf, key) = leaf(&["127.0.0.1"]);
        leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let leaf = leaf.self_signed(&key).unwrap();
        Self { ca_pem: leaf.pem().into_bytes(), server: server(leaf.der().clone(), &key) }
    }
}

fn leaf(names: &[&str]) -> (CertificateParams, KeyPair) {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    (CertificateParams::new(names).unwrap(), KeyPair::generate().unwrap())
}

fn server(certificate: CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    super::init();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap())
}
