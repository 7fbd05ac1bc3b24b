//! The value in the open: its padded table as bytes, and the program's outputs from it.
//!
//! Invariant: a payload has one length, which the statement gives; outputs are those of the last nodes on its elements.

use crate::{Error, field::Ext, multilinear::integers_at, statement::Statement};
use alloc::vec::Vec;
use interlace_tensor::{DType, Program, Tensor};

/// Bytes of the payload.
pub(crate) fn len(statement: &Statement) -> usize {
    statement.shape(statement.revealed).len() * statement.types[statement.revealed].dtype.bytes()
}

pub(crate) fn encode(statement: &Statement, elements: &[i32]) -> Vec<u8> {
    match statement.types[statement.revealed].dtype {
        DType::I8 => elements.iter().map(|&element| (element as i8).cast_unsigned()).collect(),
        DType::I32 => elements.iter().flat_map(|element| element.to_le_bytes()).collect(),
    }
}

/// Value at a point, by its weights.
pub(crate) fn value_at(statement: &Statement, payload: &[u8], weights: &[Ext]) -> Ext {
    match statement.types[statement.revealed].dtype {
        DType::I8 => integers_at(payload.iter().map(|byte| byte.cast_signed().into()), weights),
        DType::I32 => integers_at(payload.as_chunks().0.iter().map(|word| i32::from_le_bytes(*word).into()), weights),
    }
}

/// What the program returns for each input.
pub(crate) fn outputs(statement: &Statement, payload: &[u8]) -> Result<Vec<u8>, Error> {
    let ty = &statement.types[statement.revealed];
    let shape = statement.shape(statement.revealed);
    let stride = ty.dtype.bytes() << shape.channels;
    let (row, rows) = (ty.channels() * ty.dtype.bytes(), ty.data_bytes() / (ty.channels() * ty.dtype.bytes()));
    let one = stride << (shape.rows - statement.log_batch);
    let tail = match &statement.tail {
        Some(graph) => Some(Program::assemble(&graph.encode(), &[])?),
        None => None,
    };
    let mut outputs = Vec::new();
    for payload in payload.chunks_exact(one).take(statement.batch) {
        let elements: Vec<u8> =
            payload.chunks_exact(stride).take(rows).flat_map(|bytes| &bytes[..row]).copied().collect();
        match &tail {
            Some(program) => {
                let input = Tensor::from_elements(ty.clone(), &elements)?;
                outputs.extend(program.run(&input)?.elements());
            }
            None => outputs.extend(elements),
        }
    }
    Ok(outputs)
}
