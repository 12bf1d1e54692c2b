//! The families of AMD's chips that are compiled for.

use clap::builder::PossibleValue;

/// A generation of AMD's GPUs, by one chip of it.
#[derive(Debug)]
pub struct Family {
    /// As `--family` takes it.
    pub id: &'static str,
    /// For people.
    pub name: &'static str,
    /// What Mesa calls the chip, the spelling of newer releases first.
    pub spellings: &'static [&'static str],
}

const fn family(
    id: &'static str,
    name: &'static str,
    spellings: &'static [&'static str],
) -> Family {
    Family { id, name, spellings }
}

/// The newest first.
pub const FAMILIES: &[Family] = &[
    family("rdna3", "RDNA 3: Radeon RX 7900 XTX (Navi 31)", &["navi31", "gfx1100"]),
    family("rdna2", "RDNA 2: Radeon RX 6800 (Navi 21)", &["navi21"]),
    family("steam-deck", "RDNA 2: Steam Deck (Van Gogh)", &["vangogh"]),
    family("rdna1", "RDNA 1: Radeon RX 5700 (Navi 10)", &["navi10"]),
    family("vega", "Vega: Radeon RX Vega 64 (Vega 10)", &["vega10"]),
    family("polaris", "Polaris: Radeon RX 580 (Polaris 10)", &["polaris10"]),
];

impl Family {
    /// As `--family` and `--help` show them.
    pub fn values() -> impl Iterator<Item = PossibleValue> {
        FAMILIES.iter().map(|family| PossibleValue::new(family.id).help(family.name))
    }
}
