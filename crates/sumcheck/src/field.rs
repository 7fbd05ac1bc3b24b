//! The field of the proofs: p = 2^64 - 2^32 + 1, and its quadratic extension by a square root of 7.
//!
//! Challenges are drawn from the extension, which has about 2^128 elements; what a program computes lies in the base
//! field, where an i32 is itself or p less its magnitude.
//!
//! Source: p and the reduction by 2^64 = 2^32 - 1 are the well-known ones ("Goldilocks"); 7 generates the group of
//! units, so it has no square root.
//!
//! Invariant: a [`Base`] is below p. Every operation is total, but for the inverse of zero, which is zero.

use core::ops::{Add, AddAssign, Mul, MulAssign, Neg, Sub, SubAssign};

/// The order of the base field.
pub(crate) const ORDER: u64 = 0xffff_ffff_0000_0001;
/// 2^64 mod p.
const EPSILON: u64 = 0xffff_ffff;
/// Generates the group of units; not a square.
const GENERATOR: u64 = 7;
/// p - 1 is 2^32 times an odd number.
const TWO_ADICITY: u32 = 32;

/// An element of the base field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Base(u64);

impl Base {
    /// Zero.
    pub(crate) const ZERO: Self = Self(0);
    /// One.
    pub(crate) const ONE: Self = Self(1);

    /// `value` mod p.
    pub(crate) const fn new(value: u64) -> Self {
        Self(if value >= ORDER { value - ORDER } else { value })
    }

    /// The element whose number is `value`; none if there is none.
    pub(crate) const fn canonical(value: u64) -> Option<Self> {
        if value < ORDER { Some(Self(value)) } else { None }
    }

    /// `value` mod p.
    pub(crate) const fn from_i64(value: i64) -> Self {
        let magnitude = Self::new(value.unsigned_abs()).0;
        Self(if value >= 0 || magnitude == 0 { magnitude } else { ORDER - magnitude })
    }

    /// `value` mod p; the two halves are below 2^64 each, so their bias is below 2^-64.
    pub(crate) const fn from_u128(value: u128) -> Self {
        Self(reduce(value))
    }

    /// Its number, below p.
    pub(crate) const fn value(self) -> u64 {
        self.0
    }

    /// Power.
    pub(crate) fn pow(self, mut exponent: u64) -> Self {
        let (mut base, mut result) = (self, Self::ONE);
        while exponent != 0 {
            if exponent & 1 == 1 {
                result *= base;
            }
            base *= base;
            exponent >>= 1;
        }
        result
    }

    /// Inverse; zero for zero.
    pub(crate) fn inverse(self) -> Self {
        self.pow(ORDER - 2)
    }

    /// An element of order 2^`log`, at most 2^32.
    pub(crate) fn root_of_unity(log: u32) -> Self {
        Self(GENERATOR).pow((ORDER - 1) >> log.min(TWO_ADICITY))
    }
}

const fn reduce(value: u128) -> u64 {
    let (low, high) = (value as u64, (value >> 64) as u64);
    let (mut sum, borrow) = low.overflowing_sub(high >> 32);
    if borrow {
        sum = sum.wrapping_sub(EPSILON);
    }
    let (mut sum, carry) = sum.overflowing_add((high & EPSILON) * EPSILON);
    if carry {
        sum = sum.wrapping_add(EPSILON);
    }
    if sum >= ORDER { sum - ORDER } else { sum }
}

impl Add for Base {
    type Output = Self;
    #[inline]
    fn add(self, other: Self) -> Self {
        let (sum, carry) = self.0.overflowing_add(other.0);
        if carry { Self(sum.wrapping_add(EPSILON)) } else { Self::new(sum) }
    }
}

impl Sub for Base {
    type Output = Self;
    #[inline]
    fn sub(self, other: Self) -> Self {
        let (difference, borrow) = self.0.overflowing_sub(other.0);
        Self(if borrow { difference.wrapping_sub(EPSILON) } else { difference })
    }
}

impl Mul for Base {
    type Output = Self;
    #[inline]
    fn mul(self, other: Self) -> Self {
        Self(reduce(self.0 as u128 * other.0 as u128))
    }
}

impl MulAssign for Base {
    #[inline]
    fn mul_assign(&mut self, other: Self) {
        *self = *self * other;
    }
}

/// An element a + b·√7 of the extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Ext(pub(crate) Base, pub(crate) Base);

impl Ext {
    /// Zero.
    pub(crate) const ZERO: Self = Self(Base::ZERO, Base::ZERO);
    /// One.
    pub(crate) const ONE: Self = Self(Base::ONE, Base::ZERO);

    /// The integer `value`.
    pub(crate) const fn from_i64(value: i64) -> Self {
        Self(Base::from_i64(value), Base::ZERO)
    }

    /// 2^`exponent`.
    pub(crate) fn power_of_two(exponent: u32) -> Self {
        Self(Base(2).pow(exponent.into()), Base::ZERO)
    }

    /// Inverse; zero for zero.
    pub(crate) fn inverse(self) -> Self {
        let norm = self.0 * self.0 - Base(GENERATOR) * self.1 * self.1;
        let scale = norm.inverse();
        Self(self.0 * scale, Base::ZERO - self.1 * scale)
    }

    /// Twice the element.
    #[inline]
    pub(crate) fn double(self) -> Self {
        self + self
    }
}

impl From<Base> for Ext {
    fn from(value: Base) -> Self {
        Self(value, Base::ZERO)
    }
}

impl Add for Ext {
    type Output = Self;
    #[inline]
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0, self.1 + other.1)
    }
}

impl AddAssign for Ext {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Ext {
    type Output = Self;
    #[inline]
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0, self.1 - other.1)
    }
}

impl SubAssign for Ext {
    #[inline]
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Neg for Ext {
    type Output = Self;
    #[inline]
    fn neg(self) -> Self {
        Self::ZERO - self
    }
}

impl Mul for Ext {
    type Output = Self;
    #[inline]
    fn mul(self, other: Self) -> Self {
        let (low, high) = (self.0 * other.0, self.1 * other.1);
        // 7·high as 8·high - high would cost more than the product.
        Self(low + Base(GENERATOR) * high, self.0 * other.1 + self.1 * other.0)
    }
}

impl MulAssign for Ext {
    #[inline]
    fn mul_assign(&mut self, other: Self) {
        *self = *self * other;
    }
}

impl Mul<Base> for Ext {
    type Output = Self;
    #[inline]
    fn mul(self, other: Base) -> Self {
        Self(self.0 * other, self.1 * other)
    }
}
