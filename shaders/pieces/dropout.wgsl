// Which elements dropout keeps. A kernel gives `control` and `params.keep_below`.

// The first word of the hash: the last steps of the other two are left out.
fn pcg3d(key: vec3u) -> u32 {
    var v = key * 1664525u + 1013904223u;
    v.x += v.y * v.z;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v ^= v >> vec3u(16u);
    return v.x + v.y * v.z;
}

fn keeps(element: u32) -> bool {
    return pcg3d(vec3u(element, control[0], control[1])) >> 8u < params.keep_below;
}
