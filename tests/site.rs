//! `export --web`: a site that says everything that is to be replayed, and computes in a browser what the
//! program computes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use moodshader::Tagger;
use moodshader::dataset::features::{Extractor, FeatureRecipe};
use moodshader::model::checkpoint::{
    Checkpoint, Description, HandcraftedNormalization, Normalization,
};
use moodshader::model::parameters::{
    buffer_shapes, initialise, initialise_buffers, parameter_shapes,
};
use moodshader::model::preset::Preset;
use moodshader::site::{Options, Precision, write};
use serde_json::Value;

#[path = "support/browser.rs"]
mod browser;
#[path = "support/place.rs"]
mod place;
#[path = "support/mod.rs"]
mod support;

use browser::probed;
use place::Place;

const FULL: Options = Options { precision: Precision::Float32, verification: false };

/// An untrained checkpoint of a preset.
fn checkpoint(preset: &Preset) -> Checkpoint {
    let handcrafted = preset.model.handcrafted.as_ref();
    let six = HandcraftedNormalization { mean: [0.1; 6], std: [2.0; 6] };
    let normalization =
        Normalization { mean: -40.0, std: 20.0, handcrafted: handcrafted.map(|_| six) };
    let description = Description { normalization, ..Description::untrained(preset) };
    let mut tensors = initialise(preset, 3);
    tensors.extend(initialise_buffers(preset));
    Checkpoint::new(&description, tensors).unwrap()
}

fn plan(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("plan.json")).unwrap()).unwrap()
}

fn weights(folder: &Path) -> Vec<u8> {
    fs::read(folder.join(plan(folder)["weights"]["file"].as_str().unwrap())).unwrap()
}

/// Every file below a folder but the plan, as its plan would list it.
fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    found.insert(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
    }
    found.remove("plan.json");
    found
}

fn listed(folder: &Path) -> BTreeSet<String> {
    items(&plan(folder)["files"]).iter().map(|file| file.as_str().unwrap().to_owned()).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no whole number"))
}

fn items(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

/// A range lies in its buffer, where a binding may begin.
fn holds(buffers: &[Value], range: &Value) {
    let bytes = number(&buffers[number(&range["buffer"]) as usize]["bytes"]);
    let (offset, size) = (number(&range["offset"]), number(&range["size"]));
    assert!(size > 0 && offset + size <= bytes, "{range} in {bytes} bytes");
}

#[test]
fn every_preset_becomes_a_site_that_is_whole() {
    for name in Preset::names() {
        let folder = tempfile::tempdir().unwrap();
        let preset = Preset::named(name).unwrap();
        let site = folder.path().join("a/site");
        let size = write(&site, name, &checkpoint(&preset), FULL, |_, _| {}).unwrap();
        assert!(size.page < 300_000, "{name}: {} bytes beside the weights", size.page);
        let plan = plan(&site);
        assert_eq!(plan["model"]["outputs"].as_array().unwrap().len(), preset.moods.len());
        let weights = weights(&site);
        assert_eq!(
            (weights.len() as u64, size.weights),
            (number(&plan["weights"]["bytes"]), weights.len())
        );
        let mut launched = BTreeSet::new();
        for part in ["features", "prediction"] {
            let buffers = items(&plan[part]["buffers"]);
            for content in items(&plan[part]["contents"]) {
                holds(buffers, content);
                let shape = items(&content["shape"]).iter().map(number).product::<u64>();
                assert_eq!(4 * shape, number(&content["size"]), "{content}");
                assert!(number(&content["at"]) + 4 * shape <= weights.len() as u64, "{content}");
            }
            let programs = items(&plan[part]["programs"]);
            let clips: Vec<u64> =
                programs.iter().map(|program| number(&program["clips"])).collect();
            assert!(
                clips.is_sorted_by(|a, b| a > b) && clips.last() == Some(&1),
                "{name}: {clips:?}"
            );
            for program in programs {
                for ends in ["inputs", "outputs"] {
                    let ends = program[ends].as_object().unwrap();
                    assert!(!ends.is_empty());
                    ends.values().for_each(|range| holds(buffers, range));
                }
                for step in items(&program["steps"]) {
                    assert!(
                        items(&step["workgroups"]).iter().all(|n| (1..65536).contains(&number(n)))
                    );
                    for binding in items(&step["bindings"]) {
                        holds(buffers, binding);
                        assert_eq!(number(&binding["offset"]) % 256, 0, "{binding}");
                        assert!(number(&binding["size"]) <= 128 << 20, "{binding}");
                        let uniform = binding["access"] == "uniform";
                        assert!(!uniform || number(&binding["size"]) == 65536, "{binding}");
                    }
                    launched.insert(step["shader"].as_str().unwrap().to_owned());
                }
            }
        }
        let shaders = plan["shaders"].as_object().unwrap();
        assert_eq!(shaders.keys().cloned().collect::<BTreeSet<_>>(), launched, "{name}");
        for path in shaders.values() {
            assert!(
                fs::read_to_string(site.join(path.as_str().unwrap())).unwrap().contains("@compute")
            );
        }
        let data = fs::read_to_string(site.join("data.js")).unwrap();
        let data = data
            .strip_prefix("var MOODSHADER_DATA = ")
            .unwrap()
            .trim_end()
            .strip_suffix(';')
            .unwrap();
        assert_eq!(serde_json::from_str::<Value>(data).unwrap()["plan"], plan);
    }
}

#[test]
fn float16_halves_the_trained_tensors_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let model = checkpoint(&Preset::named("demo").unwrap());
    let [full, half] = [Precision::Float32, Precision::Float16].map(|precision| {
        let site = folder.path().join(format!("{precision:?}"));
        let options = Options { precision, verification: false };
        write(&site, "demo", &model, options, |_, _| {}).unwrap();
        (plan(&site), weights(&site))
    });
    let mut halved = 0;
    for (a, b) in items(&full.0["prediction"]["contents"])
        .iter()
        .zip(items(&half.0["prediction"]["contents"]))
    {
        assert_eq!(a["name"], b["name"]);
        if b["type"] != "float16" {
            assert!(
                a["type"] != "float32" || a["name"].as_str().unwrap().contains("running"),
                "{a}"
            );
            continue;
        }
        halved += 1;
        let [at, from] = [number(&a["at"]), number(&b["at"])].map(|at| at as usize);
        for index in 0..number(&a["size"]) as usize / 4 {
            let exact = f32::from_le_bytes(full.1[at + 4 * index..][..4].try_into().unwrap());
            let short =
                half::f16::from_le_bytes(half.1[from + 2 * index..][..2].try_into().unwrap());
            // Eleven bits, and a last one below the smallest normal number.
            let bound = (exact.abs() / 2048.0).max(2.0_f32.powi(-25));
            assert!((short.to_f32() - exact).abs() <= bound, "{}: {exact} {short}", a["name"]);
        }
    }
    assert!(halved > 5);
}

#[test]
fn a_site_is_replaced_and_nothing_else_is() {
    let place = Place::new();
    let (out, told) = place.ok("export --web site");
    assert_eq!(out.trim(), "site/index.html");
    assert!(told.contains("python3 -m http.server"), "{told}");
    let site = place.path("site");
    assert_eq!(plan(&site)["model"]["name"], "musicnn-msd");
    let licence = plan(&site)["model"]["licence"].as_str().unwrap().to_owned();
    assert!(fs::read_to_string(site.join(licence)).unwrap().contains("Permission to use, copy"));
    let first = listed(&site);
    assert_eq!(files(&site), first);
    // Somebody's own file in it.
    fs::write(site.join("shaders/notes.txt"), "mine").unwrap();
    place.ok("export --web site musicnn-mtt");
    assert_eq!(plan(&site)["model"]["name"], "musicnn-mtt");
    let mut second = listed(&site);
    assert_ne!(first, second);
    second.insert("shaders/notes.txt".to_owned());
    assert_eq!(files(&site), second);

    fs::create_dir(place.path("music")).unwrap();
    fs::write(place.path("music/song.mp3"), "song").unwrap();
    // Another program's plan.
    fs::create_dir(place.path("cloud")).unwrap();
    fs::write(place.path("cloud/plan.json"), r#"{"format_version": "1.2"}"#).unwrap();
    for (arguments, reason) in [
        ("export --web music", "music is not empty and no site"),
        ("export --web music/song.mp3", "name a folder"),
        ("export --web cloud", "cloud is not empty and no site"),
        ("export", "MODEL"),
        ("export musicnn-msd", "--out"),
        ("export --web new gone.safetensors", "gone.safetensors"),
        ("export musicnn-msd --out m.onnx --float16", "--web"),
    ] {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(reason), "{arguments}: {told}");
    }
    assert_eq!(fs::read_dir(place.path("music")).unwrap().count(), 1);
    assert!(!place.path("new").exists());
}

/// A disk that is full, or a kill: whatever is written of the new site, the old one's plan finds its own files.
#[test]
fn a_site_that_cannot_be_finished_leaves_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().join("site");
    let [model, other] = ["musicnn-msd", "musicnn-mtt"]
        .map(|name| moodshader::model::builtin::checkpoint(name).unwrap());
    write(&site, "first", &model, FULL, |_, _| {}).unwrap();
    let (before, heard) = (plan(&site), weights(&site));
    fs::remove_file(site.join("data.js")).unwrap();
    fs::create_dir(site.join("data.js")).unwrap();
    write(&site, "second", &other, FULL, |_, _| {}).unwrap_err();
    assert_eq!(plan(&site), before);
    assert_eq!(weights(&site), heard);

    fs::remove_dir(site.join("data.js")).unwrap();
    write(&site, "second", &other, FULL, |_, _| {}).unwrap();
    assert_eq!(files(&site), listed(&site));

    // The very first one.
    let site = folder.path().join("new");
    fs::create_dir_all(site.join("data.js")).unwrap();
    let unfinished = r#"{"format": "moodshader site", "version": 1, "unfinished": true}"#;
    fs::write(site.join("plan.json"), unfinished).unwrap();
    write(&site, "first", &model, FULL, |_, _| {}).unwrap_err();
    fs::remove_dir(site.join("data.js")).unwrap();
    write(&site, "first", &model, FULL, |_, _| {}).unwrap();
    assert_eq!(plan(&site)["model"]["name"], "first");
}

const SOFTWARE_WEBGPU: [&str; 3] =
    ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"];

/// Gives the page a file as a person would, and waits for its moods.
const HEAR: &str = r#"
const response = await fetch("song.wav");
const file = new File([await response.arrayBuffer()], "song.wav", { type: "audio/wav" });
const transfer = new DataTransfer();
transfer.items.add(file);
const input = document.querySelector("input[type=file]");
input.files = transfer.files;
input.dispatchEvent(new Event("change", { bubbles: true }));
while (document.body.dataset.state !== "done") await new Promise(wait => setTimeout(wait, 50));
const [result] = moodshader.results;
const clips = result.clips.map(clip => ({ ...clip, probabilities: Array.from(clip.probabilities) }));
return { ...result, probabilities: Array.from(result.probabilities), clips, logMel: Array.from(result.logMel) };
"#;

/// Seven seconds of noise that swells over two tones, in floats: of 16 bits, Chromium divides positive
/// samples by 32767 and negative ones by 32768.
fn song(path: &Path, rate: u32) {
    let mut state = 1_u32;
    let samples = (0..7 * rate).map(|n| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (state >> 16) as f32 / 32768.0 - 1.0;
        let time = n as f32 / rate as f32;
        let tones = (2764.6 * time).sin() + (1381.2 * time).sin();
        0.2 * tones + 0.05 * time * noise
    });
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for sample in samples {
        writer.write_sample(sample).unwrap();
    }
    writer.finalize().unwrap();
}

/// The checkpoint with its trained tensors as float16 has them.
fn rounded(model: &Checkpoint) -> Checkpoint {
    let description = model.description().unwrap();
    let mut shapes = parameter_shapes(&description.preset);
    let mut tensors = model.values(&shapes).unwrap();
    for value in tensors.iter_mut().flat_map(|(_, values)| values) {
        *value = half::f16::from_f32(*value).to_f32();
    }
    shapes = buffer_shapes(&description.preset);
    tensors.extend(model.values(&shapes).unwrap());
    Checkpoint::new(&description, tensors).unwrap()
}

fn floats(value: &Value) -> Vec<f32> {
    items(value).iter().map(|number| number.as_f64().unwrap_or(f64::NAN) as f32).collect()
}

#[test]
#[ignore = "needs Chromium; `cargo xtask test` installs and runs it"]
fn a_browser_computes_what_the_program_computes() {
    let mut small = Preset::named("paper-handcrafted").unwrap();
    small.set("audio.clip_seconds", "2").unwrap();
    let built_in = moodshader::model::builtin::checkpoint("musicnn-msd").unwrap();
    let [full, short] = [Precision::Float32, Precision::Float16];
    for (model, precision) in [(built_in, full), (checkpoint(&small), short)] {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path().join("site");
        let options = Options { precision, verification: false };
        write(&site, "a model", &model, options, |_, _| {}).unwrap();
        let model = if precision == short { rounded(&model) } else { model };
        let preset = model.description().unwrap().preset;
        let rate = preset.audio.sample_rate;
        let path = folder.path().join("song.wav");
        song(&path, rate);
        let heard = probed(&[&site, folder.path()], "index.html", &SOFTWARE_WEBGPU, HEAR);

        let device = support::device();
        let mut tagger = Tagger::new(&model, &device).unwrap();
        let expected = tagger.predict_file(&path).unwrap();
        let close = |got: &Value, want: &[f32]| {
            let got = floats(got);
            assert_eq!(got.len(), want.len());
            for (got, want) in got.iter().zip(want) {
                assert!((got - want).abs() < 1e-4, "{got} {want}");
            }
        };
        close(&heard["probabilities"], expected.moods.probabilities());
        assert_eq!(items(&heard["clips"]).len(), expected.timeline.len());
        for (clip, span) in items(&heard["clips"]).iter().zip(&expected.timeline) {
            close(&clip["probabilities"], span.moods.probabilities());
            for (name, want) in [("start", span.start), ("end", span.end)] {
                assert!((clip[name].as_f64().unwrap() - want).abs() < 1e-9, "{clip} {want}");
            }
        }

        let recipe = FeatureRecipe::of(&preset);
        let log_mel = floats(&heard["logMel"]);
        assert_eq!(log_mel.len(), expected.timeline.len() * recipe.log_mel_size());
        let mut extractor = Extractor::new(&device, recipe).unwrap();
        let clips = moodshader::audio::AudioFile::open(&path, rate);
        let clips: Vec<_> = clips
            .unwrap()
            .clips(recipe.cut(), None)
            .unwrap()
            .map(|clip| clip.unwrap().1.samples)
            .collect();
        let clips: Vec<&[f32]> = clips.iter().map(Vec::as_slice).collect();
        let features = extractor.extract(&clips).unwrap();
        let expected = features.iter().flat_map(|clip| &clip.log_mel);
        for (got, want) in log_mel.iter().zip(expected) {
            // For 2048 samples a software adapter has a transform of its own, whose rounding is another: in
            // quiet bands it shows. The program keeps within 0.01 dB of librosa's.
            assert!((got - want).abs() < 5e-3, "{got} {want} dB");
        }
    }
}

#[test]
#[ignore = "needs Chromium; `cargo xtask test` installs and runs it"]
fn every_kernel_is_verified_in_a_browser() {
    let place = Place::new();
    place.ok("export --web site --verification");
    let probe = r#"
        while (document.body.dataset.state !== "done") await new Promise(wait => setTimeout(wait, 100));
        return moodshader.verification;
    "#;
    let cases = probed(&[&place.path("site")], "verification.html", &SOFTWARE_WEBGPU, probe);
    let exported = fs::read(place.path("site/verification/cases.json")).unwrap();
    let exported: Value = serde_json::from_slice(&exported).unwrap();
    assert_eq!(items(&cases).len(), items(&exported["cases"]).len());
    let failed: Vec<_> = items(&cases).iter().filter(|case| case["passed"] != true).collect();
    assert!(failed.is_empty(), "{failed:?}");
}
