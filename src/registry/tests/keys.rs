//! Lookups: what is found where, and what is never found.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::model::keychain::{Credential, Keychain};
use crate::model::{Classified, Reason, Reference};
use crate::registry::{DockerKeychain, RegistryError, Source, config_path};
use crate::support::guard::Guard;
use crate::support::redact::Redactor;
use crate::support::secretdir::SecretDir;

fn auth(pair: &str) -> String {
    STANDARD.encode(pair)
}

fn keychain(sources: Vec<Source>) -> DockerKeychain {
    DockerKeychain::new(sources, Arc::default())
}

fn secret(directory: &Path) -> SecretDir {
    SecretDir::new(directory, Guard::default())
}

fn inline(document: &serde_json::Value) -> DockerKeychain {
    keychain(vec![Source::Inline(SecretString::from(document.to_string()))])
}

/// What a lookup came to, in one word.
fn word(found: Result<Option<Credential>, RegistryError>) -> String {
    match found {
        Ok(None) => "nothing".into(),
        Ok(Some(Credential::Basic { username, password })) => format!("{username}:{}", password.expose_secret()),
        Ok(Some(Credential::Identity(token))) => format!("identity {}", token.expose_secret()),
        Ok(Some(Credential::Bearer(token))) => format!("bearer {}", token.expose_secret()),
        Err(error) => format!("error: {error}"),
    }
}

fn resolve(keychain: &DockerKeychain, name: &str) -> String {
    word(keychain.resolve(&Reference::parse(name).unwrap()))
}

#[test]
fn the_most_specific_path_wins_and_nothing_else_matches() {
    let keys = [
        "registry.example.com",
        "registry.example.com/team",
        "registry.example.com/team/app",
        "https://index.docker.io/v1/",
        "docker.io/team/app",
        "other.example.com/only/this",
        "PORT.example.com:443",
        "[::1]:5000",
        "azurecr.io",
        "*.wild.example.com",
    ];
    let auths: serde_json::Map<_, _> =
        keys.iter().map(|key| ((*key).to_owned(), json!({"auth": auth(&format!("{key}:secret-1"))}))).collect();
    // The user is the key up to its first colon.
    let keychain = inline(&json!({ "auths": auths }));
    for (name, want) in [
        ("registry.example.com/app", "registry.example.com:secret-1"),
        ("registry.example.com/team", "registry.example.com/team:secret-1"),
        ("registry.example.com/team/other", "registry.example.com/team:secret-1"),
        ("registry.example.com/team/app:1", "registry.example.com/team/app:secret-1"),
        ("registry.example.com/team/app/sub", "registry.example.com/team/app:secret-1"),
        ("registry.example.com/team/app-evil", "registry.example.com/team:secret-1"),
        ("registry.example.com/team-evil/app", "registry.example.com:secret-1"),
        ("registry.example.com:443/team/app", "nothing"),
        ("registry.example.com:5000/app", "nothing"),
        ("evil.registry.example.com/app", "nothing"),
        ("registry.example.com.attacker.com/app", "nothing"),
        ("web", "https://index.docker.io/v1/:secret-1"),
        ("docker.io/team/app", "docker.io/team/app:secret-1"),
        ("other.example.com/only/that", "nothing"),
        ("other.example.com/only", "nothing"),
        ("port.example.com:443/a", "PORT.example.com:443:secret-1"),
        ("port.example.com/a", "nothing"),
        ("[::1]:5000/a", "[:"),
        ("evil.azurecr.io/a", "nothing"),
        ("evil.azurecr.io.attacker.com/a", "nothing"),
        ("a.wild.example.com/a", "nothing"),
    ] {
        let found = resolve(&keychain, name);
        let good = if want == "nothing" {
            found == want
        } else {
            found.starts_with(want.split(':').next().unwrap()) && found.ends_with("secret-1")
        };
        assert!(good, "{name}: {found}, not {want}");
    }
    for (host, want) in [
        ("https://index.docker.io/v1/", true),
        ("registry-1.docker.io", true),
        ("docker.io", true),
        ("azurecr.io", true),
        ("registry.example.com", true),
        ("other.example.com", false),
        ("registry.example.com.", false),
    ] {
        assert_eq!(keychain.for_host(host).unwrap().is_some(), want, "{host}");
    }
    let hosts = ["registry.example.com", "docker.io", "port.example.com:443", "[::1]:5000", "azurecr.io", "*.wild.example.com"];
    assert_eq!(keychain.hosts().unwrap(), hosts);
}

#[test]
fn every_kind_of_entry_is_read() {
    let long = auth("user:pass-word\0\0\0");
    for (entry, want) in [
        (json!({"auth": auth("user:pass:word")}), "user:pass:word"),
        (json!({"auth": STANDARD_NO_PAD.encode("user:pass-word")}), "user:pass-word"),
        (json!({"auth": format!(" {long}\n")}), "user:pass-word"),
        (json!({"username": "user", "password": "pass-word"}), "user:pass-word"),
        (json!({"auth": auth("user:pass-word"), "username": "other", "password": "x"}), "user:pass-word"),
        (json!({"identitytoken": "identity", "auth": auth("0000:")}), "identity identity"),
        (json!({"registrytoken": "registry", "identitytoken": "identity"}), "bearer registry"),
        (json!({"auth": auth("<token>:identity")}), "identity identity"),
        (json!({"auth": "", "email": "a@b"}), "nothing"),
        (json!({}), "nothing"),
    ] {
        assert_eq!(resolve(&inline(&json!({"auths": {"a.b": entry}})), "a.b/c"), want, "{entry}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_by_place_and_never_by_content() {
    let canary = "canary-secret";
    for (document, problem) in [
        ("{\"auths\": canary-secret".to_owned(), "not JSON"),
        (String::new(), "not JSON"),
        ("[]".into(), "not a JSON object"),
        (json!({"auths": canary}).to_string(), "auths is not"),
        (json!({"auths": {"canary-secret@a.b": canary}}).to_string(), "entry 1"),
        (json!({"auths": {"x.y": {}, "a.b": {"auth": "canary-secret!"}}}).to_string(), "entry 2 of auths: its auth is not base64"),
        (json!({"auths": {"a.b": {"auth": auth(canary)}}}).to_string(), "not user:password"),
        (json!({"auths": {"a.b": {"auth": auth(":canary-secret")}}}).to_string(), "no user"),
        (json!({"auths": {"a.b": {"auth": STANDARD.encode(b"u:\xff\xfe")}}}).to_string(), "UTF-8"),
        (json!({"auths": {"a.b": {"auth": [canary]}}}).to_string(), "auth is not a string"),
        (json!({"auths": {"a.b": {"password": canary}}}).to_string(), "no username"),
        (json!({"credHelpers": {"a.b": 1}}).to_string(), "credHelpers"),
        (json!({"credsStore": {}}).to_string(), "credsStore"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        fs::write(&path, &document).unwrap();
        for (source, place) in [
            (Source::File(path.clone()), path.to_str().unwrap()),
            (Source::Directory { secret: secret(directory.path()), hosts: vec![] }, path.to_str().unwrap()),
            (Source::Inline(SecretString::from(document.clone())), "DOCKER_AUTH_CONFIG"),
        ] {
            let error = keychain(vec![source]).for_host("another.example.com").unwrap_err();
            let text = format!("{error} {error:?} {:?}", error.hint());
            assert_eq!(error.reason(), Reason::SecretInvalid);
            assert!(text.contains(place) && text.contains(problem), "{text}");
            assert!(!text.contains("canary") && !text.contains(&auth(canary)), "{text}");
        }
    }
}

#[test]
fn the_first_source_that_has_an_entry_wins() {
    let directory = tempfile::tempdir().unwrap();
    let document = |path: &Path, pairs: &[(&str, &str)]| {
        let auths: serde_json::Map<_, _> = pairs.iter().map(|(key, pair)| ((*key).to_owned(), json!({"auth": auth(pair)}))).collect();
        fs::write(path, json!({ "auths": auths }).to_string()).unwrap();
    };
    let (first, second) = (directory.path().join("first"), directory.path().join("second"));
    document(&first, &[("a.b", "first:11111111"), ("only.first", "f:11111111")]);
    document(&second, &[("a.b/team", "second:22222222"), ("only.second", "s:22222222")]);
    let missing = Source::File(directory.path().join("missing/config.json"));
    let keychain = keychain(vec![missing, Source::File(first.clone()), Source::File(second)]);
    for (name, want) in [("a.b/team/x", "first:11111111"), ("only.second/x", "s:22222222"), ("neither.one/x", "nothing")] {
        assert_eq!(resolve(&keychain, name), want);
    }
    assert_eq!(keychain.hosts().unwrap(), ["a.b", "only.first", "only.second"]);

    // A rotated secret is seen at the next call.
    document(&first, &[("a.b", "rotated:33333333")]);
    assert_eq!(resolve(&keychain, "a.b/team/x"), "rotated:33333333");
}

#[test]
fn a_mounted_secret_is_read_in_each_of_its_forms() {
    let write = |files: &[(&str, String)]| {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        directory
    };
    let at = |directory: &Path, host: &str| {
        let source = Source::Directory { secret: secret(directory), hosts: vec!["Bound.example.com:5000".into()] };
        word(keychain(vec![source]).for_host(host))
    };
    let config = json!({"auths": {"a.b": {"auth": auth("user:pass-word")}}}).to_string();
    let legacy = json!({"a.b": {"auth": auth("legacy:pass-word"), "email": "x"}}).to_string();
    assert_eq!(at(write(&[(".dockerconfigjson", config.clone())]).path(), "a.b"), "user:pass-word");
    assert_eq!(at(write(&[(".dockercfg", legacy.clone())]).path(), "a.b"), "legacy:pass-word");
    assert_eq!(at(write(&[(".dockercfg", legacy), (".dockerconfigjson", config)]).path(), "a.b"), "user:pass-word");

    let pair = write(&[("username", "user\n".into()), ("password", " pass word \r\n".into())]);
    assert_eq!(at(pair.path(), "bound.example.com:5000"), "user: pass word ");
    for stranger in ["bound.example.com", "example.com:5000", "docker.io", "evil.bound.example.com:5000"] {
        assert_eq!(at(pair.path(), stranger), "nothing", "{stranger}");
    }
    for (files, problem) in [
        (vec![("username", "user".to_owned())], "without a password"),
        (vec![("password", "pass-word".to_owned())], "without a username"),
        (vec![("username", "user".to_owned()), ("password", "\n".to_owned())], "empty"),
        (vec![("token", "t".to_owned())], "none of"),
    ] {
        assert!(at(write(&files).path(), "a.b").contains(problem), "{files:?}");
    }
    assert!(at(Path::new("/no/such/place"), "a.b").contains("is not there in this pod"));
    let large = write(&[("config.json", " ".repeat((1 << 20) + 1))]);
    assert!(at(large.path(), "a.b").contains("1048576 bytes"));
    let strange = tempfile::tempdir().unwrap();
    fs::create_dir(strange.path().join("config.json")).unwrap();
    assert!(at(strange.path(), "a.b").contains("not a regular file"));
}

#[test]
fn a_helper_is_named_and_never_run() {
    let document = json!({
        "auths": {"has.entry": {"auth": auth("user:pass-word")}, "marked.store": {}},
        "credHelpers": {"https://ECR.example.com": "ecr-login", "has.entry": "gcloud"},
        "credsStore": "desktop",
    });
    let alone = inline(&document);
    assert_eq!(resolve(&alone, "has.entry/x"), "user:pass-word");
    assert_eq!(resolve(&alone, "unknown.example.com/x"), "nothing");
    for (name, helper) in [("ecr.example.com/x", "ecr-login"), ("marked.store/x", "desktop")] {
        let error = alone.resolve(&Reference::parse(name).unwrap()).unwrap_err();
        assert_eq!(error.reason(), Reason::SecretInvalid);
        assert!(error.to_string().contains(helper) && error.to_string().contains("runs no helpers"), "{error}");
    }
    let other = json!({"auths": {"ecr.example.com": {"auth": auth("other:pass-word")}}}).to_string();
    let both = keychain(vec![Source::Inline(SecretString::from(document.to_string())), Source::Inline(SecretString::from(other))]);
    assert_eq!(resolve(&both, "ecr.example.com/x"), "other:pass-word", "another source can tell");
}

#[test]
fn every_secret_read_is_known_to_the_redactor() {
    let redactor = Arc::new(Redactor::default());
    let document = json!({"auths": {
        "a.b": {"auth": auth("user:password-1")},
        "c.d": {"identitytoken": "identity-token-2"},
        "e.f": {"registrytoken": "registry-token-3"},
        "g.h": {"username": "u", "password": "password-4"},
    }});
    let source = Source::Inline(SecretString::from(document.to_string()));
    DockerKeychain::new(vec![source], Arc::clone(&redactor)).for_host("nobody.example.com").unwrap();
    for secret in ["password-1", &auth("user:password-1"), "identity-token-2", "registry-token-3", "password-4", &auth("u:password-4")] {
        assert!(!redactor.scrub(&format!("x {secret} y")).contains(secret), "{secret}");
    }
}

#[test]
fn docker_config_comes_before_home() {
    let path = |config: Option<&str>, home: Option<&str>| config_path(config.map(AsRef::as_ref), home.map(AsRef::as_ref));
    assert_eq!(path(Some("/c"), Some("/h")), Some(PathBuf::from("/c/config.json")));
    assert_eq!(path(Some(""), Some("/h")), Some(PathBuf::from("/h/.docker/config.json")));
    assert_eq!(path(None, None), None);
}
