//! What an image and its build are told of the source: labels, and build arguments on request. None varies from run to run of the
//! same source, for one that did would change every digest and spoil every cache.

use secrecy::{ExposeSecret, SecretString};

use crate::config::ambient::Proxies;
use crate::event::Pairs;
use crate::model::tree::Revision;
use crate::support::clock;

/// OCI image-spec, annotations.md, "Pre-Defined Annotation Keys"; and what those have no word for. The request's own win.
pub fn labels(revision: &Revision, wanted: &Pairs) -> Pairs {
    let facts = [
        ("org.opencontainers.image.revision", revision.commit.as_ref()),
        ("org.opencontainers.image.source", revision.url.as_ref()),
        ("org.opencontainers.image.created", revision.date.as_ref()),
        ("podwright.source.kind", Some(&revision.kind)),
        ("podwright.source.ref", revision.r#ref.as_ref()),
        ("podwright.source.author", revision.author.as_ref()),
        ("podwright.source.committer", revision.committer.as_ref()),
        ("podwright.source.subject", revision.subject.as_ref()),
        ("podwright.source.digest", revision.digest.as_ref()),
        ("podwright.source.subdir", revision.subdir.as_ref()),
    ];
    with(known(&facts), wanted.clone())
}

/// By the names of the first builders of this lineage (OpenShift 2014: `SOURCE_URI`, `SOURCE_REF`, `SOURCE_ID`, `CONTEXT_DIR`), with
/// the date beside them. The request's own win.
pub fn arguments(revision: &Revision, wanted: &Pairs, asked: bool) -> Pairs {
    if !asked {
        return wanted.clone();
    }
    let facts = [
        ("SOURCE_URI", revision.url.as_ref()),
        ("SOURCE_REF", revision.r#ref.as_ref()),
        ("SOURCE_ID", revision.commit.as_ref().or(revision.digest.as_ref())),
        ("SOURCE_DATE", revision.date.as_ref()),
        ("CONTEXT_DIR", revision.subdir.as_ref()),
    ];
    with(known(&facts), wanted.clone())
}

/// `SOURCE_DATE_EPOCH` (reproducible-builds.org/specs/source-date-epoch): what this pod was told, else the source's own date. A
/// source that has none is as old as can be.
pub fn epoch(told: Option<i64>, revision: &Revision) -> String {
    told.or_else(|| clock::seconds(revision.date.as_deref()?)).unwrap_or_default().to_string()
}

/// This pod's proxies, by the arguments that every Dockerfile has without declaring them, and that no history shows (Dockerfile
/// reference, "Predefined ARGs").
pub fn proxies(proxies: &Proxies) -> Pairs {
    let exposed = |proxy: &Option<SecretString>| proxy.as_ref().map(|url| url.expose_secret().to_owned());
    let known = [("http_proxy", exposed(&proxies.http)), ("https_proxy", exposed(&proxies.https)), ("no_proxy", proxies.no_proxy.clone())];
    let both =
        |(key, value): (&str, Option<String>)| value.map(|value| [(key.to_ascii_uppercase(), value.clone()), (key.to_owned(), value)]);
    known.into_iter().filter_map(both).flatten().collect()
}

fn known(facts: &[(&str, Option<&String>)]) -> Pairs {
    facts.iter().filter_map(|(key, value)| Some(((*key).to_owned(), (*value)?.clone()))).collect()
}

/// What is known, and what is wanted, which wins.
pub fn with(mut known: Pairs, wanted: Pairs) -> Pairs {
    known.extend(wanted);
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_is_what_the_pod_was_told_then_the_sources_date_then_nothing() {
        let dated = Revision { date: Some("2024-05-06T07:08:09Z".into()), ..Revision::default() };
        assert_eq!(epoch(Some(7), &dated), "7");
        assert_eq!(epoch(None, &dated), "1714979289");
        assert_eq!(epoch(None, &Revision::default()), "0");
    }

    /// Whatever a source says of itself, keys are ours alone; and what a run adds is what the result says, never of this one run.
    #[test]
    fn d8_labels_that_a_run_adds_are_in_its_own_namespace_or_say_where_an_image_is_from() {
        let told = |text: &str| Some(text.to_owned());
        let hostile = Revision {
            kind: "git".into(),
            url: told("containerd.io/restart.status=running"),
            r#ref: told("io.kubernetes.x"),
            author: told("com.docker.x=y"),
            subject: told("\"containerd.io/restart.status\": \"running\""),
            commit: told("1"),
            date: told("2"),
            committer: told("3"),
            digest: told("4"),
            subdir: told("5"),
            ..Revision::default()
        };
        let told = labels(&hostile, &Pairs::default());
        assert_eq!(told.len(), 10);
        let known = ["org.opencontainers.image.revision", "org.opencontainers.image.source", "org.opencontainers.image.created"];
        assert!(told.keys().all(|key| key.starts_with("podwright.source.") || known.contains(&key.as_str())), "{told:?}");
    }

    #[test]
    fn proxies_are_told_in_both_cases() {
        let told = proxies(&Proxies { http: Some("http://p:1".into()), https: None, no_proxy: Some(".svc".into()) });
        let told: Vec<(&str, &str)> = told.iter().map(|(key, value)| (&**key, &**value)).collect();
        assert_eq!(told, [("HTTP_PROXY", "http://p:1"), ("NO_PROXY", ".svc"), ("http_proxy", "http://p:1"), ("no_proxy", ".svc")]);
    }
}
