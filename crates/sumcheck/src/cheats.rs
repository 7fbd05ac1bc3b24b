//! Provers who lie about one committed value, or about several that agree with each other, and do all else right.
//!
//! A proof with a byte changed is refused by its transcript alone; these are refused only because a relation is checked.
#![allow(clippy::unwrap_used, clippy::panic)]

use crate::{
    Form, ProverKey,
    field::Base,
    prove::write,
    statement::{Column, Relation, Rescale, Source, Statement},
    verify, verify_with_program,
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

/// Numbers through a product, a rescaling and a table.
fn looked_up() -> Program {
    let mut weights: Vec<u8> = (0..16_u8).map(|weight| weight.wrapping_mul(53) ^ 0x33).collect();
    weights.extend([0; 16]);
    weights.extend((0..=255_u8).map(|entry| entry.wrapping_mul(7) ^ 0x11));
    let nodes = vec![
        node(Op::MatMul { outputs: 4 }, &[0]),
        node(Op::Requantise { multiplier: Multiplier::Tensor(1_400_000_000), shift: 38, lo: -128, hi: 127 }, &[1]),
        node(Op::Table, &[2]),
    ];
    let graph = Graph { input: TensorType { dtype: DType::I8, dims: vec![4] }, nodes };
    Program::assemble(&graph.encode(), &weights).unwrap()
}

/// The sum of two products.
fn summed() -> Program {
    let weights: Vec<u8> =
        (0..64_u8).map(|weight| if weight % 32 < 16 { weight.wrapping_mul(29) } else { 0 }).collect();
    let nodes =
        vec![node(Op::MatMul { outputs: 4 }, &[0]), node(Op::MatMul { outputs: 4 }, &[0]), node(Op::AddI32, &[1, 2])];
    let graph = Graph { input: TensorType { dtype: DType::I8, dims: vec![4] }, nodes };
    Program::assemble(&graph.encode(), &weights).unwrap()
}

impl Cheat {
    fn new() -> Self {
        Self::of(&program())
    }

    fn of(program: &Program) -> Self {
        let key = ProverKey::new(program).unwrap();
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

/// The pair that is looked up is in the table, but its first number is not the committed one.
#[test]
fn what_is_looked_up_is_what_was_computed() {
    let cheat = Cheat::of(&looked_up());
    let mut witness = cheat.witness();
    assert!(cheat.accepted(&witness));
    for relation in &cheat.statement.relations {
        if let Relation::Lookup { x, column, table } = relation {
            let other = if witness.values[*x][0] == 5 { 6 } else { 5 };
            let result = table[(other + 128) as usize];
            witness.values[*x][0] = other;
            witness.committed[cheat.place(*column)] = Base::from_i64(result.into());
            witness.values[cheat.statement.revealed][0] = result.into();
        }
    }
    assert!(!cheat.accepted(&witness));
}

#[test]
fn a_sum_is_the_sum() {
    let cheat = Cheat::of(&summed());
    assert!(cheat.accepted(&cheat.witness()));
    for element in 0..8 {
        let mut witness = cheat.witness();
        for relation in &cheat.statement.relations {
            if let Relation::Add { column, .. } = relation {
                let place = cheat.place(*column) + element;
                witness.committed[place] = witness.committed[place] + Base::ONE;
            }
        }
        witness.values[cheat.statement.revealed][element] += 1;
        assert!(!cheat.accepted(&witness));
    }
}

/// A product that is another, with everything after it computed from that.
#[test]
fn a_product_is_the_product() {
    let cheat = Cheat::of(&summed());
    for element in 0..8 {
        let mut witness = cheat.witness();
        for relation in &cheat.statement.relations {
            let (Relation::MatMul { column, .. } | Relation::Add { column, .. }) = relation else { continue };
            if matches!(relation, Relation::MatMul { matrix: 0, .. } | Relation::Add { .. }) {
                let place = cheat.place(*column) + element;
                witness.committed[place] = witness.committed[place] + Base::ONE;
            }
        }
        witness.values[cheat.statement.revealed][element] += 1;
        assert!(!cheat.accepted(&witness));
    }
}

/// One weight is another: the prover computes and proves with it, under the key and the id of the honest program.
#[test]
fn the_matrices_are_those_of_the_program() {
    let honest = program();
    let mut cheat = Cheat::of(&honest);
    cheat.key.weights[5] ^= 1;
    let witness = cheat.witness();
    let write = |form| write(&cheat.key, form, B256::ZERO, &cheat.inputs, &cheat.statement, &witness).unwrap();
    let (key, inputs) = (cheat.key.key(), &cheat.inputs);
    let proved = write(Form::Succinct);
    assert!(verify(key, B256::ZERO, inputs, &proved.outputs, &proved.proof).is_err());
    let proved = write(Form::WithProgram);
    assert!(verify_with_program(&honest, B256::ZERO, inputs, &proved.outputs, &proved.proof).is_err());
}
