//! Random programs, of what real code is made of, on every fork and with gas that ends anywhere.

use interlace_primitives::Fork;

use super::world::{Both, OTHER};

/// Numbers that look random (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len() as u64) as usize]
    }
}

/// A program of pieces that real code has, some of them wrong.
fn program(dice: &mut Dice) -> Vec<u8> {
    let pieces = 2 + dice.roll(40);
    let (mut code, mut holes, mut targets) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..pieces {
        match dice.roll(23) {
            0..=2 => {
                let size = dice.pick(&[0u8, 1, 1, 1, 2, 4, 8, 20, 32]);
                code.push(0x5f + size);
                (0..size).for_each(|_| code.push(dice.pick(&[0, 1, 2, 0x20, 0x40, 0x60, 0x7f, 0xff, 0x5b])));
            }
            3 => code.extend([0x60, dice.roll(8) as u8 * 32, dice.pick(&[0x51, 0x52, 0x54, 0x55, 0x35])]),
            4 => code.extend([0x80 + dice.roll(4) as u8]),
            5 => code.extend([0x90 + dice.roll(4) as u8]),
            6 => code.extend([0x90 + dice.roll(4) as u8, 0x50]),
            7 => code.extend([0x50, 0x50]),
            8..=10 => code.push(
                dice.pick(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 0x0b, 0x10, 0x11, 0x12, 0x13, 0x14, 0x16, 0x17, 0x18, 0x1a]),
            ),
            11 => code.push(dice.pick(&[0x15, 0x19, 0x1b, 0x1c, 0x1d, 0x0a, 0x1e])),
            12 => code.extend([
                0x60,
                1,
                0x60,
                dice.roll(256) as u8,
                0x60,
                dice.roll(256) as u8,
                0x1b,
                dice.pick(&[1, 2, 3, 4, 0x16, 0x17, 0x1c]),
            ]),
            13 => {
                targets.push(code.len());
                code.push(0x5b);
            }
            14..=16 => {
                // [compare [iszero]] push2 jumpi, or jump.
                code.extend(dice.pick(&[
                    &[0x10][..],
                    &[0x11],
                    &[0x14],
                    &[0x10, 0x15],
                    &[0x11, 0x15],
                    &[0x14, 0x15],
                    &[0x15],
                    &[0x80],
                    &[],
                ]));
                code.push(0x61);
                holes.push(code.len());
                code.extend([0, 0, if dice.roll(4) == 0 { 0x56 } else { 0x57 }]);
            }
            17 => code.push(dice.pick(&[
                0x30, 0x32, 0x33, 0x34, 0x36, 0x38, 0x3a, 0x3d, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x58,
                0x59, 0x5a,
            ])),
            18 => code.push(dice.pick(&[0x20, 0x37, 0x39, 0x51, 0x52, 0x53, 0x54, 0x55, 0x5c, 0x5d, 0x5e, 0xa0, 0xa1])),
            // A call of another contract that does something, and looks at what it left.
            19 => {
                code.extend([0x60, 0x40, 0x60, 0, 0x60, 0x20, 0x60, 0, 0x60, 0, 0x73]);
                code.extend(OTHER);
                code.extend([0x61, dice.roll(256) as u8, 0xff, 0xf1]);
            }
            // The hash of two words, as where a mapping's value lies.
            20 => code.extend([0x60, dice.pick(&[0x40, 0x40, 0x3f]), 0x60, dice.pick(&[0, 0, 0x20, 1]), 0x20]),
            21 => code.push(dice.pick(&[0x00, 0x56, 0x57, 0xf3, 0xfd, 0xfe, 0x0c, 0xe6, 0xff])),
            _ => code.extend([0x60, dice.roll(64) as u8]),
        }
    }
    for hole in holes {
        let target = if targets.is_empty() || dice.roll(12) == 0 {
            dice.roll(code.len() as u64) as usize
        } else {
            dice.pick(&targets)
        };
        code[hole..hole + 2].copy_from_slice(&(target as u16).to_be_bytes());
    }
    code.truncate(code.len() - dice.roll(3).min(code.len() as u64) as usize);
    code
}

/// On failure the program is in the message.
fn compare(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let fork = dice.pick(&[
        Fork::Frontier,
        Fork::Homestead,
        Fork::Byzantium,
        Fork::Constantinople,
        Fork::Istanbul,
        Fork::Berlin,
        Fork::London,
        Fork::Shanghai,
        Fork::Cancun,
        Fork::Prague,
        Fork::Osaka,
    ]);
    let both = Both::new(&program(&mut dice), &program(&mut dice));
    let input: Vec<u8> = (0..dice.roll(100)).map(|_| dice.roll(256) as u8).collect();
    for gas in [60_000, 25_000 + dice.roll(2_000), 23_000 + dice.roll(20_000), 200_000] {
        both.compare(fork, gas, &input);
    }
}

#[test]
fn random_programs_come_out_the_same() {
    let programs = std::env::var("INTERLACE_PROGRAMS").ok().and_then(|number| number.parse().ok()).unwrap_or(20_000);
    for seed in 1..=programs {
        compare(seed);
    }
}
