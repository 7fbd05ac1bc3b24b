//! Which transactions of a block wait for which, and what more lanes would gain: the block as a picture.
//!
//! ```text
//! lane 0 │ 0 ──────► 2 ─────────────► 5 ──►│
//! lane 1 │ 1 ──────────────► 3 ──► 4 ──────►│   length: the gas until the last one ends
//! ```
//! Invariant: a transaction whose state has what the ones that it waits for wrote, and theirs, comes out as in the block. It waits for the last
//! one that wrote what it looked at, by the rules by which the executor takes over what was executed ahead: balances that nothing looks at,
//! nonces of senders and what beneficiaries are paid make nobody wait.
//! What it does not do: that a sum of balances overflows, which no supply lets happen, is no reason to wait here. It times nothing. Gas stands for time, and a lane for a core that waits for no other reason.

use std::collections::HashMap;

use alloy_primitives::Address;
use interlace_primitives::ChainSpec;
use interlace_stf::{Account, Block, BlockBuilder, BlockError, EvmError, Location, StateReader, begin, request_of};

/// Lanes of a picture at most.
pub const MAX_LANES: usize = 256;

/// One thing that a transaction waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Index of the transaction that wrote it last.
    pub on: usize,
    /// What both reach.
    pub location: Location,
}

/// One transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Gas used.
    pub gas: u64,
    /// What it waits for, by location.
    pub waits: Vec<Wait>,
}

/// The transactions of a block, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// They wait for earlier ones only.
    pub nodes: Vec<Node>,
}

/// Where a transaction lies in a picture, in gas from the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the lane, from zero.
    pub lane: usize,
    /// Where it begins.
    pub start: u64,
    /// Where it ends.
    pub end: u64,
}

/// Who wrote what last.
#[derive(Debug, Default)]
struct Writers {
    last: HashMap<Location, usize>,
    /// Who wrote all slots of an account, because they were gone.
    wiped: HashMap<Address, usize>,
}

impl Writers {
    fn of(&self, location: &Location) -> Option<usize> {
        let wiped = match location {
            Location::Slot(address, _) => self.wiped.get(address),
            _ => None,
        };
        self.last.get(location).max(wiped).copied()
    }

    /// Transaction `index` left the account at `address` as `after`.
    fn note(&mut self, index: usize, address: Address, before: Option<Account>, after: Option<Account>) {
        let kind = |account: Option<Account>| account.map(|account| (account.code_hash, account.is_empty()));
        let (one, other) = (before.unwrap_or_default(), after.unwrap_or_default());
        let changed = [
            (kind(before) != kind(after), Location::Account(address)),
            (one.balance != other.balance, Location::Balance(address)),
            (one.nonce != other.nonce, Location::Nonce(address)),
        ];
        self.last.extend(changed.into_iter().filter(|(changed, _)| *changed).map(|(_, location)| (location, index)));
    }
}

impl Graph {
    /// That of `block` on `state`, the state before it. It is executed, on this thread. `go_on` is asked before each transaction; if it says
    /// no, there is none.
    ///
    /// # Errors
    /// As `interlace_stf::run`.
    pub fn of<R: StateReader>(
        spec: &ChainSpec,
        block: &Block,
        senders: &[Address],
        state: &R,
        go_on: impl Fn() -> bool,
    ) -> Result<Option<Self>, BlockError<R::Error>> {
        let mut builder = begin(spec, block, senders, state, None)?;
        builder.speculative();
        let mut writers = Writers::default();
        let mut nodes = Vec::with_capacity(senders.len());
        for (index, (tx, sender)) in block.body.transactions.iter().zip(senders).enumerate() {
            let failed = |error| BlockError::at(index, *tx.tx_hash(), error);
            if !go_on() {
                return Ok(None);
            }
            let ahead = builder.speculate(&request_of(tx, *sender)).map_err(failed)?;
            let mut waits: Vec<Wait> = Vec::new();
            for location in ahead.reads() {
                waits.extend(writers.of(&location).map(|on| Wait { on, location }));
            }
            let written = ahead.written();
            let beneficiary = builder.env().beneficiary;
            let mut reached: Vec<Address> = written.iter().map(|account| account.address).collect();
            reached.push(beneficiary);
            reached.sort_unstable();
            reached.dedup();
            let before = accounts(&builder, &reached).map_err(|error| failed(EvmError::State(error)))?;
            // Nothing happened since it was executed, and it has to fit the block like any other.
            builder.push(tx, *sender).map_err(failed)?;
            let after = accounts(&builder, &reached).map_err(|error| failed(EvmError::State(error)))?;
            for ((address, before), after) in reached.iter().zip(before).zip(after) {
                writers.note(index, *address, before, after);
            }
            for account in written {
                if account.wiped {
                    writers.wiped.insert(account.address, index);
                }
                let slots = account.slots.into_iter().map(|slot| (Location::Slot(account.address, slot), index));
                writers.last.extend(slots);
            }
            let gas = builder.outcomes().last().map_or(0, |outcome| outcome.gas_used);
            nodes.push(Node { gas, waits });
        }
        Ok(Some(Self { nodes }))
    }

    /// Gas of all transactions.
    #[must_use]
    pub fn gas(&self) -> u64 {
        self.nodes.iter().map(|node| node.gas).sum()
    }

    /// Gas of the longest chain of transactions that wait for each other: with ever more lanes, no picture is shorter.
    #[must_use]
    pub fn longest_chain_gas(&self) -> u64 {
        let mut ends: Vec<u64> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let ready = node.waits.iter().map(|wait| ends[wait.on]).max().unwrap_or_default();
            ends.push(ready.saturating_add(node.gas));
        }
        ends.into_iter().max().unwrap_or_default()
    }

    /// Where each transaction lies if there are `lanes`: in order, on the lane where it can begin first, once those that it waits for have ended.
    #[must_use]
    pub fn places(&self, lanes: usize) -> Vec<Place> {
        let mut free = vec![0u64; lanes.max(1)];
        let mut places: Vec<Place> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let ready = node.waits.iter().map(|wait| places[wait.on].end).max().unwrap_or_default();
            // The lane that is free last of those free in time, so that others stay free; else the one that is free first.
            let in_time = (0..free.len()).rev().filter(|lane| free[*lane] <= ready).max_by_key(|lane| free[*lane]);
            let Some(lane) = in_time.or_else(|| (0..free.len()).min_by_key(|lane| free[*lane])) else { continue };
            let start = free[lane].max(ready);
            let end = start.saturating_add(node.gas);
            free[lane] = end;
            places.push(Place { lane, start, end });
        }
        places
    }
}

fn accounts<R: StateReader>(
    builder: &BlockBuilder<'_, &R>,
    addresses: &[Address],
) -> Result<Vec<Option<Account>>, R::Error> {
    addresses.iter().map(|address| builder.overlay().account(*address)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(nodes: &[(u64, &[usize])]) -> Graph {
        let wait = |on: &usize| Wait { on: *on, location: Location::Balance(Address::ZERO) };
        let node = |(gas, waits): &(u64, &[usize])| Node { gas: *gas, waits: waits.iter().map(wait).collect() };
        Graph { nodes: nodes.iter().map(node).collect() }
    }

    fn places(graph: &Graph, lanes: usize) -> Vec<(usize, u64, u64)> {
        graph.places(lanes).iter().map(|place| (place.lane, place.start, place.end)).collect()
    }

    #[test]
    fn transactions_lie_where_they_can_begin_first() {
        let graph = graph(&[(5, &[]), (2, &[]), (3, &[1]), (4, &[0, 2]), (1, &[])]);
        assert_eq!(graph.gas(), 15);
        assert_eq!(graph.longest_chain_gas(), 9);
        assert_eq!(places(&graph, 1), [(0, 0, 5), (0, 5, 7), (0, 7, 10), (0, 10, 14), (0, 14, 15)]);
        assert_eq!(places(&graph, 2), [(0, 0, 5), (1, 0, 2), (1, 2, 5), (0, 5, 9), (1, 5, 6)]);
        // The third lane is free for the last.
        assert_eq!(places(&graph, 3)[4], (2, 0, 1));
        assert_eq!(places(&Graph::default(), 4), []);
        assert_eq!(Graph::default().longest_chain_gas(), 0);
    }
}
