//! `report.html`: what it says of a run, that it is one sound file, and how a browser shows it.

use std::collections::HashSet;
use std::fs;

use place::{CLIPS, MOODS, Place};

#[path = "support/page.rs"]
mod page;
#[path = "support/place.rs"]
mod place;

fn read(place: &Place, run: &str) -> String {
    fs::read_to_string(place.path(&format!("{run}/report.html"))).unwrap()
}

/// The tags of a document, without comments, as (name, attributes, is it an end).
fn tags(html: &str) -> Vec<(&str, &str, bool)> {
    let tag = |part: &'_ str| -> Option<(usize, usize)> { Some((0, part.find('>')?)) };
    html.split('<')
        .skip(1)
        .map(|part| {
            let (_, end) = tag(part).expect("a tag ends");
            let inner = part[..end].trim_end_matches('/');
            let (name, attributes) = inner.split_once(' ').unwrap_or((inner, ""));
            match name.strip_prefix('/') {
                Some(name) => (name, attributes, true),
                None => (name, attributes, part[..end].ends_with('/')),
            }
        })
        .collect()
}

fn values<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!(" {attribute}=\"");
    html.split(&start).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

/// Every element is closed in its place, every reference leads somewhere, and nothing is fetched.
fn assert_sound(html: &str) {
    let mut open = Vec::new();
    for (name, attributes, end) in tags(html) {
        match (name, end) {
            ("!DOCTYPE" | "meta" | "img", _) => {}
            (_, false) => open.push(name),
            (_, true) if open.last() == Some(&name) => drop(open.pop()),
            ("path" | "rect" | "circle", true) => {}
            _ => panic!("</{name}> closes {open:?} {attributes}"),
        }
    }
    assert!(open.is_empty(), "{open:?} stay open");
    let ids = values(html, "id");
    let known: HashSet<&str> = ids.iter().copied().collect();
    assert_eq!(known.len(), ids.len(), "an id is used twice");
    for labels in values(html, "aria-labelledby") {
        assert!(labels.split(' ').all(|id| known.contains(id)), "{labels}");
    }
    assert!(values(html, "href").iter().all(|href| known.contains(href.trim_start_matches('#'))));
    assert!(values(html, "src").iter().all(|src| src.starts_with("data:image/png;base64,")));
    assert!(!html.contains("http") && !html.contains("<script") && !html.contains("url("));
}

#[test]
fn a_finished_run_has_every_part() {
    let place = Place::new();
    place.manifest("test.csv", &(8..14).map(|index| place.clip(index)).collect::<Vec<_>>());
    // A track is two clips long, so that there is a time to follow.
    let run = "--test test.csv --set audio.clip_seconds=0.5";
    place.train(&format!("{run} --out run"));
    let html = read(&place, "run");
    assert_sound(&html);
    for part in [
        "Finished: 3 epochs, 9 updates",
        "Loss over updates",
        "Learning rate over updates",
        "Training against validation",
        "<caption>Test: 6 clips",
        "Moods that meet",
        "Errors that meet",
        "Most confidently wrong",
        "convolution 1\u{a0}×\u{a0}5 → ReLU → batch norm → max pool 2\u{a0}×\u{a0}2",
        "bidirectional LSTM 8",
        "First-layer filters",
        "clips/s",
        "batch = 4",
    ] {
        assert!(html.contains(part), "{part}");
    }
    // A curve or a reason for each mood, and a filter for each channel of the first blocks.
    let curves = html.matches("<title id=\"roc-").count() + html.matches("No curve").count();
    assert_eq!(curves, MOODS.len());
    assert_eq!(html.matches("<title>filter ").count(), 3 + 4);
    // Clips that were taken for another mood have their picture and their timeline.
    let wrong = html.matches("taken for <b>").count();
    assert_eq!(html.matches("<img src=\"data:image/png").count(), wrong);
    assert_eq!(html.matches("<title id=\"timeline-").count(), wrong);

    // The best model's score as in predictions.csv: shown again in the table of the moods.
    let metrics = fs::read_to_string(place.path("run/metrics.jsonl")).unwrap();
    let aucs = metrics.lines().filter_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["roc_auc"]["macro"].as_f64()
    });
    let best = aucs.fold(f64::NEG_INFINITY, f64::max);
    assert!(html.contains(&format!("<dt>validation ROC-AUC</dt><dd>{best:.4} <small>")));

    // Deleted, it is made again; nothing else changes.
    let before = place.files("run");
    fs::remove_file(place.path("run/report.html")).unwrap();
    place.ok("train --resume run");
    let after = place.files("run");
    assert!(before.iter().all(|(name, bytes)| name == "report.html" || *bytes == after[name]));
    place.train(&format!("{run} --out again"));
    place.same("run", "again");
    // One that is hardly longer than a clip has none.
    place.train("--out short");
    let html = read(&place, "short");
    assert!(!html.contains("<title id=\"timeline-") && !html.contains("No timeline"));
}

#[test]
fn a_run_that_goes_on_has_what_is_known() {
    let place = Place::new();
    place.train("--out run --max-steps 1");
    let html = read(&place, "run");
    assert_sound(&html);
    assert!(html.contains("Not finished: 0 of 3 epochs, 1 update so far"));
    assert!(html.contains("No epoch has ended yet") && html.contains("bidirectional LSTM 8"));
    place.ok("train --resume run --max-steps 5");
    let html = read(&place, "run");
    assert_sound(&html);
    assert!(html.contains("Not finished: 1 of 3 epochs, 5 updates so far"));
    let later = html.matches("timeline comes when the run is finished").count();
    assert_eq!(later, html.matches("taken for <b>").count());
}

/// As after a kill in the midst of it.
#[test]
fn a_report_that_was_not_written_at_the_end_is_written_on_resume() {
    let place = Place::new();
    place.train("--out run --max-steps 8");
    assert!(read(&place, "run").contains("Not finished: 2 of 3 epochs, 8 updates so far"));
    let in_the_way = place.path("run/report.html.partial");
    fs::create_dir(&in_the_way).unwrap();
    assert!(!place.run("train --resume run").status.success());
    fs::remove_dir(&in_the_way).unwrap();
    place.ok("train --resume run");
    assert!(read(&place, "run").contains("Finished: 3 epochs, 9 updates"));
    place.train("--out unbroken");
    place.same("run", "unbroken");
}

#[cfg(unix)]
#[test]
fn names_are_text_and_not_markup() {
    let place = Place::new();
    let mut rows = Vec::new();
    for index in 0..CLIPS {
        let row = place.clip(index);
        let (listed, moods) = row.split_once("\",").unwrap();
        let renamed = format!("<b onload=x>&{index}.wav");
        fs::rename(place.path(listed.trim_matches('"')), place.path(&renamed)).unwrap();
        rows.push(format!("{renamed},{}", moods.replace("dark", "<i>")));
    }
    place.manifest("data.csv", &rows);
    place.train("--moods all --out run");
    let html = read(&place, "run");
    assert_sound(&html);
    assert!(html.contains("&lt;i&gt;") && !html.contains("<i>") && !html.contains("<b onload"));
}

/// What the page's own browser says of it.
const PROBE: &str = r#"
for (const details of document.querySelectorAll("details")) details.open = true;
let faint = "none", least = 99;
for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (!own || !element.getClientRects().length || element.closest("title, desc, script")) continue;
    const style = getComputedStyle(element);
    const colour = element instanceof SVGElement ? style.fill : style.color;
    const [a, b] = [luminance(colour), luminance(ground(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < least) { least = contrast; faint = element.tagName + " " + element.className; }
}
const scrolls = [...document.body.querySelectorAll("*")]
    .filter(e => getComputedStyle(e).overflowX === "auto" && e.scrollWidth > e.clientWidth);
return {
    width: innerWidth,
    page: document.documentElement.scrollWidth,
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    pictures: [...document.images].every(i => i.complete && i.naturalWidth > 0),
    charts: [...document.querySelectorAll("svg[role=img]")].every(s => s.getBoundingClientRect().width > 0),
    reachable: scrolls.every(e => e.tabIndex === 0),
    contrast: least,
    faint,
};
"#;

#[test]
#[ignore = "needs Chromium; `cargo xtask test` installs and runs it"]
fn a_browser_shows_it_on_a_phone_and_in_the_dark() {
    let place = Place::new();
    place.train("--out run");
    let html = read(&place, "run");
    for (width, dark) in [(375, false), (375, true), (1280, false), (1280, true)] {
        let seen = page::seen(&html, PROBE, width, dark);
        let number = |name: &str| seen[name].as_f64().unwrap();
        assert_eq!(number("width"), f64::from(width));
        assert_eq!(seen["dark"], dark);
        assert!(number("page") <= f64::from(width), "it scrolls sideways: {}", seen["page"]);
        for name in ["pictures", "charts", "reachable"] {
            assert_eq!(seen[name], true, "{name} at {width}");
        }
        // WCAG 2, level AA.
        assert!(number("contrast") >= 4.5, "{} in {}", seen["contrast"], seen["faint"]);
    }
}
