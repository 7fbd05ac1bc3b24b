//! Python's view of the room `tensor`: programs, their runs, and the check of a tensor's bytes.
//!
//! Invariant: bytes that another thread of the interpreter could change are copied before the GIL is released.

use crate::border::{CoreError, enter};
use crate::trace::{PyTrace, trace};
use interlace_tensor::{Error, Op, Path, Program, SEMANTICS, Scratch, Tensor, TensorType, weights_root};
use pyo3::{buffer::PyBuffer, prelude::*, pybacked::PyBackedBytes, types::PyBytes};

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyProgram>()?;
    m.add_class::<PyTrace>()?;
    m.add_function(wrap_pyfunction!(tensor_type, m)?)?;
    m.add_function(wrap_pyfunction!(tensor_weights_root, m)?)
}

/// [`enter`] for work whose errors are the tensor crate's.
fn work<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T, Error> + Send) -> PyResult<T> {
    enter(py, || work().map_err(|error| CoreError::new(error.code(), error)))
}

/// Data type name and shape.
type TypeTuple = (String, Vec<u32>);

/// Operator, operands, data type and shape of the result, units, attributes as text.
type NodeTuple = (&'static str, Vec<u16>, String, Vec<u32>, u64, String);

fn type_tuple(ty: &TensorType) -> TypeTuple {
    (ty.dtype.to_string(), ty.dims.clone())
}

fn path_of(name: Option<&str>) -> Result<Path, Error> {
    name.map_or_else(|| Ok(Path::best()), Path::named)
}

/// Data type and shape of an encoded tensor; raises `tensor.*` if the bytes are not one.
#[pyfunction]
fn tensor_type(py: Python<'_>, tensor_bytes: PyBackedBytes) -> PyResult<TypeTuple> {
    work(py, || Tensor::decode(&tensor_bytes).map(|tensor| type_tuple(tensor.ty())))
}

/// Merkle root over the weights' chunks of 24,575 bytes.
#[pyfunction]
fn tensor_weights_root<'py>(py: Python<'py>, weights: PyBackedBytes) -> PyResult<Bound<'py, PyBytes>> {
    let root = work(py, || Ok(weights_root(&weights)))?;
    Ok(PyBytes::new(py, root.as_slice()))
}

/// Packed inputs of a batch: borrowed from `bytes`, which cannot change, copied from any other buffer.
pub(crate) enum Packed {
    Borrowed(PyBackedBytes),
    Copied(Vec<u8>),
}

impl Packed {
    pub(crate) fn new(data: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = data.extract::<PyBackedBytes>()
            && data.is_instance_of::<PyBytes>()
        {
            return Ok(Self::Borrowed(bytes));
        }
        if let Ok(buffer) = PyBuffer::<i8>::get(data) {
            let values = buffer.to_vec(data.py())?;
            return Ok(Self::Copied(values.into_iter().map(i8::cast_unsigned).collect()));
        }
        if let Ok(buffer) = PyBuffer::<i32>::get(data) {
            let values = buffer.to_vec(data.py())?;
            return Ok(Self::Copied(values.into_iter().flat_map(i32::to_le_bytes).collect()));
        }
        Ok(Self::Copied(PyBuffer::<u8>::get(data)?.to_vec(data.py())?))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Copied(bytes) => bytes,
        }
    }
}

/// A valid integer program.
#[pyclass(frozen, name = "Program", module = "interlace._core")]
pub(crate) struct PyProgram {
    pub(crate) inner: Program,
}

#[pymethods]
impl PyProgram {
    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: PyBackedBytes) -> PyResult<Self> {
        work(py, || Program::from_bytes(&data).map(|inner| Self { inner }))
    }

    #[staticmethod]
    fn assemble(py: Python<'_>, graph: PyBackedBytes, weights: PyBackedBytes) -> PyResult<Self> {
        work(py, || Program::assemble(&graph, &weights).map(|inner| Self { inner }))
    }

    #[staticmethod]
    fn paths() -> Vec<&'static str> {
        Path::available().map(Path::name).collect()
    }

    #[getter]
    fn id<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.inner.id().as_slice())
    }

    #[getter]
    fn units(&self) -> u64 {
        self.inner.units()
    }

    #[getter]
    fn semantics(&self) -> u16 {
        SEMANTICS
    }

    #[getter]
    fn weights_root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.inner.weights_root().as_slice())
    }

    #[getter]
    fn manifest<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.inner.manifest())
    }

    #[getter]
    fn weights<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.inner.weights())
    }

    #[getter]
    fn input_dtype(&self) -> String {
        self.inner.input_type().dtype.to_string()
    }

    #[getter]
    fn input_shape(&self) -> Vec<u32> {
        self.inner.input_type().dims.clone()
    }

    #[getter]
    fn output_dtype(&self) -> String {
        self.inner.output_type().dtype.to_string()
    }

    #[getter]
    fn output_shape(&self) -> Vec<u32> {
        self.inner.output_type().dims.clone()
    }

    /// Each node, in order.
    fn nodes(&self) -> Vec<NodeTuple> {
        let nodes = self.inner.graph().nodes.iter().enumerate();
        nodes
            .filter_map(|(index, node)| {
                let (ty, units) = self.inner.node_info(index)?;
                let (dtype, dims) = type_tuple(ty);
                Some((node.op.name(), node.operands.clone(), dtype, dims, units, attributes(&node.op)))
            })
            .collect()
    }

    /// Encoded tensor in, encoded tensor out.
    #[pyo3(signature = (input, path=None))]
    fn run<'py>(&self, py: Python<'py>, input: PyBackedBytes, path: Option<&str>) -> PyResult<Bound<'py, PyBytes>> {
        let output = work(py, || {
            let input = Tensor::decode(&input)?;
            Ok(self.inner.run_on(path_of(path)?, &input, &mut Scratch::default())?.encode())
        })?;
        Ok(PyBytes::new(py, &output))
    }

    /// Packed elements of many inputs in, packed elements of their outputs out.
    #[pyo3(signature = (inputs, path=None))]
    fn run_batch<'py>(
        &self,
        py: Python<'py>,
        inputs: &Bound<'py, PyAny>,
        path: Option<&str>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let inputs = Packed::new(inputs)?;
        let outputs = work(py, || self.inner.run_batch(path_of(path)?, inputs.bytes()))?;
        Ok(PyBytes::new(py, &outputs))
    }

    /// Encoded tensors: the result of every node.
    #[pyo3(signature = (input, path=None))]
    fn run_traced<'py>(
        &self,
        py: Python<'py>,
        input: PyBackedBytes,
        path: Option<&str>,
    ) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let results = work(py, || {
            let results = self.inner.run_traced(path_of(path)?, &Tensor::decode(&input)?)?;
            Ok(results.iter().map(Tensor::encode).collect::<Vec<_>>())
        })?;
        Ok(results.iter().map(|bytes| PyBytes::new(py, bytes)).collect())
    }

    /// Encoded tensor: what the run computed, and the hashes over it.
    fn trace(&self, py: Python<'_>, input: PyBackedBytes) -> PyResult<PyTrace> {
        trace(py, &self.inner, &input)
    }

    fn __repr__(&self) -> String {
        let (input, output) = (self.inner.input_type(), self.inner.output_type());
        format!("<Program {} {input} -> {output}, {} units>", self.inner.id(), self.inner.units())
    }
}

/// The attributes of `op` as people read them.
fn attributes(op: &Op) -> String {
    use interlace_tensor::{Multiplier, Pads, Window};
    let sweep = |w: &Window, p: &Pads| {
        let (size, stride) = (format!("{}x{}", w.height, w.width), format!("{}x{}", w.stride_height, w.stride_width));
        format!("window {size} stride {stride} pads {},{},{},{}", p.top, p.left, p.bottom, p.right)
    };
    match op {
        Op::MatMul { outputs } => format!("outputs {outputs}"),
        Op::Conv2d { window, pads, outputs } => format!("{} outputs {outputs}", sweep(window, pads)),
        Op::AddI8 { multipliers: [a, b], shift, lo, hi } => format!("(a*{a} + b*{b}) >> {shift} in {lo}..={hi}"),
        Op::Requantise { multiplier: Multiplier::Tensor(value), shift, lo, hi } => {
            format!("x*{value} >> {shift} in {lo}..={hi}")
        }
        Op::Requantise { shift, lo, hi, .. } => format!("x*per channel >> {shift} in {lo}..={hi}"),
        Op::Clamp { lo, hi } => format!("in {lo}..={hi}"),
        Op::MaxPool { window, pads } => sweep(window, pads),
        Op::AveragePool { window } => sweep(window, &Pads::default()),
        Op::Reshape { dims } => format!("to {dims:?}"),
        Op::Multiply { transposed: true } => "by the transposed".into(),
        Op::Softmax { causal: true } => "of what came before".into(),
        Op::TopK { count } => format!("count {count}"),
        Op::Transpose { order } => format!("order {order:?}"),
        Op::Slice { axis, start, length } => format!("axis {axis} from {start}, {length}"),
        Op::AddI32 | Op::Table | Op::ArgMax | Op::Normalise => String::new(),
        Op::Multiply { .. } | Op::Softmax { .. } => String::new(),
    }
}
