//! Which frontends may run. A frontend is a program that BuildKit fetches and lets drive the daemon: Docker's own needs no
//! permission, any other one the operator's (threat D3).

use std::collections::BTreeMap;

use crate::model::Reference;
use crate::model::reference::BadReference;

use super::super::ContextError;
use super::directives::every_syntax;

/// Docker's own, in any version.
const OWN: &str = "docker.io/docker/dockerfile";

/// The build argument that names a frontend over the head of the Dockerfile (BuildKit, frontend/dockerfile/builder/build.go).
const ARGUMENT: &str = "BUILDKIT_SYNTAX";

/// A frontend that the operator allows: `frontend=REF`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    reference: Reference,
    /// Without tag and digest: every version.
    every_version: bool,
}

impl Allowed {
    pub fn parse(text: &str) -> Result<Self, BadReference> {
        let reference = Reference::parse(text)?;
        let last = text.rsplit('/').next().unwrap_or_default();
        Ok(Self { every_version: !last.contains([':', '@']), reference })
    }

    /// With a digest, exactly that content; with a tag alone, exactly that tag and nothing pinned beside it.
    fn covers(&self, image: &Reference) -> bool {
        self.reference.name() == image.name()
            && (self.every_version
                || match self.reference.digest() {
                    Some(digest) => image.digest() == Some(digest),
                    None => image.digest().is_none() && image.tag() == self.reference.tag(),
                })
    }
}

impl std::fmt::Display for Allowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.every_version { f.write_str(&self.reference.name()) } else { self.reference.fmt(f) }
    }
}

/// Whether this image may be the frontend. `place` says where it is named, for the message.
pub fn frontend_allowed(place: &str, image: &str, allowed: &[Allowed]) -> Result<(), ContextError> {
    let named = Reference::parse(image).map_err(|error| ContextError::Syntax {
        place: place.to_owned(),
        rule: format!("{:?} names no image for a frontend: {error}", image.chars().take(256).collect::<String>()),
    })?;
    if named.name() == OWN || allowed.iter().any(|allowed| allowed.covers(&named)) {
        return Ok(());
    }
    Err(ContextError::Frontend { place: place.to_owned(), image: named.to_string() })
}

/// Every frontend that a build of this Dockerfile with these arguments could start, on any release of BuildKit. The classic
/// builder starts none, and need not be asked.
pub fn check(dockerfile: &[u8], args: &BTreeMap<String, String>, allowed: &[Allowed]) -> Result<(), ContextError> {
    if let Some(value) = args.get(ARGUMENT) {
        frontend_allowed(&format!("the build argument {ARGUMENT}"), value.trim().split(' ').next().unwrap_or_default(), allowed)?;
    }
    let found = every_syntax(dockerfile)
        .map_err(|_| ContextError::Syntax { place: "the Dockerfile".into(), rule: "it begins like a JSON object and is none".into() })?;
    found.iter().try_for_each(|syntax| frontend_allowed(&format!("line {} of the Dockerfile", syntax.line), &syntax.image, allowed))
}

#[cfg(test)]
mod tests {
    use super::super::directives::{Syntax, escape};
    use super::*;
    use crate::model::{Classified, Reason};

    const NONE: BTreeMap<String, String> = BTreeMap::new();

    fn check_with(dockerfile: &[u8], allowed: &[&str]) -> Result<(), Reason> {
        let allowed: Vec<Allowed> = allowed.iter().map(|text| Allowed::parse(text).unwrap()).collect();
        check(dockerfile, &NONE, &allowed).map_err(|error| error.reason())
    }

    /// BuildKit's `TestDetectSyntax` and `TestDetectSyntaxBOM`, and the corners of its rules.
    #[test]
    fn d3_the_syntax_directive_is_found_as_buildkit_finds_it() {
        let table: [(&[u8], &str); 15] = [
            (b"# syntax = dockerfile:experimental // opts\nFROM busybox\n", "dockerfile:experimental, line 1"),
            (b"#!/bin/sh\n# syntax = dockerfile:experimental\nFROM busybox\n", "dockerfile:experimental, line 2"),
            (b"//syntax=foo\n//key=value", "foo, line 1"),
            (b"#!/bin/sh\n//syntax=x", "x, line 2"),
            (b"{\"syntax\": \"foo\", \"bar\": [\"abc\"]}", "foo, line 1"),
            (b"\xef\xbb\xbf# syntax = myfrontend\nFROM busybox\n", "myfrontend, line 1"),
            (b"# SyNtAx=a\r\nFROM b\r\n", "a, line 1"),
            (b"#syntax=a", "a, line 1"),
            (b"#\xc2\xa0syntax=a", "a, line 1"),
            (b"# escape=`\n# check=skip=all\n#  syntax\t=\ta b", "a, line 3"),
            (b"# syntax=a\n# syntax=b", "a, line 1"),
            (b"// syntax=a\n# syntax=b", "a, line 1"),
            (b"{\"synta\\u0078\": \"a\"}", "a, line 1"),
            (b"\r\n {\"syntax\": \"a\", \"syntax\": \"b\"}\n", "b, line 1"),
            (b"#!\n{\"syntax\": \"a\"}", "a, line 2"),
        ];
        for (dockerfile, want) in table {
            let found = every_syntax(dockerfile).unwrap();
            let has = found.iter().any(|Syntax { image, line }| format!("{image}, line {line}") == want);
            assert!(has, "{}: {found:?}", dockerfile.escape_ascii());
        }
    }

    /// Every form there is, with Docker's own frontend, an allowed one and another.
    #[test]
    fn d3_only_listed_frontends_run_in_every_form_of_the_directive() {
        let forms: [(&[u8], &[u8]); 9] = [
            (b"# syntax=", b"\nFROM a\n"),
            (b"#syntax = ", b" // options\r\nFROM a\r\n"),
            (b"# SyNtAx=", b"\n"),
            (b"\xef\xbb\xbf# syntax=", b"\n"),
            (b"#!/usr/bin/env x\n# syntax=", b"\n"),
            (b"// syntax=", b"\nfoo"),
            (b"{\"syntax\": \"", b"\"}"),
            (b"# escape=`\n# syntax=", b""),
            (b"\t{\"a\": {}, \"syntax\": \"", b"\"}\n"),
        ];
        for (before, after) in forms {
            let with = |image: &str| [before, image.as_bytes(), after].concat();
            let shown = before.escape_ascii();
            for own in ["docker/dockerfile:1", "docker.io/docker/dockerfile", "index.docker.io/docker/dockerfile:1.7-labs"] {
                assert_eq!(check_with(&with(own), &[]), Ok(()), "{shown} {own}");
            }
            for other in [
                "evil/x",
                "docker/dockerfile-upstream:master",
                "evil.example/docker/dockerfile",
                "dockerfile",
                "localhost/docker/dockerfile",
            ] {
                assert_eq!(check_with(&with(other), &["corp.example/fe"]), Err(Reason::NotPermitted), "{shown} {other}");
            }
            assert_eq!(check_with(&with("corp.example/fe:2"), &["corp.example/fe"]), Ok(()), "{shown}");
        }
    }

    /// What only older releases take for a directive is held to the same rule.
    #[test]
    fn d3_what_an_older_buildkit_would_start_is_checked_too() {
        for dockerfile in [
            &b"# syntax=docker/dockerfile:1\n# syntax=evil/x\nFROM a"[..],
            b"# key=value\n# syntax=evil/x\nFROM a",
            b"# syntax=docker/dockerfile:1\n// syntax=evil/x\n",
            b"# a=b\n#!sh\n# syntax=evil/x\n",
        ] {
            assert_eq!(check_with(dockerfile, &[]), Err(Reason::NotPermitted), "{}", dockerfile.escape_ascii());
        }
        for dockerfile in [&b"FROM a\n# syntax=evil/x"[..], b"# a comment\n# syntax=evil/x\nFROM a", b"\n# syntax=evil/x"] {
            assert_eq!(check_with(dockerfile, &[]), Ok(()), "{}", dockerfile.escape_ascii());
        }
    }

    #[test]
    fn d3_json_that_go_might_read_and_we_cannot_is_refused() {
        for dockerfile in [&b"{\"x\": \"\\ud800\", \"syntax\": \"evil/x\"}"[..], b"{\"syntax\": \"evil/x\"", b"{ FROM a", b"{\"n\": 1e999}"]
        {
            assert_eq!(check_with(dockerfile, &[]), Err(Reason::DockerfileInvalid), "{}", dockerfile.escape_ascii());
        }
        assert_eq!(check_with(b"{\"x\": \"\xff\", \"syntax\": \"evil/x\"}", &[]), Err(Reason::NotPermitted));
    }

    #[test]
    fn d3_the_build_argument_is_held_to_the_same_rule() {
        let with = |value: &str| {
            let args = BTreeMap::from([("BUILDKIT_SYNTAX".to_owned(), value.to_owned())]);
            check(b"# syntax=docker/dockerfile:1\nFROM a", &args, &[]).map_err(|error| error.to_string())
        };
        assert_eq!(with("docker/dockerfile:1"), Ok(()));
        assert_eq!(with(" docker/dockerfile:1 evil/x"), Ok(()), "the rest is options");
        let error = with("evil/x:2 docker/dockerfile").unwrap_err();
        assert!(error.contains("BUILDKIT_SYNTAX") && error.contains("frontend=docker.io/evil/x:2"), "{error}");
        assert!(with("").is_err() && with("docker/dockerfile\tx").is_err());
    }

    #[test]
    fn what_the_operator_lists_is_taken_as_exactly_as_it_is_written() {
        let digest = |c: &str| format!("sha256:{}", c.repeat(64));
        let pinned = format!("r.example/fe@{}", digest("a"));
        let table = [
            ("r.example/fe", "r.example/fe:1", true),
            ("r.example/fe", &pinned, true),
            ("r.example/fe", "r.example/fe/x", false),
            ("r.example/fe", "r.example/fe-evil", false),
            ("r.example:5000/fe", "r.example:5000/fe:9", true),
            ("r.example:5000/fe", "r.example/fe", false),
            ("r.example/fe:1", "r.example/fe:1", true),
            ("r.example/fe:1", "r.example/fe:2", false),
            ("r.example/fe:1", &format!("r.example/fe:1@{}", digest("b")), false),
            ("r.example/fe:latest", "r.example/fe", true),
            (&pinned, &pinned, true),
            (&pinned, &format!("r.example/fe:1@{}", digest("a")), true),
            (&pinned, &format!("r.example/fe@{}", digest("b")), false),
            (&pinned, "r.example/fe", false),
        ];
        for (listed, image, want) in table {
            let got = frontend_allowed("x", image, &[Allowed::parse(listed).unwrap()]);
            assert_eq!(got.is_ok(), want, "{listed} {image}");
        }
        assert!(Allowed::parse("not a name").is_err());
    }

    #[test]
    fn the_escape_directive_is_read_at_the_head_only() {
        for (dockerfile, want) in [
            (&b"# escape=`\nFROM a"[..], '`'),
            (b"# syntax=a\n#ESCAPE = ` \nFROM a", '`'),
            (b"# escape=\\\nFROM a", '\\'),
            (b"# comment\n# escape=`\nFROM a", '\\'),
            (b"FROM a\n# escape=`", '\\'),
        ] {
            assert_eq!(escape(dockerfile), want, "{}", dockerfile.escape_ascii());
        }
    }
}
