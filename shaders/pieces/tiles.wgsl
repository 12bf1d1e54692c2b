// Tiles of a convolution: 16 positions of a line, which a thread computes. A kernel gives `params`.

const TILE = 16u;
const LANES = 64u;

// Where a thread is.
struct Tile {
    clip: u32,
    line: u32,
    // The first position.
    first: u32,
    // Threads past the last tile repeat it and store nothing: with returns or ifs, a software adapter
    // would check every load's lanes.
    real: bool,
}

fn tile_of(wanted: u32) -> Tile {
    let tiles = (params.length + TILE - 1u) / TILE;
    let per_clip = tiles * params.lines;
    let item = min(wanted, params.clips * per_clip - 1u);
    let i = item % per_clip;
    // Neighbouring lanes take neighbouring memory.
    let line = select(i / tiles, i % params.lines, params.across == 1u);
    let tile = select(i % tiles, i / params.lines, params.across == 1u);
    return Tile(item / per_clip, line, TILE * tile, item == wanted);
}
