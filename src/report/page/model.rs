//! The model as a diagram, and what its first convolutions look for.

use std::fmt::Write;

use super::Section;
use super::html::{escape, grouped, paragraph};
use crate::Result;
use crate::model::Graph;
use crate::model::outline::{Column, Line, outline};
use crate::model::preset::Preset;

/// The kernels of a branch's first convolution.
#[derive(Clone, Debug)]
pub struct Filters {
    /// The branch's name.
    pub branch: String,
    /// Frequency × time.
    pub kernel: [usize; 2],
    /// [filters, rows × columns]
    pub values: Vec<f32>,
}

/// Edge of a tap's square.
const TAP: usize = 14;

pub fn diagram(preset: &Preset) -> Result<Section> {
    let (columns, head) = outline(&Graph::of(preset)?);
    let all = columns.iter().chain([&head]).flat_map(|column| &column.lines);
    let total: usize = all.map(|line| line.parameters).sum();
    let (mels, frames) = (preset.features.mels, preset.frames());
    let mut body = paragraph(&format!(
        "{} trained parameters. Shapes are of one clip: channels × bands × steps, then steps × \
         features.",
        grouped(total)
    ));
    let _ = writeln!(
        body,
        "<div class=\"model\">\n<div class=\"layer input\"><b>log-mel, standardised</b>\
         <span>{mels} × {frames}</span></div>\n<div class=\"stacks\">"
    );
    for column in &columns {
        write_column(&mut body, column);
    }
    body.push_str("</div>\n");
    write_column(&mut body, &head);
    body.push_str("</div>\n");
    Ok(Section { id: "model", title: "Model".to_owned(), body })
}

fn write_column(html: &mut String, Column { heading, lines }: &Column) {
    let heading = escape(heading);
    let _ = writeln!(html, "<div class=\"stack\"><h3>{heading}</h3><ol>");
    for Line { operations, output, parameters, .. } in lines {
        let shape: Vec<String> = output.iter().map(usize::to_string).collect();
        let learnt = match parameters {
            0 => String::new(),
            count => format!("<small>{} parameters</small>", grouped(*count)),
        };
        let _ = writeln!(
            html,
            "<li class=\"layer\"><b>{}</b><span>{}</span>{learnt}</li>",
            escape(&operations.join(" → ")),
            shape.join(" × ")
        );
    }
    html.push_str("</ol></div>\n");
}

/// Each filter as a strip of squares, one a tap.
pub fn filters(all: &[Filters]) -> Section {
    let mut body = paragraph(
        "The best model's kernels that meet the spectrogram itself. A square is a tap: one colour \
         for positive weights, the other for negative ones, stronger the larger, on one scale a \
         branch.",
    );
    body.push_str(
        "<p class=\"legend\"><span><i class=\"tap plus\"></i>positive</span>\
                   <span><i class=\"tap minus\"></i>negative</span></p>\n",
    );
    for Filters { branch, kernel: [rows, columns], values } in all {
        let largest = values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let branch = escape(branch);
        let count = values.len() / (rows * columns).max(1);
        let _ = writeln!(
            body,
            "<h3>{branch}: {count} of {rows} × {columns} (frequency × time), up to \
             ±{largest:.3}</h3>\n<div class=\"filters\">"
        );
        for (index, taps) in values.chunks_exact(rows * columns).enumerate() {
            let (width, height) = (columns * TAP, rows * TAP);
            let weights: Vec<String> = taps.iter().map(|tap| format!("{tap:.3}")).collect();
            let _ = write!(
                body,
                "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
                 role=\"img\"><title>filter {index}: {}</title>",
                weights.join(", ")
            );
            for (at, tap) in taps.iter().enumerate() {
                // Low frequencies are at the bottom, as in spectrograms.
                let (row, column) = (rows - 1 - at / columns, at % columns);
                let class = if *tap < 0.0 { "minus" } else { "plus" };
                let strength = if largest > 0.0 { tap.abs() / largest } else { 0.0 };
                let _ = write!(
                    body,
                    "<rect class=\"tap {class}\" x=\"{}\" y=\"{}\" width=\"{TAP}\" \
                     height=\"{TAP}\" fill-opacity=\"{strength:.2}\"/>",
                    column * TAP,
                    row * TAP
                );
            }
            body.push_str("</svg>\n");
        }
        body.push_str("</div>\n");
    }
    Section { id: "filters", title: "First-layer filters".to_owned(), body }
}
