//! Tensors and their wire form: magic `ILTV`, data type, rank, dimensions big-endian, data little-endian.
//!
//! Invariant: one byte string per tensor; decode refuses every other. The number of elements equals the product of
//! the dimensions and is bounded by [`limits`](crate::limits).

use crate::{Error, limits};
use alloc::vec::Vec;
use alloy_primitives::{B256, Keccak256};
use core::fmt;

const MAGIC: [u8; 4] = *b"ILTV";
const PREFIX_BYTES: usize = 6;

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DType {
    /// Eight bits, signed.
    I8 = 1,
    /// Thirty-two bits, signed.
    I32 = 2,
}

impl DType {
    /// Bytes of one element.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::I8 => 1,
            Self::I32 => 4,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::I8),
            2 => Some(Self::I32),
            _ => None,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::I8 => "i8",
            Self::I32 => "i32",
        })
    }
}

/// Element type and shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorType {
    /// Type of the elements.
    pub dtype: DType,
    /// Extent of each axis, outermost first.
    pub dims: Vec<u32>,
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype, self.dims)
    }
}

impl TensorType {
    /// Product of the dimensions; saturates, so that it can be compared with a limit before it is trusted.
    #[must_use]
    pub fn elements(&self) -> u64 {
        self.dims.iter().fold(1u64, |product, &dim| product.saturating_mul(u64::from(dim)))
    }

    /// What stands before the elements of such a tensor on the wire.
    #[must_use]
    pub fn header(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(PREFIX_BYTES + 4 * self.dims.len());
        out.extend(MAGIC);
        out.push(self.dtype as u8);
        out.push(self.dims.len() as u8);
        out.extend(self.dims.iter().flat_map(|dim| dim.to_be_bytes()));
        out
    }

    /// Extent of the last axis: the channels of a value.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.dims.last().map_or(1, |&dim| dim as usize)
    }

    /// Number of elements as an index; only for types whose bound has been checked.
    pub(crate) fn len(&self) -> usize {
        self.elements() as usize
    }

    /// Bytes of the data of such a tensor; only for types whose bound has been checked.
    #[must_use]
    pub fn data_bytes(&self) -> usize {
        self.len() * self.dtype.bytes()
    }
}

/// Elements, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// Eight-bit elements.
    I8(Vec<i8>),
    /// Thirty-two-bit elements.
    I32(Vec<i32>),
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::I8(values) => values.len(),
            Self::I32(values) => values.len(),
        }
    }

    const fn dtype(&self) -> DType {
        match self {
            Self::I8(_) => DType::I8,
            Self::I32(_) => DType::I32,
        }
    }

    /// Appends the elements, little-endian.
    pub(crate) fn extend_bytes(&self, out: &mut Vec<u8>) {
        match self {
            Self::I8(values) => out.extend(values.iter().map(|&v| v.cast_unsigned())),
            Self::I32(values) => {
                let start = out.len();
                out.resize(start + 4 * values.len(), 0);
                write_i32(values, &mut out[start..]);
            }
        }
    }
}

/// A tensor: its type and its elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    ty: TensorType,
    data: Data,
}

impl Tensor {
    /// A tensor of shape `dims`.
    ///
    /// # Errors
    /// When `dims` and `data` disagree, or exceed a limit.
    pub fn new(dims: Vec<u32>, data: Data) -> Result<Self, Error> {
        let ty = TensorType { dtype: data.dtype(), dims };
        check(&ty)?;
        if data.len() != ty.len() {
            let width = ty.dtype.bytes();
            return Err(Error::TensorLength { expected: ty.data_bytes(), got: data.len() * width });
        }
        Ok(Self { ty, data })
    }

    /// Built by the executor, whose types are already checked.
    pub(crate) const fn from_run(ty: TensorType, data: Data) -> Self {
        Self { ty, data }
    }

    /// Element type and shape.
    #[must_use]
    pub const fn ty(&self) -> &TensorType {
        &self.ty
    }

    /// The elements.
    #[must_use]
    pub const fn data(&self) -> &Data {
        &self.data
    }

    /// A tensor of type `ty` with these elements, little-endian.
    ///
    /// # Errors
    /// `tensor.*`, when `ty` exceeds a limit, or there are other than its elements.
    pub fn from_elements(ty: TensorType, bytes: &[u8]) -> Result<Self, Error> {
        check(&ty)?;
        if bytes.len() != ty.data_bytes() {
            return Err(Error::TensorLength { expected: ty.data_bytes(), got: bytes.len() });
        }
        Ok(Self { data: read_elements(ty.dtype, bytes), ty })
    }

    /// The elements, little-endian.
    #[must_use]
    pub fn elements(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.ty.data_bytes());
        self.data.extend_bytes(&mut out);
        out
    }

    /// The wire form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.ty.header();
        out.reserve_exact(self.ty.data_bytes());
        self.data.extend_bytes(&mut out);
        out
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// `tensor.*`, when the bytes are not the one encoding of a tensor within the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let short = |expected| Error::TensorLength { expected, got: bytes.len() };
        let prefix = bytes.first_chunk::<PREFIX_BYTES>().ok_or(short(PREFIX_BYTES))?;
        let [m0, m1, m2, m3, dtype, rank] = *prefix;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(Error::TensorMagic([m0, m1, m2, m3]));
        }
        let dtype = DType::from_code(dtype).ok_or(Error::TensorDType(dtype))?;
        if rank > limits::MAX_TENSOR_RANK {
            return Err(limit("rank", rank.into(), limits::MAX_TENSOR_RANK.into()));
        }
        let start = PREFIX_BYTES + 4 * usize::from(rank);
        let fields = bytes.get(PREFIX_BYTES..start).ok_or(short(start))?;
        let dims = fields.chunks_exact(4).map(|dim| u32::from_be_bytes([dim[0], dim[1], dim[2], dim[3]])).collect();
        let ty = TensorType { dtype, dims };
        check(&ty)?;
        let data = &bytes[start..];
        if data.len() != ty.data_bytes() {
            return Err(short(start + ty.data_bytes()));
        }
        Ok(Self { data: read_elements(dtype, data), ty })
    }
}

/// Reads elements from little-endian bytes; a rest shorter than an element is ignored, callers check lengths.
pub(crate) fn read_elements(dtype: DType, bytes: &[u8]) -> Data {
    match dtype {
        DType::I8 => Data::I8(bytes.iter().map(|&byte| byte.cast_signed()).collect()),
        DType::I32 => Data::I32(read_i32(bytes)),
    }
}

pub(crate) fn read_i32(bytes: &[u8]) -> Vec<i32> {
    bytes.as_chunks().0.iter().map(|word| i32::from_le_bytes(*word)).collect()
}

/// Writes elements as little-endian bytes; the shorter of both sides decides.
pub(crate) fn write_i32(values: &[i32], out: &mut [u8]) {
    for (word, value) in out.as_chunks_mut().0.iter_mut().zip(values) {
        *word = value.to_le_bytes();
    }
}

const fn limit(what: &'static str, value: u64, max: u64) -> Error {
    Error::TensorLimit { what, value, max }
}

fn check(ty: &TensorType) -> Result<(), Error> {
    if ty.dims.len() > usize::from(limits::MAX_TENSOR_RANK) {
        return Err(limit("rank", ty.dims.len() as u64, limits::MAX_TENSOR_RANK.into()));
    }
    if let Some(axis) = ty.dims.iter().position(|&dim| dim == 0) {
        return Err(Error::TensorDimension { axis });
    }
    match ty.elements() {
        elements if elements > limits::MAX_ELEMENTS => Err(limit("elements", elements, limits::MAX_ELEMENTS)),
        _ => Ok(()),
    }
}

pub(crate) fn hash(parts: &[&[u8]]) -> B256 {
    let mut hasher = Keccak256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}
