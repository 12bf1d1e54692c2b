//! From moods to the character of a song.
//!
//! Every mood has a place on nine musical axes and a liking for some instruments. A song stands
//! near the mean of its moods, displaced by normal noise of [`SPREAD`], and picks an instrument its
//! moods like with probability [`LOYALTY`]. So no single cue gives a mood away, and the
//! distributions of all moods overlap: the two constants set how hard the corpus is.

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

use super::instruments::Instrument::{self, *};

/// Standard deviation of a song around its moods, in units of the axes below.
const SPREAD: f64 = 0.3;

/// Probability that an instrument or a drum kit is one the song's moods ask for.
const LOYALTY: f64 = 0.85;

/// The moods of a song count with weights drawn from this range.
const WEIGHTS: std::ops::Range<f64> = 0.7..1.3;

/// The ten moods of the study that the program reproduces, in its order.
pub const MOODS: [&str; 10] = [
    "happy",
    "film",
    "energetic",
    "relaxing",
    "emotional",
    "melodic",
    "dark",
    "epic",
    "dream",
    "love",
];

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kit {
    Rock,
    Orchestral,
    Hand,
}

/// Where a mood stands on each axis; 0 is an average song, ±1.5 is as far as a mood goes.
#[derive(Clone, Copy, Default)]
struct Place {
    tempo: f64,
    minor: f64,
    register: f64,
    brightness: f64,
    /// Slow attacks, long notes.
    softness: f64,
    /// Swelling loudness.
    dynamics: f64,
    reverberation: f64,
    percussion: f64,
    /// Notes a beat.
    density: f64,
}

impl Place {
    /// From the axes in the order of the fields.
    const fn new(axes: [f64; 9]) -> Self {
        Self {
            tempo: axes[0],
            minor: axes[1],
            register: axes[2],
            brightness: axes[3],
            softness: axes[4],
            dynamics: axes[5],
            reverberation: axes[6],
            percussion: axes[7],
            density: axes[8],
        }
    }

    fn zip(self, other: Self, f: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            tempo: f(self.tempo, other.tempo),
            minor: f(self.minor, other.minor),
            register: f(self.register, other.register),
            brightness: f(self.brightness, other.brightness),
            softness: f(self.softness, other.softness),
            dynamics: f(self.dynamics, other.dynamics),
            reverberation: f(self.reverberation, other.reverberation),
            percussion: f(self.percussion, other.percussion),
            density: f(self.density, other.density),
        }
    }
}

struct Mood {
    place: Place,
    lead: &'static [Instrument],
    chords: &'static [Instrument],
    kit: Kit,
    /// Moods that may share a song with this one. Each mood has four such companions, and the
    /// relation is mutual: so all moods are about equally frequent.
    companions: [usize; 4],
}

/// In the order of [`MOODS`].
static PROFILES: [Mood; 10] = {
    const HAPPY: usize = 0;
    const FILM: usize = 1;
    const ENERGETIC: usize = 2;
    const RELAXING: usize = 3;
    const EMOTIONAL: usize = 4;
    const MELODIC: usize = 5;
    const DARK: usize = 6;
    const EPIC: usize = 7;
    const DREAM: usize = 8;
    const LOVE: usize = 9;
    // tempo, minor, register, brightness, softness, dynamics, reverberation, percussion, density
    [
        Mood {
            place: Place::new([0.8, -1.5, 0.8, 0.7, -0.7, -0.3, -0.6, 0.6, 0.7]),
            lead: &[Guitar, Bells, Synth],
            chords: &[Guitar, Piano],
            kit: Kit::Hand,
            companions: [ENERGETIC, LOVE, MELODIC, RELAXING],
        },
        Mood {
            place: Place::new([-0.5, 0.2, -0.3, -0.2, 0.9, 1.1, 0.6, -0.9, -0.6]),
            lead: &[Strings, Piano],
            chords: &[Strings],
            kit: Kit::Orchestral,
            companions: [EPIC, EMOTIONAL, DARK, DREAM],
        },
        Mood {
            place: Place::new([1.4, 0.2, 0.0, 1.2, -1.0, -0.4, -0.9, 1.5, 1.0]),
            lead: &[Synth, Brass],
            chords: &[Synth, Organ],
            kit: Kit::Rock,
            companions: [HAPPY, EPIC, DARK, MELODIC],
        },
        Mood {
            place: Place::new([-0.9, -0.8, 0.0, -1.0, 0.5, -1.0, 0.1, -0.6, -0.9]),
            lead: &[ElectricPiano, Guitar, Flute],
            chords: &[ElectricPiano, Guitar],
            kit: Kit::Hand,
            companions: [HAPPY, DREAM, LOVE, MELODIC],
        },
        Mood {
            place: Place::new([-0.9, 1.1, 0.5, -0.8, -0.5, 1.2, -0.3, -1.2, 0.4]),
            lead: &[Piano, Strings],
            chords: &[Piano, Strings],
            kit: Kit::Orchestral,
            companions: [FILM, LOVE, MELODIC, DARK],
        },
        Mood {
            place: Place::new([0.1, -0.2, 1.2, 0.3, -0.4, -0.2, -0.1, -0.5, 1.5]),
            lead: &[Flute, Synth],
            chords: &[Piano, Guitar],
            kit: Kit::Hand,
            companions: [HAPPY, ENERGETIC, RELAXING, EMOTIONAL],
        },
        Mood {
            place: Place::new([-0.3, 1.5, -1.5, -0.6, 0.5, 0.2, 0.5, 0.2, -0.9]),
            lead: &[Strings, Organ, Synth],
            chords: &[Organ, Choir],
            kit: Kit::Orchestral,
            companions: [FILM, ENERGETIC, EMOTIONAL, EPIC],
        },
        Mood {
            place: Place::new([0.4, 0.7, -0.6, 0.9, 0.2, 1.3, 0.7, 1.0, 0.0]),
            lead: &[Brass, Strings],
            chords: &[Brass, Choir],
            kit: Kit::Orchestral,
            companions: [FILM, ENERGETIC, DARK, DREAM],
        },
        Mood {
            place: Place::new([-0.7, -0.3, 1.1, 0.1, 1.2, -0.4, 1.7, -1.1, -0.4]),
            lead: &[Bells, Choir, Flute],
            chords: &[Choir, ElectricPiano],
            kit: Kit::Hand,
            companions: [FILM, RELAXING, EPIC, LOVE],
        },
        Mood {
            place: Place::new([-0.4, -0.9, -0.4, -0.8, -0.2, 0.3, -0.5, 0.2, 0.2]),
            lead: &[Guitar, Flute, Piano],
            chords: &[Guitar, ElectricPiano],
            kit: Kit::Hand,
            companions: [HAPPY, RELAXING, EMOTIONAL, DREAM],
        },
    ]
};

/// Moods that may share a song with `mood`.
pub fn companions(mood: usize) -> [usize; 4] {
    PROFILES[mood].companions
}

/// What the composer, the instruments and the mix need to know about a song.
pub struct Character {
    pub beats_per_minute: f64,
    pub minor: bool,
    /// Semitones above the usual register of every part.
    pub register: f64,
    /// Octaves by which all filters are opened.
    pub brightness: f64,
    /// Factor on attack and release times.
    pub softness: f64,
    /// Depth of the slow swell in loudness, 0 to 1.
    pub swell: f64,
    /// Share of reverberation in the mix, 0 to 1.
    pub wet: f64,
    /// Feedback of the reverb's combs: how long it rings.
    pub ring: f64,
    /// How busy the drums are, in units of the axis: below about −0.6 there are none.
    pub percussion: f64,
    /// How busy melody and accompaniment are, in units of the axis.
    pub density: f64,
    pub lead: Instrument,
    pub chords: Instrument,
    pub kit: Kit,
}

impl Character {
    /// Draws the character of a song with these moods (indices into [`MOODS`]).
    pub fn draw(moods: &[usize], rng: &mut impl Rng) -> Self {
        let weights: Vec<f64> = moods.iter().map(|_| rng.random_range(WEIGHTS)).collect();
        // Weights with a sum of squares of one: a song of three moods has as much character as one
        // of a single mood.
        let norm = weights.iter().map(|weight| weight * weight).sum::<f64>().sqrt();
        let mean = moods.iter().zip(&weights).fold(Place::default(), |sum, (&mood, weight)| {
            sum.zip(PROFILES[mood].place, |a, b| a + b * weight / norm)
        });
        let mut noise = || SPREAD * rng.sample::<f64, _>(StandardNormal);
        let noise = Place {
            tempo: noise(),
            minor: noise(),
            register: noise(),
            brightness: noise(),
            softness: noise(),
            dynamics: noise(),
            reverberation: noise(),
            percussion: noise(),
            density: noise(),
        };
        let place = mean.zip(noise, |a, b| a + b);
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        // The moods take turns in choosing, so that each is heard.
        let mut order = moods.to_vec();
        order.shuffle(rng);
        let [lead, chords, kit] = std::array::from_fn(|turn| &PROFILES[order[turn % order.len()]]);
        Self {
            beats_per_minute: (100.0 * (0.4 * place.tempo).exp2()).clamp(45.0, 190.0),
            minor: rng.random_bool(logistic(2.0 * place.minor)),
            register: (6.0 * place.register).clamp(-14.0, 14.0),
            brightness: place.brightness.clamp(-2.2, 2.2),
            softness: (0.9 * place.softness).exp(),
            swell: 0.85 * logistic(1.6 * place.dynamics - 0.6),
            wet: 0.6 * logistic(1.5 * place.reverberation - 0.8),
            ring: 0.72 + 0.22 * logistic(1.2 * place.reverberation),
            percussion: place.percussion,
            density: place.density,
            lead: liked(lead.lead, &LEADS, rng),
            chords: liked(chords.chords, &CHORDS, rng),
            kit: liked(&[kit.kit], &KITS, rng),
        }
    }
}

const LEADS: [Instrument; 10] =
    [Piano, ElectricPiano, Guitar, Strings, Brass, Flute, Bells, Synth, Choir, Organ];
const CHORDS: [Instrument; 8] = [Piano, ElectricPiano, Guitar, Strings, Brass, Synth, Choir, Organ];
const KITS: [Kit; 3] = [Kit::Rock, Kit::Orchestral, Kit::Hand];

/// One of what a mood asks for or, now and then, any of `all`.
fn liked<T: Copy>(asked: &[T], all: &[T], rng: &mut impl Rng) -> T {
    let choice = if rng.random_bool(LOYALTY) { asked } else { all };
    *choice.choose(rng).expect("no list of instruments is empty")
}
