//! The clips that the model is most sure of and wrong about.

use std::fmt::Write;

use super::Section;
use super::chart::{Axis, Chart, Line, Look, WIDE};
use super::html::{escape, paragraph};
use crate::metrics::Judged;

/// Clips that are shown.
pub const MOST: usize = 6;
/// Moods that a timeline follows at most.
const MOST_FOLLOWED: usize = 4;
/// Moods of a clip's list at most, beside its own.
const TOP: usize = 3;

/// What the report shows of a wrongly judged clip beside its scores.
#[derive(Clone, Debug, Default)]
pub struct Exhibit {
    /// Row of the clip in [`Judged`].
    pub clip: usize,
    /// A `data:` URL, where the features are at hand.
    pub spectrogram: Option<String>,
    /// The whole track.
    pub timeline: Timeline,
}

/// The scores of windows as long as a clip, centred at points of the track.
#[derive(Clone, Debug, Default)]
pub enum Timeline {
    /// Only a finished run has them.
    #[default]
    Later,
    /// Why there is none.
    Missing(String),
    /// The track is hardly longer than the clip: there is nothing to follow.
    Short,
    /// The windows' scores.
    Scores {
        /// Centres of the windows, in seconds.
        seconds: Vec<f64>,
        /// [windows, moods]
        scores: Vec<f32>,
        /// Begin and end of the clip that was judged, in seconds.
        clip: [f64; 2],
    },
}

/// Rows of the clips whose highest score belongs to a mood that they do not have, the highest score
/// first.
pub fn most_wrong(judged: &Judged) -> Vec<usize> {
    let top = judged.top_moods();
    let mut wrong: Vec<usize> =
        (0..judged.clips()).filter(|&clip| !judged.has(clip, top[clip])).collect();
    // A stable sort: among equals the manifest's order.
    wrong.sort_by(|&a, &b| judged.score(b, top[b]).total_cmp(&judged.score(a, top[a])));
    wrong.truncate(MOST);
    wrong
}

pub fn section(judged: &Judged, exhibits: &[Exhibit], [seconds, fmax]: [f64; 2]) -> Section {
    let mut body = paragraph(
        "Validation clips whose highest score belongs to a mood that they do not have, the highest \
         first. The spectrogram is what the model hears: log-mel, low bands below. A timeline shows \
         the score of a window as long as a clip, centred at each point of a track of two clips \
         or more; beyond the track's ends is silence.",
    );
    if exhibits.is_empty() {
        body.push_str(&paragraph("None: each clip's highest score belongs to one of its moods."));
    }
    body.push_str("<div class=\"clips\">\n");
    for (place, exhibit) in exhibits.iter().enumerate() {
        write_clip(&mut body, judged, exhibit, place, [seconds, fmax]);
    }
    body.push_str("</div>\n");
    Section { id: "wrong", title: "Most confidently wrong".to_owned(), body }
}

fn write_clip(
    html: &mut String,
    judged: &Judged,
    exhibit: &Exhibit,
    place: usize,
    [seconds, fmax]: [f64; 2],
) {
    let clip = exhibit.clip;
    let name = escape(&judged.names[clip]);
    let ranked = judged.ranked(clip);
    let tags: Vec<String> = (0..judged.moods.len())
        .filter(|&mood| judged.has(clip, mood))
        .map(|mood| escape(&judged.moods[mood]))
        .collect();
    let _ = writeln!(
        html,
        "<article><h3>{name}</h3>\n<p>{}, taken for <b>{}</b>.</p>",
        match tags.is_empty() {
            true => "Tagged with none of the moods".to_owned(),
            false => format!("Tagged <b>{}</b>", tags.join(", ")),
        },
        escape(&judged.moods[ranked[0]])
    );
    html.push_str("<ul class=\"scores\">");
    for (rank, &mood) in ranked.iter().enumerate() {
        let own = judged.has(clip, mood);
        if rank >= TOP && !own {
            continue;
        }
        let score = judged.score(clip, mood);
        let _ = write!(
            html,
            "<li{}><span>{}{}</span><span class=\"bar\" aria-hidden=\"true\"><i style=\"width:{:.1}%\">\
             </i></span><span>{score:.3}</span></li>",
            if own { " class=\"own\"" } else { "" },
            escape(&judged.moods[mood]),
            if own { " ✓" } else { "" },
            100.0 * score,
        );
    }
    html.push_str("</ul>\n");
    match &exhibit.spectrogram {
        None => html.push_str(&paragraph(
            "No spectrogram: the cache has none of it (a run that trains on frozen layers keeps \
                 only what those make of it).",
        )),
        Some(url) => {
            let _ = writeln!(
                html,
                "<figure class=\"spectrogram\"><img src=\"{url}\" alt=\"Log-mel spectrogram of the \
                 clip, {seconds} s, up to {fmax} Hz\"><figcaption><span>0 s</span><span>up to \
                 {fmax} Hz</span><span>{seconds} s</span></figcaption></figure>"
            );
        }
    }
    match &exhibit.timeline {
        Timeline::Later => {
            html.push_str(&paragraph("Its timeline comes when the run is finished."))
        }
        Timeline::Short => {}
        Timeline::Missing(why) => html.push_str(&paragraph(&format!("No timeline: {why}"))),
        Timeline::Scores { seconds, scores, clip: [begin, end] } => {
            let moods = judged.moods.len();
            let followed = ranked
                .iter()
                .enumerate()
                .filter(|&(rank, &mood)| rank == 0 || judged.has(clip, mood))
                .take(MOST_FOLLOWED);
            let lines: Vec<Line> = followed
                .map(|(_, &mood)| Line {
                    name: judged.moods[mood].clone(),
                    points: seconds
                        .iter()
                        .zip(scores.chunks(moods))
                        .map(|(&at, scores)| [at, f64::from(scores[mood])])
                        .collect(),
                    look: Look::Marked,
                })
                .collect();
            let description = format!(
                "Scores of windows centred from {:.1} to {:.1} s; the clip above is from {begin:.1} \
                 to {end:.1} s. {}",
                seconds.first().unwrap_or(&0.0),
                seconds.last().unwrap_or(&0.0),
                lines.iter().map(super::extent).collect::<Vec<_>>().join(" ")
            );
            let x = Axis { label: "centre of the window, s", range: None, whole: false };
            let y = Axis { label: "score", range: Some([0.0, 1.0]), whole: false };
            let chart = Chart {
                id: format!("timeline-{place}"),
                title: "Timeline",
                description,
                axes: [x, y],
                size: [WIDE[0], 160.0],
                lines,
                mark: Some(((begin + end) / 2.0, "centre of the clip above")),
            };
            let _ = write!(html, "{chart}");
        }
    }
    html.push_str("</article>\n");
}
