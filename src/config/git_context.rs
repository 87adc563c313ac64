//! The URLs of repositories as people write them for other builders, with what to build behind the place: `url#ref:dir`
//! (`docker build`), `url#ref#commit` (kaniko), `url?ref=…&subdir=…` (BuildKit, dockerui.DetectGitContext).

use percent_encoding::percent_decode_str;

use super::error::{ConfigError, did_you_mean, shown};

/// What a query may say; BuildKit knows more, which are no parts of a URL here.
const KEYS: [&str; 7] = ["ref", "branch", "tag", "commit", "checksum", "subdir", "submodules"];

/// What was read off a URL, and what is left of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitContext {
    pub url: String,
    pub reference: Option<String>,
    pub commit: Option<String>,
    pub subdir: Option<String>,
    pub submodules: Option<bool>,
}

/// Takes the URL apart. What it says is checked by whoever uses it.
pub fn split(field: &str, text: &str) -> Result<GitContext, ConfigError> {
    let (rest, fragment) = text.split_once('#').map_or((text, None), |(rest, fragment)| (rest, Some(fragment)));
    let mut context = GitContext::default();
    // A path after `host:` may hold a question mark; a URL may not.
    let (url, query) = match rest.split_once('?') {
        Some((url, query)) if rest.contains("://") => (url, query),
        _ => (rest, ""),
    };
    url.clone_into(&mut context.url);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        context.say(field, pair)?;
    }
    if let Some(fragment) = fragment.filter(|fragment| !fragment.is_empty()) {
        if context != (GitContext { url: url.to_owned(), ..GitContext::default() }) {
            return Err(invalid(field, "says what to build in a query and in a fragment", "write one of them"));
        }
        context.fragment(fragment);
    }
    Ok(context)
}

fn invalid(field: &str, what: &str, fix: &str) -> ConfigError {
    ConfigError::invalid(field, what, fix)
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

impl GitContext {
    fn fragment(&mut self, fragment: &str) {
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let (reference, rest) = match fragment.split_once(['#', ':']) {
            Some((reference, rest)) => (reference, Some(rest)),
            None => (fragment, None),
        };
        match rest {
            Some(commit) if fragment.as_bytes().get(reference.len()) == Some(&b'#') => self.commit = given(commit),
            subdir => self.subdir = subdir.and_then(given),
        }
        // `docker build` takes a commit's id where a ref stands.
        if is_commit(reference) && self.commit.is_none() {
            self.commit = Some(reference.to_owned());
        } else {
            self.reference = given(reference);
        }
    }

    fn say(&mut self, field: &str, pair: &str) -> Result<(), ConfigError> {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decode_str(value).decode_utf8();
        let value =
            value.map_err(|_| invalid(field, "has a query that is not UTF-8", "write ref, commit and subdir in fields of their own"))?;
        let place = match key {
            "ref" => &mut self.reference,
            "branch" | "tag" => {
                let kind = if key == "tag" { "tags" } else { "heads" };
                return set(field, key, &mut self.reference, format!("refs/{kind}/{value}"));
            }
            "commit" | "checksum" => &mut self.commit,
            "subdir" => &mut self.subdir,
            "submodules" => {
                let wanted = match &*value {
                    "" | "1" | "true" => true,
                    "0" | "false" => false,
                    _ => return Err(invalid(field, "has submodules in its query, and neither true nor false", "write submodules=true")),
                };
                self.submodules = Some(wanted);
                return Ok(());
            }
            _ => return Err(unknown(field, key)),
        };
        // As with a fragment: an id in the place of a ref.
        if key == "ref" && is_commit(&value) {
            return set(field, "commit", &mut self.commit, value.into_owned());
        }
        set(field, key, place, value.into_owned())
    }
}

fn set(field: &str, key: &str, place: &mut Option<String>, value: String) -> Result<(), ConfigError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(invalid(field, &format!("says {key} twice in its query"), "write it once")),
    }
}

/// A query that repositories have no use for: most often the address of a web page, or a token.
fn unknown(field: &str, key: &str) -> ConfigError {
    let fix = did_you_mean(key, KEYS).map_or_else(
        || format!("a repository's URL may say {} there; keep credentials in a secret directory", KEYS.join(", ")),
        |known| format!("did you mean {known}?"),
    );
    ConfigError::invalid(field, format!("has {} in its query", shown(key)), fix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Classified;

    fn of(text: &str) -> (String, Option<String>, Option<String>, Option<String>) {
        let context = split("source.git.url", text).unwrap();
        (context.url, context.reference, context.commit, context.subdir)
    }

    #[test]
    fn the_forms_that_people_know_are_read() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        let url = "https://git.example.com/team/web.git";
        let table = [
            (String::new(), None, None, None),
            ("#".to_owned(), None, None, None),
            ("#main".to_owned(), Some("main"), None, None),
            ("#main:services/web".to_owned(), Some("main"), None, Some("services/web")),
            ("#:services/web".to_owned(), None, None, Some("services/web")),
            ("#main:".to_owned(), Some("main"), None, None),
            (format!("#{id}"), None, Some(id), None),
            (format!("#{id}:a"), None, Some(id), Some("a")),
            (format!("#refs/heads/main#{id}"), Some("refs/heads/main"), Some(id), None),
            ("?ref=main&subdir=a%20b".to_owned(), Some("main"), None, Some("a b")),
            (format!("?ref=refs/pull/7/head&commit={id}"), Some("refs/pull/7/head"), Some(id), None),
            (format!("?tag=v1&checksum={id}"), Some("refs/tags/v1"), Some(id), None),
            ("?branch=main".to_owned(), Some("refs/heads/main"), None, None),
            (format!("?ref={id}"), None, Some(id), None),
        ];
        for (more, reference, commit, subdir) in table {
            let want = (url.to_owned(), reference.map(str::to_owned), commit.map(str::to_owned), subdir.map(str::to_owned));
            assert_eq!(of(&format!("{url}{more}")), want, "{more}");
        }
        assert_eq!(of("git@host:team/web.git#v1:a").0, "git@host:team/web.git");
        assert_eq!(of("git@host:team/we?b.git").0, "git@host:team/we?b.git");
        assert_eq!(split("f", "https://a/b?submodules=true").unwrap().submodules, Some(true));
    }

    #[test]
    fn what_a_url_cannot_say_is_refused_without_its_values() {
        for (more, what) in [
            ("?access_token=hush", "\"access_token\""),
            ("?brunch=hush", "did you mean branch"),
            ("?ref=hush&branch=hush", "twice"),
            ("?ref=hush#hush", "query and in a fragment"),
            ("?ref=%ff", "not UTF-8"),
            ("?submodules=hush", "neither true nor false"),
        ] {
            let error = split("source.git.url", &format!("https://a.b/c{more}")).unwrap_err();
            let shown = format!("{error} {}", error.hint().unwrap_or_default());
            assert!(shown.contains(what) && !shown.contains("hush"), "{more}: {shown}");
        }
    }
}
