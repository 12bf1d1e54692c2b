// Numbers that four lanes of a subgroup read and all of them use. To a software adapter a load costs as
// much as some twelve multiply-adds, whatever the places, and a number of another lane next to nothing. A
// GPU reads once for all lanes what all read from the same place, and does without.

// Which of four lanes this thread is. All threads call it at once: it counts those before this one.
fn lane_of_four() -> u32 {
    return subgroupExclusiveAdd(1u) & 3u;
}

// The numbers that the first four lanes have, in order; the others have the same.
fn of_four_lanes(own: f32) -> vec4f {
    return vec4f(
        subgroupBroadcast(own, 0u),
        subgroupBroadcast(own, 1u),
        subgroupBroadcast(own, 2u),
        subgroupBroadcast(own, 3u),
    );
}
