//! One error type: a message for the person at the terminal, and whose fault it was.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Decides the exit status: what the caller can mend ends with 2, failures with 1, a wish to stop
/// with 130.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// The caller can mend it: a wrong flag, a broken file, an adapter that does not exist.
    Input,
    /// A file of a kind that is not read: whoever finds it in a folder passes it over.
    Unread,
    /// The caller asks for more at a time than the device can do: a smaller batch may do.
    TooLarge,
    /// The machine or the program failed: a full disk, a broken model.
    Failure,
    /// The device has not enough memory left: a smaller batch may do.
    OutOfMemory,
    /// The device is lost and does nothing more.
    DeviceLost,
    /// The caller asked to stop, by Ctrl-C.
    Stopped,
}

impl Kind {
    /// Whether a smaller batch may do where this one does not.
    pub fn asks_for_less(self) -> bool {
        matches!(self, Self::TooLarge | Self::OutOfMemory)
    }
}

/// Says what is wrong, where, and what to do next.
#[derive(Debug, Serialize, Deserialize)]
pub struct Error {
    /// Whose fault it was.
    pub kind: Kind,
    message: String,
}

/// With [`Error`] unless told.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of a kind that callers tell apart.
    pub fn of(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// What the caller can mend; the message says how.
    pub fn input(message: impl Into<String>) -> Self {
        Self::of(Kind::Input, message)
    }

    /// A file of a kind that is not read; the message says what to do with it.
    pub fn unread(message: impl Into<String>) -> Self {
        Self::of(Kind::Unread, message)
    }

    /// What the machine or the program did.
    pub fn failure(message: impl Into<String>) -> Self {
        Self::of(Kind::Failure, message)
    }

    /// The caller's wish to stop, followed.
    pub fn stopped(message: impl Into<String>) -> Self {
        Self::of(Kind::Stopped, message)
    }

    /// An I/O error on `path` while doing `what` ("read", "write", "create"). A path that does not
    /// exist or may not be used is the caller's to mend; everything else is the machine's.
    pub fn io(what: &str, path: &Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind::*;
        let kind = match error.kind() {
            NotFound | PermissionDenied | IsADirectory | NotADirectory | AlreadyExists
            | ReadOnlyFilesystem => Kind::Input,
            _ => Kind::Failure,
        };
        Self { kind, message: format!("cannot {what} {}: {error}", path.display()) }
    }

    /// Puts `outer` in front of the message: "outer: inner".
    #[must_use]
    pub fn context(mut self, outer: impl fmt::Display) -> Self {
        self.message = format!("{outer}: {}", self.message);
        self
    }

    /// Puts `next`, what it means or what to do, behind the message: "message; next".
    #[must_use]
    pub fn followed_by(mut self, next: &str) -> Self {
        self.message = format!("{}; {next}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
