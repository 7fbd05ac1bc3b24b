//! Provers who lie about one committed value, or about several that agree with each other, and do all else right.
//!
//! A proof with a byte changed is refused by its transcript alone; these are refused only because a relation is checked.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::{
    Form, ProverKey,
    field::Base,
    prove::write,
    statement::{Column, Relation, Rescale, Source, Statement},
    verify,
    witness::Witness,
};
use alloc::{vec, vec::Vec};
use alloy_primitives::B256;
use interlace_tensor::{DType, Graph, Multiplier, Node, Op, Program, TensorType};

fn node(op: Op, operands: &[u16]) -> Node {
    Node { op, operands: operands.to_vec() }
}

/// Four numbers into four through every relation; the shift is no multiple of eight, and the range is not full.
fn program() -> Program {
    let mut weights: Vec<u8> = (0..16_u8).map(|weight| weight.wrapping_mul(37) ^ 0x5a).collect();
    weights.extend((0..4_i32).flat_map(|bias| (500 * bias - 700).to_le_bytes()));
    weights.extend((0..=255_u8).map(|entry| entry.wrapping_mul(3)));
    let nodes = vec![
        node(Op::MatMul { outputs: 4 }, &[0]),
        node(Op::Requantise { multiplier: Multiplier::Tensor(1_400_000_000), shift: 37, lo: -90, hi: 100 }, &[1]),
        node(Op::Table, &[2]),
        node(Op::AddI8 { multipliers: [1 << 30, 1 << 29], shift: 30, lo: -128, hi: 127 }, &[2, 3]),
    ];
    let graph = Graph { input: TensorType { dtype: DType::I8, dims: vec![4] }, nodes };
    Program::assemble(&graph.encode(), &weights).unwrap()
}

struct Cheat {
    key: ProverKey,
    statement: Statement,
    inputs: Vec<u8>,
}

impl Cheat {
    fn new() -> Self {
        let key = ProverKey::new(&program()).unwrap();
        let statement = Statement::new(&key.key.graph, &key.key.small, 2).unwrap();
        Self { key, statement, inputs: vec![100, 20, 255, 7, 128, 90, 1, 66] }
    }

    fn witness(&self) -> Witness {
        Witness::new(&self.statement, &self.key, &self.inputs)
    }

    fn accepted(&self, witness: &Witness) -> bool {
        let proved = write(&self.key, Form::Succinct, B256::ZERO, &self.inputs, &self.statement, witness).unwrap();
        verify(self.key.key(), B256::ZERO, &self.inputs, &proved.outputs, &proved.proof).is_ok()
    }

    fn rescale(&self, which: usize) -> &Rescale {
        let found = self.statement.relations.iter().filter_map(|relation| match relation {
            Relation::Rescale(rescale) => Some(rescale),
            _ => None,
        });
        found.into_iter().nth(which).unwrap()
    }

    fn place(&self, column: usize) -> usize {
        self.statement.columns[column].offset
    }
}

#[test]
fn the_truth_is_accepted() {
    let cheat = Cheat::new();
    assert!(cheat.accepted(&cheat.witness()));
}

#[test]
fn no_committed_value_can_be_another() {
    let cheat = Cheat::new();
    let places = |column: &Column| column.offset..column.offset + column.shape.len();
    for place in cheat.statement.columns.iter().flat_map(places) {
        for change in [Base::ONE, Base::ZERO - Base::ONE, Base::new(256)] {
            let mut witness = cheat.witness();
            witness.committed[place] = witness.committed[place] + change;
            assert!(!cheat.accepted(&witness), "value {place}");
        }
    }
}

#[test]
fn the_value_in_the_open_is_the_committed_one() {
    let cheat = Cheat::new();
    for element in 0..8 {
        let mut witness = cheat.witness();
        witness.values[cheat.statement.revealed][element] ^= 1;
        assert!(!cheat.accepted(&witness));
    }
}

/// y and what depends on it all one higher, with a remainder that makes the equation true but is below zero.
#[test]
fn a_remainder_has_its_bits() {
    let cheat = Cheat::new();
    let rescale = cheat.rescale(1);
    let Source::Column { .. } = cheat.statement.sources[cheat.statement.revealed] else { panic!() };
    for element in 0..8 {
        for up in [true, false] {
            let mut witness = cheat.witness();
            let step = if up { Base::ONE } else { Base::ZERO - Base::ONE };
            let y = cheat.place(rescale.column) + element;
            witness.committed[y] = witness.committed[y] + step;
            witness.values[cheat.statement.revealed][element] += if up { 1 } else { -1 };
            // The highest byte, and the same byte shifted, take the whole unit away, or up.
            let top = *rescale.rest.bytes.last().unwrap();
            let unit = Base::new(1 << (rescale.shift - 8 * (rescale.rest.bytes.len() as u32 - 1)));
            let signed = if up { Base::ZERO - unit } else { unit };
            let at = cheat.place(top) + element;
            witness.committed[at] = witness.committed[at] + signed;
            let (shifted, bits) = rescale.rest.shifted.unwrap();
            let at = cheat.place(shifted) + element;
            witness.committed[at] = witness.committed[at] + signed * Base::new(1 << bits);
            assert!(!cheat.accepted(&witness));
        }
    }
}

/// One less in y and one more clamped away: the equation is true, but nothing is clamped inside the range.
#[test]
fn nothing_is_clamped_inside_the_range() {
    let cheat = Cheat::new();
    let rescale = cheat.rescale(1);
    let mut tried = 0;
    for element in 0..8 {
        for over in [true, false] {
            let mut witness = cheat.witness();
            let y = cheat.place(rescale.column) + element;
            let (step, number) =
                if over { (Base::ZERO - Base::ONE, &rescale.over) } else { (Base::ONE, &rescale.under) };
            let (value, low) = (witness.committed[y].value(), cheat.place(number.bytes[0]) + element);
            if value == if over { 0 } else { 255 } || witness.committed[low].value() == 255 {
                continue;
            }
            tried += 1;
            witness.committed[y] = witness.committed[y] + step;
            witness.committed[low] = witness.committed[low] + Base::ONE;
            witness.values[cheat.statement.revealed][element] += if over { -1 } else { 1 };
            assert!(!cheat.accepted(&witness));
        }
    }
    assert!(tried >= 8);
}

/// Another result of the table, and everything after it computed from that.
#[test]
fn a_result_stands_in_its_table() {
    let cheat = Cheat::new();
    let column = cheat.statement.relations.iter().find_map(|relation| match relation {
        Relation::Lookup { column, .. } => Some(*column),
        _ => None,
    });
    let place = cheat.place(column.unwrap());
    let mut key = Cheat::new();
    // The liar's table differs in one entry, the one for its first element.
    let honest = cheat.witness();
    for relation in &mut key.statement.relations {
        if let Relation::Lookup { x, table, .. } = relation {
            let entry = (honest.values[*x][0] + 128) as usize;
            table[entry] = table[entry].wrapping_add(1);
        }
    }
    let witness = key.witness();
    assert_ne!(witness.committed[place], honest.committed[place]);
    assert!(!cheat.accepted(&witness));
}
