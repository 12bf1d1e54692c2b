//! What commands write never takes the place of what they read, and is tried before the work.

use std::fs;

#[path = "support/trained.rs"]
mod trained;
use trained::Trained;

#[test]
fn no_output_replaces_an_input() {
    let place = Trained::new();
    fs::hard_link(place.path("run/best.safetensors"), place.path("model")).unwrap();
    fs::copy(place.path("run/best.safetensors"), place.path("x.partial")).unwrap();
    fs::copy(place.path("run/best.safetensors"), place.path("run/best.npy")).unwrap();
    fs::create_dir_all(place.path("seeds/seed-1")).unwrap();
    fs::copy(place.path("run/best.safetensors"), place.path("seeds/seed-1/best.safetensors"))
        .unwrap();
    fs::write(place.path("list.txt"), "clip 0.wav\n").unwrap();
    fs::write(place.path("list.m3u8"), "#EXTM3U\nclip 0.wav\n").unwrap();
    fs::create_dir(place.path("folder")).unwrap();
    fs::create_dir(place.path("arrays")).unwrap();
    fs::write(place.path("arrays/recipe.txt"), "").unwrap();
    fs::copy(place.path("clip 0.wav"), place.path("arrays/a.npy")).unwrap();
    fs::copy(place.path("clip 0.wav"), place.path("other.wav")).unwrap();
    let evaluate = "evaluate --model run/best.safetensors --data train.csv --predictions";
    let cases = [
        (format!("{evaluate} train.csv"), "train.csv is an input"),
        (format!("{evaluate} run/../train.csv"), "train.csv is an input"),
        (format!("{evaluate} run/best.safetensors"), "best.safetensors is an input"),
        (format!("{evaluate} model"), "model is an input"),
        // A run is more than its model, and a folder of runs more than one.
        ("evaluate run train.csv --predictions run/best.safetensors".to_owned(), "is an input"),
        ("evaluate run train.csv --predictions run/config.toml".to_owned(), "is an input"),
        ("export run --out run/last.safetensors".to_owned(), "is an input"),
        ("predict -m run folder --report run/best.safetensors".to_owned(), "is an input"),
        (
            "predict -m seeds folder --report seeds/seed-1/best.safetensors".to_owned(),
            "is an input",
        ),
        ("predict -m run --files-from list.txt --report list.txt".to_owned(), "is an input"),
        ("predict -m run list.m3u8 --report list.m3u8".to_owned(), "is an input"),
        ("embed -m run . -o run/best.npy".to_owned(), "is an input"),
        ("evaluate --model x.partial --data train.csv --predictions x".to_owned(), "is an input"),
        (format!("{evaluate} folder"), "not a file"),
        (format!("{evaluate} gone/x.csv"), "its folder has to be there"),
        (format!("{evaluate} train.csv/x.csv"), "its folder has to be there"),
        ("export --model run/best.safetensors --out model".to_owned(), "model is an input"),
        ("export --model run/best.safetensors --out gone/x.onnx".to_owned(), "folder"),
        ("features arrays/a.npy --out arrays --preset demo".to_owned(), "a.npy is an input"),
        // Music that no input is, a list of one's own, a folder with something in it.
        (format!("{evaluate} list.txt"), "holds something else"),
        ("synth --out arrays --clips 1".to_owned(), "holds other files"),
        (format!("{evaluate} other.wav"), "other.wav is music (WAV)"),
        ("export --model model --out other.wav".to_owned(), "other.wav is music (WAV)"),
        ("verify --filter relu --report other.wav".to_owned(), "other.wav is music (WAV)"),
        ("predict --model model folder --report other.wav".to_owned(), "other.wav is music (WAV)"),
        ("predict --model model folder --report train.csv".to_owned(), "and is no page"),
        (
            "predict --model model --playlist dark --playlist-out train.csv/x folder".to_owned(),
            "--playlist-out: cannot make train.csv/x",
        ),
    ];
    let bytes = |name: &str| fs::read(place.path(name)).unwrap();
    let read = [
        "other.wav",
        "train.csv",
        "run/best.safetensors",
        "x.partial",
        "arrays/a.npy",
        "list.txt",
        "list.m3u8",
    ];
    let before = read.map(bytes);
    for (arguments, cause) in cases {
        let (code, out, err) = place.run(&arguments);
        assert_eq!(code, 2, "{arguments}: {err}");
        // Before anything was opened or computed.
        assert!(err.contains(cause) && !err.contains("device:"), "{arguments}: {err}");
        assert!(out.is_empty(), "{arguments}: {out}");
        assert!(before == read.map(bytes), "{arguments}");
    }
    // An audio file of the manifest, whose name has a blank.
    fs::write(place.path("one.csv"), "path,tags\na.wav,dark\n").unwrap();
    fs::copy(place.path("clip 1.wav"), place.path("a.wav")).unwrap();
    let arguments = "evaluate --model model --data one.csv --predictions a.wav";
    let (code, _, err) = place.run(arguments);
    assert!(code == 2 && err.contains("a.wav is an input"), "{err}");
    // What is no input may be replaced.
    for _ in 0..2 {
        place.ok(&format!("{evaluate} again.csv"));
    }
    assert!(!place.path("again.csv.partial").exists());
}
