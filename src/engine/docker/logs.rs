//! Pieces of output become whole lines, so that no secret and no word is cut where the daemon happened to cut, and lines that come
//! faster than one at a time go on together.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::event::StepLog;

/// A line longer than this goes out in parts.
const LINE: usize = 64 << 10;
/// Lines wait for more until they have so many bytes; whoever writes them cuts them to lines of its own.
const TOGETHER: usize = 32 << 10;
/// What is kept of each step for the case that it fails.
const TAIL_LINES: usize = 20;
const TAIL_WIDTH: usize = 1000;

/// Puts the output of every step together again. Whoever has no more of it at hand asks for the [`Logs::rest`].
#[derive(Default)]
pub struct Logs {
    open: HashMap<String, BTreeMap<i64, Open>>,
    /// Whose output came last: only its whole lines may be waiting for more.
    last: Option<(String, i64)>,
    tails: Tails,
}

/// The last lines of every step that has not succeeded.
#[derive(Default)]
struct Tails(HashMap<String, VecDeque<String>>);

/// What one step printed on one stream and is still here.
#[derive(Default)]
struct Open {
    bytes: Vec<u8>,
    /// Where the last whole line ends, after its line end.
    whole: usize,
}

impl Logs {
    /// Takes a piece of output and gives what goes on with it.
    pub fn push(&mut self, step: &str, stream: i64, bytes: &[u8]) -> Vec<StepLog> {
        let mut out = Vec::new();
        if self.last.as_ref().is_none_or(|(last, number)| (last.as_str(), *number) != (step, stream)) {
            out.extend(self.rest());
            self.last = Some((step.to_owned(), stream));
        }
        let open = self.open.entry(step.to_owned()).or_default().entry(stream).or_default();
        if let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') {
            open.whole = open.bytes.len() + end + 1;
        }
        open.bytes.extend_from_slice(bytes);
        if open.whole >= TOGETHER || open.bytes.len() > LINE {
            out.extend(open.lines(step, stream).map(|log| self.tails.keep(log)));
        }
        while open.bytes.len() > LINE {
            let part: Vec<u8> = open.bytes.drain(..cut(&open.bytes[..LINE])).collect();
            out.push(self.tails.keep(log(step, stream, &part, true)));
        }
        out
    }

    /// What a step that ended left, also without a line end.
    pub fn close(&mut self, step: &str) -> Vec<StepLog> {
        let mut out: Vec<StepLog> = self.rest().into_iter().collect();
        for (stream, open) in self.open.remove(step).unwrap_or_default() {
            if !open.bytes.is_empty() {
                out.push(self.tails.keep(log(step, stream, &open.bytes, false)));
            }
        }
        out
    }

    /// The lines that wait for more.
    pub fn rest(&mut self) -> Option<StepLog> {
        let (step, stream) = self.last.take()?;
        let lines = self.open.get_mut(&step)?.get_mut(&stream)?.lines(&step, stream)?;
        Some(self.tails.keep(lines))
    }

    /// The last lines of a step.
    pub fn tail(&self, step: &str) -> Vec<String> {
        self.tails.0.get(step).map(|tail| tail.iter().cloned().collect()).unwrap_or_default()
    }

    /// A step that succeeded needs no tail.
    pub fn forget(&mut self, step: &str) {
        self.tails.0.remove(step);
    }
}

impl Tails {
    /// Remembers the last of these lines.
    fn keep(&mut self, log: StepLog) -> StepLog {
        let lines: Vec<&str> = log.text.rsplit('\n').take(TAIL_LINES).collect();
        let tail = self.0.entry(log.step.clone()).or_default();
        tail.drain(..(tail.len() + lines.len()).saturating_sub(TAIL_LINES));
        tail.extend(lines.iter().rev().map(|line| line.chars().take(TAIL_WIDTH).collect::<String>()));
        log
    }
}

impl Open {
    /// The whole lines.
    fn lines(&mut self, step: &str, stream: i64) -> Option<StepLog> {
        let end = std::mem::take(&mut self.whole).checked_sub(1)?;
        let lines = log(step, stream, &self.bytes[..end], false);
        self.bytes.drain(..=end);
        Some(lines)
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

    /// The same, of a daemon that sends no two pieces at once.
    fn one_by_one(logs: &mut Logs, step: &str, stream: i64, bytes: &[u8]) -> Vec<StepLog> {
        let mut out = logs.push(step, stream, bytes);
        out.extend(logs.rest());
        out
    }

    #[test]
    fn lines_come_out_whole_whatever_the_pieces() {
        let text = "one\ntwo words\n\nthree";
        for size in 1..=text.len() {
            for push in [Logs::push, one_by_one] {
                let mut logs = Logs::default();
                let mut out: Vec<StepLog> = text.as_bytes().chunks(size).flat_map(|piece| push(&mut logs, "a", 1, piece)).collect();
                out.extend(logs.close("a"));
                let joined = out.iter().map(|log| log.text.as_str()).collect::<Vec<_>>().join("\n");
                assert_eq!(joined, text, "in pieces of {size}");
                assert_eq!(logs.tail("a"), ["one", "two words", "", "three"]);
            }
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
        out.extend(logs.close("a"));
        assert!(!out.last().unwrap().partial);
        assert_eq!(out.iter().map(|log| log.text.len()).sum::<usize>(), piece.len() * 100);
    }

    #[test]
    fn lines_that_come_fast_go_on_together_and_keep_their_order() {
        let mut logs = Logs::default();
        let mut out = Vec::new();
        for number in 0..9000 {
            out.extend(logs.push("a", 1, format!("line {number}\n").as_bytes()));
        }
        assert_eq!(out.len(), 2, "{out:?}");
        out.extend(logs.push("a", 2, b"err\n"));
        out.extend(logs.push("b", 1, b"another's\n"));
        assert_eq!(out.len(), 4, "{out:?}");
        out.extend(logs.rest());
        assert!(logs.rest().is_none());
        assert!(out.iter().all(|log| log.text.len() < TOGETHER + 10));
        let lines: Vec<&str> = out.iter().flat_map(|log| log.text.split('\n')).collect();
        assert_eq!(lines.len(), 9002);
        assert!((0..9000).all(|number| lines[number] == format!("line {number}")));
        assert_eq!(lines[9000..], ["err", "another's"]);
        let tail = logs.tail("a");
        assert_eq!((tail.len(), &*tail[0], &*tail[19]), (20, "line 8981", "err"));
    }

    #[test]
    fn two_streams_of_one_step_do_not_mix() {
        let mut logs = Logs::default();
        assert!(one_by_one(&mut logs, "a", 1, b"out").is_empty());
        assert_eq!(one_by_one(&mut logs, "a", 2, b"err\n")[0].text, "err");
        assert_eq!(one_by_one(&mut logs, "a", 1, b"put\n")[0].text, "output");
    }
}
