//! What the writer asks of a form: each of them knows how the facts look in it, and nothing of when they are written.

use super::queue::Stamp;
use crate::event::Event;

/// Turns what happened into text. Each string is one write.
pub trait Render: Send {
    fn event(&mut self, event: &Event, stamp: Stamp, out: &mut Vec<String>);

    /// So many events were dropped here.
    fn gap(&mut self, events: u64, stamp: Stamp, out: &mut Vec<String>);
}
