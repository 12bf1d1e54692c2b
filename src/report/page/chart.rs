//! Line charts as inline SVG.
//!
//! A chart is drawn at the width that a phone shows, so that its text stays readable there; wide
//! screens put charts side by side. Colours come from the style sheet, and lines differ in their
//! dashes too.

use std::fmt::{Display, Write};

use super::html::escape;

/// Units around the plot, for its labels; to the left, what the longest of them takes.
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 36.0;
/// Width of a character of a tick's label.
const CHARACTER: f64 = 6.4;
/// Ticks that an axis aims for.
const TICKS: f64 = 5.0;
/// Lines that the style sheet tells apart.
const STYLES: usize = 6;
/// Points that a line is drawn with at most; more could not be told apart.
const MOST_POINTS: usize = 400;

pub struct Line {
    pub name: String,
    /// x and y, x rising.
    pub points: Vec<[f64; 2]>,
    pub look: Look,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// From point to point, with a mark on each where they are few.
    Marked,
    /// From point to point.
    Straight,
    /// A point's y holds for all x since the point before.
    Steps,
    /// What other lines are compared with.
    Reference,
}

pub struct Chart<'a> {
    /// Unique in the document.
    pub id: String,
    pub title: &'a str,
    /// What a reader who does not see it should know.
    pub description: String,
    pub axes: [Axis<'a>; 2],
    pub size: [f64; 2],
    pub lines: Vec<Line>,
    /// An x to mark, and what it is.
    pub mark: Option<(f64, &'a str)>,
}

#[derive(Clone, Copy)]
pub struct Axis<'a> {
    pub label: &'a str,
    /// Taken from the points where it is not set.
    pub range: Option<[f64; 2]>,
    /// Counts something: no fractions.
    pub whole: bool,
}

/// Charts with room for a title and an axis each.
pub const WIDE: [f64; 2] = [360.0, 230.0];
/// Two side by side on a phone.
pub const SQUARE: [f64; 2] = [190.0, 186.0];

impl Chart<'_> {
    fn range(&self, axis: usize) -> [f64; 2] {
        if let Some(range) = self.axes[axis].range {
            return range;
        }
        let values = self.lines.iter().flat_map(|line| &line.points).map(|point| point[axis]);
        let [low, high] = values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| {
            [low.min(value), high.max(value)]
        });
        match (axis, high - low) {
            (_, span) if !span.is_finite() => [0.0, 1.0],
            (1, 0.0) if low != 0.0 => [low - low.abs() / 2.0, high + high.abs() / 2.0],
            (_, 0.0) => [low - 0.5, high + 0.5],
            (0, _) => [low, high],
            // Keeps lines off the frame.
            (_, span) => [low - 0.05 * span, high + 0.05 * span],
        }
    }
}

impl Display for Chart<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, size: [width, height], .. } = self;
        let [xs, ys] = [self.range(0), self.range(1)];
        let (right, bottom) = (width - RIGHT, height - BOTTOM);
        let up_ticks = ticks(ys, TICKS, self.axes[1].whole);
        let up_texts = texts(&up_ticks);
        let longest = up_texts.iter().map(|text| text.chars().count()).max();
        let left = 22.0 + CHARACTER * longest.unwrap_or(1) as f64;
        let place = |value: f64, [low, high]: [f64; 2], from: f64, to: f64| {
            from + (value.clamp(low, high) - low) / (high - low) * (to - from)
        };
        let at = |[x, y]: [f64; 2]| [place(x, xs, left, right), place(y, ys, bottom, TOP)];

        write!(f, "<figure class=\"chart\"><figcaption>{}", escape(self.title))?;
        if self.lines.len() > 1 {
            f.write_str("<span class=\"legend\">")?;
            for (index, line) in self.lines.iter().enumerate() {
                let (class, name) = (class(line.look, index), escape(&line.name));
                write!(
                    f,
                    "<span><svg class=\"key\" viewBox=\"0 0 22 8\" aria-hidden=\"true\"><path \
                     class=\"{class}\" d=\"M1 4H21\"/></svg>{name}</span>"
                )?;
            }
            f.write_str("</span>")?;
        }
        writeln!(
            f,
            "</figcaption>\n<svg viewBox=\"0 0 {width} {height}\" role=\"img\" \
             aria-labelledby=\"{id}-t {id}-d\"><title id=\"{id}-t\">{}</title>\
             <desc id=\"{id}-d\">{}</desc>",
            escape(self.title),
            escape(&self.description)
        )?;
        let across_ticks = ticks(xs, (right - left) / 40.0, self.axes[0].whole);
        for (&tick, text) in across_ticks.iter().zip(texts(&across_ticks)) {
            let x = place(tick, xs, left, right);
            write!(
                f,
                "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
                bottom + 13.0
            )?;
        }
        for (tick, text) in up_ticks.into_iter().zip(up_texts) {
            let y = place(tick, ys, bottom, TOP);
            write!(
                f,
                "<path class=\"grid\" d=\"M{left} {y:.1}H{right}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                left - 4.0,
                y + 3.5
            )?;
        }
        let middle = [(left + right) / 2.0, (TOP + bottom) / 2.0];
        let [across, up] = self.axes.map(|axis| escape(axis.label));
        writeln!(
            f,
            "\n<path class=\"axis\" d=\"M{left} {TOP}V{bottom}H{right}\"/>\
             <text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{across}</text>\
             <text class=\"label\" text-anchor=\"middle\" \
             transform=\"translate(10 {:.1}) rotate(-90)\">{up}</text>",
            middle[0],
            height - 6.0,
            middle[1]
        )?;
        if let Some((x, what)) = self.mark {
            let x = place(x, xs, left, right);
            writeln!(
                f,
                "<path class=\"mark\" d=\"M{x:.1} {TOP}V{bottom}\"><title>{}</title></path>",
                escape(what)
            )?;
        }
        for (index, line) in self.lines.iter().enumerate() {
            writeln!(
                f,
                "<path class=\"{}\" d=\"{}\"><title>{}</title></path>",
                class(line.look, index),
                path(line, at),
                escape(&line.name)
            )?;
            if line.look == Look::Marked && line.points.len() <= 60 {
                // One alone is what the chart is about.
                let radius = if line.points.len() == 1 { 4.0 } else { 2.4 };
                for point in &line.points {
                    let [x, y] = at(*point);
                    write!(
                        f,
                        "<circle class=\"dot s{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\">\
                         <title>{}: {} at {}</title></circle>",
                        index % STYLES,
                        escape(&line.name),
                        Number(point[1]),
                        Number(point[0])
                    )?;
                }
            }
        }
        f.write_str("</svg></figure>\n")
    }
}

fn class(look: Look, index: usize) -> String {
    match look {
        Look::Reference => "reference".to_owned(),
        _ => format!("line s{}", index % STYLES),
    }
}

/// A line's path data.
fn path(line: &Line, at: impl Fn([f64; 2]) -> [f64; 2]) -> String {
    let mut data = String::new();
    let last = line.points.len().saturating_sub(1);
    let stride = line.points.len().div_ceil(MOST_POINTS).max(1);
    for (index, point) in line.points.iter().enumerate() {
        if !index.is_multiple_of(stride) && index != last {
            continue;
        }
        let [x, y] = at(*point);
        let _ = match (index, line.look) {
            (0, _) => write!(data, "M{x:.1} {y:.1}"),
            (_, Look::Steps) => write!(data, "V{y:.1}H{x:.1}"),
            _ => write!(data, "L{x:.1} {y:.1}"),
        };
    }
    data
}

/// Round numbers within a range, about as many as wanted.
fn ticks([low, high]: [f64; 2], wanted: f64, whole: bool) -> Vec<f64> {
    let rough = ((high - low) / wanted.max(2.0)).max(if whole { 1.0 } else { 0.0 });
    let magnitude = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .map(|factor| factor * magnitude)
        .into_iter()
        .find(|step| *step >= rough * 0.999 && (!whole || step.fract() == 0.0))
        .unwrap_or(10.0 * magnitude);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    // Rounded, so that 3 · 0.1 reads 0.3.
    let round = |tick: f64| format!("{tick:.3e}").parse().unwrap_or(tick);
    (first..=last).map(|index| round(index as f64 * step)).collect()
}

/// The numbers of an axis, all written in one way.
fn texts(ticks: &[f64]) -> Vec<String> {
    let small = ticks.iter().any(|tick| *tick != 0.0 && tick.abs() < 1e-3);
    let text = |tick: &f64| match small && *tick != 0.0 {
        true => scientific(*tick),
        false => Number(*tick).to_string(),
    };
    ticks.iter().map(text).collect()
}

/// As in 2.5e-5.
fn scientific(value: f64) -> String {
    let text = format!("{value:.2e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits = match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => digits,
    };
    format!("{digits}e{exponent}")
}

/// A number as short as it can be read.
pub struct Number(pub f64);

impl Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.0;
        match value.abs() {
            0.0 => f.write_str("0"),
            small if small < 1e-3 => f.write_str(&scientific(value)),
            large if large >= 1e7 => write!(f, "{value:.3e}"),
            large if large >= 10_000.0 => write!(f, "{}k", Self(value / 1000.0)),
            _ => {
                let text = format!("{value:.4}");
                f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks([0.0, 1.0], 5.0, false), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!(ticks([0.31, 0.52], 5.0, false), [0.35, 0.4, 0.45, 0.5]);
        assert_eq!(ticks([1.0, 6.0], 7.0, true), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(ticks([1.0, 2.0], 7.0, true), [1.0, 2.0]);
        assert_eq!(ticks([0.0, 12.0], 5.0, true), [0.0, 5.0, 10.0]);
        assert_eq!(ticks([0.0, 1e-3], 5.0, false)[1], 2e-4);
    }

    #[test]
    fn an_axis_writes_its_numbers_in_one_way() {
        assert_eq!(texts(&[0.0, 8e-4, 1e-3, 1.2e-3]), ["0", "8e-4", "1e-3", "1.2e-3"]);
        assert_eq!(texts(&[0.001, 0.002]), ["0.001", "0.002"]);
    }

    #[test]
    fn numbers_are_short() {
        let numbers =
            [0.0, 0.3, 0.12345, 1e-4, 2.5e-5, 150.0, 12_500.0, -0.5, 1.5e300, f64::INFINITY];
        let texts = numbers.map(|value| Number(value).to_string());
        let short = ["0", "0.3", "0.1235", "1e-4", "2.5e-5", "150", "12.5k", "-0.5"];
        assert_eq!(texts[..8], short);
        assert_eq!(texts[8..], ["1.500e300", "inf"]);
    }
}
