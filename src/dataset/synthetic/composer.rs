//! Writes the score of a song: chords, a melody over them, a bass and drums.
//!
//! All four follow one progression of four chords in one key. The melody keeps a rhythmic motif and
//! moves by small steps between chord tones, so that a song is recognisably one piece of music. The
//! key is drawn evenly and says nothing about the mood.

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

use super::character::{Character, Kit};
use super::instruments::{Drum, Instrument};

pub struct Note {
    /// Seconds from the start of the clip; negative for a note the clip enters in the middle of.
    pub start: f64,
    pub seconds: f64,
    /// MIDI number, 69 is 440 Hz.
    pub pitch: f64,
    pub gain: f32,
    pub instrument: Instrument,
}

pub struct Hit {
    /// Seconds from the start of the clip, negative as for a note.
    pub start: f64,
    pub gain: f32,
    pub drum: Drum,
}

#[derive(Default)]
pub struct Score {
    pub notes: Vec<Note>,
    pub hits: Vec<Hit>,
    /// Seconds of a bar: the slow swell in loudness follows the bars.
    pub bar: f64,
}

const MAJOR: [i32; 7] = [0, 2, 4, 5, 7, 9, 11];
const MINOR: [i32; 7] = [0, 2, 3, 5, 7, 8, 10];

/// Four chords, a bar each, as degrees of the scale (0 is the tonic).
const MAJOR_PROGRESSIONS: [[i32; 4]; 6] =
    [[0, 4, 5, 3], [0, 5, 3, 4], [0, 3, 4, 0], [0, 2, 3, 4], [3, 4, 0, 5], [0, 3, 0, 4]];
const MINOR_PROGRESSIONS: [[i32; 4]; 6] =
    [[0, 5, 2, 6], [0, 3, 4, 0], [0, 6, 5, 6], [0, 5, 3, 4], [0, 3, 6, 2], [0, 0, 5, 4]];

/// Bars that are played in one arrangement; afterwards a part may pause for as long.
const SECTION_BARS: usize = 4;

/// Probability that a part pauses in a section after the first.
const PAUSE: f64 = 0.15;

/// Probability that a bar of melody repeats the motif's rhythm.
const REPEAT: f64 = 0.7;

#[derive(Clone, Copy)]
enum Figure {
    Held,
    Struck,
    Broken,
}

struct Composer<'a, R> {
    song: &'a Character,
    rng: &'a mut R,
    score: Score,
    tonic: i32,
    beat: f64,
    beats: usize,
}

/// Writes a score that covers `seconds` from the start of the clip.
pub fn compose(song: &Character, seconds: f64, rng: &mut impl Rng) -> Score {
    let beats = if rng.random_bool(0.15) { 3 } else { 4 };
    let beat = 60.0 / song.beats_per_minute;
    let bar = beat * beats as f64;
    let progression = *if song.minor { &MINOR_PROGRESSIONS } else { &MAJOR_PROGRESSIONS }
        .choose(rng)
        .expect("there are progressions");
    let figure = figure(song, rng);
    let tonic = rng.random_range(0..12);
    // The clip is cut out of the song: it begins anywhere in a bar.
    let entry = -bar * rng.random_range(0.0..1.0);
    let bars = ((seconds - entry) / bar).ceil() as usize;

    let score = Score { bar, ..Score::default() };
    let mut composer = Composer { song, rng, score, tonic, beat, beats };
    let motif = composer.rhythm();
    let mut degree = 0;
    let [mut lead, mut chords, mut bass, mut drums] = [true; 4];
    for number in 0..bars {
        if number > 0 && number.is_multiple_of(SECTION_BARS) {
            [lead, chords, bass, drums] = std::array::from_fn(|_| !composer.rng.random_bool(PAUSE));
            chords |= !lead;
        }
        let start = entry + number as f64 * bar;
        let root = progression[number % progression.len()];
        if chords {
            composer.chords(start, root, figure);
        }
        if lead {
            degree = composer.melody(start, root, &motif, degree);
        }
        if bass {
            composer.bass(start, root);
        }
        if drums {
            composer.drums(start);
        }
    }
    composer.score
}

/// Instruments that sustain mostly hold their chords, the others strike or break them.
fn figure(song: &Character, rng: &mut impl Rng) -> Figure {
    if rng.random_bool(if song.chords.sustains() { 0.75 } else { 0.1 }) {
        Figure::Held
    } else if rng.random_bool(0.5) {
        Figure::Struck
    } else {
        Figure::Broken
    }
}

impl<R: Rng> Composer<'_, R> {
    /// MIDI number of a degree of the scale, in the octave above `tonic`.
    fn pitch(&self, degree: i32) -> i32 {
        let scale = if self.song.minor { MINOR } else { MAJOR };
        self.tonic + 12 * degree.div_euclid(7) + scale[degree.rem_euclid(7) as usize]
    }

    /// Moves a MIDI number by octaves to where it is nearest to `centre`.
    fn near(pitch: i32, centre: f64) -> f64 {
        let pitch = f64::from(pitch);
        pitch + 12.0 * ((centre - pitch) / 12.0).round()
    }

    fn play(&mut self, start: f64, seconds: f64, pitch: f64, gain: f64, instrument: Instrument) {
        // A player is neither exact in time nor in force.
        let start = start + self.rng.random_range(-0.008..0.008);
        let gain = (gain * self.rng.random_range(0.8..1.1)) as f32;
        self.score.notes.push(Note { start, seconds, pitch, gain, instrument });
    }

    fn hit(&mut self, start: f64, gain: f64, drum: Drum) {
        let start = start + self.rng.random_range(-0.004..0.004);
        let gain = (gain * self.rng.random_range(0.7..1.1)) as f32;
        self.score.hits.push(Hit { start, gain, drum });
    }

    fn chords(&mut self, start: f64, root: i32, figure: Figure) {
        let centre = 58.0 + 0.5 * self.song.register;
        let mut pitches = [0, 2, 4].map(|third| Self::near(self.pitch(root + third), centre));
        pitches.sort_by(f64::total_cmp);
        let instrument = self.song.chords;
        let bar = self.beat * self.beats as f64;
        match figure {
            Figure::Held => {
                for pitch in pitches {
                    self.play(start, bar, pitch, 0.24, instrument);
                }
            }
            Figure::Struck => {
                for beat in 0..self.beats {
                    for pitch in pitches {
                        let at = start + beat as f64 * self.beat;
                        let gain = if beat == 0 { 0.32 } else { 0.24 };
                        self.play(at, 0.8 * self.beat, pitch, gain, instrument);
                    }
                }
            }
            Figure::Broken => {
                let per_beat = if self.song.density > 0.9 { 4 } else { 2 };
                let step = self.beat / per_beat as f64;
                for index in 0..self.beats * per_beat {
                    let pitch = match index % 4 {
                        3 => pitches[1],
                        rising => pitches[rising],
                    };
                    let at = start + index as f64 * step;
                    self.play(at, 1.5 * step, pitch, 0.36, instrument);
                }
            }
        }
    }

    /// Onsets and lengths of a bar of melody, in beats.
    fn rhythm(&mut self) -> Vec<(f64, f64)> {
        let beats = self.beats as f64;
        let mut at = 0.0;
        let mut notes = Vec::new();
        while at < beats - 1e-9 {
            let level = self.song.density + self.rng.random_range(-0.6..0.6);
            let mut length: f64 = match level {
                l if l < -0.9 => 3.0,
                l if l < -0.2 => 2.0,
                l if l < 0.4 => 1.0,
                l if l < 1.3 => 0.5,
                _ => 0.25,
            };
            length = length.min(beats - at);
            let rest = at > 0.0 && self.rng.random_bool(0.12);
            if !rest {
                notes.push((at, length));
            }
            at += length;
        }
        notes
    }

    /// Plays a bar of melody from the degree where the last one ended; returns where this one ends.
    fn melody(&mut self, start: f64, root: i32, motif: &[(f64, f64)], mut degree: i32) -> i32 {
        let fresh;
        let rhythm = if self.rng.random_bool(REPEAT) {
            motif
        } else {
            fresh = self.rhythm();
            &fresh
        };
        let home = Self::near(self.tonic, 67.0 + self.song.register) - f64::from(self.tonic);
        // A song that lives by its melody brings it to the front.
        let prominence = (0.4 * self.song.density).clamp(-0.6, 0.6).exp2();
        for &(at, length) in rhythm {
            degree += *[-2, -1, -1, 0, 1, 1, 2].choose(self.rng).expect("there are steps");
            // Stay within about an octave of home, and on chord tones where the beat is strong.
            degree = degree.clamp(-4, 7);
            if at.fract() == 0.0 && !matches!((degree - root).rem_euclid(7), 0 | 2 | 4) {
                degree += 1;
            }
            let pitch = home + f64::from(self.pitch(degree));
            let gain = prominence * if at.fract() == 0.0 { 0.62 } else { 0.5 };
            let at = start + at * self.beat;
            self.play(at, 0.95 * length * self.beat, pitch, gain, self.song.lead);
        }
        degree
    }

    fn bass(&mut self, start: f64, root: i32) {
        let pitch = Self::near(self.pitch(root), 40.0 + 0.3 * self.song.register);
        let beats = self.beats as f64;
        let step = match self.song.percussion + 0.5 * self.song.density {
            drive if drive < -0.3 => beats,
            drive if drive < 0.9 => 1.0,
            _ => 0.5,
        };
        for index in 0..(beats / step) as usize {
            let leap = if index > 0 && self.rng.random_bool(0.2) { 7.0 } else { 0.0 };
            let at = start + index as f64 * step * self.beat;
            self.play(at, 0.9 * step * self.beat, pitch + leap, 0.5, Instrument::Bass);
        }
    }

    fn drums(&mut self, start: f64) {
        let drive = self.song.percussion;
        if drive < -0.6 {
            return;
        }
        let level = (0.5 + 0.25 * drive).clamp(0.3, 0.95);
        let (low, high, tick) = match self.song.kit {
            Kit::Rock => (Drum::Kick, Drum::Snare, Drum::Hat),
            Kit::Orchestral => (Drum::Timpani, Drum::Cymbal, Drum::Timpani),
            Kit::Hand => (Drum::Conga, Drum::Clap, Drum::Shaker),
        };
        for beat in 0..self.beats {
            let at = start + beat as f64 * self.beat;
            if beat.is_multiple_of(2) || drive > 0.9 {
                self.hit(at, level, low);
            }
            let accent = match self.song.kit {
                Kit::Orchestral => beat == 0 && drive > 0.0,
                _ => beat % 2 == 1 && drive > -0.1,
            };
            if accent {
                self.hit(at, 0.8 * level, high);
            }
            let ticks = match drive {
                d if d < 0.1 => 1,
                d if d < 0.9 => 2,
                _ => 4,
            };
            for tick_index in 0..ticks {
                if self.song.kit != Kit::Orchestral || self.rng.random_bool(0.4) {
                    let at = at + self.beat * tick_index as f64 / ticks as f64;
                    self.hit(at, 0.45 * level, tick);
                }
            }
        }
    }
}
