//! A folder that nobody can list, root neither: its path is longer than systems take.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};

/// Makes folders in folders below `folder`, until the last have too long a path.
pub fn unlistable(folder: &Path) {
    let open = |at: &OwnedFd, name: &str| openat(at, name, OFlags::DIRECTORY, Mode::empty());
    let mut at = openat(CWD, folder, OFlags::DIRECTORY, Mode::empty()).unwrap();
    let name = "x".repeat(200);
    for _ in 0..25 {
        mkdirat(&at, &*name, Mode::RWXU).unwrap();
        at = open(&at, &name).unwrap();
    }
}
