//! `cargo xtask import-musicnn`: the published weights of MusiCNN as a checkpoint of moodshader.
//!
//! The package keeps them as TensorFlow's bundle: a table in LevelDB's format that names each
//! variable's place, and one file of raw little-endian f32.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use moodshader::error::{Error, Result};
use moodshader::model::checkpoint::{Checkpoint, Description, Normalization};
use moodshader::model::preset::Preset;

/// Make assets/models/NAME.safetensors of a network of the published package musicnn 0.1.0.
///
/// `pip download --no-deps musicnn==0.1.0` brings the package; unpack the wheel and name the folder.
#[derive(Args, Debug)]
pub struct ImportMusicnn {
    /// The unpacked wheel.
    #[arg(value_name = "FOLDER")]
    package: PathBuf,
    /// Where the files go.
    #[arg(long, value_name = "DIR", default_value = "assets/models")]
    out: PathBuf,
}

/// A network of the package.
struct Published {
    name: &'static str,
    folder: &'static str,
    /// The list of its labels in the package's configuration.
    labels: &'static str,
    /// What it was trained on, and what it reached.
    source: &'static str,
    /// Labels that say how music feels or what it is for: not who plays what, in which style or when,
    /// and not how much somebody likes it.
    moods: &'static [&'static str],
}

const NETWORKS: [Published; 2] = [
    Published {
        name: "musicnn-msd",
        folder: "MSD_musicnn",
        labels: "MSD_LABELS",
        source: "MusiCNN of Pons and Serra (2019), trained on the Million Song Dataset and the 50 most \
                 used tags of Last.fm's listeners; its authors measured a test ROC-AUC of 0.880",
        moods: &[
            "happy",
            "sad",
            "beautiful",
            "Mellow",
            "chill",
            "chillout",
            "ambient",
            "easy listening",
            "party",
            "sexy",
            "catchy",
        ],
    },
    Published {
        name: "musicnn-mtt",
        folder: "MTT_musicnn",
        labels: "MTT_LABELS",
        source: "MusiCNN of Pons and Serra (2019), trained on MagnaTagATune and the 50 most used tags of \
                 its players; its authors measured a test ROC-AUC of 0.907",
        moods: &["slow", "fast", "loud", "quiet", "soft", "ambient", "weird"],
    },
];

/// From which probability on a song counts as having a tag, until somebody measures it for each.
const THRESHOLD: f64 = 0.1;

/// What TensorFlow adds to the variance, and what this program does.
const EPSILONS: [f64; 2] = [1e-3, 1e-5];
/// Banks of the front, and convolutions of the middle.
const FRONT: usize = 5;
const MIDDLE: usize = 3;

impl ImportMusicnn {
    pub fn run(&self) -> Result<std::process::ExitCode> {
        let read = |path: &Path| {
            std::fs::read_to_string(path).map_err(|error| Error::io("read", path, &error))
        };
        let notice = read(&self.package.join("musicnn-0.1.0.dist-info/LICENSE.md"))?;
        let labels = read(&self.package.join("musicnn/configuration.py"))?;
        for Published { name, folder, labels: list, source, moods } in NETWORKS {
            let mut preset = Preset::named("musicnn")?;
            preset.moods = labels_of(&labels, list)?;
            let bundle = Bundle::read(&self.package.join("musicnn").join(folder))?;
            let description = Description {
                normalization: input_norm(&bundle)?,
                moods: Some(
                    preset.moods.iter().filter(|tag| moods.contains(&&***tag)).cloned().collect(),
                ),
                thresholds: Some(vec![Some(THRESHOLD); preset.moods.len()]),
                source: Some(source.to_owned()),
                notice: Some(notice.trim().to_owned()),
                ..Description::untrained(&preset)
            };
            let path = self.out.join(format!("{name}.safetensors"));
            Checkpoint::new(&description, tensors(&bundle)?)?.write(&path)?;
            println!("{}", path.display());
        }
        Ok(std::process::ExitCode::SUCCESS)
    }
}

/// The strings of a list in Python, `NAME = ['one','two', …]`.
fn labels_of(text: &str, name: &str) -> Result<Vec<String>> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.split_once('['));
    let (_, list) = line.ok_or_else(|| Error::input(format!("configuration.py has no {name}")))?;
    let labels = list.split('\'').skip(1).step_by(2);
    Ok(labels.map(str::to_owned).collect())
}

/// The batch norm of the one input channel, as a standardisation.
fn input_norm(bundle: &Bundle) -> Result<Normalization> {
    let [gamma, beta, mean, variance] = bundle.norm(0)?.map(|values| f64::from(values[0]));
    let std = (variance + EPSILONS[0]).sqrt() / gamma;
    Ok(Normalization { mean: mean - beta * std, std, handcrafted: None })
}

/// All tensors by their names here, in PyTorch's layouts.
fn tensors(bundle: &Bundle) -> Result<Vec<(String, Vec<f32>)>> {
    let mut tensors = Vec::new();
    let blocks = (0..FRONT).map(|k| ("front", k)).chain((0..MIDDLE).map(|k| ("middle", k)));
    for (place, (part, k)) in blocks.enumerate() {
        let conv = numbered("conv2d", place);
        let (shape, kernel) = bundle.variable(&format!("{conv}/kernel"))?;
        // [time, frequency or channels, 1, out]
        let [times, others, _, outs] = shape[..] else {
            return Err(Error::input(format!("{conv}/kernel has the shape {shape:?}")));
        };
        // [out, 1, frequency, time] and [out, channels, 1, time] lie alike.
        let name = format!("{part}.{k}");
        let kernel =
            permuted(&kernel, [outs, others, times], |o, i, t| (t * others + i) * outs + o);
        tensors.push((format!("{name}.conv.weight"), kernel));
        tensors.push((format!("{name}.conv.bias"), bundle.values(&format!("{conv}/bias"))?));
        let norm = bundle.norm(place + 1)?;
        tensors.extend(norm_tensors(&format!("{name}.bn"), norm));
    }
    let widths = layout(bundle)?;
    let pooled = 2 * widths.iter().sum::<usize>();
    let places = pooled_places(&widths);
    let norm = bundle.norm(9)?.map(|values| places.iter().map(|&at| values[at]).collect());
    tensors.extend(norm_tensors("back.bn", norm));
    let hidden = bundle.values("dense/bias")?;
    let kernel = bundle.values("dense/kernel")?;
    let units = hidden.len();
    let kernel = permuted(&kernel, [units, pooled, 1], |o, i, _| places[i] * units + o);
    tensors.push(("back.fc0.weight".to_owned(), kernel));
    tensors.push(("back.fc0.bias".to_owned(), hidden));
    tensors.extend(norm_tensors("back.fc0.bn", bundle.norm(10)?));
    let bias = bundle.values("dense_1/bias")?;
    let kernel = bundle.values("dense_1/kernel")?;
    let outputs = bias.len();
    let kernel = permuted(&kernel, [outputs, units, 1], |o, i, _| i * outputs + o);
    tensors.push(("dense.weight".to_owned(), kernel));
    tensors.push(("dense.bias".to_owned(), bias));
    Ok(tensors)
}

/// TensorFlow numbers from the second on.
fn numbered(name: &str, place: usize) -> String {
    if place == 0 { name.to_owned() } else { format!("{name}_{place}") }
}

/// The elements of a tensor of this shape, each from the place that `from` names.
fn permuted(
    values: &[f32],
    [a, b, c]: [usize; 3],
    from: impl Fn(usize, usize, usize) -> usize,
) -> Vec<f32> {
    let from = &from;
    let places = (0..a).flat_map(|x| (0..b).flat_map(move |y| (0..c).map(move |z| from(x, y, z))));
    places.map(|place| values[place]).collect()
}

/// Features of each map that is summarised: the front, then the middle's.
fn layout(bundle: &Bundle) -> Result<Vec<usize>> {
    let channels = |place| Ok(bundle.values(&format!("{}/bias", numbered("conv2d", place)))?.len());
    let front = (0..FRONT).map(channels).sum::<Result<usize>>()?;
    let middle = (FRONT..FRONT + MIDDLE).map(channels);
    std::iter::once(Ok(front)).chain(middle).collect()
}

/// Where the package has each of the pooled numbers. It has maximum and mean of each feature in turn;
/// here the means of a map come first, then its maxima.
fn pooled_places(widths: &[usize]) -> Vec<usize> {
    let mut first = 0;
    let mut places = Vec::new();
    for &width in widths {
        let features = first..first + width;
        places.extend(features.clone().map(|feature| 2 * feature + 1));
        places.extend(features.map(|feature| 2 * feature));
        first += width;
    }
    places
}

/// γ, β, running mean and running variance under their names. The variance takes up what TensorFlow
/// adds to it and this program does not.
fn norm_tensors(
    owner: &str,
    [gamma, beta, mean, variance]: [Vec<f32>; 4],
) -> impl Iterator<Item = (String, Vec<f32>)> {
    let [theirs, ours] = EPSILONS;
    let variance = variance.into_iter().map(|v| (f64::from(v) + theirs - ours) as f32).collect();
    let names = ["weight", "bias", "running_mean", "running_var"];
    let named: Vec<_> = names
        .into_iter()
        .zip([gamma, beta, mean, variance])
        .map(|(what, values)| (format!("{owner}.{what}"), values))
        .collect();
    named.into_iter()
}

/// A variable's shape, and where it lies in the data.
struct Entry {
    shape: Vec<usize>,
    offset: usize,
    size: usize,
}

/// TensorFlow's variables by name.
struct Bundle {
    entries: BTreeMap<String, Entry>,
    data: Vec<u8>,
    folder: PathBuf,
}

impl Bundle {
    fn read(folder: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(|error| Error::io("read", &path, &error))
        };
        let (index, data) = (read(".index")?, read(".data-00000-of-00001")?);
        let entries = entries(&index).ok_or_else(|| {
            Error::input(format!("{}/.index is no table of TensorFlow's", folder.display()))
        })?;
        Ok(Self { entries, data, folder: folder.to_owned() })
    }

    fn variable(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        let missing = || Error::input(format!("{} has no {name}", self.folder.display()));
        let Entry { shape, offset, size } = self.entries.get(name).ok_or_else(missing)?;
        let bytes = self.data.get(*offset..offset + size).ok_or_else(missing)?;
        let values: Vec<f32> =
            bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        match values.len() == shape.iter().product::<usize>() {
            true => Ok((shape.clone(), values)),
            false => Err(missing()),
        }
    }

    fn values(&self, name: &str) -> Result<Vec<f32>> {
        Ok(self.variable(name)?.1)
    }

    /// γ, β, mean and variance of a batch norm.
    fn norm(&self, place: usize) -> Result<[Vec<f32>; 4]> {
        let name = numbered("batch_normalization", place);
        let of = |what: &str| self.values(&format!("{name}/{what}"));
        Ok([of("gamma")?, of("beta")?, of("moving_mean")?, of("moving_variance")?])
    }
}

/// The entries of a table: its footer names the block that names the blocks of entries.
fn entries(table: &[u8]) -> Option<BTreeMap<String, Entry>> {
    let mut footer = table.get(table.len().checked_sub(48)?..)?;
    // The block of metadata is of no interest.
    let _ = [varint(&mut footer)?, varint(&mut footer)?];
    let index = block(table, &mut footer)?;
    let mut entries = BTreeMap::new();
    for (_, handle) in index {
        for (name, value) in block(table, &mut &*handle)? {
            if let (false, Ok(name)) = (name.is_empty(), String::from_utf8(name)) {
                entries.insert(name, entry(&value)?);
            }
        }
    }
    Some(entries)
}

/// Keys and values of the block that a handle names: offset and length.
fn block(table: &[u8], handle: &mut &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let (offset, length) = (varint(handle)? as usize, varint(handle)? as usize);
    let bytes = table.get(offset..offset.checked_add(length)?)?;
    let (body, count) = bytes.split_last_chunk()?;
    // Places at which keys begin anew, for searching.
    let restarts = 4 * u32::from_le_bytes(*count) as usize;
    let mut rest = body.get(..body.len().checked_sub(restarts)?)?;
    let (mut key, mut pairs) = (Vec::new(), Vec::new());
    while !rest.is_empty() {
        let [shared, own, value] =
            [varint(&mut rest)?, varint(&mut rest)?, varint(&mut rest)?].map(|n| n as usize);
        let (suffix, after) = rest.split_at_checked(own)?;
        let (value, after) = after.split_at_checked(value)?;
        key.truncate(shared);
        key.extend_from_slice(suffix);
        pairs.push((key.clone(), value.to_vec()));
        rest = after;
    }
    Some(pairs)
}

/// `BundleEntryProto`: shape in field 2, offset in 4, size in 5.
fn entry(mut message: &[u8]) -> Option<Entry> {
    let mut entry = Entry { shape: Vec::new(), offset: 0, size: 0 };
    while !message.is_empty() {
        match field(&mut message)? {
            (2, Field::Bytes(mut shape)) => {
                while !shape.is_empty() {
                    let (2, Field::Bytes(mut dimension)) = field(&mut shape)? else { continue };
                    let mut size = 0;
                    while !dimension.is_empty() {
                        if let (1, Field::Number(n)) = field(&mut dimension)? {
                            size = n as usize;
                        }
                    }
                    entry.shape.push(size);
                }
            }
            (4, Field::Number(offset)) => entry.offset = offset as usize,
            (5, Field::Number(size)) => entry.size = size as usize,
            _ => {}
        }
    }
    Some(entry)
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The next field of a message of Protocol Buffers.
fn field<'a>(message: &mut &'a [u8]) -> Option<(u64, Field<'a>)> {
    let tag = varint(message)?;
    let mut take = |length: usize| {
        let (bytes, rest) = message.split_at_checked(length)?;
        *message = rest;
        Some(bytes)
    };
    let field = match tag & 7 {
        0 => Field::Number(varint(message)?),
        1 => Field::Bytes(take(8)?),
        2 => {
            let length = varint(message)? as usize;
            let (bytes, rest) = message.split_at_checked(length)?;
            *message = rest;
            Field::Bytes(bytes)
        }
        5 => Field::Bytes(take(4)?),
        _ => return None,
    };
    Some((tag >> 3, field))
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for place in 0..10 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
