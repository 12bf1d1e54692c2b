//! Ctrl-C and the other signals that ask a program to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::report::Progress;
use crate::{Error, Result};

/// One Ctrl-C may arrive several times: a terminal sends it to all programs of a job, and the one that
/// started this one may pass it on.
const ONE_SIGNAL: Duration = Duration::from_secs(1);

/// The first Ctrl-C, SIGTERM or SIGHUP sets the flag and says what follows, one that comes more than a
/// second later ends the program. One that the program was started to ignore, as `nohup` has SIGHUP ignored and a shell
/// SIGINT of its background jobs, stays ignored.
pub fn stop_on_interrupt(
    progress: &Progress,
    what_follows: &'static str,
) -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let progress = progress.clone();
    let ignored = ignored_signals();
    let mut first: Option<Instant> = None;
    ctrlc::set_handler(move || {
        flag.store(true, Ordering::Relaxed);
        if let Some(first) = first {
            if first.elapsed() > ONE_SIGNAL {
                std::process::exit(130);
            }
            return;
        }
        first = Some(Instant::now());
        progress.note(&format!("stopping {what_follows}; press Ctrl-C again to stop at once"));
    })
    .map_err(|error| Error::failure(format!("cannot listen for Ctrl-C: {error}")))?;
    ignore(&ignored);
    Ok(stop)
}

/// Those of the signals that `ctrlc` handles which are ignored.
#[cfg(unix)]
fn ignored_signals() -> Vec<libc::c_int> {
    let is_ignored = |&signal: &libc::c_int| {
        let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: without a new action this only tells of the old one, for which zeros are valid.
        unsafe {
            libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
            action.assume_init().sa_sigaction == libc::SIG_IGN
        }
    };
    [libc::SIGINT, libc::SIGTERM, libc::SIGHUP].into_iter().filter(is_ignored).collect()
}

#[cfg(unix)]
fn ignore(signals: &[libc::c_int]) {
    for &signal in signals {
        // SAFETY: ignoring a signal runs no code.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

#[cfg(not(unix))]
fn ignored_signals() {}

#[cfg(not(unix))]
fn ignore((): &()) {}
