//! A cursor over untrusted bytes; big-endian fields.
//!
//! Invariant: it never reads past the end and never panics; each failure names the field and the offset.

use crate::Error;

#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn at(bytes: &'a [u8], pos: usize) -> Self {
        Self { bytes, pos }
    }

    pub(crate) const fn pos(&self) -> usize {
        self.pos
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Error> {
        let rest = self.bytes.get(self.pos..).unwrap_or_default();
        let field =
            rest.first_chunk::<N>().ok_or(Error::Truncated { what, offset: self.pos, need: N, have: rest.len() })?;
        self.pos += N;
        Ok(*field)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, Error> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub(crate) fn i8(&mut self, what: &'static str) -> Result<i8, Error> {
        self.array(what).map(i8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16, Error> {
        self.array(what).map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, Error> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, Error> {
        self.array(what).map(u64::from_be_bytes)
    }

    pub(crate) fn bytes<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Error> {
        self.array(what)
    }
}
