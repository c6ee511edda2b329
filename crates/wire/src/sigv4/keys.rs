//! Signing keys: four HMACs over the secret, the day, the region and the service, worth keeping
//! because every request of a caller on one day needs the same one.

use std::{collections::HashMap, sync::RwLock};

use aws_lc_rs::hmac;

use super::Secret;

/// Keys that are kept: enough for thousands of callers, well under a megabyte.
const KEYS_MAX: usize = 2048;
/// A key of a longer scope and secret is made anew each time.
const NAME_BYTES_MAX: usize = 256;

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
    ) -> SigningKey {
        let secret = &*secret.secret_access_key;
        // None of date, region and service holds a slash, so no two scopes read the same.
        let name = format!("{date}/{region}/{service}/{secret}");
        // A thread that panicked while it held the lock left whole keys behind, if any.
        let keys = self.keys.read().unwrap_or_else(|e| e.into_inner());
        if let Some(key) = keys.get(&name) {
            let key = key.clone();
            return SigningKey { key, new: None };
        }
        drop(keys);
        let key = derive(secret, date, region, service);
        let new = (name.len() <= NAME_BYTES_MAX).then_some(name);
        SigningKey { key, new }
    }

    /// Keeps a key, now that a signature made with it has come. Strangers, who know an access key
    /// id and no secret, would otherwise fill the cache with scopes that nobody uses.
    pub(super) fn keep(&self, key: SigningKey) {
        let Some(name) = key.new else { return };
        let mut keys = self.keys.write().unwrap_or_else(|e| e.into_inner());
        if keys.len() >= KEYS_MAX {
            keys.clear();
        }
        keys.insert(name, key.key);
    }
}

/// A signing key, with its name in the cache if it is not there yet and may be.
pub(super) struct SigningKey {
    pub key: hmac::Key,
    new: Option<String>,
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

    fn secret() -> Secret {
        Secret {
            secret_access_key: "secret".into(),
            session_token: None,
        }
    }

    #[test]
    fn the_cache_stays_bounded_and_right() {
        let cache = KeyCache::new();
        let get = |day: &str, region: &str| cache.get(&secret(), day, region, "lambda");
        for n in 0..KEYS_MAX + 10 {
            cache.keep(get("20240501", &format!("region-{n}")));
        }
        assert!(cache.keys.read().unwrap().len() <= KEYS_MAX);
        let sign = |key: SigningKey| hmac::sign(&key.key, b"x").as_ref().to_vec();
        cache.keep(get("20240501", "region-1"));
        let kept = get("20240501", "region-1");
        assert!(kept.new.is_none());
        let fresh = SigningKey {
            key: derive("secret", "20240501", "region-1", "lambda"),
            new: None,
        };
        let kept = sign(kept);
        assert_eq!(kept, sign(fresh));
        assert_ne!(kept, sign(get("20240501", "region-2")));
        assert_ne!(kept, sign(get("20240502", "region-1")));
    }

    #[test]
    fn nothing_is_kept_before_it_is_asked_for_or_that_is_long() {
        let cache = KeyCache::new();
        drop(cache.get(&secret(), "20240501", "us-east-1", "lambda"));
        cache.keep(cache.get(&secret(), "20240501", "us-east-1", &"x".repeat(300)));
        assert!(cache.keys.read().unwrap().is_empty());
    }
}
