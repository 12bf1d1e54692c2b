// Max pooling after batch norm, before it is known what batch norm does: batch norm is a scale and
// a shift per channel, so the maximum of its output lies where its input is largest (γ > 0) or
// smallest (γ < 0). What is kept is the input there:
//     output[n, c, y, x] = the input of window (y, x) at which γ[c] · input is greatest
// The first in row-major order wins a tie; a remainder that fills no window is left out.
//
// Tensors hold channels in quads: [clip, channel/4, band, step] of vec4. One thread an output
// position. Workgroups: x covers the plane, y the quads, z the clips.

struct Params {
    batch: u32,
    channels: u32,
    bands: u32,
    steps: u32,
    window_bands: u32,
    window_steps: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [batch, quads, bands, steps]
@group(0) @binding(1) var<storage, read> input: array<vec4f>;
// [channels]
@group(0) @binding(2) var<storage, read> gamma: array<f32>;
// [batch, quads, bands / window, steps / window]
@group(0) @binding(3) var<storage, read_write> output: array<vec4f>;

fn sign_of(q: u32) -> vec4f {
    let channel = min(vec4u(4u * q) + vec4u(0u, 1u, 2u, 3u), vec4u(params.channels - 1u));
    return sign(vec4f(gamma[channel.x], gamma[channel.y], gamma[channel.z], gamma[channel.w]));
}

@compute @workgroup_size(64)
fn main(
    @builtin(global_invocation_id) id: vec3u,
    @builtin(num_workgroups) groups: vec3u,
) {
    let bands = params.bands / params.window_bands;
    let steps = params.steps / params.window_steps;
    if id.x >= bands * steps {
        return;
    }
    let y = id.x / steps * params.window_bands;
    let x = id.x % steps * params.window_steps;
    let plane = (id.z * groups.y + id.y) * params.bands * params.steps;
    let direction = sign_of(id.y);
    var best = input[plane + y * params.steps + x];
    var i = 0u;
    loop {
        var j = 0u;
        loop {
            let value = input[plane + (y + i) * params.steps + x + j];
            best = select(best, value, value * direction > best * direction);
            continuing {
                j++;
                break if j >= params.window_steps;
            }
        }
        continuing {
            i++;
            break if i >= params.window_bands;
        }
    }
    output[(id.z * groups.y + id.y) * bands * steps + id.x] = best;
}
