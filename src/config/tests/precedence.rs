//! Flags over variables over the document, each field for itself.

use serde_json::json;

use super::*;

#[test]
fn each_field_comes_from_the_strongest_place_that_names_it() {
    let document = format!("{GOOD}name: doc\ndeadline: 1m\nbuild: {{target: doc, pull: true, args: {{A: doc, B: doc, C: doc}}}}\n");
    let env = [
        ("PODWRIGHT_NAME", "env"),
        ("PODWRIGHT_BUILD_TARGET", "env"),
        ("PODWRIGHT_BUILD_ARGS", "B=env\nC=env"),
        ("PODWRIGHT_PUSH_VERIFY", "pod"),
        ("PODWRIGHT_PUSH_RETRIES_MAX", "2"),
    ];
    let flags = [("name", json!("flag")), ("build.pull", json!(false)), ("build.args", json!({"C": "flag", "D": "flag"}))];
    let settings = loaded(&document, &env, &flags).unwrap();
    assert_eq!(settings.name.as_deref(), Some("flag"));
    assert_eq!(settings.build.options.target.as_deref(), Some("env"));
    assert_eq!(settings.deadline.as_secs(), 60);
    assert!(!settings.build.options.pull);
    let args: Vec<_> = settings.build.options.args.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(args, ["A=doc", "B=env", "C=flag", "D=flag"]);
    let push = settings.push.unwrap();
    assert_eq!((push.verify, push.retries.max), (settings::Verify::Pod, 2));
    assert_eq!(push.destinations.len(), 1, "a list is not touched by what does not name it");
}

#[test]
fn a_fetch_judges_only_what_it_does() {
    let document = "source: {git: {url: 'https://a.b/c'}}\nbuild: {target: 'not a stage'}\npush: {destinations: ['Not A Name']}\n";
    let fetch = |document: &str| {
        let env = variables(&[("PODWRIGHT_REQUEST", document)]);
        load(&Overrides { output: Some("/prepared".into()), ..Overrides::default() }, &env, &mut std::io::empty())
    };
    let settings = fetch(document).unwrap();
    assert_eq!(settings.output.as_deref(), Some(std::path::Path::new("/prepared")));
    assert!(settings.push.is_none() && settings.build.options.target.is_none());
    assert!(loaded(document, &[], &[]).is_err());
    for (wrong, path) in [
        ("push: none\n", "source"),
        ("source: {git: {url: 'https://a.b/c'}}\nbuild: {tarjet: x}\n", "build.tarjet"),
        ("source: {git: {url: 'https://a.b/c'}}\ndeadline: 0s\n", "deadline"),
    ] {
        assert_eq!(fetch(wrong).unwrap_err().error.path(), path);
    }
    let into = |output: &str| {
        let env = variables(&[("PODWRIGHT_REQUEST", document)]);
        load(&Overrides { output: Some(output.into()), ..Overrides::default() }, &env, &mut std::io::empty()).unwrap_err().error
    };
    assert_eq!(into("/proc/1").reason(), Reason::NotPermitted);
    assert_eq!(into("").path(), "--output");
}

#[test]
fn a_list_is_replaced_as_a_whole() {
    let settings = loaded(GOOD, &[("PODWRIGHT_PUSH_DESTINATIONS", "a.b/x:1,a.b/x:2")], &[]).unwrap();
    let names: Vec<_> = settings.push.unwrap().destinations.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["a.b/x:1", "a.b/x:2"]);
}

#[test]
fn a_stronger_source_replaces_a_weaker_one() {
    type Row = (&'static str, (&'static str, Value), &'static str);
    let table: [Row; 13] = [
        (GOOD, ("source.archive.stdin", json!(false)), "git"),
        ("source: {git: null, archive: {path: /in/a.tar}}\npush: none\n", ("source.*.subdir", json!("web")), "path"),
        (GOOD, ("source.archive.stdin", json!(true)), "stdin"),
        (GOOD, ("source.directory.path", json!("/src")), "directory"),
        ("source: {archive: {path: /in/a.tar}}\npush: none\n", ("source.archive.url", json!("https://a.b/c.tar")), "url"),
        ("source: {directory: /src}\npush: none\n", ("source.git.url", json!("https://a.b/c.git")), "git"),
        (GOOD, ("source.git.ref", json!("next")), "git"),
        (GOOD, ("source.prepared", json!("/prepared")), "prepared"),
        (GOOD, ("source.artifact.ref", json!("oci://a.b/c:1")), "artifact"),
        (GOOD, ("source.archive.upload.socket", json!("true")), "upload"),
        ("source: {archive: {upload: {socket: true}}}\npush: none\n", ("source.archive.stdin", json!(true)), "stdin"),
        (
            "source: {archive: {upload: {tokenFile: /t, listen: '127.0.0.1:1'}}}\npush: none\n",
            ("source.archive.upload.listen", json!("127.0.0.1:2")),
            "upload",
        ),
        ("source: {prepared: /prepared}\npush: none\n", ("source.git.url", json!("https://a.b/c.git")), "git"),
    ];
    for (document, flag, want) in table {
        let settings = loaded(document, &[], &[flag]).unwrap_or_else(|rejected| panic!("{want}: {}", rejected.error));
        let got = match settings.source.kind {
            SourceKind::Git(_) => "git",
            SourceKind::Directory(_) => "directory",
            SourceKind::Prepared(_) => "prepared",
            SourceKind::Artifact(_) => "artifact",
            SourceKind::Archive(archive) => match archive.from {
                settings::ArchiveFrom::Url { .. } => "url",
                settings::ArchiveFrom::Path(_) => "path",
                settings::ArchiveFrom::Stdin => "stdin",
                settings::ArchiveFrom::Upload(_) => "upload",
            },
            SourceKind::Empty => "empty",
        };
        assert_eq!(got, want, "{document}");
    }
}

#[test]
fn subdir_and_secret_go_to_whichever_source_there_is() {
    let flags = [("source.*.subdir", json!("a/b"))];
    for document in ["source: {directory: /src}\npush: none\n", "source: {directory: {path: /src, subdir: x}}\npush: none\n"] {
        let SourceKind::Directory(directory) = loaded(document, &[("PODWRIGHT_SOURCE_SUBDIR", "env")], &flags).unwrap().source.kind else {
            panic!()
        };
        assert_eq!((directory.path.to_str().unwrap(), directory.subdir.display().as_str()), ("/src", "a/b"));
    }
    let SourceKind::Git(git) = loaded(GOOD, &[("PODWRIGHT_SOURCE_SECRET", "/secrets/x")], &flags).unwrap().source.kind else { panic!() };
    assert_eq!((git.secret.unwrap().to_str().unwrap(), git.subdir.display().as_str()), ("/secrets/x", "a/b"));
    for document in ["source: {dockerfile: FROM scratch}\npush: none\n", "push: none\n"] {
        assert_eq!(loaded(document, &[], &flags).unwrap_err().error.path(), "source");
    }
}

#[test]
fn no_push_and_destinations_outdo_each_other_by_strength() {
    let none = "source: {directory: /src}\npush: none\n";
    assert!(good(none).push.is_none());
    let pushed = loaded(none, &[("PODWRIGHT_PUSH_DESTINATIONS", "a.b/c")], &[]).unwrap();
    assert_eq!(pushed.push.unwrap().destinations.len(), 1);
    let kept = loaded(GOOD, &[("PODWRIGHT_PUSH", "none"), ("PODWRIGHT_PUSH_SECRET", "/secrets/r")], &[]).unwrap();
    assert!(kept.push.is_none());
    assert_eq!(kept.registry_secret.unwrap().to_str(), Some("/secrets/r"), "base images need credentials too");
    let both = loaded(GOOD, &[("PODWRIGHT_PUSH", "none"), ("PODWRIGHT_PUSH_DESTINATIONS", "a.b/c")], &[]);
    assert_eq!(both.unwrap_err().error.path(), "push");
    let again = loaded(GOOD, &[("PODWRIGHT_PUSH", "none")], &[("push.destinations", json!(["a.b/c"]))]).unwrap();
    assert_eq!(again.push.unwrap().destinations[0].to_string(), "a.b/c:latest");
    assert!(good("source: {directory: /src}\nbuild: {keep: [web]}\n").push.is_none(), "kept is enough");
}

#[test]
fn permissions_come_from_flags_and_variables_together() {
    let overrides = Overrides { allow: vec!["plain-http".into()], allow_paths: vec!["/in".into()], ..Overrides::default() };
    let env = variables(&[
        ("PODWRIGHT_REQUEST", "source: {git: {url: 'http://git/x.git', secret: /secrets/g}}\npush: none\n"),
        ("PODWRIGHT_ALLOW", "insecure-registry=reg:5000, frontend=a.b/c"),
        ("PODWRIGHT_ALLOW_PATH", "/secrets:/more"),
    ]);
    let settings = load(&overrides, &env, &mut std::io::empty()).unwrap();
    assert_eq!(settings.policy.names(), ["plain-http", "insecure-registry=reg:5000", "frontend=a.b/c"]);
    assert_eq!(settings.policy.roots().len(), 3);
}

#[test]
fn the_pods_date_matters_only_where_it_is_asked_for() {
    let dated = |date: &str, asked: bool| {
        loaded(&format!("{GOOD}build: {{reproducible: {asked}}}\n"), &[("SOURCE_DATE_EPOCH", date)], &[])
            .map(|settings| settings.build.epoch)
    };
    for bad in ["yesterday", "-1", "1.5"] {
        assert_eq!(dated(bad, false).unwrap(), None, "{bad}");
        assert_eq!(dated(bad, true).unwrap_err().error.path(), "SOURCE_DATE_EPOCH", "{bad}");
    }
    assert_eq!((dated("7", true).unwrap(), dated("7", false).unwrap()), (Some(7), None));
}
