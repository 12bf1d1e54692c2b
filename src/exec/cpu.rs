//! Replays plans through the kernels' references.
//!
//! In `f64` it is the base for gradient checks, in `f32` the fallback of a machine without an
//! adapter and the partner for parity. References fix the order of their sums, so the bits do not
//! depend on the number of threads.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::{Arrival, Executor, Input, ProgramIndex};
use crate::Result;
use crate::kernels::{AnyKernel, Argument, Element, Real};
use crate::plan::{Home, Plan, STATUS_CLEAR, Storage, TensorId};

/// Elements of a tensor or a storage.
#[derive(Clone, Debug)]
enum Data<T> {
    Numbers(Vec<T>),
    Words(Vec<u32>),
}

impl<T: Real> Data<T> {
    fn new(element: Element, length: usize) -> Self {
        match element {
            Element::F32 => Self::Numbers(vec![T::zero(); length]),
            Element::U32 => Self::Words(vec![0; length]),
        }
    }

    fn part(&self, offset: usize, length: usize) -> Self {
        match self {
            Self::Numbers(values) => Self::Numbers(values[offset..offset + length].to_vec()),
            Self::Words(words) => Self::Words(words[offset..offset + length].to_vec()),
        }
    }

    fn put(&mut self, offset: usize, part: Self) {
        match (self, part) {
            (Self::Numbers(all), Self::Numbers(part)) => {
                all[offset..offset + part.len()].copy_from_slice(&part);
            }
            (Self::Words(all), Self::Words(part)) => {
                all[offset..offset + part.len()].copy_from_slice(&part);
            }
            _ => unreachable!("a view has its storage's element type"),
        }
    }

    fn read(&self, offset: usize, length: usize) -> Argument<'_, T> {
        match self {
            Self::Numbers(values) => Argument::Read(&values[offset..offset + length]),
            Self::Words(words) => Argument::ReadWords(&words[offset..offset + length]),
        }
    }

    /// Of shares, the first, which gets their sum; the others are zero.
    fn write(&mut self, shares: usize) -> Argument<'_, T> {
        match self {
            Self::Numbers(values) => {
                let length = values.len() / shares;
                let (first, others) = values.split_at_mut(length);
                others.fill(T::zero());
                Argument::Write(first)
            }
            Self::Words(words) => Argument::WriteWords(words),
        }
    }
}

/// The two number types that [`AnyKernel`] has a reference for.
pub trait Reference: Real {
    fn call(kernel: &dyn AnyKernel, arguments: Vec<Argument<'_, Self>>);
}

impl Reference for f32 {
    fn call(kernel: &dyn AnyKernel, arguments: Vec<Argument<'_, Self>>) {
        kernel.reference_f32(arguments);
    }
}

impl Reference for f64 {
    fn call(kernel: &dyn AnyKernel, arguments: Vec<Argument<'_, Self>>) {
        kernel.reference_f64(arguments);
    }
}

/// Plans on the CPU over shared storages.
pub struct CpuPrograms<T> {
    plans: Vec<Arc<Plan>>,
    storages: HashMap<Storage, Data<T>>,
    /// By program and tensor; empty for views of storages.
    tensors: Vec<Vec<Data<T>>>,
}

impl<T: Reference> CpuPrograms<T> {
    /// Makes plans ready; storages and tensors are zero, status words clear.
    pub fn new(plans: Vec<Arc<Plan>>) -> Self {
        let storages = Storage::ALL
            .into_iter()
            .map(|storage| {
                let length =
                    plans.iter().map(|plan| plan.storage_length(storage)).max().unwrap_or(0);
                let data = match storage {
                    Storage::Status => Data::Words(vec![STATUS_CLEAR; length]),
                    _ => Data::new(storage.element(), length),
                };
                (storage, data)
            })
            .collect();
        let tensors = plans
            .iter()
            .map(|plan| {
                plan.tensors()
                    .iter()
                    .map(|tensor| match tensor.home {
                        Home::Storage(..) | Home::Part(..) => Data::new(tensor.element, 0),
                        Home::Constant(start) => {
                            let words = &plan.constants()[start..start + tensor.length];
                            let number = |&word| T::of(f64::from(f32::from_bits(word)));
                            match tensor.element {
                                Element::F32 => Data::Numbers(words.iter().map(number).collect()),
                                Element::U32 => Data::Words(words.to_vec()),
                            }
                        }
                        _ => Data::new(tensor.element, tensor.length),
                    })
                    .collect()
            })
            .collect();
        Self { plans, storages, tensors }
    }

    /// A tensor's elements in full precision.
    pub fn values(&self, program: ProgramIndex, id: TensorId) -> Vec<T> {
        let tensor = self.plans[program].tensor(id);
        let data = match tensor.home {
            Home::Storage(storage, offset) => self.storages[&storage].part(offset, tensor.length),
            Home::Part(whole, offset) => {
                self.tensors[program][whole.index()].part(offset, tensor.length)
            }
            _ => self.tensors[program][id.index()].clone(),
        };
        match data {
            Data::Numbers(values) => values,
            Data::Words(words) => words.into_iter().map(|word| T::of(f64::from(word))).collect(),
        }
    }

    /// A storage's numbers, to read or change in full precision.
    pub fn storage_mut(&mut self, storage: Storage) -> &mut [T] {
        match self.storages.get_mut(&storage) {
            Some(Data::Numbers(values)) => values,
            _ => &mut [],
        }
    }

    /// Sets an input in full precision.
    pub fn set(&mut self, program: ProgramIndex, id: TensorId, values: &[T]) {
        self.tensors[program][id.index()] = Data::Numbers(values.to_vec());
    }

    /// Replays with the inputs as they were set.
    pub fn replay(&mut self, program: ProgramIndex) {
        self.replay_steps(program, 0..self.plans[program].steps().len());
    }

    fn replay_steps(&mut self, program: ProgramIndex, steps: Range<usize>) {
        let plan = Arc::clone(&self.plans[program]);
        let tensors = &mut self.tensors[program];
        for step in &plan.steps()[steps] {
            // What the step writes is taken out, so that the rest can be borrowed for reading.
            let mut written: Vec<Option<Data<T>>> = step
                .uses()
                .map(|(id, access)| {
                    (!access.reads()).then(|| match plan.tensor(id).home {
                        Home::Storage(storage, offset) => {
                            self.storages[&storage].part(offset, plan.tensor(id).length)
                        }
                        Home::Part(whole, offset) => {
                            tensors[whole.index()].part(offset, plan.tensor(id).length)
                        }
                        _ => std::mem::replace(&mut tensors[id.index()], Data::Words(Vec::new())),
                    })
                })
                .collect();
            let arguments = written
                .iter_mut()
                .zip(step.uses())
                .map(|(written, (id, access))| match (written, plan.tensor(id).home) {
                    (Some(data), _) => data.write(step.launch.shares_in(access)),
                    (None, Home::Storage(storage, offset)) => {
                        self.storages[&storage].read(offset, plan.tensor(id).length)
                    }
                    (None, _) => {
                        let (root, start) = plan.root(id);
                        tensors[root.index()].read(start, plan.tensor(id).length)
                    }
                })
                .collect();
            T::call(&*step.launch.kernel, arguments);
            for (written, &id) in written.into_iter().zip(&step.tensors) {
                let Some(data) = written else { continue };
                match plan.tensor(id).home {
                    Home::Storage(storage, offset) => {
                        if let Some(all) = self.storages.get_mut(&storage) {
                            all.put(offset, data);
                        }
                    }
                    Home::Part(whole, offset) => tensors[whole.index()].put(offset, data),
                    _ => tensors[id.index()] = data,
                }
            }
        }
    }
}

impl<T: Reference> Executor for CpuPrograms<T> {
    fn wait_until_ready(&mut self) -> Result<()> {
        Ok(())
    }

    fn run_to(
        &mut self,
        program: ProgramIndex,
        inputs: &[(TensorId, Input<'_>)],
        steps: usize,
    ) -> Result<()> {
        for &(id, input) in inputs {
            self.tensors[program][id.index()] = match input {
                Input::F32(values) => {
                    Data::Numbers(values.iter().map(|&x| T::of(f64::from(x))).collect())
                }
                Input::U32(words) => Data::Words(words.to_vec()),
            };
        }
        self.replay_steps(program, 0..steps.min(self.plans[program].steps().len()));
        Ok(())
    }

    fn go_on_from(&mut self, program: ProgramIndex, steps: usize) -> Result<()> {
        self.replay_steps(program, steps..self.plans[program].steps().len());
        Ok(())
    }

    fn send(&mut self, program: ProgramIndex, tensor: TensorId) -> Result<Arrival> {
        let values = self.values(program, tensor).into_iter().map(|x| x.double() as f32).collect();
        Ok(Box::new(|| Ok(values)))
    }

    fn send_stored(&mut self, storage: Storage, elements: Range<usize>) -> Result<Arrival> {
        let stored = self.storage_mut(storage).iter().skip(elements.start).take(elements.len());
        let mut values: Vec<f32> = stored.map(|x| x.double() as f32).collect();
        values.resize(elements.len(), 0.0);
        Ok(Box::new(|| Ok(values)))
    }

    fn upload(&mut self, storage: Storage, values: &[f32]) -> Result<()> {
        for (to, &from) in self.storage_mut(storage).iter_mut().zip(values) {
            *to = T::of(f64::from(from));
        }
        Ok(())
    }

    fn download(&mut self, storage: Storage) -> Result<Vec<f32>> {
        Ok(self.storage_mut(storage).iter().map(|x| x.double() as f32).collect())
    }

    fn status(&mut self) -> Result<Vec<u32>> {
        Ok(match self.storages.get(&Storage::Status) {
            Some(Data::Words(words)) => words.clone(),
            _ => Vec::new(),
        })
    }

    fn wait(&mut self) -> Result<()> {
        Ok(())
    }
}
