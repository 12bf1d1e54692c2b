//! TensorBoard events: what a run writes, as TensorBoard would read it.

use std::fs;

use place::{MOODS, Place};

#[path = "support/place.rs"]
mod place;

const FILE: &str = "run/events.out.tfevents.0.moodshader";

/// A field of a protobuf message.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (&byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            break;
        }
    }
    value
}

/// A message's fields, by the wire format alone.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key % 8 {
            0 => Field::Number(varint(&mut bytes)),
            kind => {
                let size = match kind {
                    1 => 8,
                    2 => varint(&mut bytes) as usize,
                    5 => 4,
                    _ => panic!("wire type {kind}"),
                };
                let (value, rest) = bytes.split_at(size);
                bytes = rest;
                Field::Bytes(value)
            }
        };
        fields.push((key / 8, field));
    }
    fields
}

fn bytes<'a>(fields: &[(u64, Field<'a>)], number: u64) -> Option<&'a [u8]> {
    fields.iter().find_map(|(at, field)| match field {
        Field::Bytes(bytes) if *at == number => Some(*bytes),
        _ => None,
    })
}

/// CRC32C bit by bit, with TFRecord's mask.
fn checksum(bytes: &[u8]) -> u32 {
    let crc = !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1)))
    });
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Step, wall time, tag and value of every scalar; checks the frames on the way.
fn scalars(file: &[u8]) -> Vec<(u64, f64, String, f32)> {
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap());
    let mut scalars = Vec::new();
    let mut at = 0;
    while at < file.len() {
        let (length, rest) = file[at..].split_at(8);
        let size = u64::from_le_bytes(length.try_into().unwrap()) as usize;
        let (message, tail) = rest[4..].split_at(size);
        assert_eq!(word(rest), checksum(length));
        assert_eq!(word(tail), checksum(message));
        let event = fields(message);
        if at == 0 {
            assert_eq!(bytes(&event, 3), Some(&b"brain.Event:2"[..]));
        } else {
            let step = event.iter().find_map(|(number, field)| match field {
                Field::Number(step) if *number == 2 => Some(*step),
                _ => None,
            });
            let wall_time = f64::from_le_bytes(bytes(&event, 1).unwrap().try_into().unwrap());
            for (_, value) in fields(bytes(&event, 5).unwrap()) {
                let Field::Bytes(value) = value else { panic!("a summary has values only") };
                let value = fields(value);
                let tag = String::from_utf8(bytes(&value, 1).unwrap().to_vec()).unwrap();
                let number = f32::from_le_bytes(bytes(&value, 2).unwrap().try_into().unwrap());
                scalars.push((step.unwrap(), wall_time, tag, number));
            }
        }
        at += 8 + 4 + size + 4;
    }
    scalars
}

#[test]
fn events_have_what_metrics_have_and_losses_inside_epochs() {
    let place = Place::new();
    let rows: Vec<String> = (0..77).map(|index| place.clip(index)).collect();
    place.manifest("data.csv", &rows);
    let long = "--set train.batch=1 --set train.epochs=2";
    place.train(&format!("--out run {long}"));
    let file = fs::read(place.path(FILE)).unwrap();
    let scalars = scalars(&file);
    assert!(scalars.iter().all(|(step, wall_time, ..)| *wall_time == *step as f64));
    assert!(scalars.is_sorted_by_key(|(step, ..)| *step));
    let series = |wanted: &str| -> Vec<(u64, f32)> {
        let of_tag = scalars.iter().filter(|(_, _, tag, _)| tag == wanted);
        of_tag.map(|(step, _, _, value)| (*step, *value)).collect()
    };

    let lines: Vec<serde_json::Value> = fs::read_to_string(place.path("run/metrics.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let recorded = |of: &dyn Fn(&serde_json::Value) -> Option<f64>| -> Vec<(u64, f32)> {
        let point = |line: &serde_json::Value| Some((line["update"].as_u64()?, of(line)? as f32));
        lines.iter().filter_map(point).collect()
    };
    assert_eq!(series("loss/validation"), recorded(&|line| line["validation_loss"].as_f64()));
    for metric in ["roc_auc", "pr_auc"] {
        for mood in MOODS.iter().chain(&["macro"]) {
            let expected = recorded(&|line| line[metric][mood].as_f64());
            assert_eq!(series(&format!("{metric}/{mood}")), expected);
        }
    }
    // Eight looks inside each epoch, and its end.
    let ends = recorded(&|line| line["train_loss"].as_f64());
    let losses = series("loss/train");
    let [first, second] = [ends[0].0, ends[1].0];
    assert_eq!(second, 2 * first);
    let steps: Vec<_> = losses.iter().map(|(step, _)| *step).collect();
    let looks = |epoch: u64| (1..=8).map(move |look| epoch * first + look * (first / 8));
    let expected: Vec<_> = looks(0).chain([first]).chain(looks(1)).chain([second]).collect();
    assert_eq!(steps, expected);
    assert_eq!([losses[8], losses[17]], ends[..]);
    assert!(losses.iter().all(|(_, loss)| (0.1..5.0).contains(loss)), "{losses:?}");
    assert!(series("learning_rate").is_sorted_by(|a, b| a.1 > b.1));

    // Stopped between two looks, and with a frame that a kill cut off.
    place.train(&format!("--out short {long} --max-steps 53"));
    let path = place.path("short/events.out.tfevents.0.moodshader");
    let stopped = fs::read(&path).unwrap();
    assert!(file.starts_with(&stopped) && stopped.len() < file.len());
    fs::write(&path, &file[..stopped.len() + 20]).unwrap();
    place.ok("train --resume short");
    assert!(fs::read(&path).unwrap() == file);
    place.same("run", "short");
}
