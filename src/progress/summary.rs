//! The end of a run as people read it: the failed step's last words, then what came of it, where it is, and how long it took.

use std::fmt::Write;

use super::scrub;
use crate::model::Outcome;
use crate::model::result::{Document, FailedStep, Image, TagResult, TagStatus, VerifiedBy};
use crate::model::tree::Revision;
use crate::support::redact::Redactor;

/// Columns of a field's name.
const NAME_WIDTH: usize = 9;

/// Colour, or none.
#[derive(Clone, Copy)]
pub struct Paint(pub bool);

impl Paint {
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub fn blue(self, text: &str) -> String {
        self.with("34", text)
    }

    pub fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    pub fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }

    pub fn red(self, text: &str) -> String {
        self.with("31", text)
    }

    /// Select graphic rendition (ECMA-48, 8.3.117).
    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The closing summary, lines ended.
pub fn of(document: &Document, redactor: &Redactor, paint: Paint) -> String {
    let mut text = String::new();
    if let Some(failed) = &document.steps.failed {
        failed_step(&mut text, failed, redactor);
    }
    text.push_str(&verdict(document, paint));
    let mut field = |name: &str, value: &str| {
        let value = scrub::one_line(&redactor.scrub(value));
        let _ = writeln!(text, "  {name:NAME_WIDTH$} {value}");
    };
    if let Some(source) = &document.source {
        field("Source", &self::source(source));
    }
    if let Some(image) = &document.image {
        image_fields(image, &mut field);
    }
    if document.steps.total > 0 {
        field("Steps", &format!("{}, {} from the cache", document.steps.total, document.steps.cached));
    }
    let phases: Vec<String> = document.timing.0.iter().map(|(phase, ms)| format!("{} {}", phase.name(), seconds(*ms))).collect();
    let all: u64 = document.timing.0.iter().map(|(_, ms)| ms).sum();
    if !phases.is_empty() {
        field("Time", &format!("{} ({})", seconds(all), phases.join(", ")));
    }
    if document.warnings > 0 {
        field("Warnings", &document.warnings.to_string());
    }
    text
}

/// The one line that says how it ended.
fn verdict(document: &Document, paint: Paint) -> String {
    let reason = document.error.as_ref().map(|error| error.reason.name()).unwrap_or_default();
    let code = document.exit_code;
    let line = match document.outcome {
        Outcome::Success => return paint.green("SUCCESS (exit code 0)") + "\n",
        Outcome::Failure => format!("FAILED: {reason} (exit code {code}), the request or the source is at fault"),
        Outcome::Error => format!("ERROR: {reason} (exit code {code}), the system is at fault"),
        Outcome::Timeout => format!("TIMED OUT: {reason} (exit code {code})"),
        Outcome::Cancellation => format!("CANCELLED (exit code {code})"),
    };
    let retry = document.error.as_ref().filter(|error| error.retryable).map_or("", |_| "; worth another try");
    paint.red(&format!("{line}{retry}")) + "\n"
}

fn failed_step(text: &mut String, failed: &FailedStep, redactor: &Redactor) {
    let code = failed.exit_code.map(|code| format!(" (exit code {code})")).unwrap_or_default();
    let _ = writeln!(text, "------\n > {}{code}:", scrub::one_line(&redactor.scrub(&failed.name)));
    for line in &failed.log {
        for line in scrub::lines(&redactor.scrub(line)) {
            let _ = writeln!(text, " | {line}");
        }
    }
    text.push_str("------\n");
}

fn image_fields(image: &Image, field: &mut impl FnMut(&str, &str)) {
    if image.refs.is_empty() {
        field("Image", image.image_id.as_str());
    }
    for (index, name) in image.refs.iter().enumerate() {
        field(if index == 0 { "Image" } else { "" }, name);
    }
    for (index, tag) in image.tags.iter().enumerate() {
        field(if index == 0 { "Tags" } else { "" }, &format!("{} {}", tag.r#ref, status(tag)));
    }
    for (index, name) in image.kept.iter().enumerate() {
        field(if index == 0 { "Kept" } else { "" }, &format!("{name} on this node"));
    }
}

fn status(tag: &TagResult) -> &'static str {
    match (tag.status, tag.verified_by) {
        (TagStatus::Pushed, Some(VerifiedBy::Pod)) => "pushed, read back by this pod",
        (TagStatus::Pushed, Some(VerifiedBy::Engine)) => "pushed, read back by the node's daemon",
        (TagStatus::Pushed, None) => "pushed",
        (TagStatus::Unverified, _) => "pushed, not read back",
        (TagStatus::Failed, _) => "FAILED",
        (TagStatus::Pending, _) => "not tried",
    }
}

/// What a source is, in one line.
pub fn source(revision: &Revision) -> String {
    let mut text = revision.kind.clone();
    let commit = revision.commit.as_deref().map(|commit| commit.get(..12).unwrap_or(commit));
    for (before, part) in [(" ", revision.url.as_deref()), (" ", revision.r#ref.as_deref()), (" at ", commit)] {
        if let Some(part) = part {
            let _ = write!(text, "{before}{part}");
        }
    }
    if let (None, Some(digest)) = (commit, &revision.digest) {
        let _ = write!(text, " {digest}");
    }
    if let Some(subdir) = &revision.subdir {
        let _ = write!(text, " in {subdir}");
    }
    if let Some(size) = revision.size {
        let _ = write!(text, " ({})", bytes(size));
    }
    text
}

/// Decimal units, as Docker writes sizes.
pub fn bytes(count: u64) -> String {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match units.into_iter().find(|(_, unit)| count >= *unit) {
        Some((name, unit)) => format!("{}.{}{name}", count / unit, count % unit * 10 / unit),
        None => format!("{count}B"),
    }
}

/// `0.3s`, `12.3s`, `2m05s`, `1h02m`.
pub fn seconds(ms: u64) -> String {
    let whole = ms / 1000;
    match whole {
        0..60 => format!("{whole}.{}s", ms % 1000 / 100),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
    }
}
