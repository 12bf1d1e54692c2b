// Lines of a plane of quads, with zeros around: what a convolution reads. A kernel gives `params`,
// Source with the row and the limit of a line, source_of to make one, and element(source, place).

// Line `line + r − above` of quad q of a clip. Outside the plane it is padding: no position of it is
// inside.
fn line_of(clip: u32, quads: u32, q: u32, line: u32, r: u32) -> Source {
    let other = i32(line) + i32(r) - i32(params.above);
    let limit = select(0, i32(params.length), other >= 0 && other < i32(params.lines));
    let plane = (clip * quads + q) * params.length * params.lines;
    let inside = u32(clamp(other, 0, i32(params.lines) - 1));
    return source_of(q, plane + inside * params.across, limit);
}

// What lies at a position of a line; zero outside.
fn load(source: Source, position: i32) -> vec4f {
    let inside = position >= 0 && position < source.limit;
    let at = source.row + u32(clamp(position, 0, i32(params.length) - 1)) * params.along;
    return select(vec4f(), element(source, at), inside);
}
