//! What may happen to a device, and the one way to talk to it.
//!
//! A device can be lost at any time: the driver resets it, or the card is gone. wgpu tells by a
//! callback, and leaves other errors to a second one. In version 30 it also panics: in `Device::poll`
//! once the device is lost; in `Queue::write_buffer` and where commands are recorded if the driver
//! fails; when a device is dropped that could be opened only in part; and when a queue is dropped that
//! cannot be waited for (gfx-rs/wgpu#9427). [`Watch::attempt`] makes one error of all of these.
//!
//! What belongs to a lost device is never dropped ([`Owned`]): the driver may still be at work with
//! it, and after some failures wgpu would free a semaphore twice. It goes with the process.

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::error::Kind;
use crate::panics::caught;
use crate::{Error, Result};

/// Follows what becomes of a device.
#[derive(Clone)]
pub(super) struct Watch {
    /// The adapter's name, for messages.
    adapter: Arc<str>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// The first error since the last look that no call returned.
    error: Option<wgpu::Error>,
    /// Why the device is of no use any more.
    lost: Option<Loss>,
}

/// How a device was lost.
#[derive(Clone, Debug)]
enum Loss {
    /// As the driver says.
    Reset,
    /// It had no memory for something that it cannot do without.
    OutOfMemory,
    /// wgpu broke down, with this message; what state it left is not known.
    Panic(String),
}

impl Watch {
    pub fn new(device: &wgpu::Device, adapter: &str) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let sink = Arc::clone(&seen);
        device.on_uncaptured_error(Arc::new(move |error| {
            lock(&sink).error.get_or_insert(error);
        }));
        let sink = Arc::clone(&seen);
        device.set_device_lost_callback(move |_, message| {
            let full = wgpu::hal::DeviceError::OutOfMemory.to_string();
            let loss = if message == full { Loss::OutOfMemory } else { Loss::Reset };
            lock(&sink).lost.get_or_insert(loss);
        });
        Self { adapter: adapter.into(), seen }
    }

    /// Does some of the device's work; afterwards looks whether all is well.
    ///
    /// # Errors
    /// That of `work`; the first that the device reported on the side; and from its loss on, whatever
    /// is attempted, that it is lost.
    pub fn attempt<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.alive()?;
        let result = caught(work);
        let mut seen = lock(&self.seen);
        if let Err(message) = &result {
            let full = message.contains(&format!("{:?}", wgpu::hal::DeviceError::OutOfMemory));
            let loss = if full { Loss::OutOfMemory } else { Loss::Panic(message.clone()) };
            seen.lost.get_or_insert(loss);
        }
        let error = seen.error.take();
        drop(seen);
        self.alive()?;
        match (error, result) {
            (None, Ok(result)) => result,
            (Some(wgpu::Error::OutOfMemory { .. }), _) => Err(self.out_of_memory()),
            (Some(error), _) => Err(self.failure(&error)),
            (None, Err(message)) => Err(self.failure(&message)),
        }
    }

    /// An error of the adapter.
    pub fn failure(&self, what: &dyn std::fmt::Display) -> Error {
        Error::failure(format!("{}: {what}", self.adapter))
    }

    fn out_of_memory(&self) -> Error {
        Error::of(Kind::OutOfMemory, format!("{} has not enough memory left", self.adapter))
    }

    /// # Errors
    /// The device is lost.
    pub fn alive(&self) -> Result<()> {
        let lost = |why: &str| {
            let message = format!("{}: the device was lost ({why})", self.adapter);
            Err(Error::of(Kind::DeviceLost, message))
        };
        match lock(&self.seen).lost.clone() {
            None => Ok(()),
            Some(Loss::OutOfMemory) => Err(self.out_of_memory()),
            Some(Loss::Reset) => lost("a driver reset?"),
            Some(Loss::Panic(message)) => {
                let words: Vec<&str> = message.split_whitespace().collect();
                lost(&format!("wgpu: {}", words.join(" ")))
            }
        }
    }

    /// Keeps what belongs to the device.
    pub fn own<T>(&self, value: T) -> Owned<T> {
        Owned { value: ManuallyDrop::new(value), watch: self.clone() }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().expect("no holder of this lock panics")
}

/// Something that belongs to a device. Dropping it never panics; once the device is lost, it leaks.
pub(super) struct Owned<T> {
    value: ManuallyDrop<T>,
    watch: Watch,
}

impl<T> Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // While a panic goes up to `attempt`, the device is lost but not marked yet.
        if !std::thread::panicking() {
            let _ = self.watch.attempt(|| {
                // SAFETY: `value` is not used after this.
                unsafe { ManuallyDrop::drop(&mut self.value) };
                Ok(())
            });
        }
    }
}
