//! The sounds: pitched instruments from wavetables, drums from swept sines and noise.
//!
//! A note reads two single-cycle tables, a bright and a mellow one, and fades from the first to the
//! second while it sounds, as plucked strings do. Both are sums of harmonics below the Nyquist
//! frequency, so nothing aliases. Envelopes and vibrato are worked out once a block of
//! [`BLOCK`] samples and interpolated.

use std::collections::HashMap;
use std::f64::consts::TAU;

use super::SAMPLE_RATE;
use super::character::Character;
use super::composer::{Hit, Note};

const RATE: f64 = SAMPLE_RATE as f64;
const BLOCK: usize = 32;

/// Samples in a table, a power of two. The one after them repeats the first, for interpolation.
const TABLE: usize = 1024;

/// MIDI numbers that share a table.
const TABLE_SEMITONES: f64 = 4.0;

/// A sound is over when it has fallen to this part of its peak.
const SILENCE: f64 = 1e-3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Instrument {
    Piano,
    ElectricPiano,
    Guitar,
    Strings,
    Brass,
    Flute,
    Bells,
    Synth,
    Choir,
    Organ,
    Bass,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drum {
    Kick,
    Snare,
    Hat,
    Timpani,
    Cymbal,
    Conga,
    Clap,
    Shaker,
}

struct Voice {
    /// Amplitude of harmonic h is h to the power of minus this …
    slope: f64,
    /// … times this where h is even …
    even: f64,
    /// … with a low-pass of second order at this frequency in Hz, opened by the song's brightness …
    cutoff: f64,
    /// … and peaks at these frequencies in Hz (0: none).
    formants: [f64; 2],
    /// Seconds to rise, to fall to the sustained level (time constant), and to end.
    attack: f64,
    decay: f64,
    release: f64,
    sustain: f64,
    /// Depth in semitones, at 5.5 Hz.
    vibrato: f64,
    /// Plays two strings this many semitones apart (0: one).
    detune: f64,
}

const PLAIN: Voice = Voice {
    slope: 1.0,
    even: 1.0,
    cutoff: 2000.0,
    formants: [0.0; 2],
    attack: 0.008,
    decay: 0.6,
    release: 0.12,
    sustain: 0.0,
    vibrato: 0.0,
    detune: 0.0,
};

/// Partials of a struck bar as (quarters of the fundamental frequency, amplitude): inharmonic, yet
/// periodic over four cycles, so that a table can hold them.
const BELL_PARTIALS: [(usize, f64); 5] = [(4, 1.0), (8, 0.25), (11, 0.5), (21, 0.3), (35, 0.15)];
const BELL_CYCLES: f64 = 4.0;

impl Instrument {
    fn voice(self) -> Voice {
        use Instrument::*;
        match self {
            Piano => Voice { slope: 1.3, decay: 0.7, cutoff: 2200.0, detune: 0.03, ..PLAIN },
            ElectricPiano => Voice { slope: 2.2, even: 0.4, decay: 0.9, cutoff: 1500.0, ..PLAIN },
            Guitar => Voice {
                slope: 0.9,
                decay: 0.3,
                cutoff: 1900.0,
                formants: [220.0, 1100.0],
                attack: 0.003,
                release: 0.06,
                ..PLAIN
            },
            Strings => Voice {
                slope: 0.9,
                cutoff: 2400.0,
                attack: 0.12,
                release: 0.3,
                sustain: 0.9,
                vibrato: 0.12,
                detune: 0.14,
                ..PLAIN
            },
            Brass => Voice {
                slope: 0.5,
                cutoff: 2200.0,
                formants: [700.0, 1400.0],
                attack: 0.05,
                decay: 0.25,
                sustain: 0.7,
                vibrato: 0.05,
                ..PLAIN
            },
            Flute => Voice {
                slope: 2.6,
                cutoff: 2500.0,
                attack: 0.06,
                sustain: 0.9,
                vibrato: 0.25,
                ..PLAIN
            },
            Bells => Voice { cutoff: 6000.0, decay: 0.8, release: 0.6, attack: 0.002, ..PLAIN },
            Synth => Voice {
                slope: 0.8,
                even: 0.15,
                cutoff: 2800.0,
                attack: 0.004,
                sustain: 0.8,
                release: 0.05,
                ..PLAIN
            },
            Choir => Voice {
                slope: 0.8,
                cutoff: 3000.0,
                formants: [600.0, 1050.0],
                attack: 0.18,
                release: 0.4,
                sustain: 0.95,
                vibrato: 0.2,
                detune: 0.2,
                ..PLAIN
            },
            Organ => Voice {
                slope: 1.1,
                cutoff: 2600.0,
                attack: 0.015,
                sustain: 1.0,
                release: 0.08,
                detune: 0.05,
                ..PLAIN
            },
            Bass => Voice { slope: 1.4, cutoff: 700.0, decay: 0.4, sustain: 0.4, ..PLAIN },
        }
    }

    /// Whether a held note goes on sounding.
    pub fn sustains(self) -> bool {
        self.voice().sustain > 0.5
    }

    /// Amplitudes of the harmonics that fit below the Nyquist frequency.
    fn partials(self, fundamental: f64, octaves: f64) -> Vec<(usize, f64)> {
        let voice = self.voice();
        let cutoff = voice.cutoff * octaves.exp2();
        let filter = |frequency: f64| 1.0 / (1.0 + (frequency / cutoff).powi(4)).sqrt();
        let highest = 0.45 * RATE;
        if self == Instrument::Bells {
            let partial = |&(quarters, amplitude): &(usize, f64)| {
                let frequency = fundamental * quarters as f64 / BELL_CYCLES;
                (frequency < highest).then(|| (quarters, amplitude * filter(frequency)))
            };
            return BELL_PARTIALS.iter().filter_map(partial).collect();
        }
        let harmonic = |h: usize| {
            let frequency = fundamental * h as f64;
            let mut amplitude = (h as f64).powf(-voice.slope) * filter(frequency);
            if h.is_multiple_of(2) {
                amplitude *= voice.even;
            }
            for formant in voice.formants.into_iter().filter(|&formant| formant > 0.0) {
                amplitude *=
                    0.35 + 2.0 / (1.0 + ((frequency - formant) / (0.25 * formant)).powi(2));
            }
            (h, amplitude)
        };
        let count = ((highest / fundamental) as usize).min(TABLE / 4);
        (1..=count.max(1)).map(harmonic).filter(|&(h, a)| h == 1 || a > 1e-4).collect()
    }
}

/// Plays the notes and hits of one song.
pub struct Orchestra<'a> {
    song: &'a Character,
    sine: Vec<f32>,
    tables: HashMap<(Instrument, i32), [Box<[f32]>; 2]>,
}

impl<'a> Orchestra<'a> {
    pub fn new(song: &'a Character) -> Self {
        let sine = (0..TABLE).map(|i| (TAU * i as f64 / TABLE as f64).sin() as f32).collect();
        Self { song, sine, tables: HashMap::new() }
    }

    /// One cycle with unit power.
    fn table(sine: &[f32], partials: &[(usize, f64)]) -> Box<[f32]> {
        let power: f64 = partials.iter().map(|(_, amplitude)| 0.5 * amplitude * amplitude).sum();
        let mut table = vec![0.0; TABLE + 1];
        for &(harmonic, amplitude) in partials {
            let amplitude = (amplitude / power.sqrt()) as f32;
            for (i, value) in table[..TABLE].iter_mut().enumerate() {
                *value += amplitude * sine[(i * harmonic) % TABLE];
            }
        }
        table[TABLE] = table[0];
        table.into()
    }

    /// Adds a note to `out`, which begins with the clip.
    pub fn play(&mut self, note: &Note, out: &mut [f32]) {
        let detune = note.instrument.voice().detune;
        if detune > 0.0 {
            self.string(note, -0.5 * detune, out);
            self.string(note, 0.5 * detune, out);
        } else {
            self.string(note, 0.0, out);
        }
    }

    fn string(&mut self, note: &Note, detune: f64, out: &mut [f32]) {
        let voice = note.instrument.voice();
        let pitch = note.pitch + detune;
        let band = (pitch / TABLE_SEMITONES).floor();
        let [bright, mellow] =
            self.tables.entry((note.instrument, band as i32)).or_insert_with(|| {
                let fundamental = frequency((band + 0.5) * TABLE_SEMITONES);
                let open = 0.9 * self.song.brightness;
                [open + 0.7, open - 0.7].map(|octaves| {
                    Self::table(&self.sine, &note.instrument.partials(fundamental, octaves))
                })
            });

        let attack = (voice.attack * self.song.softness).min(0.6 * note.seconds);
        let release = voice.release * self.song.softness.clamp(0.6, 1.5);
        let length = note.seconds + release;
        let cycles = if note.instrument == Instrument::Bells { BELL_CYCLES } else { 1.0 };
        let gain = f64::from(note.gain) * if voice.detune > 0.0 { 0.5f64.sqrt() } else { 1.0 };
        let level = |seconds: f64| {
            let rise = (seconds / attack).clamp(0.0, 1.0);
            let fall = (-(seconds - attack).max(0.0) / voice.decay).exp();
            let end = ((length - seconds) / release).clamp(0.0, 1.0);
            gain * rise * (voice.sustain + (1.0 - voice.sustain) * fall) * end * end
        };
        // A share of the bright table, highest just after the attack.
        let shine =
            |seconds: f64| 0.25 + 0.75 * (-(seconds - attack).abs() / (0.5 * voice.decay)).exp();

        let (first, mut seconds, samples) = span(note.start, length, out.len());
        let from = out.len().min(first);
        // The phase counts 2^32 to a cycle; the top bits choose the table entry.
        let shift = 32 - TABLE.trailing_zeros();
        let fraction = 1.0 / (1u32 << shift) as f32;
        let mut phase = 0u32;
        let (mut a, mut b) = (level(seconds), shine(seconds));
        for block in out[from..from + samples].chunks_mut(BLOCK) {
            let bend = voice.vibrato * (TAU * 5.5 * seconds).sin() * (3.0 * seconds).min(1.0);
            let step = frequency(pitch + bend) / (RATE * cycles);
            let step = (step * 2f64.powi(32)) as u32;
            let duration = block.len() as f64 / RATE;
            let (next_a, next_b) = (level(seconds + duration), shine(seconds + duration));
            if a.max(next_a) < SILENCE * gain && seconds > attack {
                break;
            }
            let slope_a = ((next_a - a) / block.len() as f64) as f32;
            let slope_b = ((next_b - b) / block.len() as f64) as f32;
            let (mut level_now, mut bright_now) = (a as f32, b as f32);
            for sample in block {
                let index = (phase >> shift) as usize;
                let t = (phase & ((1 << shift) - 1)) as f32 * fraction;
                let m = mellow[index] + t * (mellow[index + 1] - mellow[index]);
                let s = bright[index] + t * (bright[index + 1] - bright[index]);
                *sample += level_now * (m + bright_now * (s - m));
                level_now += slope_a;
                bright_now += slope_b;
                phase = phase.wrapping_add(step);
            }
            (a, b) = (next_a, next_b);
            seconds += duration;
        }
    }

    /// Adds a drum to `out`. `noise` seeds the noise in it.
    pub fn strike(&self, hit: &Hit, noise: u32, out: &mut [f32]) {
        let drum = hit.drum.sound();
        let open = (0.35 * self.song.brightness).exp2();
        let length = drum.ring.max(drum.rattle) * (1.0 / SILENCE).ln();
        let (first, seconds, samples) = span(hit.start, length, out.len());
        let from = out.len().min(first);
        let mut random = noise | 1;
        let decay = |time: f64| (-1.0 / (time * RATE)).exp() as f32;
        let (tone_decay, noise_decay) = (decay(drum.ring), decay(drum.rattle));
        let mut tone = hit.gain * drum.tone * (-seconds / drum.ring).exp() as f32;
        let mut hiss = hit.gain * drum.noise * (-seconds / drum.rattle).exp() as f32;
        // A band of noise: the difference of two one-pole low-passes.
        let pole = |cutoff: f64| (1.0 - (-TAU * cutoff / RATE).exp()) as f32;
        let (upper, lower) = (pole((drum.band[1] * open).min(9000.0)), pole(drum.band[0] * open));
        let (mut high, mut low) = (0.0f32, 0.0f32);
        let mut phase = 0.0f32;
        for (number, block) in out[from..from + samples].chunks_mut(BLOCK).enumerate() {
            let now = seconds + (number * BLOCK) as f64 / RATE;
            let sweep = drum.pitch * (1.0 + drum.drop * (-now / 0.03).exp());
            let step = (sweep / RATE * TABLE as f64) as f32;
            for sample in block {
                random ^= random << 13;
                random ^= random >> 17;
                random ^= random << 5;
                let white = random as i32 as f32 * (1.0 / 2_147_483_648.0);
                high += upper * (white - high);
                low += lower * (high - low);
                *sample += tone * self.sine[phase as usize & (TABLE - 1)] + hiss * (high - low);
                tone *= tone_decay;
                hiss *= noise_decay;
                phase += step;
            }
        }
    }
}

struct DrumSound {
    /// Level of a sine that starts at pitch · (1 + drop) Hz and falls to pitch, and its decay in s.
    tone: f32,
    pitch: f64,
    drop: f64,
    ring: f64,
    /// Level of noise in a band of Hz, and its decay in seconds.
    noise: f32,
    band: [f64; 2],
    rattle: f64,
}

const TONELESS: DrumSound = DrumSound {
    tone: 0.0,
    pitch: 100.0,
    drop: 0.0,
    ring: 0.01,
    noise: 1.0,
    band: [0.0; 2],
    rattle: 0.03,
};

impl Drum {
    fn sound(self) -> DrumSound {
        match self {
            Drum::Kick => DrumSound {
                tone: 1.5,
                pitch: 52.0,
                drop: 2.0,
                ring: 0.1,
                noise: 0.3,
                band: [500.0, 3000.0],
                rattle: 0.006,
            },
            Drum::Snare => DrumSound {
                tone: 0.5,
                pitch: 185.0,
                drop: 0.3,
                ring: 0.05,
                noise: 1.6,
                band: [900.0, 7000.0],
                rattle: 0.07,
            },
            Drum::Hat => {
                DrumSound { noise: 1.6, band: [5000.0, 9000.0], rattle: 0.025, ..TONELESS }
            }
            Drum::Timpani => DrumSound {
                tone: 1.1,
                pitch: 82.0,
                drop: 0.15,
                ring: 0.28,
                noise: 0.5,
                band: [100.0, 700.0],
                rattle: 0.03,
            },
            Drum::Cymbal => {
                DrumSound { noise: 0.9, band: [2500.0, 9000.0], rattle: 0.35, ..TONELESS }
            }
            Drum::Conga => DrumSound {
                tone: 1.0,
                pitch: 190.0,
                drop: 0.25,
                ring: 0.07,
                noise: 0.3,
                band: [400.0, 2000.0],
                rattle: 0.01,
            },
            Drum::Clap => DrumSound { noise: 2.2, band: [900.0, 2600.0], rattle: 0.04, ..TONELESS },
            Drum::Shaker => {
                DrumSound { noise: 1.0, band: [3500.0, 6500.0], rattle: 0.035, ..TONELESS }
            }
        }
    }
}

fn frequency(pitch: f64) -> f64 {
    440.0 * ((pitch - 69.0) / 12.0).exp2()
}

/// Where a sound lies in a clip of `clip` samples: its first sample there, how many seconds of it
/// are over by then, and how many samples are heard.
fn span(start: f64, length: f64, clip: usize) -> (usize, f64, usize) {
    let from = (start * RATE).ceil();
    let first = from.max(0.0) as usize;
    let elapsed = (first as f64 / RATE - start).max(0.0);
    let samples = ((length - elapsed).max(0.0) * RATE) as usize;
    (first, elapsed, samples.min(clip.saturating_sub(first)))
}
