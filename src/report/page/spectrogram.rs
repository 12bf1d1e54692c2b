//! A log-mel spectrogram as a picture.

use base64::Engine;

use crate::{Error, Result};

/// Columns of the picture at most; frames are averaged to fit.
const MOST_COLUMNS: usize = 480;

/// Colours from quiet to loud, dark to light with evenly rising lightness: black, violet, red,
/// orange, pale yellow. [red, green, blue] at equal distances.
const COLOURS: [[f64; 3]; 6] = [
    [4.0, 4.0, 16.0],
    [62.0, 18.0, 104.0],
    [142.0, 41.0, 122.0],
    [217.0, 73.0, 88.0],
    [252.0, 151.0, 95.0],
    [252.0, 246.0, 190.0],
];

/// A `data:` URL of the PNG of a spectrogram [mels, frames] in dB: time to the right, the lowest
/// band at the bottom.
///
/// # Errors
/// Encoding fails.
pub fn data_url(decibels: &[f32], mels: usize) -> Result<String> {
    let png = png(decibels, mels)
        .map_err(|error| Error::failure(format!("a spectrogram cannot be drawn: {error}")))?;
    Ok(format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(png)))
}

fn png(decibels: &[f32], mels: usize) -> std::result::Result<Vec<u8>, png::EncodingError> {
    let frames = decibels.len() / mels.max(1);
    let columns = frames.clamp(1, MOST_COLUMNS);
    let [low, high] = decibels
        .iter()
        .fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], &x| [low.min(x), high.max(x)]);
    // Silence is one colour.
    let range = if high > low { high - low } else { 1.0 };
    let mut pixels = Vec::with_capacity(columns * mels);
    for band in decibels.chunks_exact(frames.max(1)).rev() {
        for column in 0..columns {
            let part = &band[column * frames / columns..(column + 1) * frames / columns];
            let mean = part.iter().sum::<f32>() / part.len() as f32;
            pixels.push((255.0 * (mean - low) / range) as u8);
        }
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, columns as u32, mels as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette());
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(bytes)
}

/// 256 colours, red, green, blue each.
fn palette() -> Vec<u8> {
    let steps = (COLOURS.len() - 1) as f64;
    (0..=255u8)
        .flat_map(|value| {
            let place = f64::from(value) / 255.0 * steps;
            let below = (place as usize).min(COLOURS.len() - 2);
            let share = place - below as f64;
            [0, 1, 2].map(|c| {
                (COLOURS[below][c] + share * (COLOURS[below + 1][c] - COLOURS[below][c])).round()
                    as u8
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_bands_are_below_and_time_goes_right() {
        // Two bands: the lower one gets louder, the upper one is silent.
        let frames = 1000;
        let mut decibels: Vec<f32> = (0..frames).map(|frame| frame as f32 / 20.0 - 80.0).collect();
        decibels.extend(vec![-80.0; frames]);
        let bytes = png(&decibels, 2).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (480, 2));
        let (upper, lower) = pixels.split_at(480);
        assert!(upper.iter().all(|&pixel| pixel == 0));
        assert!(lower.is_sorted() && lower[0] == 0 && lower[479] >= 254, "{}", lower[479]);
    }

    #[test]
    fn silence_has_a_picture() {
        assert!(data_url(&[-100.0; 12], 4).unwrap().starts_with("data:image/png;base64,iVBOR"));
    }
}
