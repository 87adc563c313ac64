//! Failures as people read them, and the two doors through which this module prints.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use crate::model::Failure;

/// What happened, why, what to do; the reason and its code last, since a script's author looks there.
pub fn failure(failure: &Failure) -> String {
    let mut text = format!("error: {}\n", plain(&failure.message));
    for cause in &failure.causes {
        let _ = writeln!(text, "  because: {}", plain(cause));
    }
    if let Some(hint) = &failure.hint {
        let _ = writeln!(text, "  hint: {}", plain(hint));
    }
    let again = if failure.retryable { "; running it again may help" } else { "" };
    let _ = writeln!(text, "  {} in phase {}, exit code {}{again}", failure.reason.name(), failure.phase.name(), failure.exit_code);
    text
}

/// To standard output. A reader that went away is no error of ours.
pub fn say(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
}

/// To standard error.
pub fn complain(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Without what a terminal would obey: control characters and marks that turn the direction of text. Lines are kept, indented.
fn plain(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let text = text.trim_end().replace('\n', "\n    ");
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !(c.is_control() || turns(*c))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Phase, Reason};

    #[test]
    fn a_failure_says_what_why_and_what_to_do() {
        let mut broken = Failure::plain(Phase::Push, Reason::PushUnavailable, "the registry \u{1b}[31mfails\u{202e}");
        broken.causes.push("503\nservice unavailable".into());
        broken.hint = Some("ask its operator".into());
        let want = "error: the registry [31mfails\n  because: 503\n    service unavailable\n  hint: ask its operator\n  PushUnavailable in phase push, exit code 53; running it again may help\n";
        assert_eq!(failure(&broken), want);
    }
}
