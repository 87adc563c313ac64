//! `.gitmodules`: which repository belongs into which directory (gitmodules(5)).
//!
//! Whoever writes the repository writes this file, so a name or a URL is believed only as far as it harms nobody (G8).

use std::collections::BTreeMap;

use super::config::{self, Said};
use crate::model::{CommitId, TreePath};

/// Sections of a file: one that holds more was written to be read, not to be used.
const MOST_SECTIONS: usize = 10_000;

/// A directory of a commit that another repository belongs into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submodule {
    /// Below the tree's root.
    pub path: TreePath,
    /// As it is written, relative or not.
    pub url: String,
    pub commit: CommitId,
}

/// What one section says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    pub url: Option<String>,
    /// `update = none`: git leaves the directory empty.
    pub skipped: bool,
}

/// The sections by their path. What git would refuse, or read in more than one way, is an error.
pub(super) fn parse(text: &[u8]) -> Result<BTreeMap<String, Section>, String> {
    let mut named: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for Said { section, subsection, key, value } in config::parse(text)? {
        let Some(name) = subsection.filter(|_| section == "submodule") else { continue };
        check_name(&name)?;
        let values = named.entry(name).or_default();
        if let Some(value) = value {
            if value.chars().any(char::is_control) {
                return Err(format!("a {key} holds a control character"));
            }
            values.insert(key, value);
        }
        if named.len() > MOST_SECTIONS {
            return Err(format!("it has more than {MOST_SECTIONS} submodules"));
        }
    }
    let mut sections = BTreeMap::new();
    for (name, mut values) in named {
        let Some(path) = values.remove("path") else { continue };
        if path.starts_with('-') {
            return Err(format!("submodule {name:?} has a path that begins with a hyphen"));
        }
        let skipped = match values.get("update").map(String::as_str) {
            None | Some("checkout" | "rebase" | "merge") => false,
            Some("none") => true,
            // git takes a command from the user's own configuration alone.
            Some(_) => return Err(format!("submodule {name:?} wants a command to be run (update)")),
        };
        let section = Section { url: values.remove("url"), skipped };
        if sections.insert(path.trim_end_matches('/').to_owned(), section).is_some() {
            return Err(format!("two submodules have the path {path:?}"));
        }
    }
    Ok(sections)
}

/// A name becomes a directory in git's own (submodule-config.c, `check_submodule_name`).
fn check_name(name: &str) -> Result<(), String> {
    let up = name.split(['/', '\\']).any(|part| part == "..");
    if name.is_empty() || up { Err(format!("a submodule may not have the name {name:?}")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn section(url: &str) -> Section {
        Section { url: Some(url.to_owned()), skipped: false }
    }

    #[test]
    fn the_file_is_read_as_git_reads_it() {
        let text = "\u{feff}# a comment\n[submodule \"lib/a\"]\n\tpath = lib/a ; why\n\turl = ../a.git\n[core]\npath = x\n\
                    [Submodule \"b \\\"c\\\"\"] path=\"b c/\"\r\n url = https://h/\\\n  b.git # end\n\tupdate = none\nshallow\n\
                    [submodule \"no path\"]\n\turl = https://h/x\n";
        let sections = parse(text.as_bytes()).unwrap();
        let want = [("b c", Section { skipped: true, ..section("https://h/  b.git") }), ("lib/a", section("../a.git"))];
        assert_eq!(sections, want.map(|(path, section)| (path.to_owned(), section)).into());
        // git's own reading of the same file.
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("m");
        std::fs::write(&file, text).unwrap();
        let git = |key: &str| {
            let output = Command::new("git").args(["config", "-f"]).arg(&file).args(["--get", key]).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim_end_matches('\n').to_owned()
        };
        assert_eq!((git("submodule.lib/a.path").as_str(), git("submodule.b \"c\".path").as_str()), ("lib/a", "b c/"));
        assert_eq!(git("submodule.b \"c\".url"), "https://h/  b.git");
    }

    #[test]
    fn g8_what_git_would_not_believe_is_refused() {
        for (text, what) in [
            ("[submodule \"../../x\"]\npath = a\n", "may not have the name"),
            ("[submodule \"a\\\\..\\\\b\"]\npath = a\n", "may not have the name"),
            ("[submodule \"a\"]\npath = -x\n", "hyphen"),
            ("[submodule \"a\"]\npath = x\nupdate = !touch /tmp/x\n", "command"),
            ("[submodule \"a\"]\npath = x\n[submodule \"b\"]\npath = x/\n", "two submodules"),
            ("[submodule \"a\"]\npath = \"x\\n\"\n", "control"),
            ("[submodule \"a\"]\npath = \"x\r\"\n", "control"),
            ("[submodule \"a\"]\npath = \"x\n", "quotes"),
            ("[submodule \"a]\npath = x\n", "not closed"),
            ("[submodule a]\n", "quotes"),
            ("path x\n", "something else"),
            ("= x\n", "neither"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(what), "{text:?}: {error}");
        }
        assert!(parse(&[0xff]).is_err());
        let many: Vec<String> = (0..=MOST_SECTIONS).map(|n| format!("[submodule \"{n}\"]\n")).collect();
        assert!(parse(many.concat().as_bytes()).is_err());
    }
}
