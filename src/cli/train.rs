//! `moodshader train`.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, Id};

use super::own_data::{Open, settle};
use super::source::{Sets, Source, absolute, apply, default_out, needs_data};
use super::{Common, model, open_device, stop_on_interrupt};
use crate::metrics::{Interval, Judged, Measured, bounded};
use crate::model::builtin;
use crate::model::checkpoint::Checkpoint;
use crate::model::preset::{Preset, Train as TrainKeys, Trainable};
use crate::output;
use crate::ranks::Ranks;
use crate::report::Progress;
use crate::run::{Config, Learning, RunFolder, best, last_as_good, read_predictions, seed_folder};
use crate::train::{Changes, Outcome, Until, finished, resume, start, start_or_resume, take_part};
use crate::{Error, Result};

/// Train a model; without data, on a synthetic corpus.
#[derive(Args, Debug)]
#[command(after_long_help = Preset::help())]
pub struct Train {
    // Before the others, which take their values out of what was given.
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    training: Training,
    /// Go on with the run in this folder; everything else comes from its config.toml. --audio-root says
    /// where its audio has moved; --device and --max-steps may change, and train.epochs and
    /// train.patience may be raised.
    #[arg(long, value_name = "DIR")]
    resume: Option<PathBuf>,
    /// Score the best model on this manifest at the end.
    #[arg(long, value_name = "MANIFEST")]
    test: Option<PathBuf>,
    /// Stop after this many updates in all, as Ctrl-C would.
    #[arg(long, value_name = "N")]
    max_steps: Option<u64>,
    /// Train so many models, with the seeds from --seed on, on one split; `predict --model DIR` averages
    /// them. The same command with the same --out goes on where it was stopped.
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with_all = ["resume", "max_steps"],
          value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    #[command(flatten)]
    common: Common,
}

/// What is trained, from what, on what, and where it goes.
#[derive(Args, Debug)]
pub struct Training {
    /// A built-in preset, listed at the end of --help. Without data demo is the default, with data paper, whose
    /// weights are averaged (paper-averaged) where the data is your own.
    #[arg(long, conflicts_with = "config")]
    preset: Option<String>,
    /// A preset file (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    sets: Sets,
    #[command(flatten)]
    source: Source,
    /// The run folder; runs/NAME-TIME by default, of the preset's name or the command's.
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Start from the weights of this file (a checkpoint, or safetensors with its names), of a run's
    /// folder, or of a built-in model: musicnn-msd or musicnn-mtt. With other moods, all but the last layer's are taken.
    ///
    /// Without --preset and --config, a checkpoint's layers and features are the run's. From a built-in
    /// model, all tags of --data are learnt unless --moods names some, and of the layers those after the
    /// summary over time are trained (--set train.trainable=head or all trains less or more).
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// Seed of the split, the first weights, the order of the clips, dropout and the synthetic corpus.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=SEED_LIMIT))]
    seed: u64,
}

/// The names of the arguments that stand on the command line.
#[derive(Clone, Debug)]
struct Given(Vec<String>);

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |id: &&Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
        Ok(Self(matches.ids().filter(given).map(Id::to_string).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Given {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

/// The largest integer that config.toml can hold.
const SEED_LIMIT: u64 = i64::MAX as u64;

impl Train {
    /// The resolved configuration, and the run folder.
    fn config(&self, progress: &Progress) -> Result<(Config, PathBuf)> {
        if self.test.is_some() && !self.training.source.is_given() {
            return Err(needs_data("--test"));
        }
        let (mut config, out) = self.training.config(&self.common.device, progress)?;
        config.data.test = self.test.as_deref().map(absolute("--test")).transpose()?;
        Ok((config, out))
    }

    pub fn run(&self) -> Result<()> {
        let progress = self.common.progress();
        let stop = stop_on_interrupt(&progress, "as soon as the state is saved")?;
        let until = Until { stop: &stop, max_steps: self.max_steps };
        let ranks = Ranks::this();
        if ranks.has_others() && self.seeds > 1 {
            return Err(Error::input(
                "--seeds trains one model after the other; with several processes train each seed by a \
                 command of its own (--seed N --out DIR/seed-N)",
            ));
        }
        let outcome = match &self.resume {
            _ if !ranks.is_first() => {
                // Rank 0 knows what is asked for, or that nothing is left to do.
                let Some(asked) = ranks.hand_out::<Option<String>>(None)? else { return Ok(()) };
                take_part(&open_device(&asked, &progress)?, until, &progress)?
            }
            Some(path) => {
                self.check_resumable()?;
                let root = self.training.source.audio_root()?;
                let changes = self.changes(root.as_deref())?;
                if let Some(outcome) = finished(path, changes)? {
                    ranks.hand_out(Some(None::<String>))?;
                    progress.note(&format!("{} is finished", path.display()));
                    report(&outcome, &progress);
                    return Ok(());
                }
                let config = Config::read(&RunFolder::open(path)?.config())?;
                // --device may name another one than the run began on.
                let asked =
                    if self.common.device == "auto" { &config.device } else { &self.common.device };
                ranks.hand_out(Some(Some(asked.clone())))?;
                let device = open_device(asked, &progress)?;
                resume(path, changes, &device, until, &progress)?
            }
            None if self.seeds > 1 => return self.run_seeds(until, &progress),
            None => {
                let (config, out) = self.config(&progress)?;
                RunFolder::check_free(&out)?;
                ranks.hand_out(Some(Some(config.device.clone())))?;
                let device = open_device(&config.device, &progress)?;
                start(config, &out, &device, until, &progress)?
            }
        };
        if ranks.is_first() {
            report(&outcome, &progress);
        }
        match outcome.interrupted {
            false => Ok(()),
            true => {
                let way_on = format!(
                    "stopped after update {}; go on with: moodshader train --resume {}",
                    outcome.update,
                    outcome.folder.path().display()
                );
                match stop.load(Ordering::Relaxed) {
                    true => Err(Error::stopped(way_on)),
                    false => {
                        progress.note(&way_on);
                        Ok(())
                    }
                }
            }
        }
    }

    /// Several models, and how well they do together.
    fn run_seeds(&self, until: Until<'_>, progress: &Progress) -> Result<()> {
        let (mut config, out) = self.config(progress)?;
        let first = self.training.seed;
        config.data.split_seed = Some(first);
        let seeds = first..first.saturating_add(self.seeds).min(SEED_LIMIT);
        let run = |seed: u64| out.join(seed_folder(seed));
        let meant: Vec<PathBuf> = seeds.clone().map(run).collect();
        if !meant.iter().any(|run| RunFolder::at(run).is_begun()) {
            RunFolder::check_free(&out)?;
        }
        if let Some(other) = model::runs_in(&out).iter().find(|other| !meant.contains(other)) {
            return Err(Error::input(format!(
                "{} is a model of another --seeds, and predict --model {} would ask it too; choose another \
                 --out, or name --seed and --seeds so that all are meant",
                other.display(),
                out.display()
            )));
        }
        let device = open_device(&config.device, progress)?;
        let mut judged: Vec<Judged> = Vec::new();
        let mut tested: Vec<Judged> = Vec::new();
        for seed in seeds.clone() {
            progress.note(&format!("seed {seed}, model {} of {}", seed - first + 1, self.seeds));
            let config = Config { seed, ..config.clone() };
            let outcome = start_or_resume(config, &run(seed), &device, until, progress)?;
            if outcome.interrupted {
                return Err(Error::stopped(format!(
                    "stopped; go on with the same command and --out {}",
                    out.display()
                )));
            }
            let score = outcome.validation.and_then(|measured| measured.scores.roc_auc.macro_mean);
            if let Some(score) = score {
                output::line(format_args!("seed {seed}: validation ROC-AUC {score:.4}"));
            }
            judged.push(read_predictions(&outcome.folder.predictions())?);
            let of_test = outcome.folder.test_predictions();
            if of_test.exists() {
                tested.push(read_predictions(&of_test)?);
            }
        }
        let together = Judged::mean(&judged)?;
        output::line(format_args!("{} models together", judged.len()));
        let measured = together.measured()?;
        table("validation", &together.moods, &measured);
        measured.means_little().iter().for_each(|warning| progress.note(warning));
        if !tested.is_empty() {
            let together = Judged::mean(&tested)?;
            table("test", &together.moods, &together.measured()?);
        }
        output::line(out.display());
        progress.note(&format!("next: moodshader predict --model {} SONG.mp3", out.display()));
        Ok(())
    }

    /// What of the preset is raised with `--resume`.
    fn changes<'a>(&self, audio_root: Option<&'a Path>) -> Result<Changes<'a>> {
        let mut changes = Changes { audio_root, ..Changes::default() };
        for set in self.training.sets.all() {
            let number = |value: &str| {
                value.trim().parse::<u64>().map_err(|_| {
                    Error::input(format!("--set {set}: expected a whole number, 0 or more"))
                })
            };
            match set.split_once('=').map(|(key, value)| (key.trim(), value)) {
                Some(("train.epochs", value)) => changes.epochs = Some(number(value)?),
                Some(("train.patience", value)) => changes.patience = Some(number(value)?),
                _ => {
                    return Err(kept(&format!("--set {set}")));
                }
            }
        }
        Ok(changes)
    }

    /// A run keeps what it was started with, but for these: all other flags are refused, so that none
    /// is taken and ignored.
    fn check_resumable(&self) -> Result<()> {
        const KEPT_NOT: [&str; 7] =
            ["resume", "audio_root", "device", "max_steps", "quiet", "sets", "epochs"];
        let command = Self::augment_args(Command::new("train"));
        let fixed = |argument: &&Arg| {
            let id = argument.get_id().as_str();
            self.given.0.iter().any(|given| given == id) && !KEPT_NOT.contains(&id)
        };
        let name = |argument: &Arg| match argument.get_long() {
            Some(flag) => format!("--{flag}"),
            None => "another manifest".to_owned(),
        };
        match command.get_arguments().find(fixed).map(name) {
            None => Ok(()),
            Some(flag) => Err(kept(&flag)),
        }
    }
}

impl Training {
    pub(super) fn out(&self) -> Option<&Path> {
        self.out.as_deref()
    }

    /// The resolved configuration for a device, and the run folder.
    pub(super) fn config(&self, device: &str, progress: &Progress) -> Result<(Config, PathBuf)> {
        let init = self.init.as_deref().map(resolve_init).transpose()?;
        let begun = match &init {
            Some(path) if self.preset.is_none() && self.config.is_none() => preset_of(path)?,
            _ => None,
        };
        let from_checkpoint = begun.is_some();
        let transfers = from_checkpoint && init.as_deref().and_then(builtin::name_of).is_some();
        let (name, mut preset) = match (&self.preset, &self.config, begun) {
            (_, _, Some(begun)) => begun,
            (_, Some(path), _) => {
                let name = path.file_stem().unwrap_or(path.as_os_str());
                (name.to_string_lossy().into_owned(), Preset::from_file(path)?)
            }
            (Some(name), None, _) => (name.clone(), Preset::named(name)?),
            (None, None, _) => {
                let name = if self.source.is_given() { "paper" } else { "demo" };
                (name.to_owned(), Preset::named(name)?)
            }
        };
        let sets = self.sets.all();
        apply(&sets, &mut preset)?;
        let open = Open {
            recipe: self.preset.as_deref().is_none_or(|name| OPEN.contains(&name))
                && self.config.is_none()
                && self.init.is_none(),
            study: self.preset.as_deref().is_some_and(Preset::is_of_the_study),
            from_checkpoint,
            sets: &sets,
        };
        if transfers && !open.sets("train.learning_rate") {
            preset.train.learning_rate = transfer_rate(&preset);
        }

        let mut data = self.source.data(preset.audio.clip_seconds)?;
        if transfers && data.moods.is_none() {
            data.moods = Some("all".to_owned());
        }
        settle(&mut data, &mut preset, open, progress)?;
        let out = match &self.out {
            Some(out) => out.clone(),
            None => default_out(&name),
        };
        let config = Config {
            preset_name: name,
            seed: self.seed,
            device: device.to_owned(),
            init,
            data,
            preset,
        };
        Ok((config, out))
    }
}

/// Presets that leave to one's own data what it says of outputs, loss, patience and averages.
const OPEN: [&str; 2] = ["demo", "paper-averaged"];

/// `flag` would change a run that goes on.
fn kept(flag: &str) -> Error {
    Error::input(format!(
        "{flag} cannot be changed with --resume: a run keeps what it was started with. --audio-root, \
         --device, --max-steps and --quiet may be given, and train.epochs and train.patience be raised; \
         start a new run for anything else, with --init to begin from this one's weights"
    ))
}

/// The file that --init names, or a built-in model's name.
fn resolve_init(path: &Path) -> Result<PathBuf> {
    match builtin::name_of(path) {
        Some(name) => Ok(PathBuf::from(name)),
        None if !path.exists() => Err(Error::input(format!(
            "--init {}: there is no such file or folder, nor a built-in model of that name, which are {}",
            path.display(),
            builtin::names().collect::<Vec<_>>().join(" and ")
        ))),
        None => absolute("--init")(&model::file_of(path)?),
    }
}

/// The name and the preset for a training that begins with a checkpoint: its layers and features, and
/// `paper`'s training; of a built-in model, what suits a few hundred songs. None where the file says no
/// preset.
fn preset_of(init: &Path) -> Result<Option<(String, Preset)>> {
    let named = |error: Error| error.context(init.display()).context("--init");
    let bytes = builtin::bytes(init).map_err(named)?;
    let checkpoint = match Checkpoint::from_bytes(&bytes) {
        Ok(checkpoint) => checkpoint,
        Err(error) if Checkpoint::is_meant(&bytes) => return Err(named(error)),
        Err(_) => return Ok(None),
    };
    let mut preset = checkpoint.description().map_err(named)?.preset;
    let loss = preset.train.loss;
    preset.train = TrainKeys { loss, ..Preset::named("paper")?.train };
    let name = match builtin::name_of(init) {
        Some(name) => {
            preset.train = transfer(&preset.train);
            name.to_owned()
        }
        // Of a run, its preset's name.
        None => match Config::read(&RunFolder::at(init.parent().unwrap_or(init)).config()) {
            Ok(config) => config.preset_name,
            Err(_) => init.file_stem().unwrap_or(init.as_os_str()).to_string_lossy().into_owned(),
        },
    };
    Ok(Some((name, preset)))
}

/// How a built-in model is trained on: see docs/transfer.md for what was measured.
fn transfer(train: &TrainKeys) -> TrainKeys {
    TrainKeys {
        trainable: Trainable::Back,
        epochs: 200,
        patience: Some(20),
        decay_rate: 1.0,
        weight_decay: 0.1,
        ..train.clone()
    }
}

/// Adam's step size for the layers that are trained, by docs/transfer.md.
fn transfer_rate(preset: &Preset) -> f64 {
    let direct = preset.model.back.as_ref().is_some_and(|back| back.hidden.is_empty());
    match preset.train.trainable {
        Trainable::Head if direct => 3e-3,
        Trainable::Head => 1e-2,
        Trainable::Back => 1e-3,
        Trainable::All => 1e-4,
    }
}

/// The result, on standard output.
fn report(outcome: &Outcome, progress: &Progress) {
    let folder = outcome.folder.path().display();
    if let Some(measured) = &outcome.validation {
        let of = format!("of {} epochs", outcome.metrics.len());
        match best(&outcome.metrics) {
            Some(line) if line.macro_roc_auc().is_none() => output::line(format_args!(
                "best model: epoch {} {of}, by its loss, since no mood can be ranked on the validation clips",
                line.epoch
            )),
            best => output::line(format_args!(
                "best model: epoch {} {of}",
                best.map_or(1, |line| line.epoch)
            )),
        }
        table("validation", &outcome.moods, measured);
    }
    if let Some(measured) = &outcome.test {
        table("test", &outcome.moods, measured);
    }
    output::line(&folder);
    progress.broken(&outcome.broken);
    if let Some(measured) = &outcome.validation {
        let warning = measured.means_little();
        let learning = Learning::of(&outcome.metrics, warning.is_some());
        warning.iter().for_each(|warning| progress.note(warning));
        if let Some(last) = last_as_good(&outcome.metrics) {
            progress.note(&format!(
                "up to epoch {last} others have the same score on the validation clips: of these the earliest is kept, \
                 and last.safetensors beside it is the latest; more validation clips would tell them apart"
            ));
        }
        learning.iter().for_each(|learning| progress.note(&learning.to_string()));
    }
    if !outcome.interrupted {
        progress.note(&format!(
            "report: {}\nnext: moodshader predict --model {folder} SONG.mp3",
            outcome.folder.report().display()
        ));
    }
}

/// A line a mood: the share of clips that have it, and how well the model ranks them.
fn table(split: &str, moods: &[String], Measured { scores, intervals }: &Measured) {
    let mean = format!("{split} macro");
    let width = moods.iter().map(|mood| mood.chars().count()).chain([mean.len()]).max();
    let width = width.unwrap_or(0);
    let line = |name: &str, share: &str, [roc_auc, pr_auc]: [&str; 2]| {
        let line = format!("{name:<width$}  {share:>6}  {roc_auc:<21}  {pr_auc:<21}");
        output::line(line.trim_end());
    };
    let row = |name: &str, share: &str, [roc_auc, pr_auc]: [(Option<f64>, Option<Interval>); 2]| {
        line(name, share, [&bounded(roc_auc.0, roc_auc.1), &bounded(pr_auc.0, pr_auc.1)]);
    };
    line("mood", "clips", ["ROC-AUC [95 %]", "PR-AUC [95 %]"]);
    for (at, mood) in moods.iter().enumerate() {
        let share = 100.0 * scores.positives[at] as f64 / scores.clips as f64;
        let roc_auc = (scores.roc_auc.moods[at], intervals.roc_auc.moods[at]);
        let pr_auc = (scores.pr_auc.moods[at], intervals.pr_auc.moods[at]);
        row(mood, &format!("{share:.1}%"), [roc_auc, pr_auc]);
    }
    let roc_auc = (scores.roc_auc.macro_mean, intervals.roc_auc.macro_mean);
    let pr_auc = (scores.pr_auc.macro_mean, intervals.pr_auc.macro_mean);
    row(&mean, "", [roc_auc, pr_auc]);
}
