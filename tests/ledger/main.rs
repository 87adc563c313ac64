//! Judges a whole test run by what was really seen (`tests/it/harness/ledger.rs` writes it down): every row of the table of
//! exit codes that is built must have happened, every option of a build must have had its effect or been refused with each builder
//! of every engine, and every promise must have a passing test on every engine.
//!
//! `ledger FILE` prints the tables and fails on a gap; `ledger FILE options` knows of the options alone. It reads no test's source: a test that never ran is no evidence.

// A program for people at a terminal, and a test: it prints and it panics.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::ExitCode;

use podwright::engine::BuildOption;
use podwright::model::Reason;
use serde_json::Value;

/// Rows that no test can or need bring about yet, with why.
const NOT_SEEN: &[(Reason, &str)] = &[(Reason::Internal, "a defect: if a test knew how to cause it, it would be mended")];

const PROMISES: &str = include_str!("../promises.md");

fn main() -> ExitCode {
    let path = std::env::args().nth(1).expect("usage: ledger FILE [options]");
    let options_alone = std::env::args().nth(2).is_some_and(|word| word == "options");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}: no end-to-end test has run"));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let engines: BTreeSet<&str> = lines.iter().filter_map(|line| line["engine"].as_str()).collect();
    let mut gaps = options(&lines, &engines);
    if engines.is_empty() {
        gaps.push("no engine was used".into());
    }
    if !options_alone {
        gaps.extend(exit_codes(&lines));
        gaps.extend(strangers(&lines));
        gaps.extend(promises(&lines, &engines));
    }
    for gap in &gaps {
        println!("MISSING: {gap}");
    }
    if gaps.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How often each row was seen, in which phases.
fn exit_codes(lines: &[Value]) -> Vec<String> {
    let mut seen: BTreeMap<i64, (usize, BTreeSet<&str>)> = BTreeMap::new();
    for line in lines.iter().filter(|line| line["kind"] == "run") {
        let (count, phases) = seen.entry(line["code"].as_i64().unwrap()).or_default();
        *count += 1;
        phases.extend(line["phase"].as_str());
    }
    println!("\nexit codes that real runs ended with");
    let mut gaps = Vec::new();
    let rows = std::iter::once((0, "success")).chain(Reason::all().map(|reason| (i64::from(reason.code()), reason.name())));
    for (code, name) in rows {
        let excused = NOT_SEEN.iter().find(|(reason, _)| i64::from(reason.code()) == code);
        match (seen.get(&code), excused) {
            (Some((count, phases)), _) => {
                println!("  {code:>3} {name:<22} {count:>4}  {}", phases.iter().copied().collect::<Vec<_>>().join(", "));
            }
            (None, Some((_, why))) => println!("  {code:>3} {name:<22}    -  {why}"),
            (None, None) => {
                println!("  {code:>3} {name:<22}    0");
                gaps.push(format!("no run ended with {code} ({name})"));
            }
        }
    }
    gaps
}

/// Runs whose code and reason are not of one row. Of a command line that nobody understands there is no event to give a reason.
fn strangers(lines: &[Value]) -> Vec<String> {
    let known = |code: i64, reason: Option<&str>| match reason {
        None => code == 0 || code == i64::from(Reason::Usage.code()),
        Some(name) => Reason::all().any(|reason| reason.name() == name && i64::from(reason.code()) == code),
    };
    let pairs: BTreeSet<(i64, Option<&str>)> =
        lines.iter().filter(|line| line["kind"] == "run").map(|line| (line["code"].as_i64().unwrap(), line["reason"].as_str())).collect();
    let wrong = pairs.into_iter().filter(|(code, reason)| !known(*code, *reason));
    wrong.map(|(code, reason)| format!("a run ended with {code} and {reason:?}, which is no row of the table")).collect()
}

/// What became of each option on each engine, with each of its builders.
fn options(lines: &[Value], engines: &BTreeSet<&str>) -> Vec<String> {
    let cells: BTreeMap<(&str, &str, &str), bool> = lines
        .iter()
        .filter(|line| line["kind"] == "option")
        .map(|line| {
            let text = |key: &str| line[key].as_str().unwrap();
            ((text("option"), text("engine"), text("builder")), line["honoured"].as_bool().unwrap())
        })
        .collect();
    let columns: BTreeSet<(&str, &str)> = cells.keys().map(|(_, engine, builder)| (*engine, *builder)).collect();
    println!("\nwhat became of the options of a build");
    let heads =
        columns.iter().fold(format!("  {:<36}", ""), |line, (engine, builder)| format!("{line} {:<26}", format!("{engine} {builder}")));
    println!("{heads}");
    let mut gaps: Vec<String> = engines
        .iter()
        .filter(|engine| !columns.iter().any(|(on, _)| on == *engine))
        .map(|engine| format!("no option was tried on {engine}"))
        .collect();
    for field in BuildOption::ALL.map(BuildOption::field) {
        let mut line = format!("  {field:<36}");
        for (engine, builder) in &columns {
            let word = match cells.get(&(field, *engine, *builder)) {
                Some(true) => "honoured",
                Some(false) => "refused",
                None => {
                    gaps.push(format!("{field} was neither honoured nor refused on {engine} with {builder}"));
                    "FAILED"
                }
            };
            let _ = write!(line, " {word:<26}");
        }
        println!("{line}");
    }
    gaps
}

/// Promise, test, engine.
fn promises(lines: &[Value], engines: &BTreeSet<&str>) -> Vec<String> {
    let mut kept: BTreeMap<u64, BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
    for line in lines.iter().filter(|line| line["kind"] == "promise") {
        let tests = kept.entry(line["promise"].as_u64().unwrap()).or_default();
        tests.entry(line["test"].as_str().unwrap()).or_default().insert(line["engine"].as_str().unwrap());
    }
    println!("\npromise, test, engine");
    let mut gaps = Vec::new();
    for (number, title) in titles() {
        println!("  {number}. {title}");
        let tests = kept.remove(&number).unwrap_or_default();
        for (test, on) in &tests {
            println!("       {test:<80} {}", on.iter().copied().collect::<Vec<_>>().join(", "));
        }
        for engine in engines.iter().filter(|engine| !tests.values().any(|on| on.contains(**engine))) {
            let mut gap = String::new();
            let _ = write!(gap, "promise {number} ({title}) has no passing test on {engine}");
            gaps.push(gap);
        }
    }
    gaps.extend(kept.keys().map(|number| format!("a test stands for promise {number}, which tests/promises.md does not have")));
    gaps
}

/// `1. **Title.** …` of each promise.
fn titles() -> Vec<(u64, &'static str)> {
    let title = |line: &'static str| {
        let (number, rest) = line.split_once(". **")?;
        Some((number.parse().ok()?, rest.split_once("**")?.0.trim_end_matches('.')))
    };
    PROMISES.lines().filter_map(title).collect()
}
