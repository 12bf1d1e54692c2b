// The sums of the piece `lstm_weight_gradient`, with its names, for a software adapter whose subgroups have eight
// threads: a thread's quad are the four gates of a unit, and the columns are handed round. The rows are not
// split into shares. The pieces `product_of_eights` and `lstm_weight_rows` go with this one.
// Workgroups: x covers the tiles, eight of them each; z is the direction d.

// A tile's missing units and columns repeat the last one.
fn own_at(tile: Tile, span: u32, turn: u32) -> vec4f {
    return d_gates[gates_row(tile.slice, span, turn) + min(tile.quad, params.units - 1u)];
}

fn handed_at(tile: Tile, span: u32, turn: u32, slot: u32) -> f32 {
    let column = min(tile.column + TOGETHER * slot + tile.lane, columns() - 1u);
    return input_at(input_row(tile.slice, span, turn) + column);
}

fn keep(tile: Tile, column: u32, sum: vec4f) {
    if tile.real {
        store(tile.slice, tile.quad, tile.column + column, sum);
    }
}

fn outer_product(group: vec3u, groups: vec3u, lane: u32, spans: u32, turns: u32) {
    let tile = tile_of(group, lane, params.units, columns());
    let alone = product(tile, spans, 0u, turns);
    // Every column sees the same; the first one keeps it.
    if tile.real && tile.column == 0u {
        put_alone(tile.slice, tile.quad, alone);
    }
}
