//! Diagnostics of the libraries, for people, on standard error: warnings only, masked. What the run does is told by events.

use std::io::{self, Write};
use std::panic;
use std::sync::Arc;

use tracing_subscriber::fmt::MakeWriter;

use crate::support::redact::Redactor;

/// From here on warnings are written. bollard and hyper tell more below that level than anybody may read: whole URLs, bodies.
/// A panic is written in the same way: its message may quote anything.
pub fn start(redactor: &Arc<Redactor>) {
    let masked = Masked(Arc::clone(redactor));
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_ansi(false).with_writer(masked);
    let _ = tracing::subscriber::set_global_default(subscriber.finish());
    let redactor = Arc::clone(redactor);
    panic::set_hook(Box::new(move |what| super::render::complain(&redactor.scrub(&format!("podwright has a defect: {what}\n")))));
}

struct Masked(Arc<Redactor>);

impl<'a> MakeWriter<'a> for Masked {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { redactor: &self.0, text: Vec::new() }
    }
}

/// One event's text, written when it is whole.
struct Line<'a> {
    redactor: &'a Redactor,
    text: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        super::render::complain(&self.redactor.scrub(&String::from_utf8_lossy(&self.text)));
    }
}
