use std::os::unix::fs::{PermissionsExt, symlink};

use secrecy::ExposeSecret;
use url::Url;

use super::*;

fn with(files: &[(&str, &str)]) -> (tempfile::TempDir, SecretDir) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let secret = SecretDir::new(dir.path(), Guard::default());
    (dir, secret)
}

#[test]
fn every_known_key_is_read_and_its_line_end_dropped() {
    let (_dir, secret) = with(&[
        ("username", "me\n"),
        ("password", "p w\r\n"),
        ("bearerToken", "t0k"),
        (".dockerconfigjson", "{\n\"auths\": {}}\n"),
        (".dockercfg", "{}"),
        ("ca-bundle.crt", "-----BEGIN\n"),
    ]);
    let secrets = secret.read().unwrap();
    let (username, password) = secrets.basic.unwrap();
    assert_eq!((username.as_str(), password.expose_secret()), ("me", "p w"));
    assert_eq!(secrets.token.unwrap().expose_secret(), "t0k");
    let docker: Vec<(&str, &str)> = secrets.docker.iter().map(|(key, text)| (*key, text.expose_secret())).collect();
    assert_eq!(docker, [(".dockerconfigjson", "{\n\"auths\": {}}\n"), (".dockercfg", "{}")]);
    assert_eq!(secrets.ca.unwrap(), b"-----BEGIN\n");
}

#[test]
fn a_rotated_secret_is_read_anew() {
    let (dir, secret) = with(&[("token", "first")]);
    assert_eq!(secret.read().unwrap().token.unwrap().expose_secret(), "first");
    fs::write(dir.path().join("token"), "second").unwrap();
    assert_eq!(secret.read().unwrap().token.unwrap().expose_secret(), "second");
}

#[test]
fn what_cannot_be_used_is_named_without_its_value() {
    let table: &[(&[(&str, &str)], &str)] = &[
        (&[("username", "hush")], "without a password"),
        (&[("password", "hush")], "without a username"),
        (&[("username", "hu:sh"), ("password", "hush")], "colon"),
        (&[("token", "hush\nhush")], "control character"),
        (&[("token", "\n")], "is empty"),
        (&[("tls.crt", "hush")], "without its tls.key"),
        (&[("tls.key", "hush")], "without its tls.crt"),
        (&[("passwort", "hush")], "no key that is known"),
        (&[], "no key that is known"),
        (&[(".git-credentials", "https://me:ok@a.b\nhush")], "line 2: it is not a URL"),
        (&[("headers", "X-Token: ok\nhush")], "line 2: it is not"),
        (&[("headers", "Authorization: token hush"), ("token", "hush")], "another key"),
        (&[(".git-credentials", "https://hush@a.b")], "no password"),
        (&[(".git-credentials", "ftp://me:hush@a.b")], "https"),
        (&[(".git-credentials", "https://me:hush%0a@a.b")], "control character"),
    ];
    for (files, want) in table {
        let (_dir, secret) = with(files);
        let error = secret.read().unwrap_err();
        let text = format!("{error} {error:?} {:?}", error.fix());
        assert!(error.to_string().contains(want), "{error}");
        assert!(!text.contains("hush"), "{text}");
    }
}

#[test]
fn keys_for_ssh_and_tls_are_read_whole() {
    let (_dir, secret) = with(&[
        ("tls.crt", "c"),
        ("tls.key", "k"),
        ("ca.crt", "pem"),
        ("identity", "-----BEGIN\nhush\n-----END\n"),
        ("known_hosts", "h ssh-ed25519 A\n"),
        ("password", "word"),
    ]);
    let secrets = secret.read().unwrap();
    assert_eq!(secrets.ca.unwrap(), b"pem");
    let client = secrets.client.unwrap();
    assert_eq!((client.chain.as_slice(), client.key.expose_secret()), (&b"c"[..], "k"));
    assert_eq!((secrets.ssh_keys[0].0, secrets.ssh_keys[0].1.expose_secret()), ("identity", "-----BEGIN\nhush\n-----END\n"));
    assert_eq!(secrets.passphrase.unwrap().expose_secret(), "word");
    assert_eq!(secrets.known_hosts.unwrap(), "h ssh-ed25519 A\n");
    assert!(secrets.basic.is_none());
}

#[test]
fn missing_closed_and_foreign_places_are_told_apart() {
    let (dir, _) = with(&[("file", "x")]);
    assert!(matches!(SecretDir::new(dir.path().join("none"), Guard::default()).read(), Err(SecretError::Missing { .. })));
    assert!(matches!(SecretDir::new(dir.path().join("file"), Guard::default()).read(), Err(SecretError::NotADirectory { .. })));
    assert!(matches!(SecretDir::new("/proc/self", Guard::default()).read(), Err(SecretError::Forbidden(_))));
    symlink("/proc/version", dir.path().join("token")).unwrap();
    assert!(matches!(SecretDir::new(dir.path(), Guard::default()).read(), Err(SecretError::Forbidden(_))));
}

/// As the kubelet mounts a secret: the keys are links into `..data`, which is a link to a directory of this version.
fn mounted(dir: &Path, version: &str, files: &[(&str, &str)]) {
    let data = dir.join(version);
    fs::create_dir(&data).unwrap();
    for (name, content) in files {
        fs::write(data.join(name), content).unwrap();
        let _ = symlink(Path::new("..data").join(name), dir.join(name));
    }
    symlink(version, dir.join("..data_tmp")).unwrap();
    fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
}

#[test]
fn what_kubernetes_mounts_is_read_as_one_version() {
    let dir = tempfile::tempdir().unwrap();
    let mut guard = Guard::default();
    guard.add_root(dir.path());
    let secret = SecretDir::new(dir.path(), guard);
    for (version, password) in [("..2026_01", "first"), ("..2026_02", "second")] {
        mounted(dir.path(), version, &[("username", "me"), ("password", password)]);
        assert_eq!(secret.read().unwrap().basic.unwrap().1.expose_secret(), password);
    }
    fs::remove_file(dir.path().join("..data/password")).unwrap();
    assert!(secret.read().is_err(), "the first version's password is not the second's");
}

#[test]
fn no_link_in_a_secret_directory_leads_out_of_what_may_be_read() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("token"), "hush").unwrap();
    for links in [&[("token", "token")][..], &[("..data", "")], &[("..data", ""), ("token", "token")]] {
        let dir = tempfile::tempdir().unwrap();
        for (name, target) in links {
            symlink(outside.path().join(target), dir.path().join(name)).unwrap();
        }
        let mut guard = Guard::default();
        guard.add_root(dir.path());
        let read = SecretDir::new(dir.path(), guard).read();
        let foreign = links.iter().any(|(name, _)| *name == "token");
        match read.unwrap_err() {
            SecretError::Forbidden(Forbidden::Outside { .. }) => assert!(foreign, "{links:?}"),
            SecretError::Empty { .. } => assert!(!foreign, "{links:?}"),
            other => panic!("{other}"),
        }
    }
    let dir = tempfile::tempdir().unwrap();
    symlink("/proc/self", dir.path().join("..data")).unwrap();
    symlink("..data/environ", dir.path().join("config.json")).unwrap();
    assert!(matches!(SecretDir::new(dir.path(), Guard::default()).read(), Err(SecretError::Forbidden(Forbidden::Place { .. }))));
}

#[test]
fn a_permission_problem_names_user_and_mode() {
    if rustix::process::geteuid().is_root() {
        // Root reads everything; the end-to-end tests run as nobody.
        let text = file_denied("/etc/shadow");
        assert!(text.contains("uid 0") && text.contains("mode 0"), "{text}");
        return;
    }
    let (dir, secret) = with(&[("token", "x")]);
    fs::set_permissions(dir.path().join("token"), fs::Permissions::from_mode(0o0)).unwrap();
    let text = secret.read().unwrap_err().to_string();
    assert!(text.contains("mode 0000") && text.contains("uid"), "{text}");
}

fn file_denied(path: &str) -> String {
    file::denied(Path::new(path)).to_string()
}

#[test]
fn a_secret_file_has_a_bound_and_is_no_pipe() {
    let (dir, secret) = with(&[]);
    fs::File::create(dir.path().join("token")).unwrap().set_len(crate::support::limits::SECRET_BYTES + 1).unwrap();
    assert!(matches!(secret.read(), Err(SecretError::TooLarge { .. })));
    fs::remove_file(dir.path().join("token")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, dir.path().join("token"), rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0)
        .unwrap();
    assert!(matches!(secret.read(), Err(SecretError::Malformed { .. })));
}

#[test]
fn stored_credentials_stay_with_their_origin() {
    let (_dir, secret) = with(&[(
        ".git-credentials",
        "# mine\n\nhttps://me:p%40ss@Git.Example.com\nhttps://you:other@git.example.com/\nhttps://me:third@git.example.com:8443\n",
    )]);
    let secrets = secret.read().unwrap();
    let find = |url: &str| secrets.stored_for(&Url::parse(url).unwrap()).map(|line| line.password.expose_secret().to_owned());
    assert_eq!(find("https://git.example.com:443/a.git").as_deref(), Some("p@ss"));
    assert_eq!(find("https://you@git.example.com/a.git").as_deref(), Some("other"));
    assert_eq!(find("https://git.example.com:8443/a.git").as_deref(), Some("third"));
    for other in ["http://git.example.com/a", "https://git.example.com.evil.org/a", "https://example.com/a", "https://he@git.example.com/"]
    {
        assert_eq!(find(other), None, "{other}");
    }
}
