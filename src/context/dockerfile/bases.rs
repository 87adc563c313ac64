//! Which images a Dockerfile builds on: their registries' credentials go with the build.
//!
//! `FROM`, `COPY --from=` and `RUN --mount=from=` are read (BuildKit, frontend/dockerfile/dockerfile2llb/convert.go); what
//! cannot be told without the daemon is named as such, never guessed.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::Reference;

use super::directives::escape;
use super::expand::{Value, expand};
use super::lines::{Instruction, instructions, words};

/// The arguments that BuildKit sets by itself, from the platform it builds for.
const PLATFORM: [&str; 11] = [
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDOSVERSION",
    "BUILDARCH",
    "BUILDVARIANT",
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETOSVERSION",
    "TARGETARCH",
    "TARGETVARIANT",
    "TARGETSTAGE",
];

/// The images of a Dockerfile: each once, in the order they are named.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Bases {
    pub images: Vec<Reference>,
    /// There are others: a name depends on what only the daemon knows, or is none.
    pub unknown: bool,
}

/// Reads at most `limits::DOCKERFILE_BYTES`; `args` are the build's arguments. All stages count, also those that the
/// build's target does not need.
pub fn bases(dockerfile: &[u8], args: &BTreeMap<String, String>) -> Bases {
    let instructions = instructions(dockerfile);
    let mut reader = Reader {
        escape: escape(dockerfile),
        args,
        declared: BTreeMap::new(),
        // A `COPY --from` may name a stage further down: that is the daemon's error, and no image.
        every_stage: instructions.iter().filter_map(stage_name).collect(),
        stages: BTreeSet::new(),
        in_stage: false,
        named: BTreeSet::new(),
        bases: Bases::default(),
    };
    for instruction in &instructions {
        reader.read(instruction);
    }
    reader.bases
}

struct Reader<'a> {
    escape: char,
    args: &'a BTreeMap<String, String>,
    /// The `ARG`s above the first `FROM`.
    declared: BTreeMap<String, Value>,
    every_stage: BTreeSet<String>,
    /// Those above the line that is being read.
    stages: BTreeSet<String>,
    in_stage: bool,
    /// The images so far.
    named: BTreeSet<String>,
    bases: Bases,
}

impl Reader<'_> {
    fn read(&mut self, instruction: &Instruction) {
        match instruction.keyword.as_str() {
            "arg" if !self.in_stage => words(&instruction.arguments, self.escape).iter().for_each(|word| self.declare(word)),
            "from" => self.from(instruction),
            "copy" => instruction.flag("from").for_each(|name| self.used(name)),
            "run" => {
                let fields = instruction.flag("mount").flat_map(|mount| mount.split(',')).filter_map(|field| field.split_once('='));
                for (_, name) in fields.filter(|(key, _)| key.eq_ignore_ascii_case("from")) {
                    self.used(name);
                }
            }
            _ => {}
        }
    }

    fn declare(&mut self, word: &str) {
        let (name, default) = word.split_once('=').map_or((word, None), |(name, default)| (name, Some(default)));
        let value = match (self.args.get(name), default) {
            (Some(given), _) => Value::Set(given.clone()),
            (None, Some(default)) => self.expanded(default).map_or(Value::Unknown, Value::Set),
            (None, None) if PLATFORM.contains(&name) => Value::Unknown,
            (None, None) => Value::Unset,
        };
        self.declared.insert(name.to_owned(), value);
    }

    fn expanded(&self, word: &str) -> Option<String> {
        expand(word, self.escape, &|name| match self.declared.get(name) {
            Some(value) => value.clone(),
            None if PLATFORM.contains(&name) => self.args.get(name).map_or(Value::Unknown, |given| Value::Set(given.clone())),
            None => Value::Unset,
        })
    }

    fn from(&mut self, instruction: &Instruction) {
        self.in_stage = true;
        let Some(written) = instruction.arguments.split_whitespace().next() else { return };
        match self.expanded(written) {
            Some(name) if self.stages.contains(&name.to_lowercase()) => {}
            Some(name) => self.image(&name),
            None => self.bases.unknown = true,
        }
        self.stages.extend(stage_name(instruction));
    }

    /// A stage by name or number, or an image; nothing is expanded here.
    fn used(&mut self, name: &str) {
        let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number && !self.every_stage.contains(&name.to_lowercase()) {
            self.image(name);
        }
    }

    fn image(&mut self, name: &str) {
        match Reference::parse(name) {
            _ if name == "scratch" => {}
            Ok(image) if self.named.insert(image.to_string()) => self.bases.images.push(image),
            Ok(_) => {}
            Err(_) => self.bases.unknown = true,
        }
    }
}

/// `FROM … AS name`, in lower case.
fn stage_name(instruction: &Instruction) -> Option<String> {
    let mut words = instruction.arguments.split_whitespace().skip(1);
    let named = instruction.keyword == "from" && words.next()?.eq_ignore_ascii_case("as");
    words.next().filter(|_| named).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Images, then `?` where there are others.
    fn found(dockerfile: &str, args: &[(&str, &str)]) -> String {
        let args = args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let bases = bases(dockerfile.as_bytes(), &args);
        let images = bases.images.iter().map(ToString::to_string);
        images.chain(bases.unknown.then(|| "?".to_owned())).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn images_are_found_and_stages_are_none() {
        let table = [
            ("FROM a", "docker.io/library/a:latest"),
            ("from --platform=$BUILDPLATFORM r.example/a:1 as Build\nFROM build\nFROM scratch", "r.example/a:1"),
            ("FROM a\nFROM a:latest", "docker.io/library/a:latest"),
            ("FROM later\nFROM b AS later", "docker.io/library/later:latest docker.io/library/b:latest"),
            ("FROM a.b/x AS s\nCOPY --from=s /a /\nCOPY --from=0 /a /\nCOPY --chown=1 --from=r.c/y:2 /a /", "a.b/x:latest r.c/y:2"),
            ("FROM scratch\nCOPY --from=T . .\nFROM a.b/c AS t", "a.b/c:latest"),
            ("FROM a.b/c\nRUN --mount=type=bind,from=r.d/z,target=/x --mount=type=cache,target=/c make", "a.b/c:latest r.d/z:latest"),
            ("FROM a.b/c\nRUN --mount=type=bind,\"from=r.d/z\" make", "a.b/c:latest r.d/z:latest"),
            ("FROM \\\n  # why\n\n a.b/c\r\nRUN x", "a.b/c:latest"),
            ("# escape=`\nFROM `\n  a.b/c\nRUN c:\\\nFROM d.e/f", "a.b/c:latest d.e/f:latest"),
            ("FROM a.b/c\nRUN <<EOF\nFROM evil.x/a\nEOF\nFROM d.e/f", "a.b/c:latest d.e/f:latest"),
            ("FROM a.b/c\nCOPY <<-\"E\" /x\nFROM evil.x/a\n\tE\nFROM d.e/f", "a.b/c:latest d.e/f:latest"),
            ("FROM a.b/c\nRUN <<EOF\nFROM never.ends/a", "a.b/c:latest"),
            ("FROM a.b/c\n#FROM x.y/z\nRUN echo \\\nFROM x.y/z", "a.b/c:latest"),
            ("FROM a.b/c\nENV x=\"FROM y\"\nONBUILD COPY --from=q.r/s a b", "a.b/c:latest"),
            ("\u{feff}FROM a.b/c", "a.b/c:latest"),
            ("FROM\nFROM Upper/Case:x:y", "?"),
            ("", ""),
        ];
        for (dockerfile, want) in table {
            assert_eq!(found(dockerfile, &[]), want, "{dockerfile}");
        }
    }

    #[test]
    fn arguments_are_resolved_where_that_is_sure() {
        let file = "ARG R=r.example TAG=1\nARG IMAGE=$R/base:${TAG}\nFROM $IMAGE AS x";
        assert_eq!(found(file, &[]), "r.example/base:1");
        assert_eq!(found(file, &[("TAG", "2"), ("OTHER", "x")]), "r.example/base:2");
        assert_eq!(found(file, &[("IMAGE", "q.example/z")]), "q.example/z:latest");
        let table = [
            ("ARG V\nFROM a.b/c:${V:-9}", &[][..], "a.b/c:9"),
            ("ARG V\nFROM a.b/c:${V:-9}", &[("V", "7")], "a.b/c:7"),
            ("FROM a.b/c:$V", &[("V", "7")], "?"),
            ("ARG V='1 2'\nFROM \"a.b/c\"", &[], "a.b/c:latest"),
            ("FROM base-$TARGETARCH", &[], "?"),
            ("FROM base-$TARGETARCH", &[("TARGETARCH", "arm64")], "docker.io/library/base-arm64:latest"),
            ("ARG A=$TARGETOS\nFROM a.b/$A", &[], "?"),
            ("ARG S=build\nFROM a.b/c AS build\nFROM $S", &[], "a.b/c:latest"),
            ("FROM a.b/c\nARG V=1\nFROM d.e/f:${V:-2}", &[], "a.b/c:latest d.e/f:2"),
            ("FROM a.b/c\nCOPY --from=$X a b", &[], "a.b/c:latest ?"),
            ("ARG A=${B//x/y}\nFROM $A", &[("B", "x")], "?"),
        ];
        for (dockerfile, args, want) in table {
            assert_eq!(found(dockerfile, args), want, "{dockerfile} {args:?}");
        }
    }

    #[test]
    fn arguments_that_double_end() {
        let doubling: String = (1..100).fold("ARG A0=xx\n".to_owned(), |text, n| format!("{text}ARG A{n}=$A{}$A{}\n", n - 1, n - 1));
        assert_eq!(found(&format!("{doubling}FROM $A99"), &[]), "?");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(dockerfile in prop::collection::vec(any::<u8>(), 0..300)) {
            bases(&dockerfile, &BTreeMap::new());
        }

        #[test]
        fn no_dockerfile_makes_it_panic(dockerfile in r#"((FROM|ARG|COPY|RUN|#) ?[-a-z$\{\}:"'\\<=/ ]{0,12}[\\]?\n){0,8}"#) {
            bases(dockerfile.as_bytes(), &BTreeMap::new());
            let _ = super::super::frontend::check(dockerfile.as_bytes(), &BTreeMap::new(), &[]);
        }
    }
}
