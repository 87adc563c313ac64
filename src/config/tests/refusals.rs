//! Each refusal: its reason, the path it names, the fix it offers. No value that may be a secret is in any of them.

use super::*;

use Reason::{NotPermitted, RequestInvalid, Unsupported};

/// A document, and what is said of it: reason, path, a part of the message, a part of the hint.
type Row = (&'static str, Reason, &'static str, &'static str, &'static str);

fn refused(table: &[Row]) {
    for (document, reason, path, what, fix) in table {
        let document =
            if document.contains("source:") { (*document).to_owned() } else { format!("source: {{directory: /src}}\n{document}") };
        let document =
            if document.contains("push:") || document.contains("keep:") { document } else { format!("{document}\npush: none\n") };
        let Err(rejected) = loaded(&document, &[], &[]) else { panic!("{document} came through") };
        let (message, hint) = (rejected.error.to_string(), rejected.error.hint().unwrap_or_default());
        assert_eq!((rejected.error.reason(), rejected.error.path()), (*reason, *path), "{document}: {message}");
        assert!(message.contains(what), "{document}: {message}");
        assert!(hint.contains(fix) && !hint.is_empty(), "{document}: {hint:?}");
        assert!(!format!("{message}{hint}{:?}", rejected.error).contains("hush"), "{message}");
    }
}

#[test]
fn unknown_fields_are_pointed_to_the_known_one() {
    refused(&[
        ("sorce: {}", RequestInvalid, "sorce", "no such field", "did you mean source?"),
        ("source: {git: {uri: hush}}", RequestInvalid, "source.git.uri", "no such field", "did you mean url?"),
        ("build: {no_cache: true}", RequestInvalid, "build.no_cache", "no such field", "did you mean noCache?"),
        ("destinations: [a]", RequestInvalid, "destinations", "no such field", "did you mean push.destinations?"),
        ("push: {retries: {maximum: 3}}", RequestInvalid, "push.retries.maximum", "no such field", "did you mean max?"),
        ("build: {zzz: hush}", RequestInvalid, "build.zzz", "no such field", "there can be dockerfile, target"),
        ("kind: Build", RequestInvalid, "kind", "no kind", "apiVersion"),
        ("apiVersion: podwright/v2", RequestInvalid, "apiVersion", "podwright/v2", "podwright/v1"),
    ]);
}

#[test]
fn what_is_not_built_is_said_to_be_so() {
    refused(&[
        ("source: {artifact: {}}", RequestInvalid, "source.artifact.ref", "is missing", "@sha256:"),
        ("source: {artifact: {ref: 'https://me:hush@a.b/c'}}", RequestInvalid, "source.artifact.ref", "is refused", "@sha256:"),
        ("source: {artifact: {ref: 'a.b/c@sha256:12'}}", RequestInvalid, "source.artifact.ref", "is refused", "@sha256:"),
        ("source: {artifact: {ref: a.b/c, subdir: ../x}}", RequestInvalid, "source.artifact.subdir", "`..`", "below"),
        ("source: {artifact: {ref: a.b/c}, directory: /x}", RequestInvalid, "source", "more than one", "source.artifact"),
        ("source: {prepared: /x, directory: /y}", RequestInvalid, "source", "more than one", "source.prepared"),
        ("source: {prepared: /}", NotPermitted, "source.prepared", "/proc", "volume"),
        ("source: {archive: {upload: {}}}", RequestInvalid, "source.archive.upload", "not where", "socket"),
        ("source: {archive: {upload: {socket: false}}}", RequestInvalid, "source.archive.upload", "not where", "listen"),
        (
            "source: {archive: {upload: {socket: true, tokenFile: /t}}}",
            RequestInvalid,
            "source.archive.upload",
            "nothing that listens",
            "listen",
        ),
        ("source: {archive: {upload: {socket: here}}}", RequestInvalid, "source.archive.upload.socket", "not absolute", "true"),
        ("source: {archive: {upload: {socket: /proc/x}}}", NotPermitted, "source.archive.upload.socket", "/proc", ""),
        ("source: {archive: {upload: {listen: '8080'}}}", RequestInvalid, "source.archive.upload.listen", "not IP:PORT", "0.0.0.0:8080"),
        (
            "source: {archive: {upload: {listen: 'localhost:8080'}}}",
            RequestInvalid,
            "source.archive.upload.listen",
            "not IP:PORT",
            "127.0.0.1",
        ),
        ("source: {archive: {upload: {listen: '127.0.0.1:1'}}}", RequestInvalid, "source.archive.upload", "no token", "tokenFile"),
        (
            "source: {archive: {upload: {listen: '0.0.0.0:1', tokenFile: /t}}}",
            NotPermitted,
            "source.archive.upload.listen",
            "in the clear",
            "plain-http",
        ),
        (
            "source: {archive: {upload: {listen: '[::]:1', tokenFile: /t}}}",
            NotPermitted,
            "source.archive.upload.listen",
            "in the clear",
            "plain-http",
        ),
        (
            "source: {archive: {upload: {listen: '[::]:1', tokenFile: /t, key: /k}}}",
            RequestInvalid,
            "source.archive.upload",
            "not both",
            "both",
        ),
        (
            "source: {archive: {upload: {listen: '[::1]:1', tokenFile: /proc/1/environ}}}",
            NotPermitted,
            "source.archive.upload.tokenFile",
            "/proc",
            "",
        ),
        ("source: {archive: {upload: {socket: true}, stdin: true}}", RequestInvalid, "source.archive", "more than one", "upload"),
        ("build: {secrets: [{id: a}]}", RequestInvalid, "build.secrets[0]", "not one of", "id=npm"),
        ("build: {secrets: ['id=a b,src=/x']}", RequestInvalid, "build.secrets[0]", "no id", "id=NAME"),
        ("build: {secrets: ['id=a,src=/x,hush=1']}", RequestInvalid, "build.secrets[0]", "something else", "id=npm"),
        ("build: {secrets: ['id=a,src=/x', {id: a, file: /y}]}", RequestInvalid, "build.secrets[1]", "another", "its own"),
        ("build: {secrets: ['id=a,env=PODWRIGHT_X']}", RequestInvalid, "build.secrets[0]", "own", "its own"),
        ("build: {secrets: ['id=a,src=/proc/1/environ']}", NotPermitted, "build.secrets[0]", "/proc", ""),
        ("build: {ssh: [default]}", RequestInvalid, "build.ssh[0]", "no agent", "SSH_AUTH_SOCK"),
        ("build: {ssh: ['default=/proc/x']}", NotPermitted, "build.ssh[0]", "/proc", ""),
        ("build: {network: host}", NotPermitted, "build.network", "node's network", "--allow host-network"),
        ("build: {cacheTo: hush}", Unsupported, "build.cacheTo", "Control.Solve", "BUILDKIT_INLINE_CACHE"),
        ("build: {noCacheFilter: [hush]}", Unsupported, "build.noCacheFilter", "Control.Solve", "leave it out"),
        ("build: {addHosts: ['db']}", RequestInvalid, "build.addHosts[0]", "no host with its address", "name:address"),
        ("build: {addHosts: ['db:300.0.0.1']}", RequestInvalid, "build.addHosts[0]", "no host with its address", "name:address"),
        ("build: {addHosts: ['-x:10.0.0.1']}", RequestInvalid, "build.addHosts[0]", "no host with its address", "name:address"),
        ("build: {addHosts: ['db:169.254.169.254']}", RequestInvalid, "build.addHosts[0]", "only the node can see", "another"),
        ("build: {addHosts: ['db:[fe80::1]']}", RequestInvalid, "build.addHosts[0]", "only the node can see", "another"),
        ("build: {ulimits: ['files=1']}", RequestInvalid, "build.ulimits[0]", "no bound", "nofile"),
        ("build: {ulimits: ['nofile=2:1']}", RequestInvalid, "build.ulimits[0]", "above its hard", "nofile"),
        ("build: {ulimits: ['nofile=-2']}", RequestInvalid, "build.ulimits[0]", "no bound", "nofile"),
        ("build: {shmSize: hush}", RequestInvalid, "build.shmSize", "not a size", "512m"),
        ("build: {cacheFrom: ['a/B']}", RequestInvalid, "build.cacheFrom[0]", "not an image's name", "host/repository"),
        ("push: {destinations: [a], via: agent}", RequestInvalid, "push.via", "not built yet", "leave it out"),
        ("push: {destinations: [a], provenance: true}", RequestInvalid, "push.provenance", "not built yet", "leave it out"),
        (
            "source: {git: {url: 'https://a.b/c#main', ref: hush}}",
            RequestInvalid,
            "source.git.ref",
            "something else than the URL",
            "one of",
        ),
        ("source: {git: {url: 'https://a.b/c', history: 9}}", RequestInvalid, "source.git.history", "nothing of it", "keepGitDir"),
        (
            "source: {git: {url: 'https://a.b/c', keepGitDir: true, subdir: a}}",
            RequestInvalid,
            "source.git.keepGitDir",
            "subdir",
            "leave one",
        ),
        ("result: {presets: [tekton]}", RequestInvalid, "result.presets", "not built yet", "leave it out"),
    ]);
}

#[test]
fn a_wrong_type_is_named_with_the_right_one() {
    refused(&[
        ("name: [a]", RequestInvalid, "name", "is a list, and should be text", "write text"),
        ("source: {git: {url: 'https://a.b/c', ref: 1.10}}", RequestInvalid, "source.git.ref", "is a number", "in quotes"),
        (
            "source: {git: {url: 'https://a.b/c', commit: 1234567890123456789012345678901234567890}}",
            RequestInvalid,
            "source.git.commit",
            "is a number",
            "in quotes",
        ),
        ("build: {args: {VERSION: 1.10}}", RequestInvalid, "build.args.VERSION", "is a number", "in quotes"),
        ("build: {args: {DEBUG: true}}", RequestInvalid, "build.args.DEBUG", "is true or false", "in quotes"),
        ("build: {args: [A=hush]}", RequestInvalid, "build.args", "is a list, and should be a map", "write a map"),
        ("build: {pull: 'yes'}", RequestInvalid, "build.pull", "is text, and should be `true` or `false`", "write `true`"),
        ("build: {pull: yes}", RequestInvalid, "build.pull", "is text", "write `true`"),
        ("push: {destinations: a.b/c}", RequestInvalid, "push.destinations", "is text, and should be a list", "write a list"),
        ("push: {destinations: [1]}", RequestInvalid, "push.destinations[0]", "is a number", "in quotes"),
        ("push: nowhere", RequestInvalid, "push", "no \"nowhere\" here", "none"),
        ("push: 1", RequestInvalid, "push", "is a number", "quotes"),
        ("push: {retries: {max: 101}}", RequestInvalid, "push.retries.max", "more than 100", "smaller"),
        ("push: {retries: {max: -1}}", RequestInvalid, "push.retries.max", "less than 0", "larger"),
        ("push: {retries: {max: 1.5}}", RequestInvalid, "push.retries.max", "whole number", "whole number"),
        ("source: {directory: {subdir: x}}", RequestInvalid, "source.directory.path", "is missing", "add"),
        ("build: {builder: bulidkit}", RequestInvalid, "build.builder", "\"bulidkit\"", "did you mean buildkit?"),
        ("push: {destinations: [a], verify: never}", RequestInvalid, "push.verify", "\"never\"", "it can be auto"),
    ]);
}

#[test]
fn the_fields_are_held_against_each_other() {
    refused(&[
        ("source: {}", RequestInvalid, "source", "names no source", "source.git"),
        ("source: {git: {url: 'https://a.b/c'}, directory: /src}", RequestInvalid, "source", "more than one", "source.git"),
        ("source: {git: {ref: main}}", RequestInvalid, "source.git.url", "is missing", "https://"),
        ("source: {archive: {}}", RequestInvalid, "source.archive", "not where it is", "stdin"),
        ("source: {archive: {path: /a, stdin: true}}", RequestInvalid, "source.archive", "more than one place", "stdin"),
        ("source: {archive: {path: /a, secret: /s}}", RequestInvalid, "source.archive.secret", "has no url", "leave"),
        ("push: {destinations: []}", RequestInvalid, "push", "goes nowhere", "--no-push"),
        ("push: {secret: /s}", RequestInvalid, "push", "goes nowhere", "--no-push"),
    ]);
}

#[test]
fn d2_what_needs_the_operator_names_the_permission_or_the_path() {
    refused(&[
        ("source: {git: {url: 'http://127.0.0.1/hush'}}", NotPermitted, "source.git.url", "\"plain-http\"", "--allow plain-http"),
        ("source: {archive: {url: 'http://a.b/hush'}}", NotPermitted, "source.archive.url", "\"plain-http\"", "PODWRIGHT_ALLOW=plain-http"),
        ("source: {directory: /}", NotPermitted, "source.directory", "/proc", "volume"),
        ("source: {directory: /proc/self/fd}", NotPermitted, "source.directory", "/proc/self/fd", "volume"),
        ("source: {archive: {path: /dev/stdin}}", NotPermitted, "source.archive.path", "/dev/stdin", "volume"),
        (
            "source: {git: {url: 'https://a.b/c', secret: /var/run/secrets/kubernetes.io/serviceaccount}}",
            NotPermitted,
            "source.git.secret",
            "/var/run/secrets/kubernetes.io/serviceaccount",
            "volume",
        ),
        (
            "push: {destinations: [a], secret: /run/secrets/kubernetes.io/serviceaccount/..data}",
            NotPermitted,
            "push.secret",
            "serviceaccount",
            "volume",
        ),
        ("push: {destinations: [a], secret: /secrets/../proc/1}", NotPermitted, "push.secret", "/secrets/../proc/1", "volume"),
        ("result: {file: /proc/self/mem}", NotPermitted, "result.file", "/proc/self/mem", "volume"),
        ("workspace: /sys/fs", NotPermitted, "workspace", "/sys/fs", "volume"),
        (
            "build: {args: {BUILDKIT_SYNTAX: evil.example/fe}}",
            NotPermitted,
            "build.args.BUILDKIT_SYNTAX",
            "frontend",
            "--allow frontend=REF",
        ),
    ]);
}

#[test]
fn a_value_that_cannot_be_is_refused_with_the_rule() {
    refused(&[
        ("name: '-x'", RequestInvalid, "name", "character", "letter or digit"),
        ("source: {git: {url: 'https://me:hush@a.b\n/c'}}", RequestInvalid, "source.git.url", "percent-encoded", "https://"),
        ("source: {git: {url: 'https://a.b/c', ref: '--upload-pack=x'}}", RequestInvalid, "source.git.ref", "hyphen", "branch"),
        ("source: {git: {url: 'https://a.b/c', commit: abc1234}}", RequestInvalid, "source.git.commit", "has 7 digits", "all 40"),
        ("source: {git: {url: 'https://a.b/c', subdir: ../x}}", RequestInvalid, "source.git.subdir", "`..`", "below"),
        ("source: {archive: {path: /a, sha256: hush}}", RequestInvalid, "source.archive.sha256", "it has 4 characters", "sha256sum"),
        ("source: {archive: {path: /a, sha512: hush}}", RequestInvalid, "source.archive.sha512", "it has 4 characters", "sha512sum"),
        ("source: {archive: {path: /a, format: file}}", RequestInvalid, "source.archive.name", "is missing", "app.jar"),
        ("source: {archive: {path: /a, name: app.jar}}", RequestInvalid, "source.archive.name", "no single file", "format: file"),
        ("source: {archive: {path: /a, format: file, name: ../x}}", RequestInvalid, "source.archive.name", "`..`", "below"),
        ("source: {archive: {path: /a, format: file, name: .}}", RequestInvalid, "source.archive.name", "directory", "file"),
        (
            "source: {archive: {path: /a, format: file, name: x, subdir: y}}",
            RequestInvalid,
            "source.archive.format",
            "subdir",
            "whole path",
        ),
        ("source: {archive: {path: /a, stripComponents: 65}}", RequestInvalid, "source.archive.stripComponents", "more than 64", "smaller"),
        ("source: {archive: {path: 'https://a.b/c.tar'}}", RequestInvalid, "source.archive.path", "is a URL", "path"),
        ("source: {dockerfile: ' '}", RequestInvalid, "source.dockerfile", "is empty", "text"),
        ("build: {dockerfile: ../Dockerfile}", RequestInvalid, "build.dockerfile", "`..`", "below"),
        ("build: {dockerfile: /etc/passwd}", RequestInvalid, "build.dockerfile", "absolute", "below"),
        ("build: {dockerfile: .}", RequestInvalid, "build.dockerfile", "directory", "file"),
        ("build: {target: 'a b'}", RequestInvalid, "build.target", "stage", "AS"),
        ("build: {platform: 'linux/amd64,linux/arm64'}", Unsupported, "build.platform", "more than one", "one build for each"),
        ("build: {platform: amd64}", RequestInvalid, "build.platform", "no platform", "linux/amd64"),
        ("build: {args: {'A=B': hush}}", RequestInvalid, "build.args.A=B", "no name", "letters"),
        ("build: {args: {'-A': hush}}", RequestInvalid, "build.args.-A", "no name", "letters"),
        (
            "build: {labels: {containerd.io/restart.status: running}}",
            RequestInvalid,
            "build.labels.containerd.io/restart.status",
            "reserved",
            "domain",
        ),
        (
            "build: {labels: {org.opencontainers.image.created: x}}",
            RequestInvalid,
            "build.labels.org.opencontainers.image.created",
            "itself",
            "leave",
        ),
        ("build: {keep: ['web@sha256:0000']}", RequestInvalid, "build.keep[0]", "digest", "host/repository:tag"),
        (
            "push: {destinations: [a.b/c, 'me:hush@a.b/c']}",
            RequestInvalid,
            "push.destinations[1]",
            "not an image's name",
            "host/repository:tag",
        ),
        ("push: {destinations: ['https://a.b/hush']}", RequestInvalid, "push.destinations[0]", "https://", "host/repository:tag"),
        ("push: {destinations: [a.b/c, 'a.b/c:latest']}", RequestInvalid, "push.destinations[1]", "twice", "leave"),
        ("push: {destinations: [a], retries: {within: 10}}", RequestInvalid, "push.retries.within", "is a number", "quotes"),
        ("push: {destinations: [a], retries: {within: '10'}}", RequestInvalid, "push.retries.within", "without a unit", "1h30m"),
        ("deadline: 0s", RequestInvalid, "deadline", "shorter", "1h30m"),
        ("deadline: 100ms", RequestInvalid, "deadline", "shorter than a second", "1h30m"),
        ("limits: {sourceBytes: lots}", RequestInvalid, "limits.sourceBytes", "not a size", "512m"),
        ("limits: {sourceEntries: 0}", RequestInvalid, "limits.sourceEntries", "is 0", "larger"),
        ("workspace: work", RequestInvalid, "workspace", "not absolute", "root"),
        ("result: {file: /dev/stdout}", RequestInvalid, "result.file", "device", "volume"),
    ]);
}

#[test]
fn a_link_into_a_forbidden_place_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/proc", dir.path().join("data")).unwrap();
    let document = format!("source: {{directory: '{}/data/self'}}\npush: none\n", dir.path().display());
    let error = loaded(&document, &[], &[]).unwrap_err().error;
    assert_eq!((error.reason(), error.path()), (NotPermitted, "source.directory"));
}

#[test]
fn outside_the_operators_roots_nothing_is_read() {
    let env = [("PODWRIGHT_ALLOW_PATH", "/secrets")];
    let error = loaded("source: {directory: /src}\npush: none\n", &env, &[]).unwrap_err().error;
    assert_eq!((error.reason(), error.path()), (NotPermitted, "source.directory"));
    assert!(error.hint().unwrap().contains("--allow-path"), "{error}");
}

#[test]
fn bounds_that_no_step_can_have_are_refused() {
    refused(&[
        ("build: {limits: {memory: 1}}", RequestInvalid, "build.limits.memory", "no memory", "512m"),
        ("build: {limits: {cpus: many}}", RequestInvalid, "build.limits.cpus", "no number", "1.5"),
        ("build: {limits: {strict: true}}", RequestInvalid, "build.limits.strict", "nothing is", "inherit"),
        ("build: {limits: {cgroupParent: /a/../b}}", RequestInvalid, "build.limits.cgroupParent", "no control group", "its path"),
        ("build: {limits: {cgroupParent: /a}}", NotPermitted, "build.limits.cgroupParent", "cgroup-parent", "--allow"),
    ]);
}
