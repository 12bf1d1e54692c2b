//! The limits on time and memory of one input. What breaks them cannot be stopped from inside, so the
//! run ends there, with the input on disk and its name on standard error.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Time for an input: the slowest take some hundredths of this.
const MOST_TIME: Duration = Duration::from_secs(10);

/// Memory that an input may add to what is held before it.
const MOST_MEMORY: usize = 512 << 20;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST_HELD: AtomicUsize = AtomicUsize::new(usize::MAX);
static REFUSED: AtomicBool = AtomicBool::new(false);
static RUNNING: Mutex<Option<(Instant, String)>> = Mutex::new(None);

/// The system's allocator, counting.
pub struct Counting;

// SAFETY: every call is the system's, which is sound; counting takes no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        if held > MOST_HELD.load(Relaxed) && !REFUSED.swap(true, Relaxed) {
            end(&format!("takes {} MiB of memory", held >> 20));
        }
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Watches the time of whatever [`within`] runs.
pub fn watch() {
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(Duration::from_millis(200));
            let running = RUNNING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let over = running.as_ref().is_some_and(|(start, _)| start.elapsed() > MOST_TIME);
            drop(running);
            if over {
                end(&format!("takes more than {} s", MOST_TIME.as_secs()));
            }
        }
    });
}

/// Runs `try_input` within the limits; `what` is how the input is told.
pub fn within<T>(what: String, try_input: impl FnOnce() -> T) -> T {
    *RUNNING.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some((Instant::now(), what));
    MOST_HELD.store(HELD.load(Relaxed) + MOST_MEMORY, Relaxed);
    let result = try_input();
    MOST_HELD.store(usize::MAX, Relaxed);
    *RUNNING.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = None;
    result
}

fn end(fault: &str) -> ! {
    MOST_HELD.store(usize::MAX, Relaxed);
    let running = RUNNING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let what = running.as_ref().map_or("an input", |(_, what)| what);
    eprintln!("FINDING: {what} {fault}; the run ends here");
    std::process::exit(1)
}
