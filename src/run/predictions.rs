//! `predictions.csv`: what the best model says of each clip, beside the truth.

use std::path::Path;

use crate::dataset::prepare::Prepared;
use crate::files::write_atomically;
use crate::metrics::Judged;
use crate::{Error, Result};

/// `id,path`, then `label_MOOD` and `score_MOOD` for every mood; scores are [clips, moods].
pub fn write_predictions(
    path: &Path,
    moods: &[String],
    clips: &[Prepared],
    scores: &[f32],
) -> Result<()> {
    let failed =
        |error: csv::Error| Error::failure(format!("cannot write {}: {error}", path.display()));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let labels = moods.iter().map(|mood| format!("label_{mood}"));
    let header = labels.chain(moods.iter().map(|mood| format!("score_{mood}")));
    writer
        .write_record(["id".to_owned(), "path".to_owned()].into_iter().chain(header))
        .map_err(failed)?;
    for (clip, scores) in clips.iter().zip(scores.chunks(moods.len())) {
        let track = &clip.track.track;
        let labels = clip.track.targets.iter().map(|&target| u8::from(target).to_string());
        let scores = scores.iter().map(f32::to_string);
        writer
            .write_record(
                [track.id.clone(), track.listed.clone()].into_iter().chain(labels).chain(scores),
            )
            .map_err(failed)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| Error::failure(format!("cannot write {}: {error}", path.display())))?;
    write_atomically(path, &bytes)
}

/// What [`write_predictions`] wrote.
pub fn read_predictions(path: &Path) -> Result<Judged> {
    let damaged = |what: &str| Error::input(format!("{} is damaged: {what}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| Error::io("read", path, &error))?;
    let mut reader = csv::Reader::from_reader(&*bytes);
    let header = reader.headers().map_err(|error| damaged(&error.to_string()))?;
    let moods: Vec<String> =
        header.iter().filter_map(|cell| cell.strip_prefix("label_")).map(str::to_owned).collect();
    if moods.is_empty() {
        return Err(damaged("it has no mood"));
    }
    let (mut names, mut targets, mut scores) = (Vec::new(), Vec::new(), Vec::new());
    for record in reader.records() {
        let record = record.map_err(|error| damaged(&error.to_string()))?;
        let cells: Vec<&str> = record.iter().collect();
        let [_, name, cells @ ..] = &cells[..] else { return Err(damaged("a row is too short")) };
        let Some((labels, numbers)) = cells.split_at_checked(moods.len()) else {
            return Err(damaged("a row is too short"));
        };
        if numbers.len() != moods.len() {
            return Err(damaged("a row is too short"));
        }
        names.push((*name).to_owned());
        targets.extend(labels.iter().map(|&label| label == "1"));
        for number in numbers {
            scores.push(number.parse::<f32>().map_err(|_| damaged("a score is not a number"))?);
        }
    }
    Ok(Judged { moods, names, targets, scores })
}
