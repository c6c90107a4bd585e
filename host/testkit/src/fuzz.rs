//! Runs a fuzz target as an ordinary test: every input of its corpus, and mutations of them.
//!
//! The same functions run with feedback of coverage in `fuzz/`, for hours: `scripts/nightly.sh fuzz`. An input that it finds
//! becomes a file of `fuzz/corpus`, and from then on a part of every test.
#![expect(clippy::panic, reason = "a test without its corpus proves nothing")]

use std::path::{Path, PathBuf};

/// Mutations of a run of the tests: some tenths of a second for a target that takes 100 µs.
const MUTATIONS: usize = 3_000;
/// Most bytes of an input: what a parser does wrong, it does within a few.
const LONGEST: usize = 4 << 10;
/// The variable with another seed, or with that of a run that failed.
const SEED: &str = "ESCLUSA_FUZZ_SEED";

/// Runs a target over its corpus, `fuzz/corpus/NAME`, and over as many mutations as the tests have time for.
///
/// # Panics
/// The target does; its input is printed before, and the seed that leads to it.
pub fn run(name: &str, target: impl FnMut(&[u8])) {
    run_mutations(name, MUTATIONS, target);
}

/// Likewise, with so many mutations: for a target that is slow.
///
/// # Panics
/// The target does; its input is printed before, and the seed that leads to it.
pub fn run_mutations(name: &str, mutations: usize, mut target: impl FnMut(&[u8])) {
    let corpus = corpus(name);
    for (path, input) in &corpus {
        let _told = InputGuard { what: path.display().to_string(), input };
        target(input);
    }
    let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut dice = Dice(seed);
    for number in 0..mutations {
        let mut input = dice.one_of(&corpus);
        for _ in 0..=dice.below(4) {
            dice.mutate(&mut input, &corpus);
        }
        input.truncate(LONGEST);
        let _told = InputGuard { what: format!("mutation {number} of {SEED}={seed}"), input: &input };
        target(&input);
    }
}

/// The inputs of a target's corpus, by their files.
fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let entries = std::fs::read_dir(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{} has a corpus of {} inputs", root.display(), files.len());
    let read = |path: PathBuf| {
        let input = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, input)
    };
    files.into_iter().map(read).collect()
}

/// Prints an input if its target panics.
struct InputGuard<'a> {
    what: String,
    input: &'a [u8],
}

impl Drop for InputGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input was {}: \"{}\"", self.what, self.input.escape_ascii());
        }
    }
}

/// Random numbers: xorshift64*, <https://en.wikipedia.org/wiki/Xorshift>.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        // A state of zero would stay zero.
        let mut x = self.0.max(1);
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.0 = x;
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`; 0 if there is none.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or_default().checked_rem(end).unwrap_or_default()
    }

    fn one_of(&mut self, corpus: &[(PathBuf, Vec<u8>)]) -> Vec<u8> {
        corpus.get(self.below(corpus.len())).map(|(_, input)| input.clone()).unwrap_or_default()
    }

    /// A part of an input: from a place in it, of up to 16 bytes.
    fn part(&mut self, input: &[u8]) -> (usize, usize) {
        let at = self.below(input.len() + 1);
        (at, at + self.below((input.len() - at).min(16) + 1))
    }

    /// Changes a bit, a byte or a number; cuts, repeats, inserts or takes a part of another input.
    fn mutate(&mut self, input: &mut Vec<u8>, corpus: &[(PathBuf, Vec<u8>)]) {
        const TELLING: [u8; 12] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'\\', b'{', b']', b'9', b'\n', 0xc3];
        let (from, to) = self.part(input);
        let at = self.below(input.len());
        match self.below(8) {
            0 => input.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << (self.0 % 8)),
            1 => {
                let byte = TELLING.get(self.below(TELLING.len())).copied().unwrap_or_default();
                input.get_mut(at).into_iter().for_each(|place| *place = byte);
            }
            2 => input.get_mut(at).into_iter().for_each(|byte| *byte = byte.wrapping_add(1 + (self.0 % 3) as u8)),
            3 => drop(input.drain(from..to)),
            4 => {
                let part = input.get(from..to).unwrap_or_default().repeat(1 + self.below(8));
                drop(input.splice(to..to, part));
            }
            5 => input.insert(from, TELLING.get(self.below(TELLING.len())).copied().unwrap_or_default()),
            6 => {
                let other = self.one_of(corpus);
                let (first, last) = self.part(&other);
                drop(input.splice(from..to, other.get(first..last).unwrap_or_default().iter().copied()));
            }
            _ => {
                let other = self.one_of(corpus);
                let (middle, _) = self.part(&other);
                input.truncate(from);
                input.extend_from_slice(other.get(middle..).unwrap_or_default());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_gives_the_same_inputs_again_and_they_are_many() {
        let inputs = || {
            let mut inputs = Vec::new();
            run_mutations("sdk_json", 500, |input| inputs.push(input.to_vec()));
            inputs
        };
        let first = inputs();
        assert_eq!(first, inputs());
        let different: BTreeSet<_> = first.iter().collect();
        assert!(different.len() > 400, "{} of {}", different.len(), first.len());
    }
}
