//! Keccak-f[1600] of several states side by side, written once for both widths of register.
//!
//! Invariant: the only `unsafe` is the view of plain integers as registers; each function may be called only where the
//! processor has the feature in its name.
//! Source: FIPS 202, section 3.2 (theta, rho, pi, chi, iota), with rho's offsets and pi's places folded into one table.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m256i, __m512i, _mm256_andnot_si256, _mm256_or_si256, _mm256_set1_epi64x, _mm256_slli_epi64, _mm256_srli_epi64,
    _mm256_xor_si256, _mm512_rol_epi64, _mm512_set1_epi64, _mm512_ternarylogic_epi64, _mm512_xor_si512,
};
use std::mem::transmute;

use super::{Lanes, WORDS};

/// Iota's constants (FIPS 202, section 3.2.5).
const ROUNDS: [u64; 24] = [
    0x0000_0000_0000_0001,
    0x0000_0000_0000_8082,
    0x8000_0000_0000_808a,
    0x8000_0000_8000_8000,
    0x0000_0000_0000_808b,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8009,
    0x0000_0000_0000_008a,
    0x0000_0000_0000_0088,
    0x0000_0000_8000_8009,
    0x0000_0000_8000_000a,
    0x0000_0000_8000_808b,
    0x8000_0000_0000_008b,
    0x8000_0000_0000_8089,
    0x8000_0000_0000_8003,
    0x8000_0000_0000_8002,
    0x8000_0000_0000_0080,
    0x0000_0000_0000_800a,
    0x8000_0000_8000_000a,
    0x8000_0000_8000_8081,
    0x8000_0000_0000_8080,
    0x0000_0000_8000_0001,
    0x8000_0000_8000_8008,
];

/// Defines a permutation of `Lanes<$n>` in registers `$register`, from the operations that a feature has.
macro_rules! permutation {
    ($name:ident, $n:literal, $register:ty, $feature:literal, $xor:ident, $xor5:ident, $rol:ident, $chi:ident, $splat:ident) => {
        #[target_feature(enable = $feature)]
        pub(super) fn $name(lanes: &mut Lanes<$n>) {
            // SAFETY: both sides are arrays of the same size of plain integers; every bit pattern is valid in each.
            let registers: [$register; WORDS] = unsafe { transmute(lanes.0) };
            let [
                mut a0,
                mut a1,
                mut a2,
                mut a3,
                mut a4,
                mut a5,
                mut a6,
                mut a7,
                mut a8,
                mut a9,
                mut a10,
                mut a11,
                mut a12,
                mut a13,
                mut a14,
                mut a15,
                mut a16,
                mut a17,
                mut a18,
                mut a19,
                mut a20,
                mut a21,
                mut a22,
                mut a23,
                mut a24,
            ] = registers;
            for constant in ROUNDS {
                let c0 = $xor5!(a0, a5, a10, a15, a20);
                let c1 = $xor5!(a1, a6, a11, a16, a21);
                let c2 = $xor5!(a2, a7, a12, a17, a22);
                let c3 = $xor5!(a3, a8, a13, a18, a23);
                let c4 = $xor5!(a4, a9, a14, a19, a24);
                let d0 = $xor!(c4, $rol!(c1, 1));
                let d1 = $xor!(c0, $rol!(c2, 1));
                let d2 = $xor!(c1, $rol!(c3, 1));
                let d3 = $xor!(c2, $rol!(c4, 1));
                let d4 = $xor!(c3, $rol!(c0, 1));
                let b0 = $xor!(a0, d0);
                let b1 = $rol!($xor!(a6, d1), 44);
                let b2 = $rol!($xor!(a12, d2), 43);
                let b3 = $rol!($xor!(a18, d3), 21);
                let b4 = $rol!($xor!(a24, d4), 14);
                let b5 = $rol!($xor!(a3, d3), 28);
                let b6 = $rol!($xor!(a9, d4), 20);
                let b7 = $rol!($xor!(a10, d0), 3);
                let b8 = $rol!($xor!(a16, d1), 45);
                let b9 = $rol!($xor!(a22, d2), 61);
                let b10 = $rol!($xor!(a1, d1), 1);
                let b11 = $rol!($xor!(a7, d2), 6);
                let b12 = $rol!($xor!(a13, d3), 25);
                let b13 = $rol!($xor!(a19, d4), 8);
                let b14 = $rol!($xor!(a20, d0), 18);
                let b15 = $rol!($xor!(a4, d4), 27);
                let b16 = $rol!($xor!(a5, d0), 36);
                let b17 = $rol!($xor!(a11, d1), 10);
                let b18 = $rol!($xor!(a17, d2), 15);
                let b19 = $rol!($xor!(a23, d3), 56);
                let b20 = $rol!($xor!(a2, d2), 62);
                let b21 = $rol!($xor!(a8, d3), 55);
                let b22 = $rol!($xor!(a14, d4), 39);
                let b23 = $rol!($xor!(a15, d0), 41);
                let b24 = $rol!($xor!(a21, d1), 2);
                a0 = $xor!($chi!(b0, b1, b2), $splat!(constant));
                a1 = $chi!(b1, b2, b3);
                a2 = $chi!(b2, b3, b4);
                a3 = $chi!(b3, b4, b0);
                a4 = $chi!(b4, b0, b1);
                a5 = $chi!(b5, b6, b7);
                a6 = $chi!(b6, b7, b8);
                a7 = $chi!(b7, b8, b9);
                a8 = $chi!(b8, b9, b5);
                a9 = $chi!(b9, b5, b6);
                a10 = $chi!(b10, b11, b12);
                a11 = $chi!(b11, b12, b13);
                a12 = $chi!(b12, b13, b14);
                a13 = $chi!(b13, b14, b10);
                a14 = $chi!(b14, b10, b11);
                a15 = $chi!(b15, b16, b17);
                a16 = $chi!(b16, b17, b18);
                a17 = $chi!(b17, b18, b19);
                a18 = $chi!(b18, b19, b15);
                a19 = $chi!(b19, b15, b16);
                a20 = $chi!(b20, b21, b22);
                a21 = $chi!(b21, b22, b23);
                a22 = $chi!(b22, b23, b24);
                a23 = $chi!(b23, b24, b20);
                a24 = $chi!(b24, b20, b21);
            }
            let registers = [
                a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20, a21,
                a22, a23, a24,
            ];
            // SAFETY: as above.
            lanes.0 = unsafe { transmute::<[$register; WORDS], [[u64; $n]; WORDS]>(registers) };
        }
    };
}

macro_rules! xor_256 {
    ($a:expr, $b:expr) => {
        _mm256_xor_si256($a, $b)
    };
}
macro_rules! xor5_256 {
    ($a:expr, $b:expr, $c:expr, $d:expr, $e:expr) => {
        xor_256!(xor_256!(xor_256!($a, $b), xor_256!($c, $d)), $e)
    };
}
macro_rules! rol_256 {
    ($a:expr, $by:literal) => {{
        let word = $a;
        _mm256_or_si256(_mm256_slli_epi64::<$by>(word), _mm256_srli_epi64::<{ 64 - $by }>(word))
    }};
}
macro_rules! chi_256 {
    ($a:expr, $b:expr, $c:expr) => {
        xor_256!($a, _mm256_andnot_si256($b, $c))
    };
}
macro_rules! splat_256 {
    ($word:expr) => {
        _mm256_set1_epi64x($word.cast_signed())
    };
}
permutation!(avx2, 4, __m256i, "avx2", xor_256, xor5_256, rol_256, chi_256, splat_256);

macro_rules! xor_512 {
    ($a:expr, $b:expr) => {
        _mm512_xor_si512($a, $b)
    };
}
macro_rules! xor5_512 {
    // 0x96: a ^ b ^ c.
    ($a:expr, $b:expr, $c:expr, $d:expr, $e:expr) => {
        _mm512_ternarylogic_epi64::<0x96>(_mm512_ternarylogic_epi64::<0x96>($a, $b, $c), $d, $e)
    };
}
macro_rules! rol_512 {
    ($a:expr, $by:literal) => {
        _mm512_rol_epi64::<$by>($a)
    };
}
macro_rules! chi_512 {
    // 0xd2: a ^ (!b & c).
    ($a:expr, $b:expr, $c:expr) => {
        _mm512_ternarylogic_epi64::<0xd2>($a, $b, $c)
    };
}
macro_rules! splat_512 {
    ($word:expr) => {
        _mm512_set1_epi64($word.cast_signed())
    };
}
permutation!(avx512, 8, __m512i, "avx512f", xor_512, xor5_512, rol_512, chi_512, splat_512);
