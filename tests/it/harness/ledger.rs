//! What a test run saw, written to the file that `PODWRIGHT_TEST_LEDGER` names: each run of the agent with its code, reason
//! and phase, what became of each option of a build, and each promise that a passing test stood for. `tests/ledger` reads it and fails on what is missing.

use std::fs::OpenOptions;
use std::io::Write;

use serde_json::{Value, json};

use super::engine::Engine;

/// One write for a line, so that tests side by side do not mix theirs.
fn write(line: &Value) {
    let Some(path) = std::env::var_os("PODWRIGHT_TEST_LEDGER") else { return };
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// A run of the agent that ended and kept every rule that always holds.
pub fn record_run(code: i32, reason: Option<&str>, phase: Option<&str>) {
    write(&json!({"kind": "run", "engine": Engine::shared().name(), "code": code, "reason": reason, "phase": phase}));
}

/// What became of an option of a build with one builder: the test looked at its effect, or at the refusal.
pub fn record_option(option: &str, builder: &str, honoured: bool) {
    write(&json!({"kind": "option", "engine": Engine::shared().name(), "option": option, "builder": builder, "honoured": honoured}));
}

/// Writes a test's promises when the test ends without a panic.
pub struct Promises {
    pub test: &'static str,
    pub numbers: &'static [u8],
}

impl Drop for Promises {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            for number in self.numbers {
                write(&json!({"kind": "promise", "engine": Engine::shared().name(), "promise": number, "test": self.test}));
            }
        }
    }
}

/// `promise!(1, 3);` at the top of a test: it stands for these promises of `tests/promises.md`.
macro_rules! promise {
    ($($number:literal),+) => {
        let _promises = $crate::harness::ledger::Promises {
            test: {
                fn here() {}
                std::any::type_name_of_val(&here).trim_end_matches("::here").trim_start_matches("it::")
            },
            numbers: &[$($number),+],
        };
    };
}
