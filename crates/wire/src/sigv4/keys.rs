//! Signing keys: four HMACs over the secret, the day, the region and the service, worth keeping
//! because every request of a caller on one day needs the same one.

use std::{collections::HashMap, sync::RwLock};

use aws_lc_rs::hmac;

use super::Secret;

/// Keys that are kept: enough for thousands of callers, well under a megabyte.
const KEYS_MAX: usize = 2048;

/// A bounded cache of signing keys; when it is full it starts over.
#[derive(Default)]
pub struct KeyCache {
    keys: RwLock<HashMap<String, hmac::Key>>,
}

impl std::fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyCache").finish_non_exhaustive()
    }
}

impl KeyCache {
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn get(
        &self,
        secret: &Secret,
        date: &str,
        region: &str,
        service: &str,
    ) -> hmac::Key {
        let secret = &*secret.secret_access_key;
        // None of date, region and service holds a slash, so no two scopes read the same.
        let name = format!("{date}/{region}/{service}/{secret}");
        // A thread that panicked while it held the lock left whole keys behind, if any.
        if let Some(key) = self
            .keys
            .read()
            .unwrap_or_else(|e| e.into_inner())
            .get(&name)
        {
            return key.clone();
        }
        let key = derive(secret, date, region, service);
        let mut keys = self.keys.write().unwrap_or_else(|e| e.into_inner());
        if keys.len() >= KEYS_MAX {
            keys.clear();
        }
        keys.insert(name, key.clone());
        key
    }
}

fn derive(secret: &str, date: &str, region: &str, service: &str) -> hmac::Key {
    let mut key = hmac_key(format!("AWS4{secret}").as_bytes());
    for part in [date, region, service, "aws4_request"] {
        key = hmac_key(hmac::sign(&key, part.as_bytes()).as_ref());
    }
    key
}

fn hmac_key(bytes: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_stays_bounded_and_right() {
        let cache = KeyCache::new();
        let secret = Secret {
            secret_access_key: "secret".into(),
            session_token: None,
        };
        for n in 0..KEYS_MAX + 10 {
            cache.get(&secret, "20240501", &format!("region-{n}"), "lambda");
        }
        assert!(cache.keys.read().unwrap().len() <= KEYS_MAX);
        let sign = |key: &hmac::Key| hmac::sign(key, b"x").as_ref().to_vec();
        let kept = cache.get(&secret, "20240501", "region-1", "lambda");
        let again = cache.get(&secret, "20240501", "region-1", "lambda");
        let other = cache.get(&secret, "20240501", "region-2", "lambda");
        assert_eq!(sign(&kept), sign(&again));
        assert_ne!(sign(&kept), sign(&other));
    }
}
