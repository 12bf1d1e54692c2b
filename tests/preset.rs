//! What a preset's author notices: defaults, `--set`, messages, limits and derived sizes.

use moodshader::model::Graph;
use moodshader::model::outline::outline;
use moodshader::model::parameters::parameter_shapes;
use moodshader::model::preset::{Handcrafted, Loss, Output, Preset, Rnn, Summary};

fn paper() -> Preset {
    Preset::named("paper").unwrap()
}

fn parse_error(text: &str) -> String {
    Preset::from_toml(text, "mine.toml").unwrap_err().to_string()
}

/// The message of `validate` after `change`.
fn refused(change: impl FnOnce(&mut Preset)) -> String {
    let mut preset = paper();
    change(&mut preset);
    preset.validate().unwrap_err().to_string()
}

fn assert_has(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

#[test]
fn paper_is_the_study() {
    let paper = paper();
    paper.validate().unwrap();
    assert_eq!(paper.moods.len(), 10);
    assert_eq!((paper.moods[0].as_str(), paper.moods[9].as_str()), ("happy", "love"));
    assert_eq!((paper.clip_samples(), paper.frames()), (661_500, 1292));
    let [horizontal, vertical] = &paper.model.branch[..] else { panic!("two branches") };
    let shapes = parameter_shapes(&paper);
    let (columns, head) = outline(&Graph::of(&paper).unwrap());
    // Input channels, and the output of each block.
    let walk = |branch: &str, at: usize| -> Vec<(usize, Vec<usize>)> {
        let weights = shapes.iter().filter(|(name, _)| {
            name.starts_with(&format!("{branch}.blocks")) && name.ends_with("conv.weight")
        });
        let outputs = columns[at].lines.iter().map(|line| line.output.clone());
        weights.map(|(_, shape)| shape[1]).zip(outputs).collect()
    };
    assert_eq!(
        walk(&horizontal.name, 0),
        [
            (1, vec![16, 64, 646]),
            (16, vec![16, 32, 323]),
            (16, vec![32, 16, 161]),
            (32, vec![32, 8, 80]),
            (32, vec![64, 4, 40]),
            (64, vec![64, 2, 20]),
            (64, vec![64, 2, 20])
        ]
    );
    assert_eq!(
        walk(&vertical.name, 1),
        [
            (1, vec![16, 32, 323]),
            (16, vec![32, 8, 80]),
            (32, vec![64, 2, 20]),
            (64, vec![64, 2, 20])
        ]
    );
    for (column, branch) in columns.iter().zip([horizontal, vertical]) {
        let [.., sequence, last] = &column.lines[..] else { panic!("two LSTMs") };
        assert_eq!((&sequence.output[..], &last.output[..]), (&[20, 256][..], &[64][..]));
        let first = format!("{}.lstm0.weight_ih_l0", branch.name);
        let features = shapes.iter().find(|(name, _)| *name == first).map(|(_, shape)| shape[1]);
        assert_eq!(features, Some(128));
    }
    assert_eq!(head.lines[0].output, [128]);
}

/// How many numbers the head reads.
fn head_features(preset: &Preset) -> usize {
    let (_, head) = outline(&Graph::of(preset).unwrap());
    head.lines[0].output[0]
}

#[test]
fn demo_is_paper_on_short_clips() {
    let demo = Preset::named("demo").unwrap();
    demo.validate().unwrap();
    assert_eq!(demo.model, paper().model);
    assert_eq!(demo.features, paper().features);
    assert_eq!(demo.frames(), 130);
    let (columns, _) = outline(&Graph::of(&demo).unwrap());
    for column in &columns {
        let [.., block, sequence, _] = &column.lines[..] else { panic!("two LSTMs") };
        assert_eq!((&block.output[..], &sequence.output[..]), (&[64, 2, 2][..], &[2, 256][..]));
    }
}

#[test]
fn paper_averaged_is_paper_but_for_the_averages() {
    let mut averaged = Preset::named("paper-averaged").unwrap();
    averaged.validate().unwrap();
    assert_eq!(averaged.train.average_epochs.take(), Some(2.0));
    assert_eq!(averaged, paper());
}

#[test]
fn the_loss_follows_the_output() {
    let sigmoid = Preset::named("paper-sigmoid").unwrap();
    sigmoid.validate().unwrap();
    assert_eq!((sigmoid.model.output, sigmoid.train.loss), (Output::Sigmoid, Loss::SigmoidBce));
    let mut preset = paper();
    preset.set("model.output", "sigmoid").unwrap();
    assert_eq!(preset, sigmoid);
    // A loss that is asked for is kept, to be refused.
    preset.set("train.loss", "softmax_bce").unwrap();
    assert_has(&preset.validate().unwrap_err().to_string(), &["train.loss", "sigmoid_bce"]);
    let text = "[model]\noutput = \"sigmoid\"\n[train]\nloss = \"softmax_bce\"\n";
    assert!(Preset::from_toml(text, "mine.toml").unwrap().validate().is_err());
    // One mood suffices where moods do not share.
    preset.set("train.loss", "sigmoid_bce").unwrap();
    preset.moods.truncate(1);
    preset.validate().unwrap();
}

#[test]
fn unknown_preset_lists_the_known_ones() {
    let message = Preset::named("dmo").unwrap_err().to_string();
    assert_has(&message, &["`dmo`", "there are demo, ", "paper-sigmoid", "cnn"]);
}

#[test]
fn a_key_left_out_takes_papers_value() {
    let preset = Preset::from_toml("[train]\nbatch = 4\n", "mine.toml").unwrap();
    let mut expected = paper();
    expected.train.batch = 4;
    assert_eq!(preset, expected);
}

#[test]
fn a_file_with_a_branch_has_only_its_own() {
    let text = r#"
        [[model.branch]]
        name = "tall"
        kernel = [3, 1]
        channels = [8, 8]
        pool = [4, 4]
        lstm = [16]
    "#;
    let preset = Preset::from_toml(text, "mine.toml").unwrap();
    preset.validate().unwrap();
    assert_eq!(preset.model.branch.len(), 1);
    assert_eq!(preset.model.branch[0].name, "tall");
    assert_eq!(head_features(&preset), 32);
    let incomplete = parse_error("[[model.branch]]\nname = \"tall\"\n");
    assert_has(&incomplete, &["mine.toml", "kernel"]);
}

#[test]
fn an_rnn_stands_in_place_of_the_branches() {
    let preset = Preset::from_toml("[model.rnn]\nlstm = [128, 64, 32]\n", "mine.toml").unwrap();
    assert!(preset.model.branch.is_empty());
    assert_eq!(head_features(&preset), 64);
}

#[test]
fn a_misspelt_key_is_named_with_the_nearest() {
    for (text, key, nearest) in [
        ("[train]\nbacth = 4", "`train.bacth`", "`train.batch`"),
        ("batch = 4", "`batch`", "`train.batch`"),
        ("[trian]\nbatch = 4", "`trian`", "`train`"),
        ("[model]\nsample_rate = 1", "`model.sample_rate`", "`audio.sample_rate`"),
    ] {
        assert_has(&parse_error(text), &["mine.toml", key, nearest]);
    }
    let two = format!("{}[[model.branch]]\nlsmt = [3]\n", "[[model.branch]]\nname = \"a\"\n");
    assert_has(&parse_error(&two), &["`model.branch.1.lsmt`", "`model.branch.1.lstm`"]);
}

#[test]
fn a_wrong_type_is_named_with_its_key() {
    assert_has(&parse_error("[train]\nbatch = \"many\""), &["mine.toml", "many", "train.batch"]);
    assert_has(&parse_error("[train]\nbatch = -1"), &["-1", "train.batch"]);
    assert_has(&parse_error("[train]\nloss = \"bce\""), &["bce", "softmax_bce", "train.loss"]);
    assert_has(&parse_error("train = 3"), &["mine.toml", "`train` is a table", "integer"]);
    assert_has(&parse_error("[model]\nbranch = 3"), &["[[model.branch]]", "integer"]);
    assert_has(&parse_error("[train]\nshuffle = 1"), &["true or false", "train.shuffle"]);
    assert_has(&parse_error("[[model.branch]]\nkernel = [3]"), &["mine.toml", "kernel"]);
    assert_has(&parse_error("[train\nbatch = 4"), &["mine.toml", "line 1"]);
}

#[test]
fn a_missing_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.toml");
    assert_has(&Preset::from_file(&path).unwrap_err().to_string(), &["none.toml"]);
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert_has(&Preset::from_file(&path).unwrap_err().to_string(), &["none.toml", "UTF-8"]);
}

#[test]
fn set_takes_toml_values_and_words() {
    let mut preset = paper();
    for (key, value) in [
        ("train.batch", "16"),
        ("train.shuffle", "false"),
        ("train.learning_rate", "1"),
        ("train.decay_updates", "1"),
        ("model.dropout", "0"),
        ("model.output", "sigmoid"),
        ("model.branch.1.lstm", "[]"),
        ("model.branch.1.summary", "mean_max"),
        ("model.handcrafted.hidden", "[32, 32]"),
        ("moods", r#"["calm", "wild"]"#),
    ] {
        preset.set(key, value).unwrap();
    }
    assert_eq!(preset.train.batch, 16);
    assert!(!preset.train.shuffle);
    assert_eq!(preset.train.learning_rate, 1.0);
    assert_eq!(preset.train.decay_updates, Some(1));
    assert_eq!(preset.model.dropout, 0.0);
    assert_eq!((preset.model.output, preset.train.loss), (Output::Sigmoid, Loss::SigmoidBce));
    assert_eq!(preset.model.branch[0].lstm, [128, 32]);
    assert!(preset.model.branch[1].lstm.is_empty());
    assert_eq!(preset.model.branch[1].summary, Some(Summary::MeanMax));
    assert_eq!(preset.model.handcrafted, Some(Handcrafted { hidden: vec![32, 32], rolloff: 0.85 }));
    assert_eq!(preset.moods, ["calm", "wild"]);
    // 64 from the LSTMs, mean and maximum of 64 × 2, 32 hand-crafted.
    assert_eq!(head_features(&preset), 64 + 256 + 32);
}

#[test]
fn set_refuses_what_it_does_not_know_and_changes_nothing() {
    let mut preset = paper();
    for (key, value, parts) in [
        ("train.bacth", "16", vec!["`train.bacth`", "`train.batch`"]),
        ("train.batch.size", "16", vec!["`train.batch.size`"]),
        ("", "16", vec!["unknown key"]),
        (
            "model.branch.2.lstm",
            "[3]",
            vec!["model.branch.2.lstm", "model.branch.0 to model.branch.1"],
        ),
        ("model.branch.lstm", "[3]", vec!["model.branch.lstm", "model.branch.0"]),
        ("model.branch.1", "3", vec!["model.branch.1"]),
        ("model.branch.1.lsmt", "[3]", vec!["`model.branch.1.lstm`"]),
        ("train.batch", "many", vec!["train.batch", "many"]),
        ("train.batch", "16\n[model]", vec!["train.batch"]),
        ("model.handcrafted", "{ hiden = [3] }", vec!["model.handcrafted.hidden"]),
    ] {
        assert_has(&preset.set(key, value).unwrap_err().to_string(), &parts);
        assert_eq!(preset, paper());
    }
}

#[test]
fn written_presets_read_back_equal() {
    let mut odd = paper();
    odd.train.learning_rate = 0.1 + 0.2;
    odd.train.epsilon = f64::MIN_POSITIVE;
    odd.train.decay_updates = Some(7);
    odd.moods[0] = "\"quoted\" = [é]".to_string();
    odd.model.branch[0].lstm.clear();
    odd.model.branch[0].summary = Some(Summary::MeanMax);
    odd.model.handcrafted = Some(Handcrafted { hidden: vec![32], rolloff: 0.85 });
    let mut rnn = paper();
    rnn.model.branch.clear();
    rnn.model.rnn = Some(Rnn { lstm: vec![128, 64, 32] });
    for preset in [paper(), Preset::named("demo").unwrap(), odd, rnn] {
        let text = preset.to_toml().unwrap();
        let read = Preset::from_toml(&text, "written").unwrap();
        assert_eq!(read, preset);
        assert_eq!(read.to_toml().unwrap(), text);
    }
}

#[test]
fn presets_that_cannot_work_are_refused_with_key_and_reason() {
    let cases: Vec<(String, Vec<&str>)> = vec![
        (refused(|p| p.moods.clear()), vec!["moods", "none"]),
        (refused(|p| p.moods.truncate(1)), vec!["moods = happy", "always 1"]),
        (refused(|p| p.moods[1] = "happy".into()), vec!["moods = happy", "twice"]),
        (refused(|p| p.moods[1] = String::new()), vec!["moods = \"\""]),
        (refused(|p| p.audio.sample_rate = 0), vec!["audio.sample_rate = 0"]),
        (refused(|p| p.audio.sample_rate = 16_000), vec!["features.fmax = 11025", "8000"]),
        (refused(|p| p.audio.clip_seconds = f64::NAN), vec!["audio.clip_seconds = NaN"]),
        (refused(|p| p.audio.clip_seconds = 0.05), vec!["audio.clip_seconds", "1103", "2048"]),
        (refused(|p| p.features.n_fft = 2000), vec!["features.n_fft = 2000", "power of two"]),
        (refused(|p| p.features.n_fft = 8192), vec!["features.n_fft = 8192", "4096"]),
        (refused(|p| p.features.n_fft = 32), vec!["features.n_fft = 32", "64"]),
        (refused(|p| p.features.hop = 0), vec!["features.hop = 0"]),
        (refused(|p| p.features.mels = 0), vec!["features.mels = 0"]),
        (refused(|p| p.features.fmin = 12e3), vec!["features.fmin = 12000", "11025"]),
        (refused(|p| p.features.fmax = 11_026.0), vec!["features.fmax = 11026"]),
        (refused(|p| p.features.top_db = f64::INFINITY), vec!["features.top_db"]),
        (refused(|p| p.model.dropout = 1.0), vec!["model.dropout = 1"]),
        (refused(|p| p.model.branch.clear()), vec!["model.branch"]),
        (refused(|p| p.model.branch[1].name = "horizontal".into()), vec!["model.branch.1.name"]),
        (refused(|p| p.model.branch[1].name = "a.b".into()), vec!["model.branch.1.name", "a.b"]),
        (refused(|p| p.model.branch[1].name = "dense".into()), vec!["model.branch.1.name"]),
        (
            refused(|p| p.model.branch[0].kernel = [33, 33]),
            vec!["branch.0.channels", "[33, 33]", "smaller kernel"],
        ),
        (refused(|p| p.model.branch[0].lstm[0] = 257), vec!["branch.0.lstm", "257", "256"]),
        (
            refused(|p| p.model.branch[0].kernel = [1, 8]),
            vec!["model.branch.0.kernel", "[1, 8]", "odd"],
        ),
        (refused(|p| p.model.branch[0].kernel = [0, 9]), vec!["model.branch.0.kernel"]),
        (refused(|p| p.model.branch[0].channels[2] = 0), vec!["model.branch.0.channels = 0"]),
        (refused(|p| p.model.branch[0].channels.clear()), vec!["model.branch.0.channels"]),
        (refused(|p| p.model.branch[0].pool = [0, 2]), vec!["model.branch.0.pool"]),
        (
            refused(|p| p.model.branch[1].pool = [8, 4]),
            vec!["model.branch.1.pool = [8, 4]", "vertical", "block 2", "no band", "2 / 8"],
        ),
        (
            refused(|p| p.audio.clip_seconds = 1.0),
            vec!["model.branch.0.pool = [2, 2]", "horizontal", "block 5", "no step", "1 / 2"],
        ),
        (refused(|p| p.model.branch[0].lstm[1] = 0), vec!["model.branch.0.lstm = 0"]),
        (refused(|p| p.model.branch[0].lstm.clear()), vec!["model.branch.0.lstm", "summary"]),
        (
            refused(|p| p.model.branch[0].summary = Some(Summary::MeanMax)),
            vec!["model.branch.0.summary", "lstm = []"],
        ),
        (refused(|p| p.model.rnn = Some(Rnn { lstm: vec![3] })), vec!["model.rnn", "branch"]),
        (
            refused(|p| {
                p.model.branch.clear();
                p.model.rnn = Some(Rnn { lstm: vec![300] });
            }),
            vec!["model.rnn.lstm = 300", "256"],
        ),
        (
            refused(|p| p.model.handcrafted = Some(Handcrafted { hidden: vec![], rolloff: 0.85 })),
            vec!["model.handcrafted.hidden = []"],
        ),
        (
            refused(|p| p.model.handcrafted = Some(Handcrafted { hidden: vec![3], rolloff: 1.0 })),
            vec!["model.handcrafted.rolloff = 1"],
        ),
        (
            refused(|p| {
                p.model.handcrafted = Some(Handcrafted { hidden: vec![3], rolloff: 0.85 });
                p.audio.windows = Some(2);
            }),
            vec!["audio.windows = 2", "goes without [model.handcrafted]"],
        ),
        (refused(|p| p.train.epochs = 0), vec!["train.epochs = 0"]),
        (refused(|p| p.train.batch = 0), vec!["train.batch = 0"]),
        (refused(|p| p.train.learning_rate = f64::NAN), vec!["train.learning_rate = NaN"]),
        (refused(|p| p.train.learning_rate = 0.0), vec!["train.learning_rate = 0"]),
        (refused(|p| p.train.decay_rate = -0.3), vec!["train.decay_rate = -0.3"]),
        (refused(|p| p.train.decay_epochs = 0.0), vec!["train.decay_epochs = 0"]),
        (refused(|p| p.train.decay_updates = Some(0)), vec!["train.decay_updates = 0"]),
        (refused(|p| p.train.betas[1] = 1.0), vec!["train.betas = 1"]),
        (refused(|p| p.train.epsilon = 0.0), vec!["train.epsilon = 0"]),
        // Single precision has neither, and messages do not write 300 digits.
        (refused(|p| p.train.epsilon = 1e-300), vec!["train.epsilon = 1e-300", "single precision"]),
        (refused(|p| p.train.epsilon = 1e300), vec!["train.epsilon = 1e300"]),
        (refused(|p| p.train.learning_rate = 1e-300), vec!["train.learning_rate = 1e-300"]),
        (refused(|p| p.train.betas[1] = 1e300), vec!["train.betas = 1e300"]),
        (refused(|p| p.features.fmax = 1e300), vec!["features.fmax = 1e300"]),
        (refused(|p| p.features.fmax = f64::NAN), vec!["features.fmax = NaN"]),
        (refused(|p| p.features.fmax = 1.0), vec!["features.fmax = 1", "no bin"]),
        (refused(|p| p.features.fmin = 11_024.5), vec!["features.fmax = 11025", "no bin"]),
        (
            refused(|p| p.train.loss = Loss::SigmoidBce),
            vec!["train.loss = sigmoid_bce", "softmax_bce"],
        ),
        (refused(|p| p.model.output = Output::Sigmoid), vec!["train.loss", "sigmoid_bce"]),
    ];
    for (message, parts) in &cases {
        assert_has(message, parts);
    }
}

#[test]
fn sizes_beyond_reason_are_refused_without_a_panic() {
    let huge = usize::MAX;
    let cases: [fn(&mut Preset, usize); 7] = [
        |p, n| p.features.mels = n,
        |p, n| p.features.hop = n,
        |p, n| p.features.n_fft = n,
        |p, n| p.model.branch[0].channels[0] = n,
        |p, n| p.model.branch[0].kernel = [n, n],
        |p, n| p.model.branch[0].lstm[0] = n,
        |p, n| p.train.batch = n,
    ];
    for change in cases {
        refused(|p| change(p, huge));
    }
    refused(|p| p.audio.clip_seconds = f64::MAX);
    let wide = refused(|p| p.model.branch[0].channels = vec![16_384; 6]);
    assert_has(&wide, &["model.branch.0.channels", "64 KiB"]);
    let deep = refused(|p| {
        p.model.branch[0].pool = [1, 1];
        p.model.branch[0].channels = vec![448; 160];
    });
    assert_has(&deep, &["model", "parameters"]);
}

#[test]
fn the_learning_rate_decays_smoothly() {
    let mut train = paper().train;
    assert_eq!(train.learning_rate(0, 100), 1e-3);
    assert!((train.learning_rate(1000, 100) - 3e-4).abs() < 1e-18);
    assert!((train.learning_rate(500, 100) - 1e-3 * 0.3f64.sqrt()).abs() < 1e-15);
    train.decay_updates = Some(1);
    assert!((train.learning_rate(2, 100) - 9e-5).abs() < 1e-18);
}

#[test]
fn a_training_that_diverges_is_told_the_likeliest_cause() {
    let told = |key: &str, value: &str| {
        let mut preset = paper();
        preset.set(key, value).unwrap();
        preset.validate().unwrap();
        preset.train.diverged()
    };
    for (key, value) in
        [("train.epsilon", "1e-30"), ("train.decay_rate", "2"), ("train.learning_rate", "10")]
    {
        assert!(told(key, value).contains(&format!("--set {key}=")), "{}", told(key, value));
    }
}
