//! Feature maps put together: side by side, and added up. Channels lie in quads, [clip, channel/4,
//! place, channel%4].

pub mod add;
pub mod join;
pub mod split;

use crate::kernels::cover;

/// Threads for the places of each quad, and no fewer than `affine` has quads.
fn grid([clips, quads]: [u32; 2], plane: u32, out_quads: u32) -> crate::kernels::Grid {
    crate::kernels::Grid::of([cover(plane.max(2 * out_quads), 64), quads, clips])
}
