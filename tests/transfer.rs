//! Training on top of a built-in model, and what it is asked for besides tags.

use std::path::Path;
use std::process::Output;

use moodshader::model::builtin;
use moodshader::model::checkpoint::Checkpoint;
use tempfile::TempDir;

#[path = "support/tones.rs"]
mod tones;

const RATE: usize = 22_050;

/// A folder with a folder of songs for each of two moods: low ones and high ones, of 5 s and 7 s.
struct Songs(TempDir);

impl Songs {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        for (mood, pitch) in [("high", 0.2), ("low", 0.02)] {
            std::fs::create_dir_all(folder.path().join("songs").join(mood)).expect("there is room");
            for song in 0..5 {
                let path = folder.path().join(format!("songs/{mood}/{song}.wav"));
                let pitch = pitch * (1.0 + 0.05 * song as f32);
                tones::wav(&path, pitch, RATE * (5 + 2 * (song % 2)), song as u32);
            }
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &str) -> Output {
        let mut command = tones::program(self.0.path(), arguments);
        command.env("MOODSHADER_CACHE", self.path("cache"));
        command.env("MOODSHADER_STATE", self.path("state"));
        command.output().expect("the program starts")
    }

    fn ok(&self, arguments: &str) -> [String; 2] {
        let output = self.run(arguments);
        let texts = [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8(bytes).expect("it is text"));
        assert!(output.status.success(), "{arguments}: {}", texts[1]);
        texts
    }

    fn checkpoint(&self, name: &str) -> Checkpoint {
        Checkpoint::read(&self.path(name)).expect("it was written")
    }
}

/// Tensors of a checkpoint that differ from the built-in model's.
fn changed(checkpoint: &Checkpoint) -> Vec<String> {
    let begin = builtin::checkpoint(builtin::DEFAULT).expect("it is built in");
    let differs = |name: &&String| begin.tensors.get(*name) != checkpoint.tensors.get(*name);
    let own = |name: &&String| !name.starts_with("optimizer.");
    checkpoint.tensors.keys().filter(own).filter(differs).cloned().collect()
}

#[test]
fn what_is_trainable_is_trained_and_the_rest_is_kept() {
    let songs = Songs::new();
    let train = "train --init musicnn-msd --data songs --set train.batch=4";
    let [_, told] = songs.ok(&format!("{train} --set train.epochs=3 --out back"));
    assert!(told.contains("all weights but the last layer's are taken"), "{told}");
    songs.ok(&format!("{train} --set train.epochs=3 --set train.trainable=head --out head"));
    let back = changed(&songs.checkpoint("back/best.safetensors"));
    assert!(back.iter().all(|name| name.starts_with("back.") || name.starts_with("dense.")));
    assert!(back.iter().any(|name| name == "back.fc0.weight"), "{back:?}");
    let head = changed(&songs.checkpoint("head/best.safetensors"));
    assert_eq!(head, ["dense.bias", "dense.weight"]);

    // The moods are all tags of the data, and the notice goes along.
    let description = songs.checkpoint("back/best.safetensors").description().expect("it is whole");
    assert_eq!(description.labels, ["high", "low"]);
    assert!(description.notice.expect("it has one").contains("Universitat Pompeu Fabra"));
    // It needs nothing else.
    let [told, _] = songs.ok("predict --model back/best.safetensors songs/low/0.wav --format json");
    assert!(told.contains("\"high\"") && told.contains("\"low\""), "{told}");

    let rate = |name: &str| {
        let description = songs.checkpoint(name).description().expect("it is whole");
        description.preset.train.learning_rate
    };
    assert_eq!([rate("back/best.safetensors"), rate("head/best.safetensors")], [1e-3, 1e-2]);

    // All layers, from spectrograms, for one update.
    songs.ok(&format!(
        "{train} --set train.trainable=all --set audio.windows=1 --max-steps 1 --out all"
    ));
    let all = changed(&songs.checkpoint("all/last.safetensors"));
    assert!(all.iter().any(|name| name == "front.0.conv.weight"), "{all:?}");
    assert_eq!(rate("all/last.safetensors"), 1e-4);
}

#[test]
fn a_checkpoint_lends_its_layers_and_the_songs_say_how_moods_are_told() {
    let songs = Songs::new();
    std::fs::write(songs.path("tiny.toml"), [tones::MODEL, tones::VERTICAL].concat()).unwrap();
    songs.ok("train --config tiny.toml --data songs --moods all --max-steps 1 --out one");
    let rows: String = ["high", "low"]
        .iter()
        .flat_map(|mood| (0..5).map(move |song| format!("songs/{mood}/{song}.wav,{mood}|song\n")))
        .collect();
    std::fs::write(songs.path("both.csv"), format!("path,tags\n{rows}")).unwrap();
    let go_on = "train --init one/last.safetensors --max-steps 1 --data";
    let [_, told] = songs.ok(&format!("{go_on} both.csv --moods all --out two"));
    assert!(told.contains("tracks have several moods"), "{told}");
    songs.ok(&format!("{go_on} songs --out three"));
    let output = |run: &str| songs.checkpoint(run).description().unwrap().preset.model.output;
    let [one, two, three] =
        ["one", "two", "three"].map(|run| output(&format!("{run}/last.safetensors")));
    assert!(one == three && one != two, "{one:?} {two:?} {three:?}");

    // What trained a model is told where it is judged, whichever way it is named.
    let [_, told] = songs.ok(&format!("{go_on} songs --validation both.csv --out four"));
    assert!(
        told.contains("8 of the 10 validation tracks have trained the model of --init"),
        "{told}"
    );
    let [_, told] = songs.ok("evaluate one/last.safetensors both.csv");
    assert!(told.contains("8 of the 10 tracks trained this model"), "{told}");

    // The folder moves, and the run with it.
    std::fs::rename(songs.path("songs"), songs.path("music")).unwrap();
    songs.ok("train --resume one --audio-root music --max-steps 2");
    std::fs::rename(songs.path("music"), songs.path("songs")).unwrap();

    // What calls itself a checkpoint and is damaged is told as that.
    let mut bytes = std::fs::read(songs.path("one/last.safetensors")).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(songs.path("nan.safetensors"), bytes).unwrap();
    for (init, said) in
        [("nan.safetensors", "not finite"), ("musicnn", "musicnn-msd and musicnn-mtt")]
    {
        let output = songs.run(&format!("train --init {init} --data songs --out run"));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && told.contains(said), "{told}");
    }
}

#[test]
fn a_training_on_frozen_layers_resumes_to_the_same_bytes() {
    let songs = Songs::new();
    let train = "train --init musicnn-msd --data songs --set train.batch=4 --set train.epochs=4";
    songs.ok(&format!("{train} --out whole"));
    songs.ok(&format!("{train} --max-steps 3 --out parts"));
    // Even without the cache, whose vectors are made again.
    std::fs::remove_dir_all(songs.path("cache")).expect("it is there");
    songs.ok("train --resume parts");
    for name in ["best.safetensors", "last.safetensors", "metrics.jsonl", "predictions.csv"] {
        let read = |run: &str| std::fs::read(songs.path(run).join(name)).expect("it was written");
        assert!(read("whole") == read("parts"), "{name}");
    }
}

#[test]
fn training_ends_when_it_is_no_better_for_long() {
    let songs = Songs::new();
    let [_, told] = songs.ok(
        "train --init musicnn-msd --data songs --set train.patience=2 --set train.learning_rate=1e-9 \
         --set train.epochs=50 --out run",
    );
    assert!(told.contains("no better for 2 epochs"), "{told}");
    let metrics = std::fs::read_to_string(songs.path("run/metrics.jsonl")).expect("it was written");
    assert!(metrics.lines().count() < 10, "{metrics}");
    let [_, told] = songs.ok("train --resume run");
    assert!(told.contains("finished"), "{told}");
}

#[test]
fn frozen_layers_need_weights() {
    let songs = Songs::new();
    let output = songs.run(
        "train --data songs --moods all --preset musicnn --set train.trainable=head --out run",
    );
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("train.trainable") && told.contains("--init"), "{told}");
    assert!(!songs.path("run").exists());
}

#[test]
fn songs_that_sound_alike_are_found() {
    let songs = Songs::new();
    let ask = "similar songs/low/0.wav --in songs --top 4 --playlist like.m3u8";
    let [told, _] = songs.ok(ask);
    let names: Vec<&str> =
        told.lines().filter_map(|line| line.split_once("  ")).map(|(_, name)| name).collect();
    assert_eq!(names.len(), 4);
    let low = |name: &&&str| Path::new(name).parent().is_some_and(|folder| folder.ends_with("low"));
    assert_eq!(names.iter().filter(low).count(), 4, "{told}");
    let playlist = std::fs::read_to_string(songs.path("like.m3u8")).expect("it was written");
    let listed: Vec<&str> = playlist.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(listed[0], "songs/low/0.wav");
    assert_eq!(listed[1..], names);
    // Asked again, it is told the same.
    assert_eq!(songs.ok(ask)[0], told);

    // Silence, and what is shorter than a clip, sounds like nothing.
    std::fs::create_dir(songs.path("odd")).unwrap();
    let silence = hound::WavSpec {
        channels: 1,
        sample_rate: RATE as u32,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(songs.path("odd/silent.wav"), silence).unwrap();
    (0..5 * RATE).for_each(|_| file.write_sample(0_i16).unwrap());
    file.finalize().unwrap();
    tones::wav(&songs.path("odd/short.wav"), 0.02, RATE, 1);
    let [told, _] = songs.ok("similar songs/low/0.wav --in odd songs/low --top 40");
    assert_eq!(told.lines().count(), 4, "{told}");
    std::fs::write(songs.path("odd/broken.wav"), "RIFF").unwrap();
    let output = songs.run("similar songs/low/0.wav --in odd/broken.wav");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && told.contains("the first that cannot: "), "{told}");
}

#[test]
fn embeddings_are_an_array_and_its_names() {
    let songs = Songs::new();
    songs.ok("embed songs --out songs.npy");
    let bytes = std::fs::read(songs.path("songs.npy")).expect("it was written");
    let header = String::from_utf8_lossy(&bytes[..128]);
    assert!(header.contains("'shape': (10, 200)"), "{header}");
    assert_eq!(bytes.len() % 64, (10 * 200 * 4) % 64);
    let names = std::fs::read_to_string(songs.path("songs.txt")).expect("it was written");
    assert_eq!(names.lines().next(), Some("songs/high/0.wav"));
    assert_eq!(names.lines().count(), 10);
    let output = songs.run("embed songs --out songs.csv");
    assert_eq!(output.status.code(), Some(2));
    std::fs::write(songs.path("notes.txt"), "of mine").expect("there is room");
    let output = songs.run("embed songs --out notes.npy");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && told.contains("notes.txt is in the way"), "{told}");
}

#[test]
fn a_built_in_model_answers_when_none_is_named() {
    let songs = Songs::new();
    let [told, notes] = songs.ok("predict songs/low --top 3 --format text");
    assert!(notes.contains("musicnn-msd") && notes.contains("--model"), "{notes}");
    assert_eq!(told.lines().count(), 5 * 4);
    let [csv, _] = songs.ok("predict songs/low/0.wav --moods-only --format csv");
    let header = csv.lines().next().expect("there is a header");
    assert_eq!(
        header,
        "path,duration,padded,beautiful,chillout,Mellow,chill,ambient,party,easy listening,sexy,catchy,\
         sad,happy,tags"
    );
    // None of its moods is likely of a low tone: the file keeps what it has.
    let before = std::fs::read(songs.path("songs/low/0.wav")).expect("it is there");
    let [_, told] = songs.ok("predict songs/low/0.wav --write-tags --dry-run");
    assert!(told.contains("no mood reaches") || told.contains("would say"), "{told}");
    songs.ok("predict songs/low/0.wav --write-tags");
    let after = std::fs::read(songs.path("songs/low/0.wav")).expect("it is there");
    assert_eq!(before == after, told.contains("no mood reaches"));
    let [info, _] = songs.ok("info --model musicnn-msd");
    assert!(info.contains("Permission to use, copy, modify"), "{info}");
    // Nothing that is called like it changes that.
    std::fs::create_dir(songs.path("musicnn-msd")).expect("there is room");
    songs.ok("predict songs/low/0.wav --model musicnn-msd");
    let output = songs.run("predict --model musicnn-mds songs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("musicnn-msd"), "{told}");
}
