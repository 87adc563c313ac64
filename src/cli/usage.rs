//! What is wrong with a command line, and what was meant. Of the arguments only flags and words without punctuation are repeated:
//! a value, a URL or an argument too many may hold a secret.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::UsageError;
use crate::config::error::shown;

const HELP: &str = "`podwright --help` and `podwright build -h` say what there is";

/// An error of clap's in our own words.
pub fn explain(error: &clap::Error) -> UsageError {
    match error.kind() {
        ErrorKind::UnknownArgument => unknown_argument(error),
        ErrorKind::InvalidSubcommand => unknown_command(error),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => bad_value(error),
        // These name flags and no values.
        ErrorKind::ArgumentConflict | ErrorKind::MissingRequiredArgument | ErrorKind::MissingSubcommand | ErrorKind::NoEquals => {
            let text = error.render().to_string();
            let message = text.split("\n\n").next().unwrap_or_default();
            UsageError::new(message.strip_prefix("error: ").unwrap_or(message).trim(), HELP)
        }
        _ => UsageError::new("the arguments cannot be understood", HELP),
    }
}

fn unknown_argument(error: &clap::Error) -> UsageError {
    let argument = word(error, ContextKind::InvalidArg).unwrap_or_default();
    if !argument.starts_with('-') {
        let fix = "CONTEXT is one argument; each --build-arg and --label takes one KEY=VALUE, and is written once for each";
        return UsageError::new("there is one argument too many (it is not shown, since it may hold a secret)", fix);
    }
    let name: String = if argument.starts_with("--") {
        argument.split('=').next().unwrap_or_default().to_owned()
    } else {
        argument.chars().take(2).collect()
    };
    let meant = word(error, ContextKind::SuggestedArg).map(|flag| format!("did you mean {flag}?"));
    UsageError::new(&format!("there is no flag {name}"), meant.as_deref().unwrap_or(HELP))
}

fn unknown_command(error: &clap::Error) -> UsageError {
    let given = word(error, ContextKind::InvalidSubcommand).unwrap_or_default();
    let is_word = given.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    if !is_word {
        let context = if given == "." { "." } else { "CONTEXT" };
        let fix = format!("a directory, an archive or a URL comes after the command: podwright build {context}");
        return UsageError::new("the first argument is no command", &fix);
    }
    let meant = word(error, ContextKind::SuggestedSubcommand).map(|name| format!("did you mean {name}?"));
    UsageError::new(&format!("there is no command {}", shown(given)), meant.as_deref().unwrap_or(HELP))
}

fn bad_value(error: &clap::Error) -> UsageError {
    let flag = word(error, ContextKind::InvalidArg).unwrap_or("an argument");
    let what = if word(error, ContextKind::InvalidValue).is_some_and(str::is_empty) {
        format!("{flag} has no value")
    } else {
        format!("the value of {flag} is none that it can have")
    };
    let choices = match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(choices)) if !choices.is_empty() => format!("it can be {}", choices.join(", ")),
        _ if flag.ends_with("<N>") => "write a whole number".into(),
        _ => HELP.into(),
    };
    UsageError::new(&what, &choices)
}

fn word(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text),
        ContextValue::Strings(texts) => texts.first().map(String::as_str),
        _ => None,
    }
}
