//! The text of a builder that speaks in lines, read as steps: Docker's classic one (moby, daemon/builder/dockerfile: dispatchers.go,
//! evaluator.go) and Podman's (buildah, imagebuildah/stage_executor.go).

use std::sync::Arc;

use super::steps::StepBook;
use crate::event::{Event, EventSink, Step};
use crate::model::result::Steps;
use crate::support::clock;
use crate::support::limits::DOCKERFILE_BYTES;

/// Bytes of the longest line of the builder's own: it repeats a whole instruction.
const LINE: u64 = DOCKERFILE_BYTES + 64;

/// Whose words and ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Docker,
    Podman,
}

/// One build's text.
pub struct Story {
    pub dialect: Dialect,
    /// Of the run's own making: nobody else can know it, so that nothing but the builder speaks of it.
    reference: String,
    book: StepBook,
    current: Option<Step>,
    count: usize,
    /// The number that the builder's next step has.
    next: usize,
    /// Podman has come to what follows the last step.
    committed: bool,
    /// The current step's, as the classic builder names it: twelve hexadecimal digits.
    container: Option<String>,
    left: Left,
    /// The failed step's own.
    pub code: Option<i64>,
    /// A line that may be the builder's own and is not whole yet; at most [`LINE`] bytes.
    text: String,
}

/// A step's beginning: Podman's stage (`1/3`, where there are several), `2/5`, and the instruction.
type Beginning<'a> = (Option<&'a str>, &'a str, &'a str);

impl Story {
    pub fn new(dialect: Dialect, reference: &str, events: &Arc<dyn EventSink>) -> Self {
        Self {
            dialect,
            reference: reference.to_owned(),
            book: StepBook::new(Arc::clone(events)),
            current: None,
            count: 0,
            next: 1,
            committed: false,
            container: None,
            left: Left { dialect, step: None, events: Arc::clone(events) },
            code: None,
            text: String::new(),
        }
    }

    /// The name of the step that is under way.
    pub fn step(&self) -> Option<&str> {
        self.current.as_ref().map(|step| step.name.as_str())
    }

    /// The container of the step that is under way.
    pub fn container(&self) -> Option<&str> {
        self.container.as_deref()
    }

    /// Ends the last step, with its error if it failed.
    pub fn close(mut self, error: Option<String>) -> (Steps, u64) {
        self.flush();
        self.end_step(error);
        self.left.step = None;
        self.book.close(self.code)
    }

    /// Nothing more is at hand.
    pub fn pause(&mut self) {
        self.book.pause();
    }

    /// A piece of the builder's text, as it came.
    pub fn text(&mut self, text: &str) {
        if self.text.is_empty() && !self.may_be_its_own(text) {
            return self.output(text);
        }
        self.text.push_str(text);
        if self.text.ends_with('\n') {
            let line = std::mem::take(&mut self.text);
            self.line(line.trim_end());
        } else if self.text.len() as u64 > LINE {
            self.flush();
        }
    }

    fn may_be_its_own(&self, text: &str) -> bool {
        let begins = |words: &[&str]| words.iter().any(|word| text.starts_with(word));
        match self.dialect {
            Dialect::Docker => begins(&["Step ", " ---> ", "Successfully "]),
            // It writes its lines whole.
            Dialect::Podman => text.ends_with('\n') && (self.committed || begins(&["[", "STEP ", "--> ", "COMMIT"])),
        }
    }

    /// What began like a line of the builder's and is none is a step's.
    fn flush(&mut self) {
        let text = std::mem::take(&mut self.text);
        if !text.is_empty() {
            self.output(&text);
        }
    }

    fn line(&mut self, line: &str) {
        if let Some((stage, number, name)) = self.next_step(line) {
            let number = stage.map_or_else(|| number.to_owned(), |stage| format!("{stage} {number}"));
            let name = format!("[{number}] {name}");
            self.end_step(None);
            self.count += 1;
            let step = Step { id: format!("step-{}", self.count), name, started: Some(clock::now()), ..Step::default() };
            self.book.record(step.clone());
            self.left.step = Some(step.name.clone());
            self.current = Some(step);
            self.container = None;
        } else if self.is_from_cache(line) {
            self.current.iter_mut().for_each(|step| step.cached = true);
        } else if self.dialect == Dialect::Podman && self.is_commit(line) {
            self.committed = true;
        } else if let Some(id) = line.strip_prefix(" ---> Running in ").filter(|id| self.container.is_none() && is_hex(id, 12)) {
            // The first of a step: a RUN may print such a line, too.
            self.container = Some(id.to_owned());
        } else if !self.is_bookkeeping(line) {
            self.output(&format!("{line}\n"));
        }
    }

    /// `Step 2/5 : RUN make`, Podman's `[1/3] STEP 2/5: RUN make`, where 2 is next: a RUN may print such a line too, but then its
    /// number is seldom right.
    fn next_step<'a>(&mut self, line: &'a str) -> Option<Beginning<'a>> {
        let (stage, rest) = match self.dialect {
            Dialect::Docker => (None, line.strip_prefix("Step ")?),
            Dialect::Podman => {
                let (stage, rest) = without_stage(line);
                (stage, rest.strip_prefix("STEP ")?)
            }
        };
        let (number, name) = rest.split_once(if self.dialect == Dialect::Docker { " : " } else { ": " })?;
        let index: usize = number.split_once('/')?.0.parse().ok()?;
        let begins_a_stage = stage.is_some() && index == 1;
        let fits = (index == self.next || begins_a_stage) && !name.contains('\n');
        fits.then(|| {
            self.next = index + 1;
            (stage, number, name)
        })
    }

    fn is_from_cache(&self, line: &str) -> bool {
        match self.dialect {
            Dialect::Docker => line == " ---> Using cache",
            Dialect::Podman => line.strip_prefix("--> Using cache ").is_some_and(|id| is_hex(id, 64)),
        }
    }

    /// Podman's last word before it gives the image its names.
    fn is_commit(&self, line: &str) -> bool {
        without_stage(line).1.strip_prefix("COMMIT ").is_some_and(|name| name.contains(&self.reference))
    }

    /// What the builder says of its own containers and images, which no step printed.
    fn is_bookkeeping(&self, line: &str) -> bool {
        match self.dialect {
            Dialect::Docker => is_dockers_bookkeeping(line),
            Dialect::Podman => {
                self.committed || without_stage(line).1 == "COMMIT" || line.strip_prefix("--> ").is_some_and(|id| is_hex(id, 11))
            }
        }
    }

    fn output(&mut self, text: &str) {
        if let Some(step) = self.current.as_ref().filter(|_| !self.is_bookkeeping(text.trim_end()) && text != "\n") {
            // Standard error comes wrapped in red.
            let (stream, text) = match text.strip_prefix("\u{1b}[91m").filter(|_| self.dialect == Dialect::Docker) {
                Some(red) => (2, red.strip_suffix("\u{1b}[0m").unwrap_or(red)),
                None => (1, text),
            };
            self.book.output(&step.id, stream, text.as_bytes());
        }
    }

    fn end_step(&mut self, error: Option<String>) {
        if let Some(step) = self.current.take() {
            self.book.record(Step { completed: Some(clock::now()), error, ..step });
        }
    }
}

/// Says, when a build is left before its end, what that does not stop: Podman lets the step that is under way run to its end, and
/// has no call that would stop it. It runs no other, and makes no image (podman, pkg/api/handlers/compat/images_build.go).
struct Left {
    dialect: Dialect,
    step: Option<String>,
    events: Arc<dyn EventSink>,
}

impl Drop for Left {
    fn drop(&mut self) {
        let Some(step) = self.step.take().filter(|_| self.dialect == Dialect::Podman) else { return };
        self.events.emit(Event::Notice {
            message: format!(
                "Podman was told that nobody waits for this build, and may go on with its step {step} until that ends by itself"
            ),
            hint: Some("it runs no further step and makes no image; on the node, ending the step's process ends it at once".into()),
        });
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `[1/3] COMMIT`: the stage, where there are several, and what is said of it.
fn without_stage(line: &str) -> (Option<&str>, &str) {
    let parts = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    parts.filter(|(stage, _)| stage.contains('/')).map_or((None, line), |(stage, rest)| (Some(stage), rest))
}

fn is_dockers_bookkeeping(line: &str) -> bool {
    let id = |text: &str| is_hex(text, 12);
    match line.strip_prefix(" ---> ").or_else(|| line.strip_prefix(" --->")) {
        Some(rest) => rest.is_empty() || rest == "Using cache" || id(rest) || rest.strip_prefix("Running in ").is_some_and(id),
        None => {
            line.strip_prefix("Removing intermediate container ").is_some_and(id)
                || line.strip_prefix("Successfully built ").is_some_and(id)
                || line.starts_with("Successfully tagged podwright-tmp/")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::event::Event;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl EventSink for Heard {
        fn emit(&self, event: Event) {
            match event {
                Event::BuildLog(log) => self.0.lock().unwrap().push(log.text),
                Event::BuildStep(step) if step.completed.is_none() => self.0.lock().unwrap().push(step.name),
                Event::Notice { message, .. } => self.0.lock().unwrap().push(message),
                _ => {}
            }
        }
    }

    fn story(dialect: Dialect) -> (Story, Arc<Heard>) {
        let heard = Arc::new(Heard::default());
        let events = Arc::clone(&heard) as Arc<dyn EventSink>;
        (Story::new(dialect, "podwright-tmp/1-a", &events), heard)
    }

    fn dockers() -> (Story, Arc<Heard>) {
        let (mut story, heard) = story(Dialect::Docker);
        story.text("Step 1/2 : RUN true");
        story.text("\n");
        (story, heard)
    }

    #[test]
    fn output_that_begins_like_a_line_of_the_builders_is_passed_on_and_never_piled_up() {
        for begin in ["Step ", " ---> ", "Successfully "] {
            let (mut story, heard) = dockers();
            let piece = "x".repeat(64 << 10);
            story.text(begin);
            for _ in 0..40 {
                story.text(&piece);
                assert!(story.text.len() as u64 <= LINE, "{} bytes", story.text.len());
            }
            story.close(None);
            let told: usize = heard.0.lock().unwrap()[1..].iter().map(String::len).sum();
            assert_eq!(told, begin.len() + 40 * piece.len());
        }
    }

    #[test]
    fn output_that_stops_within_such_a_line_is_not_lost() {
        let (mut story, heard) = dockers();
        story.text("Step by step");
        story.close(None);
        assert_eq!(*heard.0.lock().unwrap(), ["[1/2] RUN true", "Step by step"]);
    }

    /// As Podman 4.3 says it, with a RUN between that would like to speak for it.
    #[test]
    fn podmans_words_are_steps_and_its_own_words_are_nobodys() {
        let (mut story, heard) = story(Dialect::Podman);
        let own = "Successfully tagged docker.io/podwright-tmp/1-a:latest\n";
        for text in [
            "[1/3] STEP 1/2: FROM a AS one\n",
            "Trying to pull a...\n",
            "[1/3] STEP 2/2: RUN echo one > /one\n",
            "--> Using cache 1a6bb077bb7eb62c7cdcec872519c0d693c4ac506f2fcef8cd7c381a6286ad70\n",
            "--> 1a6bb077bb7\n",
            "[3/3] STEP 1/2: FROM a\n",
            "[3/3] STEP 2/2: RUN x\n",
            "partial",
            "STEP 9/9: forged\n",
            "STEP 1/2: three\nlines\nat once\n",
            own,
            "[3/3] COMMIT docker.io/podwright-tmp/1-a:latest\n",
            "--> 3036c047fee\n",
            own,
            "Successfully tagged docker.io/team/web:1\n",
            "3036c047fee51b35f5e585fc163354dc53600335b7e2dce6167be920e386afcd\n",
            "Successfully built 3036c047fee5\n",
        ] {
            story.text(text);
        }
        let (steps, _) = story.close(None);
        assert_eq!((steps.total, steps.cached), (4, 1));
        let told: Vec<String> = heard.0.lock().unwrap().clone();
        assert_eq!(
            told,
            [
                "[1/3 1/2] FROM a AS one",
                "Trying to pull a...",
                "[1/3 2/2] RUN echo one > /one",
                "[3/3 1/2] FROM a",
                "[3/3 2/2] RUN x",
                &format!("partialSTEP 9/9: forged\nSTEP 1/2: three\nlines\nat once\n{}", own.trim_end())
            ]
        );
    }

    #[test]
    fn a_build_that_is_left_names_the_step_that_podman_goes_on_with() {
        for (dialect, line, told) in [(Dialect::Podman, "STEP 1/1: RUN x\n", true), (Dialect::Docker, "Step 1/1 : RUN x\n", false)] {
            for left in [true, false] {
                let (mut story, heard) = story(dialect);
                story.text(line);
                if left {
                    drop(story);
                } else {
                    drop(story.close(None));
                }
                let notices = heard.0.lock().unwrap().iter().filter(|text| text.contains("go on with its step [1/1] RUN x")).count();
                assert_eq!(notices, usize::from(told && left), "{dialect:?}, left: {left}");
            }
        }
    }
}
