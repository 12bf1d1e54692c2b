//! The exchanges, by MPI.
//!
//! MPI ends all processes by itself where one of its calls fails or a process dies. What it does not
//! notice is one that hangs: so ranks meet before every exchange, which can be given up.

use std::cell::RefCell;
use std::mem::{ManuallyDrop, forget};
use std::time::{Duration, Instant};

use ::mpi::collective::{CommunicatorCollectives, Root};
use ::mpi::datatype::PartitionMut;
use ::mpi::environment::{self, Universe, initialize_with_threading};
use ::mpi::topology::{Communicator, SimpleCommunicator};
use ::mpi::{Count, Threading};

use super::{Ending, Ranks, patience};
use crate::{Error, Result};

/// What is open while there are ranks.
struct Open {
    universe: Universe,
    world: SimpleCommunicator,
    /// For the end alone, so that a rank which has failed meets none that is at work.
    end: SimpleCommunicator,
}

thread_local! {
    /// Not closed by itself: a process that has failed must not wait for the others to close theirs.
    static OPEN: RefCell<Option<ManuallyDrop<Open>>> = const { RefCell::new(None) };
}

/// Looks at what a rank waits for without a pause for so long: an update's exchange takes about as much.
const SPIN: Duration = Duration::from_millis(2);
/// Between two looks later on; the core is free for others meanwhile.
const PAUSE: Duration = Duration::from_micros(200);
/// How long a rank that has failed waits for others that fail alike, and for each rank before it.
const GRACE: [Duration; 2] = [Duration::from_millis(1000), Duration::from_millis(20)];
/// However many there are.
const MOST_GRACE: Duration = Duration::from_secs(5);

pub fn begin() -> Result<Ranks> {
    patience()?;
    let Some((universe, _)) = initialize_with_threading(Threading::Funneled) else {
        return Err(Error::failure("MPI is in use already in this process"));
    };
    let world = universe.world();
    if let Some(count @ 2..) = super::started_with()
        && world.size() == 1
    {
        return Err(Error::input(format!(
            "this is one of {count} processes that were started together, and the MPI of this build ({}) \
             cannot find the others: start it with the mpirun of the same MPI, or build it with that of the \
             launcher (MPICC=mpicc.mpich cargo build --release --features mpi)",
            environment::library_version().unwrap_or_default().lines().next().unwrap_or_default()
        )));
    }
    let local = world.split_shared(world.rank());
    let [rank, count] = [world.rank(), world.size()].map(|n| n as usize);
    let [local_rank, local_count] = [local.rank(), local.size()].map(|n| n as usize);
    let end = world.duplicate();
    OPEN.set(Some(ManuallyDrop::new(Open { universe, world, end })));
    Ok(Ranks { rank, count, local_rank, local_count, in_time: false })
}

fn with<T>(work: impl FnOnce(&Open) -> T) -> T {
    OPEN.with_borrow(|open| {
        work(
            open.as_ref()
                .expect("ranks exchange while they are open, on the thread that found them"),
        )
    })
}

/// Whether all came in that time.
fn met(among: &SimpleCommunicator, most: Option<Duration>) -> bool {
    let started = Instant::now();
    let mut request = among.immediate_barrier();
    loop {
        request = match request.test() {
            Ok(_) => return true,
            Err(request) => request,
        };
        let waited = started.elapsed();
        if most.is_some_and(|most| waited > most) {
            // The request stays open: the process ends.
            forget(request);
            return false;
        }
        if waited > SPIN {
            std::thread::sleep(PAUSE);
        } else {
            std::thread::yield_now();
        }
    }
}

pub fn meet(most: Option<Duration>) -> bool {
    with(|open| met(&open.world, most))
}

pub fn all_to_all(values: &[f32]) -> Vec<f32> {
    let mut received = vec![0.0; values.len()];
    with(|open| open.world.all_to_all_into(values, &mut received[..]));
    received
}

pub fn all_gather(values: &[f32], count: usize) -> Vec<f32> {
    let mut all = vec![0.0; values.len() * count];
    with(|open| open.world.all_gather_into(values, &mut all[..]));
    all
}

/// MPI counts in 32 bits.
fn counted(length: usize) -> Result<Count> {
    Count::try_from(length).map_err(|_| {
        Error::failure(format!(
            "ranks cannot exchange {length} bytes at once, which is beyond 2 GiB"
        ))
    })
}

pub fn all_gather_bytes(bytes: &[u8], count: usize) -> Result<Vec<Vec<u8>>> {
    with(|open| gathered(&open.world, bytes, count))
}

fn gathered(among: &SimpleCommunicator, bytes: &[u8], count: usize) -> Result<Vec<Vec<u8>>> {
    let mut lengths: Vec<Count> = vec![0; count];
    among.all_gather_into(&counted(bytes.len())?, &mut lengths[..]);
    let all: usize = lengths.iter().map(|&length| length as usize).sum();
    counted(all)?;
    if all == 0 {
        // Open MPI wants memory to put nothing into.
        return Ok(vec![Vec::new(); count]);
    }
    let mut begins: Vec<Count> = Vec::with_capacity(count);
    let mut end = 0;
    for length in &lengths {
        begins.push(end);
        end += length;
    }
    let mut received = vec![0_u8; all];
    let mut parts = PartitionMut::new(&mut received[..], &lengths[..], &begins[..]);
    among.all_gather_varcount_into(bytes, &mut parts);
    let part = |(&begin, &length): (&Count, &Count)| {
        received[begin as usize..][..length as usize].to_vec()
    };
    Ok(begins.iter().zip(&lengths).map(part).collect())
}

pub fn broadcast(mut bytes: Vec<u8>) -> Result<Vec<u8>> {
    with(|open| {
        let root = open.world.process_at_rank(0);
        let mut length = counted(bytes.len())?;
        root.broadcast_into(&mut length);
        bytes.resize(length as usize, 0);
        root.broadcast_into(&mut bytes[..]);
        Ok(bytes)
    })
}

pub fn end(rank: usize, count: usize, said: Option<&str>) -> Ending {
    let grace = said.map(|_| (GRACE[0] + GRACE[1] * rank as u32).min(MOST_GRACE));
    let all = with(|open| match met(&open.end, grace) {
        true => gathered(&open.end, said.unwrap_or_default().as_bytes(), count).ok(),
        false => None,
    });
    let Some(all) = all else { return Ending::Alone };
    Ending::Together { tells: !all[..rank].contains(&all[rank]) }
}

/// Closes MPI, where it is open.
pub fn finish() {
    let Some(open) = OPEN.take() else { return };
    let Open { universe, world: _, end } = ManuallyDrop::into_inner(open);
    if !met(&end, Some(MOST_GRACE)) {
        // One has died meanwhile; its launcher sees to the rest.
        forget((universe, end));
        return;
    }
    // Before the universe is.
    drop(end);
    drop(universe);
}

pub fn abort(status: u8) -> ! {
    with(|open| open.world.abort(status.into()))
}
