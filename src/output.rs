//! Standard output, where results go and nothing else. What it cannot take is not lost in silence: the
//! first failure is kept, whoever makes results may end, and the program says why.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::sync::OnceLock;

static FAILURE: OnceLock<std::io::Error> = OnceLock::new();

/// Writes a line of the result, unless an earlier one could not be written.
pub fn line(text: impl Display) {
    part(format_args!("{text}\n"));
}

/// Writes a part of a line of the result, as [`line`].
pub fn part(text: impl Display) {
    if FAILURE.get().is_some() {
        return;
    }
    by(|| write!(std::io::stdout(), "{text}"));
}

/// Lets `write` put the result where it goes, as [`line`].
pub fn by(write: impl FnOnce() -> std::io::Result<()>) {
    if let Err(error) = write().and_then(|()| std::io::stdout().flush()) {
        // Another thread's failure was first, or this is the first.
        let _ = FAILURE.set(error);
    }
}

/// Why results can no longer be written.
pub fn failure() -> Option<&'static std::io::Error> {
    FAILURE.get()
}

/// Whether the reader has closed the pipe, as `head` does once it has what it wants.
pub fn is_closed(failure: &std::io::Error) -> bool {
    failure.kind() == ErrorKind::BrokenPipe
}
