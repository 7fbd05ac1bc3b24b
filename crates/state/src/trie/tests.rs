//! The arena trie against alloy-trie's builder, which knows all leaves each time.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_trie::proof::{ProofRetainer, verify_proof};
use alloy_trie::{HashBuilder, Nibbles};
use interlace_trie::sorted_root;
use proptest::prelude::*;

use super::*;
use crate::keccak::Backend;

type Model = BTreeMap<B256, U256>;

/// Leaves of any tries: a handle for each key, and the value that it has now; those that have none lie in `cold`.
#[derive(Default)]
struct Shelf {
    handles: BTreeMap<(usize, B256), u32>,
    leaves: BTreeMap<u32, (B256, U256)>,
    cold: BTreeMap<(usize, B256), U256>,
    /// Whether cold leaves cannot be read.
    broken: bool,
}

fn owner(trie: usize) -> B256 {
    B256::from(U256::from(trie))
}

impl Source for Shelf {
    type Value = U256;

    fn leaf(&self, handle: u32) -> Result<(B256, U256), StorageError> {
        Ok(self.leaves[&handle])
    }

    fn cold(&self, owner: &B256, path: &B256, nibbles: usize) -> Result<Option<(B256, U256)>, StorageError> {
        if self.broken {
            return Err(StorageError::Stopped("broken".into()));
        }
        let trie = usize::try_from(U256::from_be_bytes(owner.0)).unwrap();
        let mut below = self.cold.range((trie, B256::ZERO)..=(trie, B256::repeat_byte(0xff)));
        // One that has a handle now is as that says, and need not be in the trie any more.
        let live = |(key, value): (&(usize, B256), &U256)| {
            let value = self.handles.get(key).map_or(*value, |handle| self.leaves[handle].1);
            (!value.is_zero() && node::fork(&key.1, path, 0) >= nibbles).then_some((key.1, value))
        };
        Ok(below.find_map(live))
    }
}

impl Shelf {
    /// A change of a leaf of trie `trie`; `ordinal` is its number if the leaf has no handle.
    fn change(&self, trie: usize, key: B256, value: U256, ordinal: usize) -> Change<U256> {
        let leaf = match (self.handles.get(&(trie, key)), self.cold.contains_key(&(trie, key))) {
            (Some(handle), _) => Leaf::Known(*handle),
            (None, true) => Leaf::Warm(ordinal as u32),
            (None, false) => Leaf::New(ordinal as u32),
        };
        Change { key, leaf, value: (!value.is_zero()).then_some(value) }
    }

    /// Puts leaves without handles in an empty trie.
    fn put_cold(&mut self, forest: &mut Forest, trie: usize, leaves: &Model) -> Trie {
        self.cold.extend(leaves.iter().map(|(key, value)| ((trie, *key), *value)));
        let change = |(key, value): (&B256, &U256)| Change { key: *key, leaf: Leaf::Cold, value: Some(*value) };
        let changes = leaves.iter().map(change).collect();
        let staged = forest.stage(self, vec![(owner(trie), Trie::default(), changes)]).unwrap();
        forest.apply(staged, |_| unreachable!())[0]
    }

    fn write(&mut self, trie: usize, key: B256, value: U256) -> u32 {
        let next = self.handles.len() as u32;
        let handle = *self.handles.entry((trie, key)).or_insert(next);
        self.leaves.insert(handle, (key, value));
        handle
    }
}

fn expected(model: &Model) -> B256 {
    sorted_root(model.iter().map(|(key, value)| (*key, alloy_rlp::encode(value))))
}

/// The nodes that alloy-trie's retainer keeps for `key`.
fn expected_proof(model: &Model, key: &B256) -> Vec<Bytes> {
    if model.is_empty() {
        return Vec::new();
    }
    let target = Nibbles::unpack(key);
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(vec![target]));
    model.iter().for_each(|(key, value)| builder.add_leaf(Nibbles::unpack(key), &alloy_rlp::encode(value)));
    builder.root();
    let nodes = builder.take_proof_nodes().matching_nodes_sorted(&target);
    let listed = nodes.into_iter().filter(|(path, node)| path.is_empty() || node.len() >= 32);
    listed.map(|(_, node)| node).collect()
}

fn step(forest: &mut Forest, shelf: &mut Shelf, trie: &mut Trie, model: &mut Model, changes: Vec<(B256, u64)>) {
    let mut last: BTreeMap<B256, U256> = BTreeMap::new();
    last.extend(changes.into_iter().map(|(key, value)| (key, U256::from(value))));
    let changes = last.iter().enumerate().map(|(ordinal, (key, value))| shelf.change(0, *key, *value, ordinal));
    let staged = forest.stage(shelf, vec![(owner(0), *trie, changes.collect())]).unwrap();
    let handles: Vec<u32> = last.iter().map(|(key, value)| shelf.write(0, *key, *value)).collect();
    model.extend(last);
    model.retain(|_, value| !value.is_zero());
    assert_eq!(staged.hash(0), expected(model));
    *trie = forest.apply(staged, |ordinal| Some(handles[ordinal as usize]))[0];
    assert_eq!(trie.hash(), expected(model));
    assert_eq!(trie.is_empty(), model.is_empty());
}

fn assert_proves(forest: &Forest, shelf: &Shelf, trie: Trie, model: &Model, key: &B256) {
    let nodes = forest.prove(shelf, &owner(0), trie, key).unwrap();
    assert_eq!(nodes, expected_proof(model, key), "{key}");
    let value = model.get(key).map(alloy_rlp::encode);
    if !model.is_empty() {
        verify_proof(trie.hash(), Nibbles::unpack(key), value, &nodes).unwrap();
    }
    assert_eq!(forest.get(shelf, &owner(0), trie, key).unwrap(), model.get(key).copied());
}

/// Keys that share long prefixes, in few groups, so that branches fork and collapse at every depth.
fn key() -> impl Strategy<Value = B256> {
    let close = (0usize..64, 0u8..3, 0usize..64, 0u8..3).prop_map(|(at, value, second, other)| {
        let mut key = B256::repeat_byte(0x11);
        for (at, value) in [(at, value), (second, other)] {
            let shift = if at % 2 == 0 { 4 } else { 0 };
            key[at / 2] = key[at / 2] & !(0x0f << shift) | (value + 1) << shift;
        }
        key
    });
    let scattered = any::<u8>().prop_map(|number| keccak256([number]));
    prop_oneof![3 => close, 1 => scattered]
}

fn steps() -> impl Strategy<Value = Vec<Vec<(B256, u64)>>> {
    let value = prop_oneof![2 => Just(0), 2 => 1u64..200, 1 => any::<u64>()];
    prop::collection::vec(prop::collection::vec((key(), value), 0..12), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn it_equals_the_trie_of_all_leaves_after_every_step(
        cold in prop::collection::btree_map(key(), (1u64..300).prop_map(U256::from), 0..20),
        steps in steps(), probes in prop::collection::vec(key(), 4),
    ) {
        let (mut forest, mut shelf) = (Forest::default(), Shelf::default());
        let mut trie = shelf.put_cold(&mut forest, 0, &cold);
        assert_eq!(trie.hash(), expected(&cold));
        cold.keys().for_each(|key| assert_proves(&forest, &shelf, trie, &cold, key));
        let mut model = cold;
        let mut seen: Vec<B256> = probes;
        for changes in steps {
            seen.extend(changes.iter().map(|(key, _)| *key));
            step(&mut forest, &mut shelf, &mut trie, &mut model, changes);
        }
        for key in &seen {
            assert_proves(&forest, &shelf, trie, &model, key);
        }
        let all = model.keys().map(|key| (*key, 0)).collect();
        step(&mut forest, &mut shelf, &mut trie, &mut model, all);
        assert_eq!(forest.arena.live(), (0, 0));
    }
}

fn random(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut seed = seed;
    move |bound| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % bound
    }
}

#[test]
fn one_thread_divides_nothing() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        let (mut forest, mut shelf) = (Forest::default(), Shelf::default());
        let (mut trie, mut model) = (Trie::default(), Model::new());
        for round in 1..3 {
            let changes = (0..3_000u64).map(|number| (keccak256(number.to_be_bytes()), number * round)).collect();
            step(&mut forest, &mut shelf, &mut trie, &mut model, changes);
        }
    });
}

/// Enough changes that threads share them; roots that lose their sixteenths; every backend.
#[test]
fn divided_tries_equal_whole_ones() {
    for backend in Backend::ALL {
        let Some(hasher) = Hasher::new(backend) else { continue };
        let (mut forest, mut shelf) = (Forest::new(hasher), Shelf::default());
        let (mut trie, mut model) = (Trie::default(), Model::new());
        let mut next = random(5);
        for round in 0..6 {
            let changes = (0..5_000).map(|_| (keccak256(next(20_000).to_be_bytes()), next(3) * (1 + next(1 << 30))));
            let changes = changes.collect();
            step(&mut forest, &mut shelf, &mut trie, &mut model, changes);
            if round == 3 {
                // All but one sixteenth go: the root is no branch afterwards, or a deeper one.
                let gone = model.keys().filter(|key| key[0] >> 4 != 7).map(|key| (*key, 0)).collect();
                step(&mut forest, &mut shelf, &mut trie, &mut model, gone);
            }
        }
        let all = model.keys().map(|key| (*key, 0)).collect();
        step(&mut forest, &mut shelf, &mut trie, &mut model, all);
        assert_eq!(forest.arena.live(), (0, 0));
    }
}

/// Tries of one forest do not touch each other; one that is cleared leaves room.
#[test]
fn many_tries_share_a_forest() {
    let (mut forest, mut shelf) = (Forest::default(), Shelf::default());
    let mut next = random(9);
    let mut tries: Vec<(Trie, Model)> = Vec::new();
    for number in 0..200 {
        // In some of them all leaves are cold.
        let count = if number % 3 == 0 { next(90) } else { 0 };
        let cold: Model = (0..count).map(|_| (keccak256(next(60).to_be_bytes()), U256::from(1 + next(3)))).collect();
        tries.push((shelf.put_cold(&mut forest, number, &cold), cold));
    }
    for round in 0..8 {
        let (mut staged, mut new) = (Vec::new(), Vec::new());
        for (number, (trie, model)) in tries.iter_mut().enumerate() {
            let count = if next(40) == 0 { 1_500 } else { next(6) };
            let changes: BTreeMap<B256, U256> =
                (0..count).map(|_| (keccak256(next(60).to_be_bytes()), U256::from(next(3)))).collect();
            let listed = changes.iter().map(|(key, value)| {
                new.push((number, *key, *value));
                shelf.change(number, *key, *value, new.len() - 1)
            });
            staged.push((owner(number), *trie, listed.collect()));
            model.extend(changes);
            model.retain(|_, value| !value.is_zero());
        }
        let staged = forest.stage(&shelf, staged).unwrap();
        let handles: Vec<u32> = new.into_iter().map(|(number, key, value)| shelf.write(number, key, value)).collect();
        for (number, (trie, model)) in tries.iter_mut().enumerate() {
            assert_eq!(staged.hash(number), expected(model), "round {round}, trie {number}");
            *trie = Trie::default();
        }
        for ((trie, _), new) in tries.iter_mut().zip(forest.apply(staged, |ordinal| Some(handles[ordinal as usize]))) {
            *trie = new;
        }
        let (trie, model) = &mut tries[round * 11];
        forest.clear(*trie);
        (*trie, *model) = (Trie::default(), Model::new());
    }
    for (number, (trie, model)) in tries.iter().enumerate() {
        for key in model.keys() {
            assert_eq!(forest.get(&shelf, &owner(number), *trie, key), Ok(model.get(key).copied()));
        }
    }
    tries.iter().for_each(|(trie, _)| forest.clear(*trie));
    assert_eq!(forest.arena.live(), (0, 0));
}

/// Leaves of a byte or two under long shared prefixes: nodes stand inside nodes, at several depths, under extensions.
#[test]
fn short_nodes_stand_in_their_parents() {
    let (mut forest, mut shelf) = (Forest::default(), Shelf::default());
    let (mut trie, mut model) = (Trie::default(), Model::new());
    let key = |tail: [u8; 2]| {
        let mut key = B256::repeat_byte(0xaa);
        key[30..].copy_from_slice(&tail);
        key
    };
    let tails = [[0, 0], [0, 1], [0, 0x10], [1, 0], [0x11, 0], [0x11, 0x11], [0xff, 0xff]];
    for tail in tails {
        step(&mut forest, &mut shelf, &mut trie, &mut model, vec![(key(tail), 1 + u64::from(tail[0]))]);
        tails.iter().for_each(|tail| assert_proves(&forest, &shelf, trie, &model, &key(*tail)));
    }
    for tail in tails {
        step(&mut forest, &mut shelf, &mut trie, &mut model, vec![(key(tail), 0)]);
        tails.iter().for_each(|tail| assert_proves(&forest, &shelf, trie, &model, &key(*tail)));
    }
}

#[test]
fn what_is_staged_and_dropped_leaves_no_trace() {
    let (mut forest, mut shelf) = (Forest::default(), Shelf::default());
    let (mut trie, mut model) = (Trie::default(), Model::new());
    let numbered = |number: u64, value: u64| (keccak256(number.to_be_bytes()), value);
    step(&mut forest, &mut shelf, &mut trie, &mut model, (0..600).map(|number| numbered(number, number + 1)).collect());
    let change = |number, value| {
        let (key, value) = numbered(number, value);
        shelf.change(0, key, U256::from(value), number as usize)
    };
    let stage = |tries| forest.stage(&shelf, tries).unwrap();
    let first = stage(vec![(owner(0), trie, vec![change(3, 0), change(700, 1)])]).hash(0);
    drop(stage(vec![(owner(0), trie, (0..600).map(|number| change(number, 9)).collect())]));
    assert_eq!(stage(vec![(owner(0), trie, vec![change(3, 0), change(700, 1)])]).hash(0), first);
    assert_eq!(stage(vec![(owner(0), trie, Vec::new())]).hash(0), trie.hash());
    assert_eq!(stage(vec![(owner(0), trie, vec![change(900, 0)])]).hash(0), trie.hash());
    let twice = stage(vec![(owner(0), trie, vec![change(3, 5), change(3, 5)])]).hash(0);
    assert_eq!(twice, stage(vec![(owner(0), trie, vec![change(3, 5)])]).hash(0));
    assert_eq!(stage(Vec::new()).places.len(), 0);
}

/// A large trie of cold leaves changes as one of others does, by several threads, and nobody sees what cannot be read.
#[test]
fn cold_leaves_are_found_by_their_paths() {
    let (mut forest, mut shelf) = (Forest::default(), Shelf::default());
    let mut next = random(11);
    let mut model: Model = (0..2_000u64).map(|n| (keccak256(n.to_be_bytes()), U256::from(n + 1))).collect();
    let mut trie = shelf.put_cold(&mut forest, 0, &model);
    for count in [40, 1_500, 1_500, 3] {
        let changes = (0..count).map(|_| (keccak256(next(2_500).to_be_bytes()), next(3))).collect();
        step(&mut forest, &mut shelf, &mut trie, &mut model, changes);
    }
    for number in 0..2_500u64 {
        assert_proves(&forest, &shelf, trie, &model, &keccak256(number.to_be_bytes()));
    }
    let cold = shelf.cold.keys().find(|key| !shelf.handles.contains_key(key)).unwrap().1;
    // A neighbour that is new: the cold leaf has to be moved.
    let mut neighbour = cold;
    neighbour[31] ^= 1;
    shelf.broken = true;
    let stage = |shelf: &Shelf, key| {
        let change = shelf.change(0, key, U256::from(5), 0);
        forest.stage(shelf, vec![(owner(0), trie, vec![change])]).map(|staged| staged.hash(0))
    };
    assert_eq!(stage(&shelf, neighbour).unwrap_err().code(), "chain.data-stopped");
    assert_eq!(forest.prove(&shelf, &owner(0), trie, &cold).unwrap_err().code(), "chain.data-stopped");
    assert_eq!(forest.get(&shelf, &owner(0), trie, &cold).unwrap_err().code(), "chain.data-stopped");
    shelf.broken = false;
    for key in [cold, neighbour] {
        let mut model = model.clone();
        model.insert(key, U256::from(5));
        assert_eq!(stage(&shelf, key), Ok(expected(&model)));
    }
}

/// Few and many of them; in order, backwards and mixed, some twice, some with keys that begin alike.
#[test]
fn changes_are_put_in_the_order_of_their_keys() {
    let mut next = random(13);
    for count in [0u64, 1, 2, 63, 64, 65, 3_000] {
        let mut key = || {
            let mut key = keccak256(next(1 + count / 2).to_be_bytes());
            key[..8].copy_from_slice(&next(1 + count / 3).to_be_bytes());
            key
        };
        let mixed: Vec<B256> = (0..count).map(|_| key()).collect();
        let mut backwards = mixed.clone();
        backwards.sort_unstable_by(|one, other| other.cmp(one));
        let alike = vec![B256::repeat_byte(7); count as usize];
        let ordered: Vec<B256> = mixed.iter().copied().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        for keys in [mixed, backwards, alike, ordered] {
            let change = |key: &B256| Change { key: *key, leaf: Leaf::Cold, value: Some(U256::from_be_bytes(key.0)) };
            let mut flat = vec![change(&B256::repeat_byte(0xff))];
            put_sorted(&mut flat, keys.iter().map(change).collect());
            let put: Vec<(B256, Option<U256>)> = flat[1..].iter().map(|change| (change.key, change.value)).collect();
            let all: BTreeMap<B256, Option<U256>> = keys.iter().map(|key| (*key, change(key).value)).collect();
            assert_eq!(put, all.into_iter().collect::<Vec<_>>(), "{count}");
        }
    }
}

/// 12 bytes for a branch, 36 for a child, 4 for each of both that is free.
#[test]
fn it_tells_the_bytes_that_it_uses() {
    let (mut forest, mut shelf) = (Forest::default(), Shelf::default());
    assert_eq!(forest.bytes(), 0);
    let leaves = [0x10, 0x20, 0x30].map(|byte| (B256::repeat_byte(byte), U256::from(1)));
    let trie = shelf.put_cold(&mut forest, 0, &leaves.into());
    assert_eq!(forest.bytes(), 12 + 3 * 36);
    forest.clear(trie);
    assert_eq!(forest.bytes(), 12 + 3 * 36 + 4 + 4);
}

fn four_threads<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap().install(work)
}

/// Each trie's changes are walked once, whether it is walked with others, alone or in sixteenths.
#[test]
fn large_tries_between_small_ones_are_divided() {
    four_threads(|| {
        let (mut forest, mut shelf) = (Forest::default(), Shelf::default());
        let mut next = random(17);
        let sizes: [u64; 7] = [3, 2_000, 5, 1, 3_000, 2_500, 4];
        let mut tries = sizes.map(|_| (Trie::default(), Model::new()));
        for _ in 0..3 {
            let (mut given, mut new) = (Vec::new(), Vec::new());
            for (number, (trie, model)) in tries.iter_mut().enumerate() {
                let changes: Model = (0..sizes[number])
                    .map(|_| (keccak256(next(2 * sizes[number]).to_be_bytes()), U256::from(next(4))))
                    .collect();
                let listed = changes.iter().map(|(key, value)| {
                    new.push((number, *key, *value));
                    shelf.change(number, *key, *value, new.len() - 1)
                });
                given.push((owner(number), *trie, listed.collect()));
                model.extend(changes);
                model.retain(|_, value| !value.is_zero());
            }
            let staged = forest.stage(&shelf, given).unwrap();
            let handles: Vec<u32> =
                new.into_iter().map(|(number, key, value)| shelf.write(number, key, value)).collect();
            let placed = forest.apply(staged, |ordinal| Some(handles[ordinal as usize]));
            for ((trie, model), placed) in tries.iter_mut().zip(placed) {
                assert_eq!(placed.hash(), expected(model));
                *trie = placed;
            }
        }
    });
}

/// The work is divided when it is large, and then in pieces that are neither tiny nor too few.
#[test]
fn work_is_divided_when_it_is_worth_it() {
    let given = |forest: &mut Forest, shelf: &mut Shelf, sizes: &[usize]| -> (Vec<Given>, Vec<Change<U256>>) {
        let (mut ranges, mut flat) = (Vec::new(), Vec::new());
        for (number, size) in sizes.iter().enumerate() {
            let leaves: Model = (0..*size as u64).map(|n| (keccak256(n.to_be_bytes()), U256::from(1))).collect();
            let trie = shelf.put_cold(forest, number, &leaves);
            let start = flat.len();
            flat.extend(leaves.keys().map(|key| shelf.change(number, *key, U256::from(2), 0)));
            ranges.push(Given { owner: owner(number), trie, range: start..flat.len() });
        }
        (ranges, flat)
    };
    let weights = |ranges: &[Given], shares: &[Share]| -> Vec<usize> {
        let weight = |share: &Share| match share {
            Share::Tries(tries) => ranges[tries.clone()].iter().map(|given| given.range.len()).sum(),
            Share::Sixteenth { changes, .. } => changes.len(),
        };
        shares.iter().map(weight).collect()
    };
    four_threads(|| {
        let (mut forest, mut shelf) = (Forest::default(), Shelf::default());
        // 16 shares for four threads, but none smaller than 256 changes.
        for (sizes, expected) in [(vec![40; 6], vec![240]), (vec![40; 14], vec![280, 280]), (vec![40; 7], vec![280])] {
            let (ranges, flat) = given(&mut forest, &mut shelf, &sizes);
            let (shares, split) = forest.share(&ranges, &flat);
            assert_eq!((weights(&ranges, &shares), split.len()), (expected, 0));
        }
        // 40 changes are 2 shares of 20 tries where a share holds 800.
        let (ranges, flat) = given(&mut forest, &mut shelf, &[40; 320]);
        assert_eq!(weights(&ranges, &forest.share(&ranges, &flat).0), [800; 16]);
        // A trie of more than two shares is divided by its nibbles; what comes before it is a share.
        let (ranges, flat) = given(&mut forest, &mut shelf, &[30, 514, 512, 30]);
        let (shares, split) = forest.share(&ranges, &flat);
        let weights = weights(&ranges, &shares);
        assert_eq!((weights[0], weights[17..].to_vec()), (30, vec![512, 30]));
        assert_eq!(weights[1..17].iter().sum::<usize>(), 514);
        assert_eq!(split.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1]);
        assert_eq!(split[0].1, std::array::from_fn(|nibble| Some(nibble + 1)));
    });
    // One thread has it all in one piece.
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(|| {
        let (mut forest, mut shelf) = (Forest::default(), Shelf::default());
        let (ranges, flat) = given(&mut forest, &mut shelf, &[30, 2_000, 30]);
        assert_eq!(forest.share(&ranges, &flat).0.len(), 1);
    });
}
