//! Pages in Chromium, as people see them.

use std::fs;

#[path = "chromium.rs"]
mod chromium;

use chromium::{cannot_run, chromium};

/// How light a colour is, and what lies behind an element.
const CONTRAST: &str = r#"
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
"#;

/// What the script `probe` leaves as `result-NAME=VALUE` lines in a page at a width, by name. `luminance` and
/// `ground` are there for it.
pub fn seen(html: &str, probe: &str, width: u32, dark: bool) -> impl Fn(&str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    let html = html.replace("</body>", &format!("<script>\n{CONTRAST}{probe}</script></body>"));
    let html = html.replace('&', "&amp;").replace('"', "&quot;");
    // No window of Chromium's is as narrow as a phone; a frame is.
    let frame = format!(
        "<!DOCTYPE html><meta charset=\"utf-8\"><meta name=\"color-scheme\" content=\"light \
         dark\"><body><iframe style=\"width:{width}px;height:800px;border:0\" \
         srcdoc=\"{html}\"></iframe>"
    );
    fs::write(&file, frame).unwrap();
    let mut command = chromium(&folder.path().join("profile"));
    command.args(["--disable-gpu", "--hide-scrollbars"]);
    command.args(["--window-size=1400,900", "--virtual-time-budget=10000", "--dump-dom"]);
    // No hand presses the button here.
    command.arg("--autoplay-policy=no-user-gesture-required");
    if dark {
        command.arg("--force-dark-mode");
    }
    let output = command.arg(format!("file://{}", file.display())).output();
    let output = output.unwrap_or_else(|error| cannot_run(&command, &error));
    let text = String::from_utf8_lossy(&output.stdout).replace("<br>", "\n");
    assert!(!text.contains("result-error="), "{text}");
    move |name| {
        let value = text.split(&format!("result-{name}=")).nth(1);
        let value = value.unwrap_or_else(|| panic!("the page says nothing of {name}"));
        value.split(['\n', '<']).next().unwrap().to_owned()
    }
}
