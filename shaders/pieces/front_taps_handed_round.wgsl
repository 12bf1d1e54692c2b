// Eight taps of a bank of filters for a quad of channels, as in the piece `front_taps_read`: of every four
// threads of a subgroup, each reads two taps. The piece `four_lanes` goes with this one.

struct Taps {
    first: vec4f,
    second: vec4f,
}

// Which of four taps this thread reads.
fn reader_of_front_taps() -> u32 {
    return lane_of_four();
}

fn front_taps_at(reader: u32, tap: u32) -> Taps {
    return Taps(weight[tap + reader], weight[tap + 4u + reader]);
}

fn front_taps_into(taps: Taps, c: u32) -> mat2x4f {
    return mat2x4f(of_four_lanes(taps.first[c]), of_four_lanes(taps.second[c]));
}
