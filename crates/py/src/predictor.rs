//! What a predictor of conflicts hears and says: tuples of bytes and numbers, a list for each block.
//!
//! Invariant: nothing is predicted here; this file converts.

use alloy_primitives::Address;
use interlace_executor::{Lesson, Predictor, Subject};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::border::{CoreError, enter};

/// Whom, what the input begins with, how many met, how many were spared, and whether others waited.
pub(crate) type LessonTuple<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>, u32, u32, bool);
/// Whom, or nobody for all; what the input begins with; whether narrow groups are meant, where it is all; the weight.
pub(crate) type WeightTuple = (Vec<u8>, Vec<u8>, bool, u8);

pub(crate) fn named(name: &str) -> Result<Predictor, CoreError> {
    let wrong =
        || CoreError::new("engine.predictor", format_args!("predictor {name:?} is none of none, history, given"));
    Predictor::named(name).ok_or_else(wrong)
}

pub(crate) fn lessons<'py>(
    py: Python<'py>,
    take: impl FnOnce() -> Result<Vec<Lesson>, CoreError> + Send,
) -> PyResult<Vec<LessonTuple<'py>>> {
    let tuple = |lesson: Lesson| {
        let Lesson { to, prefix, met, spared, waited } = lesson;
        (PyBytes::new(py, to.as_slice()), PyBytes::new(py, &prefix), met, spared, waited)
    };
    Ok(enter(py, take)?.into_iter().map(tuple).collect())
}

pub(crate) fn weights(weights: Vec<WeightTuple>) -> Result<Vec<(Subject, u8)>, CoreError> {
    let wrong = |what: String| CoreError::new("engine.predictor", what);
    let subject = |(to, prefix, narrow, weight): WeightTuple| {
        let subject = if to.is_empty() {
            let selector = prefix.try_into().map_err(|prefix: Vec<u8>| {
                wrong(format!("a function is selected by four bytes, not {}", prefix.len()))
            })?;
            Subject::Function { selector, narrow }
        } else {
            let address = Address::try_from(to.as_slice())
                .map_err(|_| wrong(format!("an address has 20 bytes, not {}", to.len())))?;
            Subject::Group(address, prefix.into())
        };
        Ok((subject, weight))
    };
    weights.into_iter().map(subject).collect()
}
