// Eight taps of a bank of filters for a quad of channels. Every thread reads all of their weights, which a
// GPU does once for a subgroup, since the place is the same. A kernel gives `weight`: a vec4 over channels
// for each tap.

struct Taps {
    t0: vec4f,
    t1: vec4f,
    t2: vec4f,
    t3: vec4f,
    t4: vec4f,
    t5: vec4f,
    t6: vec4f,
    t7: vec4f,
}

fn reader_of_front_taps() -> u32 {
    return 0u;
}

fn front_taps_at(reader: u32, tap: u32) -> Taps {
    return Taps(
        weight[tap], weight[tap + 1u], weight[tap + 2u], weight[tap + 3u],
        weight[tap + 4u], weight[tap + 5u], weight[tap + 6u], weight[tap + 7u],
    );
}

// The weights of channel c.
fn front_taps_into(taps: Taps, c: u32) -> mat2x4f {
    return mat2x4f(
        vec4f(taps.t0[c], taps.t1[c], taps.t2[c], taps.t3[c]),
        vec4f(taps.t4[c], taps.t5[c], taps.t6[c], taps.t7[c]),
    );
}
