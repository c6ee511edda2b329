//! Which host user an environment runs as.
//!
//! As root every slot has a user id that nothing else on the machine has. As an ordinary user
//! there is only that one user; the process namespaces keep environments apart then.

use std::fs;

use crate::cgroup::Slot;

/// High enough that no account has it, low enough for tools that think ids are signed.
const PREFERRED: u32 = 0x6c00_0000;
/// Slots are numbered below this.
pub const SLOTS_MAX: u32 = 60_000;
/// As many environments as a machine may have by default.
const ENOUGH: u32 = 10_000;
/// Ids are never taken from below this, where accounts are.
const FIRST: u32 = 20_000;

/// The host ids of slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// `first + slot`, of `count`.
    Range { first: u32, count: u32 },
    /// Everything is the one user, who is root in the jailer's user namespace.
    One,
}

impl Ids {
    /// The ids that root may hand out here: in a container not all exist.
    pub fn of_root() -> Self {
        let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        Self::within(&map)
    }

    fn within(map: &str) -> Self {
        let ranges = map.lines().filter_map(|line| {
            let mut words = line.split_whitespace().map(str::parse::<u32>);
            let (inside, _, count) = (
                words.next()?.ok()?,
                words.next()?.ok()?,
                words.next()?.ok()?,
            );
            Some((inside, inside.saturating_add(count)))
        });
        let usable = |(start, end): (u32, u32)| {
            if start <= PREFERRED && PREFERRED + SLOTS_MAX <= end {
                return Some((PREFERRED, SLOTS_MAX));
            }
            let start = start.max(FIRST).max(end.saturating_sub(SLOTS_MAX));
            // The last one is often "nobody" or an overflow id.
            (end > start + 1).then(|| (start, end - start - 1))
        };
        match ranges.filter_map(usable).max_by_key(|(_, count)| *count) {
            Some((first, count)) => Ids::Range { first, count },
            None => Ids::One,
        }
    }

    /// What that means for an operator, where not every environment has an id of its own.
    pub fn lack(self) -> Option<String> {
        let why = match self {
            Ids::Range { count, .. } if count >= ENOUGH => return None,
            Ids::Range { count, .. } => format!(
                "there are only {count} user ids here, and beyond that number two share one"
            ),
            Ids::One => "an ordinary user has only one, and its groups stay with it".into(),
        };
        Some(format!(
            "a host user of its own per environment: {why}; process namespaces and Landlock keep \
             environments apart"
        ))
    }

    pub fn of(self, slot: Slot) -> u32 {
        match self {
            Ids::Range { first, count } => first + slot % count,
            Ids::One => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_machine_has_room_at_the_top() {
        let ids = Ids::within("         0          0 4294967295\n");
        assert_eq!(
            ids,
            Ids::Range {
                first: PREFERRED,
                count: SLOTS_MAX
            }
        );
        assert_eq!(ids.of(7), PREFERRED + 7);
    }

    #[test]
    fn ids_that_do_not_go_round_are_told() {
        let lack = |first, count| Ids::Range { first, count }.lack();
        assert_eq!(lack(FIRST, ENOUGH), None);
        assert!(lack(FIRST, 7).is_some_and(|text| text.contains("only 7")));
        assert!(Ids::One.lack().is_some_and(|text| text.contains("groups")));
    }

    #[test]
    fn a_container_gives_what_it_has() {
        assert_eq!(
            Ids::within("0 100000 65536"),
            Ids::Range {
                first: 20_000,
                count: 45_535
            }
        );
        assert_eq!(Ids::within("0 1000 1"), Ids::One);
        assert_eq!(Ids::within(""), Ids::One);
    }
}
