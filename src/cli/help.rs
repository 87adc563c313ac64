//! What the helps end with: an example, the table of exit codes, the variables. All of it from the tables it tells of.

use std::fmt::Write;

use crate::config::fields::{FIELDS, OTHERS};
use crate::model::Reason;

/// For `podwright --help`.
pub fn overview(example: &str) -> String {
    format!("Without a command, `build` is meant: podwright [FLAGS] is podwright build [FLAGS].\n\n{example}\n\n{}", exit_codes())
}

/// For `podwright build -h`.
pub fn brief(example: &str) -> String {
    format!(
        "{example}\n\nFlags are stronger than PODWRIGHT_* variables, and these than the request. --help lists variables and exit codes."
    )
}

/// For `podwright fetch --help`.
pub fn fetching() -> &'static str {
    "Example:\n  podwright fetch --git https://git.example.com/team/web.git --output /prepared   # in an init container\n  \
     podwright build --prepared /prepared -d registry.example.com/team/web:1.2       # beside the socket\n\n\
     It takes the request, flags and variables of a build; what they say of building and pushing is not looked at."
}

/// For `podwright build --help`.
pub fn whole(example: &str) -> String {
    format!("{example}\n\n{}\n{}", variables(), exit_codes())
}

/// One row for each reason; what may be run again is marked.
pub fn exit_codes() -> String {
    let mut text = String::from("Exit codes (* = the same request may succeed when it is run again):\n    0   success\n");
    for reason in Reason::all() {
        let mark = if reason.retryable() { '*' } else { ' ' };
        let _ = writeln!(text, "  {:>3} {mark} {:<20} {}", reason.code(), reason.name(), reason.meaning());
    }
    text
}

fn variables() -> String {
    let mut text = String::from("Variables (an empty one is an unset one; those marked + can be given as a file's name in …_FILE):\n");
    let fields = FIELDS.iter().map(|field| (field.flag, field.variable, field.secret));
    for (flag, variable, secret) in fields.chain(OTHERS.iter().copied()) {
        let mark = if secret { '+' } else { ' ' };
        let _ = writeln!(text, "  --{flag:<24} {mark} PODWRIGHT_{variable}");
    }
    text
}
