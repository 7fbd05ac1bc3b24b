//! Which connections are open, and which of them makes room when there are too many.
//!
//! Invariant: at most `max_connections` are counted as open, WebSockets at most half of them. When there are as many, the connection whose
//! client has been silent for longest is closed in favour of a new one, so that idle ones cannot shut out a client that has something
//! to ask; a request that executes is never cut off. Only if nothing can be closed is a new one refused.
//!
//! Two queues by age: *fresh* connections, which have not sent one whole request, and *kept* ones. Those that only came are closed before
//! those that have been of use, unless they are few: then a flood of new ones would close each before it can speak.
//! What it does not do: it reads and writes no socket; the connection's own task ends it when its ticket is recalled.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::limits::Limits;

/// A connection that was used within this many milliseconds is not idle.
const RECENT_MS: u64 = 1_000;
/// Kept connections looked at for one that is idle.
const MAX_LOOKS: usize = 64;

const FRESH: u8 = 0;
const IDLE: u8 = 1;
/// The head of a request came; its body may still be on its way.
const RECEIVING: u8 = 2;
const EXECUTING: u8 = 3;
const WEBSOCKET: u8 = 4;
const RECALLED: u8 = 5;

/// One connection as the others see it.
#[derive(Debug)]
pub(crate) struct Ticket {
    state: AtomicU8,
    /// Key in the queue that it is in.
    place: AtomicU64,
    /// Milliseconds since the start at which its state changed, or at which its client took a part of an answer.
    since_ms: AtomicU64,
    recalled: Notify,
    /// Bytes of a WebSocket message that is not complete.
    partial: AtomicUsize,
    /// Complete messages of a WebSocket.
    messages: AtomicU32,
    start: Instant,
}

impl Ticket {
    fn new(start: Instant, place: u64) -> Self {
        let ticket = Self {
            place: AtomicU64::new(place),
            state: AtomicU8::new(FRESH),
            since_ms: AtomicU64::new(0),
            recalled: Notify::new(),
            partial: AtomicUsize::new(0),
            messages: AtomicU32::new(0),
            start,
        };
        ticket.touch();
        ticket
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Its client did something.
    pub(crate) fn touch(&self) {
        self.since_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// Waits until it has to make room.
    pub(crate) async fn recalled(&self) {
        self.recalled.notified().await;
    }

    /// Whether it waits for the head of a request.
    pub(crate) fn awaits_head(&self) -> bool {
        matches!(self.state.load(Ordering::Relaxed), FRESH | IDLE)
    }

    pub(crate) fn is_websocket(&self) -> bool {
        self.state.load(Ordering::Relaxed) == WEBSOCKET
    }

    /// Changes the state unless the ticket was recalled meanwhile.
    fn become_(&self, state: u8) -> bool {
        let moved =
            self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| (old != RECALLED).then_some(state));
        self.touch();
        moved.is_ok()
    }

    /// Asks it to make room, unless its state changed.
    fn recall(&self, state: u8) -> bool {
        let recalled = self.state.compare_exchange(state, RECALLED, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if recalled {
            self.recalled.notify_one();
        }
        recalled
    }

    /// The body of a request is complete; false when the connection has to make room.
    pub(crate) fn executes(&self) -> bool {
        self.become_(EXECUTING)
    }

    /// A request was answered; its client has yet to take the answer.
    pub(crate) fn rests(&self) {
        let still = |old| matches!(old, RECEIVING | EXECUTING).then_some(IDLE);
        let _ = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, still);
        self.touch();
    }

    /// Bytes came for a WebSocket; gives how many are not yet a message.
    pub(crate) fn received(&self, bytes: usize) -> usize {
        self.partial.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    /// How many messages were complete so far, and whether one has begun since.
    pub(crate) fn message(&self) -> (u32, bool) {
        (self.messages.load(Ordering::Relaxed), self.partial.load(Ordering::Relaxed) > 0)
    }

    /// A message is complete.
    pub(crate) fn complete(&self) {
        self.partial.store(0, Ordering::Relaxed);
        self.messages.fetch_add(1, Ordering::Relaxed);
    }

    /// A ping or pong with `payload` bytes came, perhaps between the fragments of a message.
    pub(crate) fn control(&self, payload: usize) {
        // Two bytes of head and four of mask.
        let less = |partial: usize| Some(partial.saturating_sub(payload + 6));
        let _ = self.partial.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

#[derive(Debug, Default)]
struct Queues {
    next: u64,
    fresh: BTreeMap<u64, Arc<Ticket>>,
    kept: BTreeMap<u64, Arc<Ticket>>,
    websockets: usize,
}

/// All connections of a server.
#[derive(Debug)]
pub(crate) struct Connections {
    max: usize,
    max_websockets: usize,
    start: Instant,
    queues: Mutex<Queues>,
}

impl Connections {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            max: limits.max_connections,
            max_websockets: limits.max_websockets(),
            start: Instant::now(),
            queues: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a new connection in, closing an idle one if need be; `None` when nothing can be closed.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Open> {
        let mut queues = self.lock();
        if queues.open() >= self.max && !queues.recall(self.max) {
            return None;
        }
        queues.next += 1;
        let place = queues.next;
        let ticket = Arc::new(Ticket::new(self.start, place));
        queues.fresh.insert(place, Arc::clone(&ticket));
        drop(queues);
        Some(Open { connections: Arc::clone(self), ticket })
    }

    /// Closes an idle connection because the system has no more descriptors.
    pub(crate) fn relieve(&self) {
        self.lock().recall(self.max);
    }
}

impl Queues {
    fn open(&self) -> usize {
        self.fresh.len() + self.kept.len() + self.websockets
    }

    /// Puts a ticket at the end of the kept ones.
    fn keep(&mut self, ticket: Arc<Ticket>) {
        self.next += 1;
        ticket.place.store(self.next, Ordering::Relaxed);
        self.kept.insert(self.next, ticket);
    }

    /// Closes the connection that can best be spared; false when there is none.
    fn recall(&mut self, max: usize) -> bool {
        let many_fresh = self.fresh.len() >= (max / 4).max(1);
        (many_fresh && self.recall_fresh()) || self.recall_kept() || self.recall_fresh()
    }

    fn recall_fresh(&mut self) -> bool {
        self.fresh.pop_first().is_some_and(|(_, ticket)| ticket.recall(FRESH))
    }

    fn recall_kept(&mut self) -> bool {
        for _ in 0..MAX_LOOKS.min(self.kept.len()) {
            let Some((_, ticket)) = self.kept.pop_first() else { return false };
            let state = ticket.state.load(Ordering::Relaxed);
            let old = ticket.since_ms.load(Ordering::Relaxed) + RECENT_MS <= ticket.now_ms();
            if matches!(state, IDLE | RECEIVING) && old && ticket.recall(state) {
                return true;
            }
            self.keep(ticket);
        }
        false
    }
}

/// A connection that counts as open until this is dropped or recalled.
#[derive(Debug)]
pub(crate) struct Open {
    connections: Arc<Connections>,
    ticket: Arc<Ticket>,
}

impl Open {
    pub(crate) fn ticket(&self) -> &Arc<Ticket> {
        &self.ticket
    }

    /// The head of a request came; false when the connection has to make room.
    pub(crate) fn begin(&self) -> bool {
        if self.ticket.state.load(Ordering::Relaxed) != FRESH {
            return self.ticket.become_(RECEIVING);
        }
        // A ticket stops being fresh under the lock alone, so that whoever recalls a fresh one finds it so.
        let mut queues = self.connections.lock();
        let Some(ticket) = queues.fresh.remove(&self.ticket.place.load(Ordering::Relaxed)) else { return false };
        ticket.become_(RECEIVING);
        queues.keep(ticket);
        true
    }

    /// Makes it a WebSocket, which nothing recalls; false when there are too many.
    pub(crate) fn upgrade(&self) -> bool {
        let mut queues = self.connections.lock();
        if queues.websockets >= self.connections.max_websockets || !self.ticket.become_(WEBSOCKET) {
            return false;
        }
        queues.kept.remove(&self.ticket.place.load(Ordering::Relaxed));
        queues.websockets += 1;
        true
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut queues = self.connections.lock();
        let place = self.ticket.place.load(Ordering::Relaxed);
        match self.ticket.state.load(Ordering::Relaxed) {
            WEBSOCKET => queues.websockets -= 1,
            // It left the queues when it was recalled.
            RECALLED => {}
            _ => {
                queues.fresh.remove(&place);
                queues.kept.remove(&place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn connections(max: usize) -> Arc<Connections> {
        Connections::new(&Limits { max_connections: max, ..Limits::default() })
    }

    fn is_recalled(open: &Open) -> bool {
        open.ticket.state.load(Ordering::Relaxed) == RECALLED
    }

    /// As if it had not been used for a while.
    fn age(open: &Open) {
        open.ticket.since_ms.store(0, Ordering::Relaxed);
    }

    fn later(connections: &mut Arc<Connections>) {
        let past = Instant::now().checked_sub(std::time::Duration::from_secs(5)).unwrap();
        Arc::get_mut(connections).unwrap().start = past;
    }

    #[test]
    fn the_oldest_that_never_spoke_makes_room() {
        let all = connections(4);
        let held: Vec<Open> = (0..4).map(|_| all.admit().unwrap()).collect();
        assert!(held[0].begin());
        let fifth = all.admit().unwrap();
        assert!(is_recalled(&held[1]) && !is_recalled(&held[0]) && !is_recalled(&fifth));
        assert!(!held[1].begin(), "a recalled connection serves nothing more");
        drop(held);
        drop(fifth);
        assert_eq!(all.lock().open(), 0);
    }

    #[test]
    fn a_used_one_makes_room_only_when_it_is_idle() {
        let mut all = connections(2);
        later(&mut all);
        let (busy, idle) = (all.admit().unwrap(), all.admit().unwrap());
        assert!(busy.begin() && busy.ticket().executes() && idle.begin());
        idle.ticket().rests();
        assert!(all.admit().is_none(), "one executes and one was used just now");
        age(&busy);
        age(&idle);
        let third = all.admit().unwrap();
        assert!(is_recalled(&idle) && !is_recalled(&busy));
        assert!(third.begin() && third.ticket().executes());
        assert!(all.admit().is_none());
        busy.ticket().rests();
        age(&busy);
        assert!(all.admit().is_some());
    }

    #[test]
    fn websockets_have_half_and_are_never_recalled() {
        let all = connections(4);
        let sockets: Vec<Open> = (0..3).map(|_| all.admit().unwrap()).collect();
        assert!(sockets.iter().all(Open::begin));
        assert_eq!(sockets.iter().filter(|open| open.upgrade()).count(), 2);
        for _ in 0..20 {
            assert!(all.admit().is_some());
        }
        assert!(!sockets.iter().any(is_recalled));
        drop(sockets);
        assert_eq!(all.lock().open(), 0);
    }

    #[test]
    fn whatever_happens_the_count_is_right() {
        let all = connections(8);
        let mut held = Vec::new();
        for step in 0..2_000_usize {
            match step * 7 % 5 {
                0 | 1 => held.extend(all.admit()),
                2 if !held.is_empty() => drop(held.remove(step % held.len())),
                3 => drop(held.get(step % held.len().max(1)).map(Open::begin)),
                _ => drop(
                    held.get(step % held.len().max(1)).filter(|open| !open.ticket.awaits_head()).map(Open::upgrade),
                ),
            }
            let live = held.iter().filter(|open| !is_recalled(open)).count();
            assert_eq!(all.lock().open(), live);
            assert!(live <= 8);
        }
    }
}
