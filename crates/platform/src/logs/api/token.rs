//! Tokens: where a page of events or a list goes on.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::super::{
    error::{Error, Result},
    lines::{
        Seq,
        scan::{Order, Rank},
    },
};

/// Digits of an event's id, as CloudWatch Logs has them.
const DIGITS: usize = 56;
const INDEX_DIGITS: usize = 10;
const SEGMENT_DIGITS: usize = 20;

/// A place between two events of a group, in the order of their times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub time: i64,
    pub segment: u64,
    /// Of the event behind it.
    pub index: u32,
}

impl Place {
    /// Before all there can be.
    pub const START: Self = Self {
        time: 0,
        segment: 0,
        index: 0,
    };

    pub fn before(timestamp_ms: i64, at: Seq) -> Self {
        Self {
            time: timestamp_ms,
            segment: at.segment,
            index: at.index,
        }
    }

    pub fn behind(timestamp_ms: i64, at: Seq) -> Self {
        let index = at.index.saturating_add(1);
        Self {
            index,
            ..Self::before(timestamp_ms, at)
        }
    }

    /// Behind what was read oldest first.
    pub fn behind_rank(rank: Rank) -> Self {
        let Rank {
            time,
            segment,
            index,
        } = rank;
        match index.checked_add(1) {
            Some(index) => Self {
                time,
                segment,
                index,
            },
            None => Self {
                time: time.saturating_add(1),
                segment: 0,
                index: 0,
            },
        }
    }

    /// What comes behind, or in the other order before, is all that is of a greater rank.
    pub fn rank(self, order: Order) -> Rank {
        match order {
            Order::NewestFirst => {
                let at = Seq {
                    segment: self.segment,
                    index: self.index,
                };
                order.rank(self.time, at)
            }
            Order::OldestFirst => match (self.index, self.segment) {
                (0, 0) => Rank {
                    time: self.time.saturating_sub(1),
                    segment: u64::MAX,
                    index: u32::MAX,
                },
                (0, segment) => Rank {
                    time: self.time,
                    segment: segment - 1,
                    index: u32::MAX,
                },
                (index, segment) => Rank {
                    time: self.time,
                    segment,
                    index: index - 1,
                },
            },
        }
    }

    /// 56 digits that grow with the place.
    pub fn digits(self) -> String {
        let time = self.time.max(0);
        let width = DIGITS - SEGMENT_DIGITS - INDEX_DIGITS;
        format!(
            "{time:0width$}{:0SEGMENT_DIGITS$}{:0INDEX_DIGITS$}",
            self.segment, self.index
        )
    }

    pub fn parse(digits: &str) -> Option<Self> {
        if digits.len() != DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (rest, index) = digits.split_at(DIGITS - INDEX_DIGITS);
        let (time, segment) = rest.split_at(rest.len() - SEGMENT_DIGITS);
        Some(Self {
            time: time.parse().ok()?,
            segment: segment.parse().ok()?,
            index: index.parse().ok()?,
        })
    }
}

/// A token of GetLogEvents, `f/…/s` or `b/…/s`.
pub fn events(order: Order, place: Place) -> String {
    let way = match order {
        Order::OldestFirst => 'f',
        Order::NewestFirst => 'b',
    };
    format!("{way}/{}/s", place.digits())
}

pub fn read_events(token: &str) -> Result<(Order, Place)> {
    let read = || {
        let (way, rest) = token.split_once('/')?;
        let order = match way {
            "f" => Order::OldestFirst,
            "b" => Order::NewestFirst,
            _ => return None,
        };
        Some((order, Place::parse(rest.strip_suffix("/s")?)?))
    };
    read().ok_or_else(invalid)
}

/// A token that clients can make nothing of.
pub fn of(text: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(text)
}

pub fn read(token: &str) -> Result<String> {
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(token)
        .map_err(|_| invalid())?;
    String::from_utf8(bytes).map_err(|_| invalid())
}

pub fn invalid() -> Error {
    Error::parameter("The specified nextToken is invalid.")
}

/// The part of a list that begins behind a name, with the token of the next.
pub fn page<T>(all: Vec<T>, limit: usize, name: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
    let mut all = all;
    let has_more = all.len() > limit;
    all.truncate(limit);
    let next = all.last().filter(|_| has_more).map(|last| of(&name(last)));
    (all, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_and_read() {
        let place = Place {
            time: 1_700_000_000_123,
            segment: 7,
            index: 3,
        };
        assert_eq!(place.digits().len(), DIGITS);
        for order in [Order::OldestFirst, Order::NewestFirst] {
            assert_eq!(read_events(&events(order, place)).unwrap(), (order, place));
        }
        assert!(place.digits() < Place { index: 4, ..place }.digits());
        for wrong in [
            "",
            "f//s",
            "x/1/s",
            "invalid-token",
            "f/1/s",
            &format!("f/{}/s", "9".repeat(56)),
        ] {
            assert!(read_events(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_place_has_all_before_and_all_behind_it() {
        let at = Seq {
            segment: 2,
            index: 0,
        };
        let forward = Order::OldestFirst.rank(5, at);
        let backward = Order::NewestFirst.rank(5, at);
        let (before, behind) = (Place::before(5, at), Place::behind(5, at));
        assert!(
            forward > before.rank(Order::OldestFirst) && forward <= behind.rank(Order::OldestFirst)
        );
        assert!(
            backward > behind.rank(Order::NewestFirst)
                && backward <= before.rank(Order::NewestFirst)
        );
        assert!(forward > Place::START.rank(Order::OldestFirst));
        assert_eq!(Place::behind_rank(forward), behind);
    }
}
