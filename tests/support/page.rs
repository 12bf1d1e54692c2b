//! Pages in Chromium, as people see them.

use std::fs;

use serde_json::Value;

#[path = "browser.rs"]
mod browser;

/// How light a colour is, what lies behind an element, and waiting for what the page does in its own time.
const HELP: &str = r#"
const channels = colour => {
    const numbers = colour.match(/[\d.]+/g).map(Number);
    return colour.startsWith("color(") ? numbers.map((n, i) => i < 3 ? 255 * n : n) : numbers;
};
const luminance = colour => {
    const [r, g, b] = channels(colour).map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = element => {
    const colour = getComputedStyle(element).backgroundColor;
    const clear = channels(colour)[3] === 0;
    return clear && element.parentElement ? ground(element.parentElement) : colour;
};
const until = async condition => {
    for (let tries = 0; tries < 600 && !condition(); tries++) {
        await new Promise(done => setTimeout(done, 50));
    }
};
"#;

/// What `probe`, an async function's body, returns in a page at a width. `luminance`, `ground` and `until`
/// are there for it; `until` gives up after 30 s, and what it waited for is then not as expected.
pub fn seen(html: &str, probe: &str, width: u32, dark: bool) -> Value {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("page.html"), html).unwrap();
    // No window of Chromium's is as narrow as a phone; a frame is.
    let frame = format!(
        "<!DOCTYPE html><meta charset=\"utf-8\"><meta name=\"color-scheme\" content=\"light \
         dark\"><iframe style=\"width:{width}px;height:800px;border:0\" src=\"page.html\"></iframe>"
    );
    fs::write(folder.path().join("frame.html"), frame).unwrap();
    // No hand presses a button here.
    let mut arguments = vec!["--disable-gpu", "--hide-scrollbars", "--window-size=1400,900"];
    arguments.push("--autoplay-policy=no-user-gesture-required");
    if dark {
        arguments.push("--force-dark-mode");
    }
    let probe = format!("{HELP}{probe}");
    browser::probed(&[folder.path()], "frame.html", &arguments, &probe)
}
