//! Promise 6 made visible: every secret of a test is a string found nowhere else, and afterwards everything that could
//! have leaked it is searched, in every form in which a program may write a string.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// A secret that can be recognised anywhere.
#[derive(Clone, Debug)]
pub struct Canary {
    pub name: String,
    pub value: String,
}

impl Canary {
    /// Random each time, with characters that every encoding writes differently.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), value: format!("c{:016x}\"+/ä>{:08x}", getrandom::u64().unwrap(), getrandom::u32().unwrap()) }
    }

    /// One without symbols, for places that take a token only.
    pub fn token(name: &str) -> Self {
        Self { name: name.to_owned(), value: format!("t{:016x}{:016x}", getrandom::u64().unwrap(), getrandom::u64().unwrap()) }
    }

    /// What to search for, with the form's name.
    pub fn forms(&self) -> Vec<(String, Vec<u8>)> {
        let value = self.value.as_str();
        let mut forms = vec![("as it is".to_owned(), value.to_owned())];
        let json = serde_json::to_string(value).unwrap();
        forms.push(("JSON".to_owned(), json[1..json.len() - 1].to_owned()));
        let ascii = |text: &str| {
            let escape = |c: char| if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) };
            text.chars().map(escape).collect::<String>()
        };
        let html_safe = ascii(&json[1..json.len() - 1]).replace('>', "\\u003e").replace('<', "\\u003c").replace('&', "\\u0026");
        forms.push(("JSON in ASCII".to_owned(), ascii(&json[1..json.len() - 1])));
        forms.push(("JSON as Go writes it".to_owned(), html_safe));
        let percent = utf8_percent_encode(value, NON_ALPHANUMERIC).to_string();
        forms.push(("percent, lower case".to_owned(), lower_percent(&percent)));
        forms.push(("percent".to_owned(), percent));
        forms.push(("form".to_owned(), url::form_urlencoded::byte_serialize(value.as_bytes()).collect()));
        let mut path = url::Url::parse("http://h/").unwrap();
        path.set_password(Some(value)).unwrap();
        forms.push(("URL".to_owned(), path.password().unwrap().to_owned()));
        for (name, alphabet) in [("base64", &STANDARD_NO_PAD), ("base64url", &URL_SAFE_NO_PAD)] {
            for shift in 0..3 {
                // Without the characters at either end that depend on what stands around it.
                let bytes = [&b"\0\0"[..shift], value.as_bytes()].concat();
                let whole = bytes.len() / 3 * 4;
                let first = [0, 2, 3][shift];
                forms.push((format!("{name} at {shift}"), alphabet.encode(&bytes)[first..whole].to_owned()));
            }
        }
        forms.sort_by(|a, b| a.1.cmp(&b.1));
        forms.dedup_by(|a, b| a.1 == b.1);
        forms.into_iter().map(|(name, text)| (name, text.into_bytes())).collect()
    }
}

/// The secrets of one file of a secret directory. A document that is damaged on purpose is left to its test.
pub fn in_secret_file(name: &str, content: &str) -> Vec<Canary> {
    let canary = |value: &str| Canary { name: format!("what {name} holds"), value: value.to_owned() };
    match name {
        "username" | "ca.crt" | "known_hosts" | "tls.crt" => Vec::new(),
        "password" | "token" | "bearerToken" | "passphrase" => vec![canary(content)],
        // A line from the middle of it: what nobody can have by chance.
        "ssh-privatekey" | "identity" | "ssh" => content.lines().nth(2).map(canary).into_iter().collect(),
        "tls.key" => content.lines().filter(|line| !line.starts_with("-----")).map(canary).collect(),
        "config.json" | ".dockerconfigjson" => {
            let config: serde_json::Value = serde_json::from_str(content).unwrap_or_default();
            let logins = config["auths"].as_object().into_iter().flat_map(|hosts| hosts.values());
            let decoded = |login: &serde_json::Value| STANDARD.decode(login["auth"].as_str()?).ok();
            let passwords = logins.filter_map(decoded).filter_map(|pair| {
                let pair = String::from_utf8(pair).ok()?;
                Some(canary(pair.split_once(':')?.1))
            });
            passwords.collect()
        }
        "headers" => content.lines().filter_map(|line| Some(canary(line.split_once(": ")?.1))).collect(),
        ".git-credentials" => {
            let urls = content.lines().map(|line| url::Url::parse(line).unwrap());
            let passwords = urls.filter_map(|url| Some(percent_decode_str(url.password()?).decode_utf8().unwrap().into_owned()));
            passwords.map(|password| canary(&password)).collect()
        }
        _ => panic!("{name}: say here what is secret in it"),
    }
}

fn lower_percent(text: &str) -> String {
    let mut chars = text.chars();
    let mut out = String::new();
    while let Some(c) = chars.next() {
        out.push(c);
        if c == '%' {
            out.extend(chars.by_ref().take(2).map(|digit| digit.to_ascii_lowercase()));
        }
    }
    out
}

/// Places to search, with their names.
#[derive(Debug, Default)]
pub struct Sinks(Vec<(String, Vec<u8>)>);

impl Sinks {
    pub fn add(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> &mut Self {
        self.0.push((name.into(), bytes.into()));
        self
    }

    /// Every file below a directory, its name too.
    pub fn add_dir(&mut self, dir: &Path) -> &mut Self {
        for entry in fs::read_dir(dir).into_iter().flatten().map_while(Result::ok) {
            let path = entry.path();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                self.add_dir(&path);
            } else {
                let body = if kind.is_file() { fs::read(&path).unwrap_or_default() } else { Vec::new() };
                self.add(path.display().to_string(), [path.as_os_str().as_encoded_bytes(), b"\n", &body].concat());
            }
        }
        self
    }

    /// Where any of them is found; empty is good.
    pub fn leaks(&self, canaries: &[Canary]) -> Vec<String> {
        let mut found = Vec::new();
        for canary in canaries {
            for (form, needle) in canary.forms() {
                for (sink, bytes) in &self.0 {
                    if holds(bytes, &needle) {
                        found.push(format!("{} ({form}) in {sink}", canary.name));
                    }
                }
            }
        }
        found
    }
}

/// By the first byte's positions; the standard library has no search for bytes.
pub fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else { return false };
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| byte == first) {
        if bytes[from + at..].starts_with(needle) {
            return true;
        }
        from += at + 1;
    }
    false
}
