//! `podwright plan`: the request as it was understood, without its secrets, and what a run would do.

use serde_json::{Map, Value, json};

use crate::config::Settings;
use crate::config::settings::{
    ArchiveFrom, Build, BuildSecret, BuildSsh, Builder, GitSource, Inherit, SecretFrom, SourceKind, SshFrom, UploadFrom, UploadSocket,
    Verify,
};
use crate::config::units::written;
use crate::model::{CommitId, Digest, GitRef, TreePath, UrlCredential};
use crate::report::DEFAULT_TERMINATION_MESSAGE;
use crate::support::cgroup::Quota;

/// The plan as one document: `request` in the form of a request with every default filled in, but for build arguments and the
/// credentials of URLs, which are not shown; and `would`.
pub fn of(settings: &Settings) -> Value {
    json!({
        "apiVersion": "podwright/v1",
        "requestDigest": settings.request_digest,
        "request": request(settings),
        "permissions": settings.policy.names(),
        "allowedPaths": settings.policy.roots(),
        "engine": settings.ambient.docker_host.to_string(),
        "would": would(settings),
    })
}

fn request(settings: &Settings) -> Value {
    let build = &settings.build;
    let mut push = match &settings.push {
        Some(push) => json!({
            "destinations": push.destinations,
            "retries": {"max": push.retries.max, "within": written(push.retries.within)},
            "verify": push.verify,
        }),
        // Base images need credentials without a push, too.
        None if settings.registry_secret.is_some() => json!({"destinations": []}),
        None => json!("none"),
    };
    if let (Some(push), Some(secret)) = (push.as_object_mut(), &settings.registry_secret) {
        push.insert("secret".into(), json!(secret));
    }
    without_nulls(json!({
        "name": settings.name,
        "source": source(settings),
        "build": {
            "dockerfile": build.dockerfile.display(),
            "target": build.options.target,
            // An argument is no place for a secret, and has held one often enough.
            "args": build.options.args.keys().map(|key| (key.clone(), json!("[not shown]"))).collect::<Map<_, _>>(),
            "labels": build.options.labels,
            "platform": build.options.platform,
            "builder": build.builder,
            "pull": build.options.pull,
            "sourceArgs": build.source_args,
            "noCache": build.options.no_cache,
            "network": build.options.network,
            "addHosts": build.options.add_hosts,
            "shmSize": build.options.shm_bytes,
            "ulimits": build.options.ulimits.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "limits": limits(build),
            "cacheFrom": build.options.cache_from,
            "reproducible": build.reproducible,
            "proxy": build.proxy,
            "secrets": build.secrets.iter().map(secret).collect::<Vec<_>>(),
            "ssh": build.ssh.iter().map(ssh).collect::<Vec<_>>(),
            "keep": build.keep,
        },
        "push": push,
        "workspace": settings.workspace,
        "result": {
            "file": settings.result.file,
            "terminationMessage": settings.result.termination_message.as_deref().unwrap_or(DEFAULT_TERMINATION_MESSAGE.as_ref()),
        },
        "limits": settings.limits,
        "deadline": written(settings.deadline),
    }))
}

fn source(settings: &Settings) -> Value {
    let mut source = match &settings.source.kind {
        SourceKind::Git(git) => json!({"git": {
            "url": git.address.shown(),
            "credential": credential(git.credential.as_ref()),
            "ref": git.reference.as_ref().map_or("HEAD", GitRef::as_str),
            "commit": git.commit.as_ref().map(CommitId::as_str),
            "subdir": git.subdir.display(),
            "submodules": git.submodules,
            "secrets": git.secrets.iter().map(|(place, path)| (place.to_string(), json!(path))).collect::<Map<_, _>>(),
            "history": git.history,
            "keepGitDir": git.keep_git_dir,
            "lfs": git.lfs,
            "secret": git.secret,
        }}),
        SourceKind::Archive(archive) => {
            let mut fields = match &archive.from {
                ArchiveFrom::Url { address, credential: given, secret } => {
                    json!({"url": address.shown(), "credential": credential(given.as_ref()), "secret": secret})
                }
                ArchiveFrom::Path(path) => json!({"path": path}),
                ArchiveFrom::Stdin => json!({"stdin": true}),
                ArchiveFrom::Upload(upload) => json!({"upload": uploading(upload)}),
            };
            fields["sha256"] = json!(archive.sha256.as_ref().map(Digest::hex));
            fields["sha512"] = json!(archive.sha512.as_ref().map(Digest::hex));
            fields["name"] = json!(archive.name.as_ref().map(TreePath::display));
            fields["format"] = json!(archive.format);
            fields["stripComponents"] = json!(archive.strip_components);
            fields["subdir"] = json!(archive.subdir.display());
            json!({"archive": fields})
        }
        SourceKind::Artifact(artifact) => {
            json!({"artifact": {"ref": artifact.reference, "subdir": artifact.subdir.display(), "secret": artifact.secret}})
        }
        SourceKind::Directory(directory) => json!({"directory": {"path": directory.path, "subdir": directory.subdir.display()}}),
        SourceKind::Prepared(path) => json!({"prepared": path}),
        SourceKind::Empty => json!({}),
    };
    source["dockerfile"] = json!(settings.source.dockerfile);
    source
}

/// What a run would do, in order, in plain words.
fn would(settings: &Settings) -> Vec<String> {
    let mut steps = vec![format!("connect to the Docker daemon at {}", settings.ambient.docker_host)];
    steps.push(match &settings.source.kind {
        SourceKind::Git(git) => format!("fetch {} of {}", revision(git), git.address.shown()),
        SourceKind::Archive(archive) => match &archive.from {
            ArchiveFrom::Url { address, .. } => format!("fetch the archive {}", address.shown()),
            ArchiveFrom::Path(path) => format!("read the archive {}", path.display()),
            ArchiveFrom::Upload(upload) => format!("wait for an archive {}", places(upload)),
            ArchiveFrom::Stdin => "read an archive from standard input".into(),
        },
        SourceKind::Artifact(artifact) => format!("pull the artifact {}", artifact.reference),
        SourceKind::Directory(directory) => format!("read the directory {}", directory.path.display()),
        SourceKind::Prepared(path) => format!("read the prepared source in {}", path.display()),
        SourceKind::Empty => "take an empty context".into(),
    });
    let dockerfile = match settings.source.dockerfile {
        Some(_) => "the inline Dockerfile".to_owned(),
        None => settings.build.dockerfile.display(),
    };
    let with = match settings.build.builder {
        Builder::Auto => "BuildKit where the engine has it, else the classic builder",
        Builder::Buildkit => "BuildKit",
        Builder::Classic => "the classic builder",
    };
    steps.push(format!("build {dockerfile} with {with}"));
    steps.extend(settings.build.keep.iter().map(|name| format!("keep the image on the node as {name}")));
    match &settings.push {
        Some(push) => {
            steps.extend(push.destinations.iter().map(|name| format!("push {name}")));
            steps.push(match push.verify {
                Verify::Auto => "read each tag back from this pod, else through the daemon".into(),
                Verify::Pod => "read each tag back from this pod".into(),
                Verify::Engine => "read each tag back through the daemon".into(),
                Verify::Off => "not read any tag back: the result would say unverified".to_owned(),
            });
        }
        None => steps.push("push nothing".into()),
    }
    let file = settings.result.file.as_ref().map(|path| format!("write the result to {}", path.display()));
    steps.extend(file);
    steps
}

fn secret(secret: &BuildSecret) -> Value {
    match &secret.from {
        SecretFrom::File(path) => json!({"id": secret.id, "file": path}),
        SecretFrom::Env(name, _) => json!({"id": secret.id, "env": name}),
    }
}

fn ssh(ssh: &BuildSsh) -> Value {
    match &ssh.from {
        SshFrom::Socket(_) => json!({"id": ssh.id}),
        SshFrom::Keys(paths) => {
            let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
            json!(format!("{}={}", ssh.id, paths.join(",")))
        }
    }
}

fn uploading(upload: &UploadFrom) -> Value {
    let http = upload.http.as_ref();
    let tls = http.and_then(|http| http.tls.as_ref());
    without_nulls(json!({
        "listen": http.map(|http| http.listen.to_string()),
        "tokenFile": http.map(|http| &http.token),
        "certificate": tls.map(|(certificate, _)| certificate),
        "key": tls.map(|(_, key)| key),
        "socket": upload.socket.as_ref().map(|socket| match socket {
            UploadSocket::Workspace => json!(true),
            UploadSocket::At(path) => json!(path),
        }),
    }))
}

fn places(upload: &UploadFrom) -> String {
    let http = upload.http.as_ref().map(|http| {
        let scheme = if http.tls.is_some() { "https" } else { "plain http" };
        format!("by {scheme} at {}", http.listen)
    });
    let socket = upload.socket.as_ref().map(|_| "from podwright receive".to_owned());
    http.into_iter().chain(socket).collect::<Vec<_>>().join(", or ")
}

fn revision(git: &GitSource) -> String {
    let name = git.reference.as_ref().map(GitRef::as_str);
    match (name, &git.commit) {
        (Some(name), Some(commit)) => format!("{name}, if it is at {},", commit.as_str()),
        (None, Some(commit)) => format!("the commit {}", commit.as_str()),
        (name, None) => name.unwrap_or("HEAD").to_owned(),
    }
}

fn credential(given: Option<&UrlCredential>) -> Option<String> {
    given.map(|credential| format!("from the url, for {} alone", credential.origin))
}

/// What nobody gave is left out.
fn limits(build: &Build) -> Value {
    let limits = &build.options.limits;
    json!({
        "inherit": build.inherit.is_some(),
        "strict": build.inherit == Some(Inherit::Strictly),
        "memory": limits.memory,
        "cpus": limits.cpu.map(Quota::cpus),
        "cgroupParent": limits.parent,
    })
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name, without_nulls(value))).collect(),
        ),
        other => other,
    }
}
