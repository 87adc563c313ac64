//! Cuts of log text, so that no secret survives one: what is cut was masked before, and where a line comes in parts, the end of
//! each part waits for the next one.

use std::collections::HashMap;

use crate::event::StepLog;
use crate::support::redact::{MASK, Redactor};

/// Bytes of one piece of log text in the queue.
pub const PIECE_BYTES: usize = 64 << 10;

/// Lines that may be waiting for their ends at one time: one for each running step and stream.
const MOST_HELD: usize = 512;

/// Bytes of one line that may wait. Only secret next to secret gets there.
const HELD_BYTES: usize = 1 << 20;

/// The log in pieces of at most `most`, as `cost` counts a character: at a line end where there is one, else with `partial`.
pub fn log(log: &StepLog, most: usize, cost: impl Fn(char) -> usize) -> impl Iterator<Item = StepLog> {
    let mut rest = Some(log.text.as_str());
    std::iter::from_fn(move || {
        let text = rest?;
        let end = prefix(text, most, &cost);
        let (piece, after, goes_on) = match text[..end].rfind('\n') {
            _ if end == text.len() => (text, None, log.partial),
            Some(at) => (&text[..at], Some(&text[at + 1..]), false),
            None => (&text[..end], Some(&text[end..]), true),
        };
        rest = after;
        let clipped = log.clipped && rest.is_none();
        Some(StepLog { step: log.step.clone(), stream: log.stream, text: piece.to_owned(), partial: goes_on, clipped })
    })
}

/// The bytes of the longest start that costs at most `most`; at least one character.
fn prefix(text: &str, most: usize, cost: impl Fn(char) -> usize) -> usize {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += cost(c);
        if used > most && at > 0 {
            return at;
        }
    }
    text.len()
}

/// The ends of lines that go on, held back until it is known that no secret goes on with them.
#[derive(Default)]
pub struct Holdback {
    held: HashMap<(String, i64), String>,
}

impl Holdback {
    /// The masked text that can go out now: of a line that goes on, all but what could be the start of a secret.
    pub fn pass(&mut self, mut log: StepLog, redactor: &Redactor) -> Option<StepLog> {
        let key = (log.step.clone(), log.stream);
        let mut text = self.held.remove(&key).unwrap_or_default() + &log.text;
        if log.partial && self.held.len() < MOST_HELD {
            let end = safe_end(&text, redactor);
            let tail = text.split_off(end);
            if tail.len() > HELD_BYTES {
                text.push_str(MASK);
            } else if !tail.is_empty() {
                self.held.insert(key, tail);
            }
        }
        log.text = redactor.scrub(&text).into_owned();
        let silent = log.text.is_empty() && log.partial;
        (!silent).then_some(log)
    }

    /// What a finished step still held.
    pub fn end_step(&mut self, step: &str, redactor: &Redactor) -> Vec<StepLog> {
        self.drain(|key| key == step, |text| redactor.scrub(&text).into_owned())
    }

    /// What all steps still held, at the end of the run.
    pub fn end(&mut self, redactor: &Redactor) -> Vec<StepLog> {
        self.drain(|_| true, |text| redactor.scrub(&text).into_owned())
    }

    /// Events are missing: nobody can know any more how these lines went on, so their ends are masked.
    pub fn interrupt(&mut self) -> Vec<StepLog> {
        self.drain(|_| true, |_| MASK.to_owned())
    }

    fn drain(&mut self, which: impl Fn(&str) -> bool, mask: impl Fn(String) -> String) -> Vec<StepLog> {
        let mut logs: Vec<StepLog> = self
            .held
            .extract_if(|(step, _), _| which(step))
            .map(|((step, stream), text)| StepLog { step, stream, text: mask(text), ..StepLog::default() })
            .collect();
        logs.sort_by(|a, b| (&a.step, a.stream).cmp(&(&b.step, b.stream)));
        logs
    }
}

/// Where a text can be cut so that nothing before could still become, and no secret found so far crosses, a secret's middle.
fn safe_end(text: &str, redactor: &Redactor) -> usize {
    let longest = redactor.longest();
    if longest == 0 {
        return text.len();
    }
    let mut end = text.floor_char_boundary(text.len().saturating_sub(longest - 1));
    // A cut that goes through a secret is seen by what masking both sides apart would leave.
    while end > 0 {
        let from = text.floor_char_boundary(end.saturating_sub(longest));
        let (window, at) = (&text[from..], end - from);
        let apart = [redactor.scrub(&window[..at]), redactor.scrub(&window[at..])].concat();
        if apart == redactor.scrub(window) {
            break;
        }
        end = text.floor_char_boundary(end.saturating_sub((longest / 16).max(1)));
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::SecretString;

    use super::*;

    fn partial(text: &str, partial: bool) -> StepLog {
        StepLog { step: "s".into(), stream: 1, text: text.into(), partial, clipped: false }
    }

    #[test]
    fn pieces_end_at_line_ends_where_they_can() {
        let pieces: Vec<(String, bool)> =
            log(&partial("one\ntwo\nthree-four", false), 8, char::len_utf8).map(|l| (l.text, l.partial)).collect();
        let want = [("one\ntwo", false), ("three-fo", true), ("ur", false)];
        assert_eq!(pieces, want.map(|(text, partial)| (text.to_owned(), partial)));
    }

    proptest! {
        #[test]
        fn no_secret_survives_any_cut(
            cuts in prop::collection::vec(0usize..200, 0..12),
            fill in "[a-z0-9é\n ]{0,60}", tail in "[a-z0-9é]{0,60}",
        ) {
            let secret = "s3cr3t-védvalue/0123456789";
            let redactor = Redactor::default();
            redactor.add(&SecretString::from(secret));
            let text = format!("{fill}{secret}{secret}{tail}{secret}");
            let mut cuts: Vec<usize> = cuts.iter().map(|at| text.floor_char_boundary(*at)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let (mut holdback, mut seen) = (Holdback::default(), String::new());
            for (index, pair) in cuts.windows(2).enumerate() {
                let last = index + 2 == cuts.len();
                let out = holdback.pass(partial(&text[pair[0]..pair[1]], !last), &redactor);
                seen.extend(out.map(|log| log.text));
            }
            prop_assert!(holdback.held.is_empty());
            prop_assert_eq!(seen, redactor.scrub(&text).into_owned());
        }
    }

    #[test]
    fn a_gap_masks_what_was_held() {
        let redactor = Redactor::default();
        redactor.add(&SecretString::from("hunter2-hunter2"));
        let mut holdback = Holdback::default();
        holdback.pass(partial("hunter2-hunt", true), &redactor);
        assert_eq!(holdback.interrupt()[0].text, MASK);
        holdback.pass(partial("plain end", true), &redactor);
        assert_eq!(holdback.end_step("s", &redactor)[0].text, "plain end");
    }
}
