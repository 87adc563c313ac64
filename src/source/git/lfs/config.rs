//! `.lfsconfig`: two keys are looked for, and everything else it says is somebody else's business.

use crate::source::git::config::{self, Said};

/// The server that the repository names: `lfs.url`, or else `remote.origin.lfsurl`, as git-lfs has it after a clone.
pub(super) fn url(text: &[u8]) -> Result<Option<String>, String> {
    let (mut lfs, mut origin) = (None, None);
    for Said { section, subsection, key, value } in config::parse(text)? {
        match (section.as_str(), subsection.as_deref(), key.as_str()) {
            ("lfs", None, "url") => lfs = value,
            ("remote", Some("origin"), "lfsurl") => origin = value,
            _ => {}
        }
    }
    Ok(lfs.or(origin).filter(|url| !url.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_url_is_found_as_git_finds_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in [
            "[lfs]\n\turl = https://a.example/x\n",
            "[lfs]\r\n\turl = https://a.example/x\r\n",
            "[lfs] url = https://a.example/x",
            "[LFS]\nURL=https://a.example/x # a comment\n",
            "# [lfs]\n; url = no\n[lfs]\nurl = \"https://a.example/x;y#z\" ; more\n",
            "[lfs]\nurl = https://a.example/\\\nx\n",
            "[lfs]\nurl = first\nurl = https://a.example/second\n",
            "[lfs \"https://a.example\"]\nurl = no\naccess = basic\n",
            "[lfs \"a\\\"]\\\\b\"]\nurl = no\n[lfs]\n  url = \" a b \"  \n",
            "[other]\nurl = no\n",
            "[remote \"origin\"]\nlfsurl = https://a.example/remote\n",
            "[remote \"Origin\"]\nlfsurl = https://a.example/remote\n",
            "[remote \"origin\"]\nlfsurl = https://a.example/remote\n[lfs]\nurl = https://a.example/x\n",
            "[lfs]\nfetchexclude = *\nurl2 = x\n",
            "",
        ] {
            std::fs::write(file.path(), text).unwrap();
            let git = |key: &str| {
                let out = std::process::Command::new("git").args(["config", "-f"]).arg(file.path()).args(["--get", key]).output().unwrap();
                Some(String::from_utf8(out.stdout).unwrap().trim_end_matches('\n').to_owned()).filter(|value| !value.is_empty())
            };
            assert_eq!(url(text.as_bytes()).unwrap(), git("lfs.url").or_else(|| git("remote.origin.lfsurl")), "{text:?}");
        }
    }

    #[test]
    fn anything_at_all_comes_to_an_end() {
        for text in
            ["[", "[a", "[a \"", "[a \"b\\", "[lfs]\nurl", "[lfs]\nurl =", "[lfs]\nurl = \"", "[lfs]\nurl = \\", "é", "[lfs]\n=\n", "\\\n"]
        {
            assert!(!matches!(url(text.as_bytes()), Ok(Some(_))), "{text:?}");
        }
        assert_eq!(url(b"[include]\npath = /etc/passwd\n[lfs]\nurl = x\n").unwrap().as_deref(), Some("x"));
        assert!(url(b"[lfs]\nurl = \xff\n").is_err());
    }
}
