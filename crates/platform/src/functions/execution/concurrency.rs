//! How many requests may run at once: the account's limit and what functions have reserved of it.
//!
//! Exact under parallel load: a permit is counted before anything is started and given back when it
//! is dropped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Throttle;

/// The concurrency that an account's functions without a reservation share.
#[derive(Debug)]
pub struct AccountConcurrency {
    counts: Mutex<AccountCounts>,
}

#[derive(Debug)]
struct AccountCounts {
    /// Lambda's `ConcurrentExecutions`; 1,000 unless raised.
    limit: u32,
    reserved: u32,
    unreserved_busy: u32,
    reserved_busy: u32,
}

/// One function's share.
#[derive(Debug)]
pub struct FunctionConcurrency {
    account: Arc<AccountConcurrency>,
    counts: Mutex<FunctionCounts>,
}

#[derive(Debug, Default)]
struct FunctionCounts {
    reserved: Option<u32>,
    reserved_busy: u32,
}

/// The right to run one request; given back on drop.
#[derive(Debug)]
pub struct Permit {
    function: Arc<FunctionConcurrency>,
    from: Share,
}

#[derive(Debug, Clone, Copy)]
enum Share {
    Reserved,
    Unreserved,
}

impl AccountConcurrency {
    pub fn new(limit: u32) -> Arc<Self> {
        let counts = AccountCounts {
            limit,
            reserved: 0,
            unreserved_busy: 0,
            reserved_busy: 0,
        };
        Arc::new(Self {
            counts: Mutex::new(counts),
        })
    }

    /// Requests that run now.
    pub fn busy(&self) -> u32 {
        let counts = lock(&self.counts);
        counts.unreserved_busy + counts.reserved_busy
    }
}

impl FunctionConcurrency {
    pub fn new(account: Arc<AccountConcurrency>) -> Arc<Self> {
        Arc::new(Self {
            account,
            counts: Mutex::default(),
        })
    }

    /// Sets the reserved concurrency; requests that run stay counted where they began.
    pub fn reserve(&self, reserved: Option<u32>) {
        let mut counts = lock(&self.counts);
        let mut account = lock(&self.account.counts);
        account.reserved -= counts.reserved.unwrap_or(0);
        account.reserved += reserved.unwrap_or(0);
        counts.reserved = reserved;
    }

    pub fn acquire(self: &Arc<Self>) -> Result<Permit, Throttle> {
        let mut counts = lock(&self.counts);
        let mut account = lock(&self.account.counts);
        let from = match counts.reserved {
            Some(reserved) if counts.reserved_busy >= reserved => {
                return Err(Throttle::ReservedFunctionConcurrentInvocationLimitExceeded);
            }
            Some(_) => {
                counts.reserved_busy += 1;
                account.reserved_busy += 1;
                Share::Reserved
            }
            None if account.unreserved_busy >= account.limit.saturating_sub(account.reserved) => {
                return Err(Throttle::ConcurrentInvocationLimitExceeded);
            }
            None => {
                account.unreserved_busy += 1;
                Share::Unreserved
            }
        };
        Ok(Permit {
            function: self.clone(),
            from,
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = lock(&self.function.counts);
        let mut account = lock(&self.function.account.counts);
        match self.from {
            Share::Reserved => {
                counts.reserved_busy -= 1;
                account.reserved_busy -= 1;
            }
            Share::Unreserved => account.unreserved_busy -= 1,
        }
    }
}

impl Drop for FunctionConcurrency {
    fn drop(&mut self) {
        let reserved = lock(&self.counts).reserved.unwrap_or(0);
        lock(&self.account.counts).reserved -= reserved;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Counts are changed in one step each, so a panic elsewhere leaves them whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_without_a_reservation_share_what_is_left() {
        let account = AccountConcurrency::new(3);
        let reserved = FunctionConcurrency::new(account.clone());
        let first = FunctionConcurrency::new(account.clone());
        let second = FunctionConcurrency::new(account.clone());
        reserved.reserve(Some(1));

        let one = first.acquire().unwrap();
        let _two = second.acquire().unwrap();
        assert_eq!(
            second.acquire().unwrap_err(),
            Throttle::ConcurrentInvocationLimitExceeded
        );
        let _three = reserved.acquire().unwrap();
        assert_eq!(
            reserved.acquire().unwrap_err(),
            Throttle::ReservedFunctionConcurrentInvocationLimitExceeded
        );
        assert_eq!(account.busy(), 3);
        drop(one);
        assert!(second.acquire().is_ok());
    }

    #[test]
    fn a_reservation_of_nothing_stops_the_function() {
        let account = AccountConcurrency::new(10);
        let function = FunctionConcurrency::new(account);
        function.reserve(Some(0));
        assert!(function.acquire().is_err());
        function.reserve(None);
        assert!(function.acquire().is_ok());
    }

    #[test]
    fn a_permit_goes_back_where_it_came_from() {
        let account = AccountConcurrency::new(1);
        let function = FunctionConcurrency::new(account.clone());
        let permit = function.acquire().unwrap();
        function.reserve(Some(1));
        let reserved = function.acquire().unwrap();
        drop(permit);
        drop(reserved);
        function.reserve(None);
        assert_eq!(account.busy(), 0);
        assert!(function.acquire().is_ok());
    }

    #[test]
    fn the_limit_is_exact_under_parallel_load() {
        let account = AccountConcurrency::new(8);
        let function = FunctionConcurrency::new(account.clone());
        let most = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        if let Ok(_permit) = function.acquire() {
                            most.fetch_max(account.busy(), std::sync::atomic::Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert!(most.into_inner() <= 8);
        assert_eq!(account.busy(), 0);
    }
}
