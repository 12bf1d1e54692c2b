//! The page of a music library: what it says of the songs, that no name breaks out of it, and how a
//! browser shows it.

use moodshader::report::library::{About, Song, page};
use serde_json::{Value, json};

#[path = "support/page.rs"]
mod page;

/// The last is an instrument.
const LABELS: [&str; 4] = ["happy", "dark", "<calm & \"slow\">", "piano"];

fn with_songs(songs: &[Song]) -> String {
    let labels = LABELS.map(str::to_owned);
    let about = About {
        model: "a <model>",
        source: "heard much",
        labels: &labels,
        moods: &[true, true, true, false],
        silent: 1,
        failed: 2,
    };
    page(&about, songs)
}

/// Every song's happiness is its place in hundredths; one in three is dark, one in two happy.
fn songs(count: usize) -> Vec<Song> {
    let song = |at: usize| {
        let turn = at as f32;
        let happy = (turn / 100.0).min(1.0);
        let tags: Vec<usize> = [(at.is_multiple_of(2), 0), (at.is_multiple_of(3), 1)]
            .into_iter()
            .filter_map(|(has, tag)| has.then_some(tag))
            .collect();
        Song {
            path: format!("music/{at:05}.wav"),
            address: format!("music/{at:05}.wav"),
            title: Some(format!("Song {at}")),
            artist: (!at.is_multiple_of(5)).then(|| format!("Artist {}", at % 7)),
            seconds: 60.0 + at as f64,
            probabilities: vec![happy, 0.5, 0.1234, 0.0],
            tags,
            embedding: vec![turn.sin(), turn.cos(), 0.5],
        }
    };
    (0..count).map(song).collect()
}

/// What the page's script reads.
fn data(html: &str) -> Value {
    let start = "<script type=\"application/json\" id=\"library-data\">";
    let (_, rest) = html.split_once(start).unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

/// The text of a page without its tags.
fn text(html: &str) -> String {
    let html = html.split_once("</style>").unwrap().1;
    let pieces = html.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
    pieces.collect::<Vec<_>>().join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_head_counts_what_was_heard() {
    let mut songs = songs(1200);
    songs.iter_mut().for_each(|song| song.seconds = 180.0);
    let text = text(&with_songs(&songs));
    for part in [
        "Moods of 1 200 songs",
        "Heard by a &lt;model&gt; : heard much",
        "songs 1 200",
        "of music 60 h",
        "songs with a mood 800",
        "silent throughout 1",
        "could not be used 2 files",
    ] {
        assert!(text.contains(part), "{part} in {}", &text[..600]);
    }
}

#[test]
fn bars_count_the_songs_of_a_tag_and_the_table_those_of_two() {
    let html = with_songs(&songs(12));
    let text = text(&html);
    assert!(text.contains("happy 6 50 % dark 4 33 %"), "{}", &text[..900]);
    assert!(text.contains("In no song: &lt;calm &amp; &quot;slow&quot;&gt;."), "{}", &text[..900]);
    assert!(text.contains("happy dark happy 6 2 dark 2 4"), "{text}");
    // An instrument is no mood that is missing, but can be asked for.
    let piano = html.matches("piano").count();
    assert_eq!(piano, 2, "in the choice of orders and in the data");
}

#[test]
fn without_tags_it_says_so_and_has_no_table() {
    let mut songs = songs(5);
    songs.iter_mut().for_each(|song| song.tags.clear());
    let html = with_songs(&songs);
    assert!(html.contains("No song reaches a mood") && !html.contains("Moods that meet"));
    assert!(html.contains("id=\"songs\"") && text(&html).contains("songs with a mood 0"));
    let html = with_songs(&[]);
    assert!(html.contains("There is no song to show.") && !html.contains("<script"));
}

#[test]
fn the_map_is_left_out_without_embeddings() {
    let mut songs = songs(9);
    let html = with_songs(&songs);
    assert!(html.contains("id=\"map-canvas\""));
    assert_eq!(data(&html)["places"].as_array().unwrap().len(), 9);
    songs[0].embedding.clear();
    assert!(text(&with_songs(&songs)).contains("1 song has no place on it"));
    songs.iter_mut().for_each(|song| song.embedding.clear());
    let html = with_songs(&songs);
    assert!(!html.contains("id=\"map-canvas\"") && !html.contains("href=\"#map\""));
    assert_eq!(data(&html)["places"], Value::Null);
}

#[test]
fn the_data_are_the_songs() {
    let mut songs = songs(2);
    songs[1].tags = vec![2, 1, 0];
    songs[1].title = Some(" \t".to_owned());
    let data = data(&with_songs(&songs));
    assert_eq!(data["labels"], json!(LABELS));
    assert_eq!(data["paths"], json!(["music/00000.wav", "music/00001.wav"]));
    assert_eq!(data["titles"], json!(["Song 0", null]));
    assert_eq!(data["artists"], json!([null, "Artist 1"]));
    assert_eq!(data["seconds"], json!([60, 61]));
    assert_eq!(data["probabilities"], json!([0, 500, 123, 0, 10, 500, 123, 0]));
    assert_eq!(data["tags"], json!([[1, 0], [1, 2, 0]]), "the most probable first");
}

/// Names that would break out of text, attributes, scripts or the direction of writing.
const NAMES: [&str; 8] = [
    "</script><script>document.title = 'broken'</script>",
    "<!--<script>",
    "\"><img src=x onerror=\"document.title='broken'\">",
    "שלום \u{202e}gnp.exe",
    "🎵 'single' \"double\" `tick` ${1}",
    "line\nbreak\r\ttab\u{2028}\u{0}",
    "bytes \\xFF\\u003c",
    "]]></style>&lt;",
];

fn with_names() -> Vec<Song> {
    let mut songs = songs(NAMES.len());
    for (song, name) in songs.iter_mut().zip(NAMES) {
        song.path = format!("{name}.mp3");
        song.title = Some(name.to_owned());
        song.artist = Some(name.to_owned());
        song.address = format!("javascript:{}", song.address);
    }
    songs
}

#[test]
fn names_are_text_and_come_back_as_they_are() {
    let (html, plain) = (with_songs(&with_names()), with_songs(&songs(NAMES.len())));
    for tag in ["<script", "</script", "<!--", "<img", "</style", "onerror=\"", "<model", "<calm"] {
        assert_eq!(html.matches(tag).count(), plain.matches(tag).count(), "{tag}");
    }
    let data = data(&html);
    assert_eq!(data["titles"], json!(NAMES.map(str::trim)));
    assert_eq!(data["paths"], json!(NAMES.map(|name| format!("{name}.mp3"))));
    let addresses = data["addresses"].as_array().unwrap();
    assert!(addresses.iter().all(|address| address.as_str().unwrap().starts_with("./javascript:")));
}

#[test]
fn nothing_is_fetched() {
    let html = with_songs(&songs(20));
    for address in ["http:", "https:", "url(", "@import", " src=", "<link"] {
        assert!(!html.contains(address), "{address}");
    }
}

/// Uses the page as people do and tells what it sees.
const PROBE: &str = r##"
const results = {};
const part = id => document.getElementById(id);
const titles = () => [...document.querySelectorAll("#rows th bdi")].map(e => e.textContent);
const faintest = () => {
    let [faint, least] = ["none", 99];
    for (const element of document.body.querySelectorAll("*")) {
        const own = [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim());
        if (!own || !element.getClientRects().length || element.closest("script, :disabled")) continue;
        const [a, b] = [luminance(getComputedStyle(element).color), luminance(ground(element))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < least) [faint, least] = [element.tagName + " " + element.className, contrast];
    }
    return [least, faint];
};
const nameless = () => [...document.querySelectorAll("button, input, select, canvas, [tabindex]")]
    .filter(e => e.getClientRects().length)
    .filter(e => !(e.textContent.trim() || e.ariaLabel || e.labels?.length || e.getAttribute("aria-labelledby")));
const dots = () => {
    const canvas = part("map-canvas");
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return pixels.some(value => value > 0);
};
results.first = titles().slice(0, 3).join();
results.rows = document.querySelectorAll("#rows tr").length;
part("map").scrollIntoView();
await until(dots);
results.dots = dots();
document.querySelector("th[data-key=length] button").click();
document.querySelector("th[data-key=length] button").click();
results.longest = titles()[0];
results.sorted = document.querySelector("[aria-sort=descending]").dataset.key;
document.querySelector("button[data-tag='1']").click();
results.dark = part("shown").textContent;
document.querySelector("button[data-tag='0']").click();
results.both = part("shown").textContent;
results.happiest = titles()[0];
results.chips = part("chips").children.length;
part("clear").click();
part("find").value = "00041";
part("find").dispatchEvent(new Event("input"));
await until(() => titles().length === 1);
results.found = titles().join();
document.querySelector("#rows button").click();
part("list").scrollIntoView();
await until(() => part("trouble").textContent);
results.trouble = part("trouble").textContent;
results.playing = part("now-title").textContent;
results.current = document.querySelectorAll("#rows [aria-current]").length;
part("clear").click();
const all = titles().at(-1);
part("list").scrollTop = 1e9;
await until(() => titles().at(-1) !== all);
results.last = titles().at(-1);
[results.contrast, results.faint] = faintest();
results.nameless = nameless().map(e => e.id || e.tagName).join();
results.width = innerWidth;
results.page = document.documentElement.scrollWidth;
results.list = part("list").scrollWidth - part("list").clientWidth;
results.dark_scheme = matchMedia("(prefers-color-scheme: dark)").matches;
results.title = document.title;
return results;
"##;

#[test]
#[ignore = "needs Chromium; `cargo xtask test` installs and runs it"]
fn a_browser_shows_sorts_filters_and_tells_what_it_cannot_play() {
    let html = with_songs(&songs(600));
    for (width, dark) in [(360, false), (360, true), (1280, false), (1280, true)] {
        let seen = page::seen(&html, PROBE, width, dark);
        for (name, expected) in [
            ("first", "Song 0,Song 1,Song 2"),
            ("longest", "Song 599"),
            ("sorted", "length"),
            ("dark", "200 of 600 songs."),
            ("both", "100 of 600 songs."),
            // All from 100 on are as happy as can be; the file's order decides.
            ("happiest", "Song 102"),
            ("found", "Song 41"),
            ("playing", "Song 41 – Artist 6"),
            // The list is still that of the happiest.
            ("last", "Song 0"),
            ("nameless", ""),
        ] {
            assert_eq!(seen[name], expected, "{name} at {width}");
        }
        let trouble = seen["trouble"].as_str().unwrap();
        assert!(trouble.starts_with("This browser cannot play it"), "{trouble}");
        assert_eq!((&seen["dark_scheme"], &seen["dots"]), (&json!(dark), &json!(true)));
        let number = |name: &str| seen[name].as_f64().unwrap();
        assert_eq!((number("chips"), number("current"), number("list")), (2.0, 1.0, 0.0));
        assert!(number("rows") < 60.0, "all rows are in the document: {}", seen["rows"]);
        assert_eq!(number("width"), f64::from(width));
        assert!(number("page") <= f64::from(width), "it scrolls sideways: {}", seen["page"]);
        // WCAG 2, level AA.
        assert!(number("contrast") >= 4.5, "{} in {}", seen["contrast"], seen["faint"]);
    }
}

#[test]
#[ignore = "needs Chromium; `cargo xtask test` installs and runs it"]
fn no_name_breaks_out_in_a_browser() {
    let mut songs = with_names();
    // What the probe looks for.
    songs.extend(self::songs(42));
    let html = with_songs(&songs);
    let seen = page::seen(&html, PROBE, 360, false);
    assert_eq!(seen["title"], "Moods of 50 songs");
    assert_eq!(seen["playing"], "Song 41 – Artist 6");
    assert!(seen["page"].as_f64().unwrap() <= 360.0, "{}", seen["page"]);
}
