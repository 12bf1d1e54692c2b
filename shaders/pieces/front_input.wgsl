// Lines of spectrograms, standardised as they are read: what a bank of filters and its gradient see. A
// kernel gives `input` and `params`.

// A line of a clip.
struct Line {
    // Where it begins.
    row: u32,
    // Its positions; outside the plane there are none.
    limit: i32,
}

// The line that row r of the kernel meets from `line` of the output.
fn line_of(clip: u32, line: u32, r: u32) -> Line {
    let other = i32(line) + i32(r) - i32(params.above);
    let limit = select(0, i32(params.length), other >= 0 && other < i32(params.lines));
    let inside = u32(clamp(other, 0, i32(params.lines) - 1));
    return Line((clip * params.lines) * params.length + inside * params.across, limit);
}

// The standardised input at a position of a line; zero outside.
fn load(source: Line, position: i32) -> f32 {
    let at = source.row + u32(clamp(position, 0, i32(params.length) - 1)) * params.along;
    let value = (input[at] - params.mean) * params.inverse_deviation;
    return select(0.0, value, position >= 0 && position < source.limit);
}
