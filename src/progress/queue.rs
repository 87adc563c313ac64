//! The queue between those who emit and the one who writes: bounded in bytes, and nobody ever waits to put something in.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::event::Event;

/// Bytes of expendable events that wait for a slow reader.
pub const CAPACITY: usize = 8 << 20;

/// When an event happened, as people read it and as differences are measured.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    pub wall: SystemTime,
    pub at: Instant,
}

impl Stamp {
    pub fn now() -> Self {
        Self { wall: SystemTime::now(), at: Instant::now() }
    }
}

/// How long the end of a run waits for a slow reader.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// After this what is expendable becomes a gap, so that the last event is next.
    pub skip: Duration,
    /// A reader that took nothing for so long has stopped reading.
    pub quiet: Duration,
    /// All in all.
    pub most: Duration,
}

impl Patience {
    /// A run that came to its own end.
    pub const ENDED: Self = Self { skip: Duration::from_secs(1), quiet: Duration::from_secs(2), most: Duration::from_secs(4) };

    /// A run that was told to stop, and has had its grace.
    pub const STOPPED: Self =
        Self { skip: Duration::from_millis(200), quiet: Duration::from_millis(500), most: Duration::from_millis(500) };
}

/// What waits to be written.
#[derive(Debug)]
pub enum Item {
    Event(Box<Event>),
    /// So many events would have stood here.
    Gap(u64),
}

/// What the writer is given.
pub enum Next {
    Item(Item, Stamp),
    /// Nothing came for as long as it was ready to wait.
    Quiet,
    /// Nothing will come any more.
    End,
}

/// The queue and what became of it.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    news: Condvar,
    written: Condvar,
}

#[derive(Default)]
struct State {
    items: VecDeque<(Item, Stamp)>,
    bytes: usize,
    /// Nothing more is taken: the last event is in, or the run ended.
    sealed: bool,
    /// When the reader last took something.
    moved: Option<Instant>,
    /// The writer is done with all it will ever write.
    done: bool,
    /// Nobody reads any more.
    lost: bool,
}

impl Queue {
    /// Takes the event, or counts it as dropped. Nothing is taken after `run.finished`, which is always last.
    pub fn put(&self, event: Event) {
        let mut state = self.lock();
        if state.sealed || state.lost {
            return;
        }
        let bytes = weight(&event);
        if event.is_expendable() && state.bytes + bytes > CAPACITY {
            state.skip();
        } else {
            state.sealed = matches!(event, Event::RunFinished(_));
            state.bytes += bytes;
            state.items.push_back((Item::Event(Box::new(event)), Stamp::now()));
        }
        drop(state);
        self.news.notify_one();
    }

    /// The next item, waiting until `until` for one.
    pub fn next(&self, until: Instant) -> Next {
        let mut state = self.lock();
        loop {
            if let Some((item, stamp)) = state.items.pop_front() {
                if let Item::Event(event) = &item {
                    state.bytes = state.bytes.saturating_sub(weight(event));
                }
                return Next::Item(item, stamp);
            }
            if state.sealed {
                return Next::End;
            }
            let wait = until.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return Next::Quiet;
            }
            state = self.news.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Nobody reads: what waits is let go, and nothing more is taken.
    pub fn lose(&self) {
        let mut state = self.lock();
        state.lost = true;
        state.items.clear();
        state.bytes = 0;
        drop(state);
        self.end();
    }

    /// The writer says that it is done.
    pub fn end(&self) {
        self.lock().done = true;
        self.written.notify_all();
    }

    /// The writer says that the reader took something.
    pub fn moved(&self) {
        self.lock().moved = Some(Instant::now());
    }

    /// Takes nothing more; waits until the writer is done. Says whether it came to the end.
    pub fn finish(&self, patience: Patience) -> bool {
        let begun = Instant::now();
        let (skip, most) = (begun + patience.skip, begun + patience.most);
        let mut state = self.lock();
        state.sealed = true;
        self.news.notify_all();
        loop {
            let now = Instant::now();
            let until = most.min(state.moved.unwrap_or(begun).max(begun) + patience.quiet);
            if state.done || now >= until {
                return state.done && !state.lost;
            }
            if now >= skip {
                state.skip_expendable();
            }
            let wake = if now < skip { until.min(skip) } else { until };
            state = self.written.wait_timeout(state, wake - now).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    #[cfg(test)]
    pub fn is_lost(&self) -> bool {
        self.lock().lost
    }

    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Gaps that follow each other are one.
    fn skip(&mut self) {
        if let Some((Item::Gap(events), _)) = self.items.back_mut() {
            *events += 1;
        } else {
            self.items.push_back((Item::Gap(1), Stamp::now()));
        }
    }

    /// What still waits and could be done without becomes gaps in its place.
    fn skip_expendable(&mut self) {
        for (item, stamp) in std::mem::take(&mut self.items) {
            let gap = match item {
                Item::Event(event) if event.is_expendable() => {
                    self.bytes = self.bytes.saturating_sub(weight(&event));
                    1
                }
                Item::Gap(events) => events,
                event @ Item::Event(_) => {
                    self.items.push_back((event, stamp));
                    continue;
                }
            };
            match self.items.back_mut() {
                Some((Item::Gap(events), _)) => *events += gap,
                _ => self.items.push_back((Item::Gap(gap), stamp)),
            }
        }
    }
}

/// About how many bytes an event holds in memory.
fn weight(event: &Event) -> usize {
    let texts = match event {
        Event::BuildLog(log) => log.text.len() + log.step.len(),
        Event::BuildProgress(progress) => progress.step.len() + progress.id.len(),
        Event::PushProgress(progress) => progress.r#ref.len() + progress.layer.len() + progress.status.len(),
        Event::BuildStep(step) => step.id.len() + step.name.len() + step.inputs.iter().map(String::len).sum::<usize>(),
        _ => 0,
    };
    texts + size_of::<Event>() + size_of::<(Item, Stamp)>()
}
