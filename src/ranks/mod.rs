//! The processes that compute together, as `mpirun` or `srun` has started them; each is a *rank*.
//!
//! Without the feature `mpi`, or started alone, a process is the one rank there is: every exchange
//! returns at once what it was given. All MPI is in `mpi.rs`.
//!
//! Whatever is exchanged, every rank has to ask for it, in the same order. Only the thread that called
//! [`Ranks::begin`] may.

#[cfg(not(feature = "mpi"))]
#[path = "alone.rs"]
mod mpi;
#[cfg(feature = "mpi")]
mod mpi;

use std::io::Write;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// This process among those that compute together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranks {
    rank: usize,
    count: usize,
    /// Among the ranks of this host.
    local_rank: usize,
    local_count: usize,
    /// Whether it waits for the others for some time only.
    in_time: bool,
}

/// How all ranks have come to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All are done, or have failed alike; whether it is this one that tells.
    Together {
        /// No rank before has the same to say.
        tells: bool,
    },
    /// This one has failed and others are at work: it tells why and ends them.
    Alone,
}

static THIS: OnceLock<Ranks> = OnceLock::new();

/// What a launcher tells its processes: Open MPI, PMI (MPICH, Slurm) and PMIx (Slurm, Open MPI).
const LAUNCHED: [&str; 4] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMI_RANK", "PMIX_RANK"];

/// How many processes the launcher says that it has started together, where it does.
fn started_with() -> Option<usize> {
    let sizes = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];
    sizes.iter().find_map(|name| std::env::var(name).ok()?.parse().ok())
}

/// Seconds that a rank waits in training for the others.
const PATIENCE: &str = "MOODSHADER_RANK_TIMEOUT";

/// A rank may have to write a report, or read from a slow disk, before it takes part in an update.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(600);

/// From one rank that gives up to the next.
const STAGGER: Duration = Duration::from_millis(100);

impl Ranks {
    /// The only rank.
    pub const ALONE: Self =
        Self { rank: 0, count: 1, local_rank: 0, local_count: 1, in_time: false };

    /// Finds the other ranks, once in a process.
    ///
    /// # Errors
    /// There are others and this build has no MPI; MPI cannot be used.
    pub fn begin() -> Result<Self> {
        let launched = LAUNCHED.iter().any(|name| std::env::var_os(name).is_some());
        let ranks = if launched { mpi::begin()? } else { Self::ALONE };
        Ok(*THIS.get_or_init(|| ranks))
    }

    /// Those that [`Self::begin`] has found; the only one before.
    pub fn this() -> Self {
        THIS.get().copied().unwrap_or(Self::ALONE)
    }

    /// From 0.
    pub fn rank(self) -> usize {
        self.rank
    }

    /// How many there are.
    pub fn count(self) -> usize {
        self.count
    }

    /// Whether this is rank 0, which alone tells people what happens and writes results.
    pub fn is_first(self) -> bool {
        self.rank == 0
    }

    /// Whether there are others.
    pub fn has_others(self) -> bool {
        self.count > 1
    }

    /// Its place among the ranks of this host, from 0, and how many they are.
    pub fn local(self) -> [usize; 2] {
        [self.local_rank, self.local_count]
    }

    /// Its share of so many items: a range; shares differ by one item at most, and the first ranks have
    /// the larger ones.
    pub fn share(self, items: usize) -> Range<usize> {
        let begin = |rank: usize| (rank * items).div_ceil(self.count);
        begin(self.rank)..begin(self.rank + 1)
    }

    /// Replaces numbers by their sums over all ranks, the same bits on every rank.
    ///
    /// Every sum is made by one rank, in f64 and in the order of the ranks, and rounded once; a rank
    /// makes those of its part of the numbers. So a rank sends and receives 2 · (ranks − 1) / ranks
    /// times the numbers, what a ring would take.
    ///
    /// # Errors
    /// Other ranks keep this one waiting for longer than `MOODSHADER_RANK_TIMEOUT` says.
    pub fn sum_in_order(self, values: &mut [f32]) -> Result<()> {
        if !self.has_others() {
            return Ok(());
        }
        // One at least: nothing to sum is no error.
        let chunk = values.len().div_ceil(self.count).max(1);
        let mut sent = values.to_vec();
        sent.resize(chunk * self.count, 0.0);
        let all = self.in_time().exchange(|| {
            let parts = mpi::all_to_all(&sent);
            let mut sums = vec![0.0_f64; chunk];
            for part in parts.chunks(chunk) {
                for (sum, &value) in sums.iter_mut().zip(part) {
                    *sum += f64::from(value);
                }
            }
            let sums: Vec<f32> = sums.into_iter().map(|sum| sum as f32).collect();
            mpi::all_gather(&sums, self.count)
        })?;
        values.copy_from_slice(&all[..values.len()]);
        Ok(())
    }

    /// What every rank gives, in their order, on all of them.
    ///
    /// # Errors
    /// MPI cannot hold it; as [`Self::meet`].
    pub fn gather(self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        if !self.has_others() {
            return Ok(vec![bytes.to_vec()]);
        }
        self.exchange(|| mpi::all_gather_bytes(bytes, self.count))?
    }

    /// What rank 0 gives; the others give nothing.
    ///
    /// # Errors
    /// It cannot be made into JSON or read from it; as [`Self::meet`].
    pub fn hand_out<T: Serialize + DeserializeOwned>(self, value: Option<T>) -> Result<T> {
        let unreadable = |error: serde_json::Error| Error::failure(format!("rank 0: {error}"));
        match value {
            Some(value) => {
                if self.has_others() {
                    let text = serde_json::to_vec(&value).map_err(unreadable)?;
                    self.hand_out_bytes(text)?;
                }
                Ok(value)
            }
            None => serde_json::from_slice(&self.hand_out_bytes(Vec::new())?).map_err(unreadable),
        }
    }

    /// What rank 0 gives, as it is.
    ///
    /// # Errors
    /// MPI cannot hold it; as [`Self::meet`].
    pub fn hand_out_bytes(self, bytes: Vec<u8>) -> Result<Vec<u8>> {
        if !self.has_others() {
            return Ok(bytes);
        }
        self.exchange(|| mpi::broadcast(bytes))?
    }

    /// The places of this rank's share of so many items, which are dealt round.
    pub fn own(self, items: usize) -> Vec<usize> {
        (self.rank..items).step_by(self.count).collect()
    }

    /// What all ranks have made of their shares, by rank, in the order of the items that [`Self::own`] dealt.
    pub fn in_order<T>(self, shares: Vec<Vec<T>>) -> Vec<T> {
        let items = shares.iter().map(Vec::len).sum();
        let mut shares: Vec<_> = shares.into_iter().map(Vec::into_iter).collect();
        (0..items).filter_map(|item| shares[item % self.count].next()).collect()
    }

    /// The ranks whose `bytes` are other than rank 0's: none where all have the same.
    ///
    /// # Errors
    /// As [`Self::gather`].
    pub fn differing(self, bytes: &[u8]) -> Result<Vec<usize>> {
        let all = self.gather(bytes)?;
        Ok((0..all.len()).filter(|&rank| all[rank] != all[0]).collect())
    }

    /// The same, whose exchanges are given up where another rank keeps it waiting for longer than
    /// `MOODSHADER_RANK_TIMEOUT` says: for work of which every rank does as much as the others.
    pub fn in_time(self) -> Self {
        Self { in_time: true, ..self }
    }

    /// Waits until every rank has come so far: as long as that takes, but for [`Self::in_time`].
    ///
    /// # Errors
    /// It has waited for too long.
    pub fn meet(self) -> Result<()> {
        if !self.has_others() {
            return Ok(());
        }
        let most = self.patience()?;
        match (mpi::meet(most), most) {
            (false, Some(most)) => Err(Error::failure(waited(most))),
            _ => Ok(()),
        }
    }

    /// How long it waits for the others, where there is a limit.
    fn patience(self) -> Result<Option<Duration>> {
        if self.in_time { patience().map(Some) } else { Ok(None) }
    }

    /// Meets the others, so that most of the wait can be given up, and does what all then do at once. A rank
    /// that stops between the two keeps the others inside MPI, from where no call comes back: there a watch
    /// ends the process, and its launcher the others.
    fn exchange<T>(self, work: impl FnOnce() -> T) -> Result<T> {
        self.meet()?;
        let Some(most) = self.patience()? else { return Ok(work()) };
        let (done, under_way) = channel::<()>();
        // One tells before the others do.
        let later = STAGGER * self.rank as u32;
        std::thread::spawn(move || {
            if under_way.recv_timeout(most + later) == Err(RecvTimeoutError::Timeout) {
                give_up(self.rank, most);
            }
        });
        let result = work();
        drop(done);
        Ok(result)
    }

    /// Comes to an end with the others; `said` is this rank's failure. One that has failed waits a moment
    /// for others that fail alike, so that the same is not told by each. [`Self::finish`] comes after it.
    pub fn end(self, said: Option<&str>) -> Ending {
        match self.has_others() {
            true => mpi::end(self.rank, self.count, said),
            false => Ending::Together { tells: true },
        }
    }

    /// Parts with the others once all have told what they had to: a launcher ends the rest where one
    /// process fails.
    pub fn finish(self) {
        mpi::finish();
    }

    /// Ends all ranks with this exit status.
    pub fn abort(self, status: u8) -> ! {
        mpi::abort(status)
    }
}

fn waited(most: Duration) -> String {
    format!(
        "waited {} s for the other ranks: one of them hangs, or the network between them is gone; what was \
         saved last is kept ({PATIENCE} sets how many seconds a rank waits)",
        most.as_secs()
    )
}

/// Ends this process, whose thread that would tell is inside MPI.
fn give_up(rank: usize, most: Duration) -> ! {
    let _ = writeln!(std::io::stderr(), "error: rank {rank}: {}", waited(most));
    // What runs at a usual end may wait for that thread.
    #[cfg(unix)]
    // SAFETY: nothing runs after it.
    unsafe {
        libc::_exit(1)
    }
    #[cfg(not(unix))]
    std::process::exit(1)
}

/// Ranks for people: "1, 3".
pub fn listed(ranks: &[usize]) -> String {
    ranks.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

/// How long a rank waits in training.
fn patience() -> Result<Duration> {
    let Some(text) = std::env::var_os(PATIENCE) else { return Ok(DEFAULT_PATIENCE) };
    let seconds = text.to_str().and_then(|text| text.parse().ok()).filter(|&seconds| seconds > 0);
    seconds.map(Duration::from_secs).ok_or_else(|| {
        Error::input(format!("{PATIENCE} = {}: expected seconds, 1 or more", text.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::Ranks;

    #[test]
    fn shares_cover_everything_once_and_differ_by_one_item_at_most() {
        for count in [1, 2, 3, 7] {
            for items in [0, 1, 2, 5, 7, 32] {
                let share = |rank| Ranks { rank, count, ..Ranks::ALONE }.share(items);
                let shares: Vec<_> = (0..count).map(share).collect();
                let all: Vec<usize> = shares.iter().cloned().flatten().collect();
                assert_eq!(all, (0..items).collect::<Vec<_>>());
                let sizes = || shares.iter().map(ExactSizeIterator::len);
                assert!(sizes().max().unwrap() - sizes().min().unwrap() <= 1);
                assert_eq!(sizes().max().unwrap(), shares[0].len(), "rank 0 has a largest one");
            }
        }
    }

    #[test]
    fn who_is_alone_exchanges_nothing() {
        let mut values = [1.5, -2.0];
        Ranks::ALONE.sum_in_order(&mut values).unwrap();
        assert_eq!(values, [1.5, -2.0]);
        assert_eq!(Ranks::ALONE.gather(b"all").unwrap(), [b"all"]);
        assert_eq!(Ranks::ALONE.hand_out(Some(7)).unwrap(), 7);
        let third = |rank| Ranks { rank, count: 3, ..Ranks::ALONE };
        let shares = [0, 1, 2].map(|rank| third(rank).own(7)).to_vec();
        assert_eq!(shares[1], [1, 4]);
        assert_eq!(third(0).in_order(shares), [0, 1, 2, 3, 4, 5, 6]);
        assert!(Ranks::ALONE.differing(b"hash").unwrap() == [0; 0]);
    }
}
