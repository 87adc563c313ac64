use serde_json::json;

use super::*;

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn every_kind_of_value_is_read() {
    let layer = layer(&env(&[
        ("PODWRIGHT_NAME", "web"),
        ("PODWRIGHT_DEADLINE", ""),
        ("PODWRIGHT_BUILD_PULL", "1"),
        ("PODWRIGHT_LIMITS_SOURCE_ENTRIES", "12"),
        ("PODWRIGHT_PUSH_DESTINATIONS", "a/b:1, a/b:2\nc"),
        ("PODWRIGHT_BUILD_ARGS", "A=1,2=3\n\nB="),
        ("PODWRIGHT_BUILD_LABELS", "{\"team\": \"a=b\\nc\"}"),
        ("HOME", "/root"),
    ]))
    .unwrap();
    let table = [
        ("name", json!("web")),
        ("build.pull", json!(true)),
        ("limits.sourceEntries", json!(12)),
        ("push.destinations", json!(["a/b:1", "a/b:2", "c"])),
        ("build.args", json!({"A": "1,2=3", "B": ""})),
        ("build.labels", json!({"team": "a=b\nc"})),
    ];
    for (path, want) in table {
        assert_eq!(layer.get(path), Some(&want), "{path}");
    }
    assert_eq!(layer.get("deadline"), None, "an empty variable is an unset one");
}

#[test]
fn unknown_and_malformed_variables_are_refused_without_their_values() {
    let table = [
        ("PODWRIGHT_DESTINATIONS", "no such variable", "PODWRIGHT_PUSH_DESTINATIONS"),
        ("PODWRIGHT_PUSH_SECRETS", "no such variable", "PODWRIGHT_PUSH_SECRET?"),
        ("PODWRIGHT_NAME_FILE", "no such variable", "PODWRIGHT_NAME?"),
        ("PODWRIGHT_BUILD_PULL", "neither true nor false", "true or false"),
        ("PODWRIGHT_PUSH_RETRIES_MAX", "whole number", "whole number"),
        ("PODWRIGHT_BUILD_ARGS", "without `=`", "KEY=VALUE"),
        ("PODWRIGHT_SOURCE_GIT_SUBMODULES", "neither true nor false", "true or false"),
        ("PODWRIGHT_RESULT_PRESETS", "not built yet", "later version"),
        ("PODWRIGHT_SOURCE_GIT_URL_FILE", "cannot be read", "mount"),
    ];
    for (name, what, fix) in table {
        let error = layer(&env(&[(name, "hush")])).unwrap_err();
        let hint = crate::model::Classified::hint(&error).unwrap();
        assert!(error.to_string().contains(what) && error.to_string().contains(name), "{error}");
        assert!(hint.contains(fix), "{name}: {hint}");
        assert!(!error.to_string().contains("hush") && !hint.contains("hush"), "{error}");
    }
}

#[test]
fn what_kubernetes_injects_is_none_of_ours() {
    for name in [
        "PODWRIGHT_SERVICE_HOST",
        "PODWRIGHT_SERVICE_PORT_HTTP",
        "PODWRIGHT_PORT",
        "PODWRIGHT_PORT_80_TCP_ADDR",
        "PODWRIGHT_CACHE_SERVICE_HOST",
        "PODWRIGHT_CACHE_PORT",
        "PODWRIGHT_CACHE_PORT_5000_TCP_PROTO",
    ] {
        assert!(layer(&env(&[(name, "tcp://10.0.0.1:80")])).is_ok(), "{name}");
    }
    for name in ["PODWRIGHT_REPORT", "PODWRIGHT_CACHE_PORTS", "PODWRIGHT_IMPORT_X"] {
        assert!(layer(&env(&[(name, "x")])).is_err(), "{name}");
    }
}

#[test]
fn a_twin_is_read_from_its_file_and_never_beside_the_variable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("url");
    std::fs::write(&path, "https://me:hush@a.b/c.git\n").unwrap();
    let file = path.to_str().unwrap();
    let read = layer(&env(&[("PODWRIGHT_SOURCE_GIT_URL_FILE", file)])).unwrap();
    assert_eq!(read.get("source.git.url"), Some(&json!("https://me:hush@a.b/c.git")));
    let both = layer(&env(&[("PODWRIGHT_SOURCE_GIT_URL_FILE", file), ("PODWRIGHT_SOURCE_GIT_URL", "x")]));
    assert!(both.unwrap_err().to_string().contains("PODWRIGHT_SOURCE_GIT_URL_FILE too"));
}
