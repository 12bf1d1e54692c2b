// A matrix product for a software adapter whose subgroups have eight threads. A load costs there as much as
// twelve multiply-adds, whatever the place, and a number of another lane next to nothing; sums are in memory.
// So a subgroup computes a tile of eight quads and 32 columns: a thread has a quad of its own, and the
// columns are loaded by all together, four for each, and handed round. A load so serves 16 multiply-adds, and
// each sum is loaded and stored once for four turns.
//
// The products of a sum are counted by span and by turn in it. A kernel gives what this thread's quad has
// there (own_at), what its column 8 · slot + lane has (handed_at), and takes a column's sums (keep).
// The piece `four_products` goes with this one.

// Threads of a subgroup.
const TOGETHER = 8u;
// Columns of a tile.
const COLUMNS = 32u;

struct Tile {
    // This thread's quad, the tile's first column, and this thread among the eight.
    quad: u32,
    column: u32,
    lane: u32,
    // Whether it is there: a workgroup's missing tiles repeat the last one.
    real: bool,
    // Which of the products that a launch makes, side by side along z.
    slice: u32,
}

// Of `columns` columns; all threads call it at once. A workgroup has a tile for each subgroup.
fn tile_of(group: vec3u, index: u32, quads: u32, columns: u32) -> Tile {
    let lane = subgroupExclusiveAdd(1u);
    let subgroup = subgroupBroadcastFirst(index) / TOGETHER;
    let across = (quads + TOGETHER - 1u) / TOGETHER;
    let wanted = TOGETHER * group.x + subgroup;
    let tile = min(wanted, across * ((columns + COLUMNS - 1u) / COLUMNS) - 1u);
    return Tile(
        TOGETHER * (tile % across) + lane,
        COLUMNS * (tile / across),
        lane,
        tile == wanted,
        group.z,
    );
}

// The quad at a turn; past the last turn nothing.
fn own(tile: Tile, span: u32, turn: u32, last: u32) -> vec4f {
    return select(vec4f(), own_at(tile, span, min(turn, last)), turn <= last);
}

fn handed(tile: Tile, span: u32, turn: u32, last: u32, slot: u32) -> vec4f {
    return vec4f(
        handed_at(tile, span, turn, slot),
        handed_at(tile, span, min(turn + 1u, last), slot),
        handed_at(tile, span, min(turn + 2u, last), slot),
        handed_at(tile, span, min(turn + 3u, last), slot),
    );
}

// The sums over the spans and, of each, the turns [begin, end). Returns the sum of the quad alone.
fn product(tile: Tile, spans: u32, begin: u32, end: u32) -> vec4f {
    var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
    var s4 = vec4f(); var s5 = vec4f(); var s6 = vec4f(); var s7 = vec4f();
    var s8 = vec4f(); var s9 = vec4f(); var s10 = vec4f(); var s11 = vec4f();
    var s12 = vec4f(); var s13 = vec4f(); var s14 = vec4f(); var s15 = vec4f();
    var s16 = vec4f(); var s17 = vec4f(); var s18 = vec4f(); var s19 = vec4f();
    var s20 = vec4f(); var s21 = vec4f(); var s22 = vec4f(); var s23 = vec4f();
    var s24 = vec4f(); var s25 = vec4f(); var s26 = vec4f(); var s27 = vec4f();
    var s28 = vec4f(); var s29 = vec4f(); var s30 = vec4f(); var s31 = vec4f();
    var alone = vec4f();
    if begin < end {
        let last = end - 1u;
        var span = 0u;
        loop {
            var turn = begin;
            loop {
                let quads = mat4x4f(
                    own(tile, span, turn, last),
                    own(tile, span, turn + 1u, last),
                    own(tile, span, turn + 2u, last),
                    own(tile, span, turn + 3u, last),
                );
                alone += quads[0] + quads[1] + quads[2] + quads[3];
                let x0 = handed(tile, span, turn, last, 0u);
                s0 = multiply_add(s0, quads, subgroupBroadcast(x0, 0u));
                s1 = multiply_add(s1, quads, subgroupBroadcast(x0, 1u));
                s2 = multiply_add(s2, quads, subgroupBroadcast(x0, 2u));
                s3 = multiply_add(s3, quads, subgroupBroadcast(x0, 3u));
                s4 = multiply_add(s4, quads, subgroupBroadcast(x0, 4u));
                s5 = multiply_add(s5, quads, subgroupBroadcast(x0, 5u));
                s6 = multiply_add(s6, quads, subgroupBroadcast(x0, 6u));
                s7 = multiply_add(s7, quads, subgroupBroadcast(x0, 7u));
                let x1 = handed(tile, span, turn, last, 1u);
                s8 = multiply_add(s8, quads, subgroupBroadcast(x1, 0u));
                s9 = multiply_add(s9, quads, subgroupBroadcast(x1, 1u));
                s10 = multiply_add(s10, quads, subgroupBroadcast(x1, 2u));
                s11 = multiply_add(s11, quads, subgroupBroadcast(x1, 3u));
                s12 = multiply_add(s12, quads, subgroupBroadcast(x1, 4u));
                s13 = multiply_add(s13, quads, subgroupBroadcast(x1, 5u));
                s14 = multiply_add(s14, quads, subgroupBroadcast(x1, 6u));
                s15 = multiply_add(s15, quads, subgroupBroadcast(x1, 7u));
                let x2 = handed(tile, span, turn, last, 2u);
                s16 = multiply_add(s16, quads, subgroupBroadcast(x2, 0u));
                s17 = multiply_add(s17, quads, subgroupBroadcast(x2, 1u));
                s18 = multiply_add(s18, quads, subgroupBroadcast(x2, 2u));
                s19 = multiply_add(s19, quads, subgroupBroadcast(x2, 3u));
                s20 = multiply_add(s20, quads, subgroupBroadcast(x2, 4u));
                s21 = multiply_add(s21, quads, subgroupBroadcast(x2, 5u));
                s22 = multiply_add(s22, quads, subgroupBroadcast(x2, 6u));
                s23 = multiply_add(s23, quads, subgroupBroadcast(x2, 7u));
                let x3 = handed(tile, span, turn, last, 3u);
                s24 = multiply_add(s24, quads, subgroupBroadcast(x3, 0u));
                s25 = multiply_add(s25, quads, subgroupBroadcast(x3, 1u));
                s26 = multiply_add(s26, quads, subgroupBroadcast(x3, 2u));
                s27 = multiply_add(s27, quads, subgroupBroadcast(x3, 3u));
                s28 = multiply_add(s28, quads, subgroupBroadcast(x3, 4u));
                s29 = multiply_add(s29, quads, subgroupBroadcast(x3, 5u));
                s30 = multiply_add(s30, quads, subgroupBroadcast(x3, 6u));
                s31 = multiply_add(s31, quads, subgroupBroadcast(x3, 7u));
                continuing {
                    turn += 4u;
                    break if turn >= end;
                }
            }
            continuing {
                span++;
                break if span >= spans;
            }
        }
    }
    // One store in a loop, and not 32: each would be eight lanes' to compile.
    var sums = array<vec4f, COLUMNS>(
        s0, s1, s2, s3, s4, s5, s6, s7,
        s8, s9, s10, s11, s12, s13, s14, s15,
        s16, s17, s18, s19, s20, s21, s22, s23,
        s24, s25, s26, s27, s28, s29, s30, s31,
    );
    var column = 0u;
    loop {
        keep(tile, column, sums[column]);
        continuing {
            column++;
            break if column >= COLUMNS;
        }
    }
    return alone;
}
