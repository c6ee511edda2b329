//! What an environment may resolve, and what its names turned out to be: the memory that lets an
//! allow-list speak of names while connections speak of addresses.

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    dns::{Answer, Query},
    limits::{LEARNED_ADDRESSES_MAX, LEARNED_AT_LEAST},
    policy,
};
use crate::NetworkPolicy;

pub(super) struct Names {
    policy: NetworkPolicy,
    learned: Mutex<HashMap<Ipv4Addr, Learned>>,
}

struct Learned {
    /// Entries of the allow-list whose name led here.
    rules: Vec<u16>,
    until: Instant,
}

impl Names {
    pub(super) fn new(policy: NetworkPolicy) -> Names {
        Names {
            policy,
            learned: Mutex::default(),
        }
    }

    pub(super) fn policy(&self) -> &NetworkPolicy {
        &self.policy
    }

    pub(super) fn may_resolve(&self, query: &Query) -> bool {
        policy::resolves(&self.policy, &query.name)
    }

    /// Remembers the addresses for as long as they are good, and a while longer.
    pub(super) fn learn(&self, query: &Query, answer: &Answer, now: Instant) {
        let rules: Vec<u16> = policy::matching_names(&self.policy, &query.name).collect();
        if rules.is_empty() || answer.addresses.is_empty() {
            return;
        }
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        for (address, ttl_s) in &answer.addresses {
            let ttl = Duration::from_secs(u64::from((*ttl_s).min(86_400)));
            let until = now + ttl.max(LEARNED_AT_LEAST);
            make_room(&mut learned, *address, now);
            let entry = learned.entry(*address).or_insert(Learned {
                rules: Vec::new(),
                until,
            });
            entry.until = entry.until.max(until);
            for rule in &rules {
                if !entry.rules.contains(rule) {
                    entry.rules.push(*rule);
                }
            }
        }
    }

    /// The allow-list's entries whose names led to the address.
    pub(super) fn rules_of(&self, address: Ipv4Addr, now: Instant) -> Vec<u16> {
        let learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        match learned.get(&address) {
            Some(entry) if entry.until > now => entry.rules.clone(),
            _ => Vec::new(),
        }
    }
}

fn make_room(learned: &mut HashMap<Ipv4Addr, Learned>, address: Ipv4Addr, now: Instant) {
    if learned.len() < LEARNED_ADDRESSES_MAX || learned.contains_key(&address) {
        return;
    }
    learned.retain(|_, entry| entry.until > now);
    if learned.len() >= LEARNED_ADDRESSES_MAX {
        let oldest = learned
            .iter()
            .min_by_key(|(_, entry)| entry.until)
            .map(|(address, _)| *address);
        oldest.and_then(|oldest| learned.remove(&oldest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Destination, DestinationHost};

    fn names() -> Names {
        let host = DestinationHost::Name("a.test".into());
        Names::new(NetworkPolicy::Allow(vec![Destination { host, port: None }]))
    }

    fn query(name: &str) -> Query {
        let mut message = b"\0\0\x01\0\0\x01\0\0\0\0\0\0".to_vec();
        for label in name.split('.') {
            message.push(label.len() as u8);
            message.extend(label.bytes());
        }
        message.extend(b"\0\0\x01\0\x01");
        Query::parse(&message).expect("a query")
    }

    fn answer(address: u32) -> Answer {
        Answer {
            code: 0,
            addresses: vec![(Ipv4Addr::from_bits(address), 1000)],
        }
    }

    #[test]
    fn an_address_is_remembered_for_its_time_to_live() {
        let (names, now) = (names(), Instant::now());
        names.learn(&query("a.test"), &answer(1), now);
        names.learn(&query("b.test"), &answer(2), now);
        let rules = |address, after| {
            names.rules_of(
                Ipv4Addr::from_bits(address),
                now + Duration::from_secs(after),
            )
        };
        assert_eq!(rules(1, 999), [0]);
        assert!(rules(1, 1001).is_empty());
        assert!(
            rules(2, 0).is_empty(),
            "a name that is not on the list teaches nothing"
        );
    }

    #[test]
    fn the_memory_is_bounded() {
        let (names, now) = (names(), Instant::now());
        for address in 0..3 * LEARNED_ADDRESSES_MAX as u32 {
            names.learn(
                &query("a.test"),
                &answer(address),
                now + Duration::from_millis(1),
            );
        }
        let learned = names.learned.lock().expect("no test panicked");
        assert_eq!(learned.len(), LEARNED_ADDRESSES_MAX);
    }
}
