//! Which host keys are trusted: `known_hosts` as sshd(8) describes it ("SSH_KNOWN_HOSTS FILE FORMAT"), strictly. Nothing is ever
//! learnt: a host that is not in it is not talked to.

use std::fmt;

use ring::hmac;
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, KnownHosts as Lines, Marker};
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey};

use crate::net::error::Distrust;

/// Lines of a file; one that holds more is no list of hosts somebody wrote.
const MOST_LINES: usize = 100_000;

/// The port whose hosts are listed without it.
const USUAL_PORT: u16 = 22;

/// The lines of one or more files.
#[derive(Clone, Default)]
pub struct KnownHosts(Vec<Entry>);

/// Why a file is no list of hosts that can be gone by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHosts {
    #[error("known_hosts lists no host with a key that can be read")]
    Nothing,
    #[error("line {0} of known_hosts revokes a key that cannot be read")]
    Revocation(usize),
    #[error("known_hosts has more than {MOST_LINES} lines")]
    TooLong,
}

impl KnownHosts {
    /// Lines of kinds of keys that nobody here knows are passed over, as by OpenSSH, but for those that revoke one.
    pub fn parse(text: &str) -> Result<Self, BadHosts> {
        let mut entries = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            if number > MOST_LINES {
                return Err(BadHosts::TooLong);
            }
            // Its parser takes one space between two fields; OpenSSH takes any blanks.
            let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
            match Lines::new(&line).next() {
                Some(Ok(entry)) => entries.push(entry),
                Some(Err(_)) if line.starts_with("@revoked") => return Err(BadHosts::Revocation(number)),
                Some(Err(_)) | None => {}
            }
        }
        if entries.is_empty() { Err(BadHosts::Nothing) } else { Ok(Self(entries)) }
    }

    /// The lines for this host: those that name its port, or where none of them lists a key, those that name no port. What is
    /// marked goes for the host under each of its names.
    fn for_host(&self, host: &str, port: u16) -> Vec<&Entry> {
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        let with_port = if port == USUAL_PORT { host.clone() } else { format!("[{host}]:{port}") };
        let of = |name: &str, marked: bool| -> Vec<&Entry> {
            let fits = |entry: &&Entry| entry.marker().is_some() == marked && names(entry.host_patterns(), name);
            self.0.iter().filter(fits).collect()
        };
        let mut found = of(&with_port, false);
        if found.is_empty() {
            found = of(&host, false);
        }
        found.extend(of(&with_port, true));
        found.extend(of(&host, true));
        found
    }

    /// The kinds of keys that are listed for a host, so that it shows one of them; and whether an authority vouches for it.
    pub fn kinds(&self, host: &str, port: u16) -> (Vec<Algorithm>, bool) {
        let found = self.for_host(host, port);
        let keys = found.iter().filter(|entry| entry.marker().is_none()).map(|entry| entry.public_key().algorithm()).collect();
        (keys, found.iter().any(|entry| entry.marker() == Some(&Marker::CertAuthority)))
    }

    /// Whether this is the host's key.
    pub fn check_key(&self, host: &str, port: u16, key: &PublicKey) -> Result<(), Distrust> {
        let found = self.for_host(host, port);
        let same = |entry: &&&Entry| entry.public_key().key_data() == key.key_data();
        let marked = |marker: Option<&Marker>| found.iter().filter(|entry| entry.marker() == marker).collect::<Vec<_>>();
        if marked(Some(&Marker::Revoked)).iter().any(same) {
            return Err(Distrust::Revoked);
        }
        let listed = marked(None);
        match listed.first() {
            _ if listed.iter().any(same) => Ok(()),
            Some(other) => Err(Distrust::Changed(fingerprint(other.public_key()))),
            None => Err(Distrust::Unknown),
        }
    }

    /// Whether an authority that is listed for the host vouches for it, here and now (PROTOCOL.certkeys of OpenSSH).
    pub fn check_certificate(&self, host: &str, port: u16, certificate: &Certificate) -> Result<(), Distrust> {
        let found = self.for_host(host, port);
        let with = |marker: &Marker| found.iter().filter(|entry| entry.marker() == Some(marker)).map(|entry| entry.public_key()).collect();
        let (revoked, authorities): (Vec<&PublicKey>, Vec<&PublicKey>) = (with(&Marker::Revoked), with(&Marker::CertAuthority));
        if revoked.iter().any(|key| [certificate.signature_key(), certificate.public_key()].contains(&key.key_data())) {
            return Err(Distrust::Revoked);
        }
        let refuse = |what| Err(Distrust::Certificate(what));
        if certificate.cert_type() != CertType::Host {
            return refuse("is a user's, not a host's");
        }
        if !certificate.critical_options().is_empty() {
            return refuse("has critical options, of which hosts have none");
        }
        let name = host.trim_matches(['[', ']']).to_ascii_lowercase();
        if !certificate.valid_principals().iter().any(|principal| matches(&principal.to_ascii_lowercase(), &name)) {
            return refuse("is for another host");
        }
        let trusted: Vec<_> = authorities.iter().map(|key| key.fingerprint(HashAlg::Sha256)).collect();
        if !trusted.contains(&certificate.signature_key().fingerprint(HashAlg::Sha256)) {
            return refuse("is from an authority that known_hosts does not list for it (@cert-authority)");
        }
        certificate.validate(&trusted).or_else(|_| refuse("is not valid now, or is forged"))
    }
}

impl fmt::Debug for KnownHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KnownHosts({} keys)", self.0.len())
    }
}

/// A key as `ssh-keygen -l` shows it: its kind, and the SHA-256 of it.
pub(super) fn fingerprint(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256))
}

fn names(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => {
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
            hmac::verify(&key, name.as_bytes(), hash).is_ok()
        }
        HostPatterns::Patterns(patterns) => {
            let hit = |pattern: &str| matches(&pattern.to_ascii_lowercase(), name);
            let (not, yes): (Vec<&str>, Vec<&str>) = patterns.iter().map(String::as_str).partition(|pattern| pattern.starts_with('!'));
            yes.into_iter().any(hit) && !not.into_iter().any(|pattern| hit(&pattern[1..]))
        }
    }
}

/// `*` is any number of characters, `?` is one (ssh_config(5), "PATTERNS").
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where the last star was, and what of the name it has taken so far.
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                (p, n) = (at + 1, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
    const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio";

    fn key(text: &str) -> PublicKey {
        PublicKey::from_openssh(text).unwrap()
    }

    fn check(text: &str, host: &str, port: u16, shown: &str) -> Result<(), Distrust> {
        KnownHosts::parse(text).unwrap().check_key(host, port, &key(shown))
    }

    #[test]
    fn g5_a_host_is_known_by_its_lines_alone() {
        let changed = || Err(Distrust::Changed(fingerprint(&key(A))));
        for (line, host, port, shown, want) in [
            ("git.example.com", "git.example.com", 22, A, Ok(())),
            ("git.example.com", "GIT.example.com", 22, A, Ok(())),
            ("git.example.com", "git.example.com", 22, B, changed()),
            ("git.example.com", "other.example.com", 22, A, Err(Distrust::Unknown)),
            ("a.b,git.example.com", "git.example.com", 22, A, Ok(())),
            ("*.example.com", "git.example.com", 22, A, Ok(())),
            ("*.example.com,!git.example.com", "git.example.com", 22, A, Err(Distrust::Unknown)),
            ("10.0.0.?", "10.0.0.7", 22, A, Ok(())),
            ("[git.example.com]:2222", "git.example.com", 2222, A, Ok(())),
            ("[git.example.com]:2222", "git.example.com", 22, A, Err(Distrust::Unknown)),
            ("[git.example.com]:2222", "git.example.com", 2022, A, Err(Distrust::Unknown)),
            ("git.example.com", "git.example.com", 2222, A, Ok(())),
            ("::1", "[::1]", 22, A, Ok(())),
            ("@revoked git.example.com", "git.example.com", 22, A, Err(Distrust::Revoked)),
            ("@revoked *", "git.example.com", 22, A, Err(Distrust::Revoked)),
            ("@cert-authority *", "git.example.com", 22, A, Err(Distrust::Unknown)),
        ] {
            assert_eq!(check(&format!("# c\n\n{line} {A} note\n"), host, port, shown), want, "{line} {host}:{port}");
        }
        let both = format!("git.example.com {A}\n@revoked * {A}\n");
        assert_eq!(check(&both, "git.example.com", 22, A), Err(Distrust::Revoked));
        let with_port = format!("[h]:2222 {A}\n@revoked h {A}\n");
        assert_eq!(check(&with_port, "h", 2222, A), Err(Distrust::Revoked));
        let other = format!("[h]:2222 {A}\nh {B}\n");
        assert_eq!(check(&other, "h", 2222, B), changed());
    }

    #[test]
    fn g5_hashed_names_are_read() {
        // HMAC-SHA1 of the name, by a salt for each line (hostfile.c of OpenSSH, `host_hash`).
        let salt = [7; 20];
        let line = |name: &str| {
            let hash = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt), name.as_bytes());
            HostPatterns::HashedName { salt: salt.to_vec(), hash: hash.as_ref().try_into().unwrap() }.to_string()
        };
        for (name, port, want) in [("git.example.com", 22, true), ("[git.example.com]:2222", 2222, true), ("other", 22, false)] {
            let known = check(&format!("{} {A}", line(name)), "git.example.com", port, A);
            assert_eq!(known.is_ok(), want, "{name}");
        }
    }

    #[test]
    fn lines_nobody_understands_are_passed_over() {
        let text = format!("garbage\nh ssh-unheard-of AAAA\n|1|x|y {A}\nh {A}\n");
        assert_eq!(check(&text, "h", 22, A), Ok(()));
        assert_eq!(KnownHosts::parse("# nothing\ngarbage\n").unwrap_err(), BadHosts::Nothing);
        let revoked = KnownHosts::parse(&format!("h {A}\n@revoked h ssh-unheard-of AAAA\n"));
        assert_eq!(revoked.unwrap_err(), BadHosts::Revocation(2));
        for blanks in ["\t", "  ", " \t "] {
            let text = format!("h {A}\n@revoked{blanks}*{blanks}{A}\n");
            assert_eq!(check(&text, "h", 22, A), Err(Distrust::Revoked));
            assert_eq!(check(&format!("h{blanks}{A}\n"), "h", 22, A), Ok(()));
        }
        let marked = format!("h {A}\n@revoked * {B}\n@cert-authority [h]:2222 {B}\n");
        assert_eq!((check(&marked, "h", 2222, A), check(&marked, "h", 2222, B)), (Ok(()), Err(Distrust::Revoked)));
        assert_eq!(KnownHosts::parse(&text).unwrap().kinds("h", 22), (vec![Algorithm::Ed25519], false));
    }

    #[test]
    fn patterns_are_those_of_ssh_config() {
        for (pattern, name, want) in
            [("*", "a", true), ("a*c", "abbc", true), ("a*c", "abb", false), ("?", "", false), ("a**b?", "axxbc", true), ("", "", true)]
        {
            assert_eq!(matches(pattern, name), want, "{pattern} {name}");
        }
    }
}
