// Lines of a plane of quads, with zeros around: what a convolution reads. A kernel gives `params`,
// Source with the row and the limit of a line, source_of(quad) to make one, and element(source, place).

// A source of quad q, put on line `line + r − above` of a clip. Outside the plane the line is padding:
// no position of it is inside.
fn put_on_line(source: Source, clip: u32, quads: u32, q: u32, line: u32, r: u32) -> Source {
    let other = i32(line) + i32(r) - i32(params.above);
    let limit = select(0, i32(params.length), other >= 0 && other < i32(params.lines));
    let plane = (clip * quads + q) * params.length * params.lines;
    let inside = u32(clamp(other, 0, i32(params.lines) - 1));
    var moved = source;
    moved.row = plane + inside * params.across;
    moved.limit = limit;
    return moved;
}

// What lies at a position of a line; zero outside.
fn load(source: Source, position: i32) -> vec4f {
    let inside = position >= 0 && position < source.limit;
    let at = source.row + u32(clamp(position, 0, i32(params.length) - 1)) * params.along;
    return select(vec4f(), element(source, at), inside);
}
