// A convolution's input as it reads it: scaled and shifted by batch norm. A kernel gives `input`,
// `affine` and `params.in_quads`.

// A line of a quad of the input, and what scales it.
struct Source {
    row: u32,
    limit: i32,
    scale: vec4f,
    shift: vec4f,
}

fn source_of(q: u32) -> Source {
    return Source(0u, 0, affine[q], affine[params.in_quads + q]);
}

fn element(source: Source, at: u32) -> vec4f {
    return fma(input[at], source.scale, source.shift);
}
