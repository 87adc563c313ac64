//! Pieces of output become whole lines, so that no secret and no word is cut where the daemon happened to cut.

use std::collections::{HashMap, VecDeque};

use crate::event::StepLog;

/// A line longer than this goes out in parts.
const LINE: usize = 64 << 10;
/// What is kept of each step for the case that it fails.
const TAIL_LINES: usize = 20;
const TAIL_WIDTH: usize = 1000;

/// Puts the output of every step together again.
#[derive(Default)]
pub struct Logs {
    open: HashMap<(String, i64), Vec<u8>>,
    tails: HashMap<String, VecDeque<String>>,
}

impl Logs {
    /// Takes a piece of output and gives what is complete with it.
    pub fn push(&mut self, step: &str, stream: i64, bytes: &[u8]) -> Vec<StepLog> {
        let key = (step.to_owned(), stream);
        let buffer = self.open.entry(key).or_default();
        buffer.extend_from_slice(bytes);
        let mut out = Vec::new();
        if let Some(end) = buffer.iter().rposition(|byte| *byte == b'\n') {
            let rest = buffer.split_off(end + 1);
            let lines = std::mem::replace(buffer, rest);
            out.push(log(step, stream, &lines[..end], false));
        }
        while buffer.len() > LINE {
            let rest = buffer.split_off(cut(&buffer[..LINE]));
            let part = std::mem::replace(buffer, rest);
            out.push(log(step, stream, &part, true));
        }
        for log in &out {
            self.keep(log);
        }
        out
    }

    /// What a step that ended left without a line end.
    pub fn close(&mut self, step: &str) -> Vec<StepLog> {
        let mut out = Vec::new();
        for stream in [1, 2] {
            if let Some(rest) = self.open.remove(&(step.to_owned(), stream)).filter(|rest| !rest.is_empty()) {
                out.push(log(step, stream, &rest, false));
            }
        }
        for log in &out {
            self.keep(log);
        }
        out
    }

    /// The last lines of a step.
    pub fn tail(&self, step: &str) -> Vec<String> {
        self.tails.get(step).map(|tail| tail.iter().cloned().collect()).unwrap_or_default()
    }

    /// A step that succeeded needs no tail.
    pub fn forget(&mut self, step: &str) {
        self.tails.remove(step);
    }

    fn keep(&mut self, log: &StepLog) {
        let tail = self.tails.entry(log.step.clone()).or_default();
        for line in log.text.split('\n') {
            tail.push_back(line.chars().take(TAIL_WIDTH).collect());
            if tail.len() > TAIL_LINES {
                tail.pop_front();
            }
        }
    }
}

/// After the last white space, so that no word is cut; anywhere, where there is none.
fn cut(bytes: &[u8]) -> usize {
    bytes.iter().rposition(u8::is_ascii_whitespace).map_or(bytes.len(), |position| position + 1)
}

fn log(step: &str, stream: i64, bytes: &[u8], partial: bool) -> StepLog {
    let text = String::from_utf8_lossy(bytes).into_owned();
    // BuildKit, util/progress/logs/logs.go, writes this where it stops passing output on.
    let clipped = text.contains("[output clipped, log limit");
    StepLog { step: step.to_owned(), stream, text, partial, clipped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_whole_whatever_the_pieces() {
        let text = "one\ntwo words\n\nthree";
        for size in 1..=text.len() {
            let mut logs = Logs::default();
            let mut out: Vec<StepLog> = text.as_bytes().chunks(size).flat_map(|piece| logs.push("a", 1, piece)).collect();
            out.extend(logs.close("a"));
            let joined = out.iter().map(|log| log.text.as_str()).collect::<Vec<_>>().join("\n");
            assert_eq!(joined, text, "in pieces of {size}");
            assert_eq!(logs.tail("a"), ["one", "two words", "", "three"]);
        }
    }

    #[test]
    fn an_endless_line_is_passed_on_in_parts_cut_between_words() {
        let mut logs = Logs::default();
        let piece = "word ".repeat(1000);
        let mut out = Vec::new();
        for _ in 0..100 {
            out.extend(logs.push("a", 1, piece.as_bytes()));
        }
        assert!(out.len() > 5 && out.iter().all(|log| log.partial && log.text.len() <= LINE && log.text.ends_with("word ")));
        let rest = logs.close("a");
        assert!(!rest[0].partial);
        let total: usize = out.iter().chain(&rest).map(|log| log.text.len()).sum();
        assert_eq!(total, piece.len() * 100);
    }

    #[test]
    fn two_streams_of_one_step_do_not_mix() {
        let mut logs = Logs::default();
        assert!(logs.push("a", 1, b"out").is_empty());
        assert_eq!(logs.push("a", 2, b"err\n")[0].text, "err");
        assert_eq!(logs.push("a", 1, b"put\n")[0].text, "output");
    }
}
