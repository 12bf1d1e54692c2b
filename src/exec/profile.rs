//! Times every step of a replay.

use std::time::Instant;

use super::programs::Recorded;
use super::{GpuPrograms, Input, ProgramIndex};
use crate::Result;
use crate::plan::TensorId;

/// How long each step of a replay took.
#[derive(Clone, Debug)]
pub struct Profile {
    /// In the plan's order.
    pub seconds: Vec<f64>,
    /// Whether the adapter's own clock measured them; else the host's did, step by step.
    pub timestamps: bool,
}

impl GpuPrograms {
    /// Replays once, each step timed on its own.
    ///
    /// With timestamp queries, every step is a compute pass with a time stamp at both ends, and the
    /// whole is one submission. Without, a step is a submission that the host waits for, less what
    /// an empty one takes.
    pub fn profile(
        &mut self,
        program: ProgramIndex,
        inputs: &[(TensorId, Input<'_>)],
    ) -> Result<Profile> {
        self.write(program, inputs)?;
        self.gpu().wait_for(None)?;
        let timestamps = self.gpu().device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let mut seconds = Vec::new();
        // A query set holds so many stamps at most.
        for steps in self.recorded(program).chunks(wgpu::QUERY_SET_MAX_QUERIES as usize / 2) {
            seconds.extend(if timestamps { self.stamped(steps)? } else { self.clocked(steps)? });
        }
        Ok(Profile { seconds, timestamps })
    }

    fn stamped(&self, steps: &[Recorded]) -> Result<Vec<f64>> {
        let gpu = self.gpu();
        let count = 2 * steps.len() as u32;
        let queries = gpu.watch.attempt(|| {
            Ok(gpu.watch.own(gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("profile"),
                ty: wgpu::QueryType::Timestamp,
                count,
            })))
        })?;
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = gpu.buffer("profile", 8 * u64::from(count), usage)?;
        gpu.submit(|encoder| {
            for (index, step) in (0..).step_by(2).zip(steps) {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: Some("profiled step"),
                    timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                        query_set: &queries,
                        beginning_of_pass_write_index: Some(index),
                        end_of_pass_write_index: Some(index + 1),
                    }),
                });
                step.record(&mut pass);
            }
            encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
        })?;
        let stamps: Vec<u64> = gpu.download(&resolved, 0, resolved.size())?;
        let tick = 1e-9 * f64::from(gpu.queue.get_timestamp_period());
        Ok(stamps.chunks(2).map(|ends| tick * ends[1].saturating_sub(ends[0]) as f64).collect())
    }

    fn clocked(&self, steps: &[Recorded]) -> Result<Vec<f64>> {
        const EMPTY_SUBMISSIONS: u32 = 20;
        let start = Instant::now();
        for _ in 0..EMPTY_SUBMISSIONS {
            self.submit_alone(None)?;
        }
        let empty = start.elapsed().as_secs_f64() / f64::from(EMPTY_SUBMISSIONS);
        steps
            .iter()
            .map(|step| {
                let start = Instant::now();
                self.submit_alone(Some(step))?;
                Ok((start.elapsed().as_secs_f64() - empty).max(0.0))
            })
            .collect()
    }

    /// Submits a step, or an empty pass, and waits for it.
    fn submit_alone(&self, step: Option<&Recorded>) -> Result<()> {
        let submission = self.gpu().submit(|encoder| {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            if let Some(step) = step {
                step.record(&mut pass);
            }
        })?;
        self.gpu().wait_for(Some(submission))
    }
}
