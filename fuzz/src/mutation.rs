//! From a seed to an input.

use streamer_engine::{random::Random as _, testing::SeededRandom};

/// No input is longer, in bytes.
pub const INPUT_BYTES_MAX: usize = 256 * 1024;

/// How often a word is repeated at most: enough for any depth that a parser must refuse.
const REPEATED_MAX: usize = 20_000;

/// The input of a seed: an example, changed in up to eight places. A few stay as they are.
#[must_use]
pub fn mutated(seed: u64, examples: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let dice = Dice(SeededRandom::new(seed));
    let mut input = dice.one_of(examples).cloned().unwrap_or_default();
    for _ in 0..dice.below(9) {
        change(&mut input, &dice, examples, words);
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn change(input: &mut Vec<u8>, dice: &Dice, examples: &[Vec<u8>], words: &[&str]) {
    let at = dice.below(input.len() + 1);
    // Mostly short, so that the rest stays as it was.
    let end = (at + 1 + dice.below(1 << dice.below(8))).min(input.len());
    match dice.below(10) {
        0 if at < input.len() => input[at] ^= 1 << dice.below(8),
        1 if at < input.len() => input[at] = *dice.one_of(b"\0\x01\x7f\x80\xff\"\\{[,:. ").unwrap_or(&0),
        2 if at < input.len() => input[at] = dice.byte(),
        3 => drop(input.splice(at..end, [])),
        4 => {
            let copied = input[at.min(end)..end].to_vec();
            let place = dice.below(input.len() + 1);
            drop(input.splice(place..place, copied));
        }
        5 => input.truncate(at),
        6 => {
            let other = dice.one_of(examples).cloned().unwrap_or_default();
            let from = dice.below(other.len() + 1);
            let until = (from + dice.below(64)).min(other.len());
            drop(input.splice(at..at, other[from..until].iter().copied()));
        }
        7 => {
            let word = dice.one_of(words).map_or(&b"0"[..], |word| word.as_bytes());
            let times = 1 << dice.below(REPEATED_MAX.ilog2() as usize + 1);
            let times = times.min((INPUT_BYTES_MAX.saturating_sub(input.len())) / word.len().max(1));
            drop(input.splice(at..at, word.repeat(times)));
        }
        8 => {
            let random: Vec<u8> = (0..dice.below(16)).map(|_| dice.byte()).collect();
            drop(input.splice(at..at, random));
        }
        _ => {
            let word = dice.one_of(words).map_or(&b"0"[..], |word| word.as_bytes());
            drop(input.splice(at..if dice.below(2) == 0 { at } else { end.max(at) }, word.iter().copied()));
        }
    }
}

struct Dice(SeededRandom);

impl Dice {
    fn below(&self, bound: usize) -> usize {
        usize::try_from(self.0.next_u64() % (bound.max(1) as u64)).unwrap_or(0)
    }

    fn byte(&self) -> u8 {
        self.0.next_u64().to_le_bytes()[0]
    }

    fn one_of<'a, T>(&self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }
}
