//! The browser that looks at `report.html` and the page of a music library.

use std::path::PathBuf;
use std::process::Command;

/// Debian's package.
pub const PACKAGE: &str = "chromium";

/// What to do where there is none.
pub const ADVICE: &str = "the report is checked in headless Chromium, and none was found; install \
    it (on Debian: apt-get install chromium), or name a Chromium or Chrome with MOODSHADER_BROWSER";

/// Names under which Chromium and Chrome are found on the path, and where macOS has them.
const NAMES: [&str; 6] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/// The browser that the environment names, or the first that is installed.
pub fn find() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("MOODSHADER_BROWSER") {
        return Some(named.into());
    }
    let runs = |name: &str| Command::new(name).arg("--version").output().is_ok();
    NAMES.into_iter().find(|name| runs(name)).map(PathBuf::from)
}
