//! One field of a cron expression: lists, ranges, steps and names.

use super::number;

/// What a field may contain.
pub struct Field {
    pub min: u16,
    pub max: u16,
    /// Of `min` and those that follow.
    pub names: &'static [&'static str],
    /// Whether a range may go over the end, as `FRI-MON`.
    pub goes_round: bool,
}

/// The values of a field that match, counted from the field's first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Set([u64; 4]);

impl Set {
    pub fn contains(&self, index: u16) -> bool {
        let word = self.0.get(usize::from(index / 64));
        word.is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// The first from there on.
    pub fn from(&self, index: u16) -> Option<u16> {
        (index..256).find(|index| self.contains(*index))
    }

    fn add(&mut self, index: u16) {
        self.0[usize::from(index / 64)] |= 1 << (index % 64);
    }
}

impl Field {
    /// All that the text names. None: it is not understood.
    pub fn set(&self, text: &str) -> Option<Set> {
        let mut set = Set::default();
        for item in text.split(',') {
            self.item(item, &mut set)?;
        }
        Some(set)
    }

    fn item(&self, item: &str, set: &mut Set) -> Option<()> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(self.step(step)?)),
            None => (item, None),
        };
        let (first, last) = match (range, range.split_once('-')) {
            ("*", _) => (self.min, self.max),
            (_, Some((first, last))) => (self.value(first)?, self.value(last)?),
            // `5/10` goes on from 5.
            (one, None) if step.is_some() => (self.value(one)?, self.max),
            (one, None) => (self.value(one)?, self.value(one)?),
        };
        let size = self.max - self.min + 1;
        let length = match first <= last {
            true => last - first,
            false if self.goes_round => last + size - first,
            false => return None,
        };
        for passed in (0..=length).step_by(usize::from(step.unwrap_or(1))) {
            set.add((first - self.min + passed) % size);
        }
        Some(())
    }

    /// A number within the field's bounds, or a name.
    pub fn value(&self, text: &str) -> Option<u16> {
        let named = self.names.iter().position(|n| n.eq_ignore_ascii_case(text));
        if let Some(named) = named {
            return Some(self.min + u16::try_from(named).ok()?);
        }
        let value = u16::try_from(number(text)?).ok()?;
        (self.min..=self.max).contains(&value).then_some(value)
    }

    fn step(&self, text: &str) -> Option<u16> {
        let step = u16::try_from(number(text)?).ok()?;
        (1..=self.max).contains(&step).then_some(step)
    }
}
