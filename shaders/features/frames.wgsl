// Some clips' log-mel spectrograms as sequences of frames, standardised:
//     output[n, t, m] = (input[first + n, m, t] − mean) · inverse_deviation
// A workgroup turns a tile of 16 bands × 16 frames over in workgroup memory, so that neighbouring
// threads read and write neighbouring elements.
// Workgroups: x covers the frames, y the bands, z is the clip n.

struct Params {
    // In the input.
    batch: u32,
    // The first clip of the output, and how many it has.
    first: u32,
    clips: u32,
    mels: u32,
    frames: u32,
    mean: f32,
    inverse_deviation: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [batch, mels, frames], in dB
@group(0) @binding(1) var<storage, read> input: array<f32>;
// [clips, frames, mels]
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

const TILE = 16u;
// A row longer than the tile: columns then lie in different banks.
const ROW = TILE + 1u;

var<workgroup> tile: array<f32, TILE * ROW>;

@compute @workgroup_size(TILE, TILE)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_id) local: vec3u,
) {
    let frame = TILE * group.x + local.x;
    let band = TILE * group.y + local.y;
    if frame < params.frames && band < params.mels {
        let at = ((params.first + group.z) * params.mels + band) * params.frames + frame;
        tile[local.y * ROW + local.x] = (input[at] - params.mean) * params.inverse_deviation;
    }
    workgroupBarrier();
    let t = TILE * group.x + local.y;
    let m = TILE * group.y + local.x;
    if t < params.frames && m < params.mels {
        output[(group.z * params.frames + t) * params.mels + m] = tile[local.x * ROW + local.y];
    }
}
