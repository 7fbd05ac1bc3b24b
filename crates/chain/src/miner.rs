//! The thread that mines by the clock.
//!
//! Invariant: it exists once per chain, sleeps unless an interval is set, and ends within one block of being told to. Where blocks take longer
//! than the interval, the next one is executed while one is sealed.
//! What it does not do: instant mining; there the caller whose transaction became ready makes the block.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::chain::{Chain, lock};
use crate::dev::Mining;
use crate::error::ChainError;

#[derive(Debug, Default)]
struct Bell {
    state: Mutex<Ring>,
    rung: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ring {
    stop: bool,
    changed: bool,
}

impl Ring {
    const fn is_rung(self) -> bool {
        self.stop || self.changed
    }
}

/// Handle of the mining thread; [`Miner::stop`] joins it.
#[derive(Debug)]
pub struct Miner {
    bell: Arc<Bell>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Miner {
    /// Starts the thread for `chain`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(chain: Arc<Chain>) -> Result<Self, ChainError> {
        let bell = Arc::new(Bell::default());
        let mine = Arc::clone(&bell);
        let thread = std::thread::Builder::new()
            .name("interlace-miner".into())
            .spawn(move || run(&chain, &mine))
            .map_err(|error| ChainError::Developer(format!("no mining thread: {error}")))?;
        Ok(Self { bell, thread: Mutex::new(Some(thread)) })
    }

    /// Tells the thread that the mining mode changed.
    pub fn wake(&self) {
        lock(&self.bell.state).changed = true;
        self.bell.rung.notify_all();
    }

    /// Ends the thread and waits for it; a second call does nothing.
    pub fn stop(&self) {
        lock(&self.bell.state).stop = true;
        self.bell.rung.notify_all();
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the mining thread panicked");
        }
    }
}

/// When the next block is due.
#[derive(Clone, Copy, Debug)]
struct Due {
    /// `None` is beyond what the clock can tell: never.
    at: Option<Instant>,
    every: Duration,
}

impl Due {
    fn after(every: Duration) -> Self {
        Self { at: Instant::now().checked_add(every), every }
    }
}

fn run(chain: &Chain, bell: &Bell) {
    let mut due: Option<Due> = None;
    let mut failing: Option<ChainError> = None;
    loop {
        let interval = match chain.developer().map(crate::dev::DevOrderer::mining) {
            Ok(Mining::Interval(every)) => Some(every),
            _ => None,
        };
        let now = Instant::now();
        due = interval.map(|every| match due {
            Some(Due { at, every: before }) if before == every => Due { at, every },
            _ => Due::after(every),
        });
        match due {
            Some(Due { at: Some(at), every }) if at <= now => {
                // From now on, not from when it was due: a slow machine makes fewer blocks instead of a burst.
                let mut next = Due::after(every);
                let go_on = || {
                    let late = next.at.is_some_and(|at| at <= Instant::now()) && !lock(&bell.state).is_rung();
                    if late {
                        next = Due::after(every);
                    }
                    late
                };
                let error = chain.produce_while(go_on).err();
                // Said when it begins: an interval may be a millisecond, and a reason that stays would fill the log.
                if let Some(error) = error.as_ref().filter(|error| failing.as_ref() != Some(*error)) {
                    tracing::error!(%error, "no block");
                }
                failing = error;
                due = Some(next);
                if lock(&bell.state).stop {
                    return;
                }
            }
            _ => {
                if wait(bell, due.and_then(|due| due.at).map(|at| at.saturating_duration_since(now))) {
                    return;
                }
            }
        }
    }
}

/// Sleeps until rung or for `most`; true when the thread shall end.
fn wait(bell: &Bell, most: Option<Duration>) -> bool {
    let mut ring = lock(&bell.state);
    if !ring.is_rung() {
        ring = match most {
            None => bell.rung.wait(ring).unwrap_or_else(PoisonError::into_inner),
            Some(most) => bell.rung.wait_timeout(ring, most).unwrap_or_else(PoisonError::into_inner).0,
        };
    }
    ring.changed = false;
    ring.stop
}
