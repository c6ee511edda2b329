//! How many requests may run at once: the account's limit and what functions have reserved of it.
//!
//! Exact under parallel load: a permit is counted before anything is started and given back when it
//! is dropped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::{Throttle, provision::Provision, scaling::ScalingRate};

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
    /// Provisioned for functions that have nothing reserved; the others' is part of that.
    provisioned: u32,
    unreserved_busy: u32,
    reserved_busy: u32,
    provisioned_busy: u32,
    /// The most of all, and of those without a reservation, since they were taken last.
    peak: u32,
    unreserved_peak: u32,
}

/// One function's share.
#[derive(Debug)]
pub struct FunctionConcurrency {
    account: Arc<AccountConcurrency>,
    counts: Mutex<FunctionCounts>,
}

/// How a function scales, as an operator sees it; counted since the start of the platform or of the
/// function.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scaling {
    /// Requests that run now.
    pub busy: u32,
    pub environments_started: u64,
    pub throttles: u64,
}

#[derive(Debug)]
struct FunctionCounts {
    rate: ScalingRate,
    scaling: Scaling,
    reserved: Option<u32>,
    /// Without what runs in provisioned environments.
    busy: u32,
    /// What is kept ready, over all versions.
    provisioned: u32,
    /// The most that ran at once since this was taken last.
    peak: u32,
}

/// The right to run one request; given back on drop.
#[derive(Debug)]
pub struct Permit {
    function: Arc<FunctionConcurrency>,
    from: Share,
}

#[derive(Debug)]
enum Share {
    OnDemand,
    Provisioned(Arc<Provision>),
}

impl Permit {
    /// Where there is an environment for it that is ready.
    pub fn provision(&self) -> Option<&Arc<Provision>> {
        match &self.from {
            Share::Provisioned(provision) => Some(provision),
            Share::OnDemand => None,
        }
    }

    /// Whether another environment may be started for it now.
    pub fn may_scale(&self, now: Instant) -> Result<(), Throttle> {
        let mut counts = lock(&self.function.counts);
        if counts.rate.take(now) {
            counts.scaling.environments_started += 1;
            return Ok(());
        }
        counts.scaling.throttles += 1;
        Err(Throttle::ScalingRateExceeded)
    }
}

impl AccountConcurrency {
    pub fn new(limit: u32) -> Arc<Self> {
        let counts = AccountCounts {
            limit,
            reserved: 0,
            provisioned: 0,
            unreserved_busy: 0,
            reserved_busy: 0,
            provisioned_busy: 0,
            peak: 0,
            unreserved_peak: 0,
        };
        Arc::new(Self {
            counts: Mutex::new(counts),
        })
    }

    /// Requests that run now.
    pub fn busy(&self) -> u32 {
        lock(&self.counts).busy()
    }

    /// The most requests at once since this was asked last: all, and those of functions without a
    /// reservation.
    pub fn take_peaks(&self) -> (u32, u32) {
        let mut counts = lock(&self.counts);
        let taken = (counts.peak, counts.unreserved_peak);
        counts.peak = counts.busy();
        counts.unreserved_peak = counts.unreserved_busy;
        taken
    }
}

impl FunctionConcurrency {
    /// `scaling_rate` is in environments each 10 seconds.
    pub fn new(account: Arc<AccountConcurrency>, scaling_rate: u32) -> Arc<Self> {
        let counts = FunctionCounts {
            rate: ScalingRate::new(scaling_rate),
            scaling: Scaling::default(),
            reserved: None,
            busy: 0,
            provisioned: 0,
            peak: 0,
        };
        Arc::new(Self {
            account,
            counts: Mutex::new(counts),
        })
    }

    pub fn scaling(&self) -> Scaling {
        lock(&self.counts).scaling
    }

    /// The most requests at once since this was asked last.
    pub fn take_peak(&self) -> u32 {
        let mut counts = lock(&self.counts);
        let now = counts.scaling.busy;
        std::mem::replace(&mut counts.peak, now)
    }

    /// Sets the reserved concurrency; requests that run count in it from now on.
    pub fn reserve(&self, reserved: Option<u32>) {
        let mut counts = lock(&self.counts);
        let mut account = lock(&self.account.counts);
        account.take_off(&counts);
        counts.reserved = reserved;
        account.take_on(&counts);
    }

    /// Sets what is kept ready for versions of the function, which nobody else can use.
    pub fn provision(&self, provisioned: u32) {
        let mut counts = lock(&self.counts);
        let mut account = lock(&self.account.counts);
        account.take_off(&counts);
        counts.provisioned = provisioned;
        account.take_on(&counts);
    }

    /// A permit for what is kept ready, if any of it is free, or for an environment on demand.
    pub fn acquire(
        self: &Arc<Self>,
        provision: Option<&Arc<Provision>>,
    ) -> Result<Permit, Throttle> {
        let mut counts = lock(&self.counts);
        let mut account = lock(&self.account.counts);
        let provisioned = counts.provisioned;
        let unreserved = account
            .limit
            .saturating_sub(account.reserved.saturating_add(account.provisioned));
        // Nothing reserved stops the function altogether.
        let stopped = counts.reserved == Some(0);
        let ready = provision.filter(|provision| !stopped && provision.take());
        if let Some(ready) = ready {
            account.provisioned_busy += 1;
            counts.scaling.busy += 1;
            note_peaks(&mut counts, &mut account);
            return Ok(Permit {
                function: self.clone(),
                from: Share::Provisioned(ready.clone()),
            });
        }
        // More may run than there is now for functions without a reservation, or with one: what began
        // before others' reservations grew. Nobody adds to that.
        let is_full = account.busy() >= account.limit;
        match counts.reserved {
            Some(reserved) if counts.busy >= reserved.saturating_sub(provisioned) => {
                counts.scaling.throttles += 1;
                return Err(Throttle::ReservedFunctionConcurrentInvocationLimitExceeded);
            }
            _ if is_full => {
                counts.scaling.throttles += 1;
                return Err(Throttle::ConcurrentInvocationLimitExceeded);
            }
            Some(_) => account.reserved_busy += 1,
            None if account.unreserved_busy >= unreserved => {
                counts.scaling.throttles += 1;
                return Err(Throttle::ConcurrentInvocationLimitExceeded);
            }
            None => account.unreserved_busy += 1,
        }
        counts.busy += 1;
        counts.scaling.busy += 1;
        note_peaks(&mut counts, &mut account);
        Ok(Permit {
            function: self.clone(),
            from: Share::OnDemand,
        })
    }
}

fn note_peaks(function: &mut FunctionCounts, account: &mut AccountCounts) {
    function.peak = function.peak.max(function.scaling.busy);
    account.peak = account.peak.max(account.busy());
    account.unreserved_peak = account.unreserved_peak.max(account.unreserved_busy);
}

impl AccountCounts {
    fn busy(&self) -> u32 {
        self.unreserved_busy + self.reserved_busy + self.provisioned_busy
    }

    /// A function's part: of what is not free for all, and of what runs.
    fn take_on(&mut self, function: &FunctionCounts) {
        match function.reserved {
            Some(reserved) => {
                self.reserved += reserved;
                self.reserved_busy += function.busy;
            }
            None => {
                self.provisioned += function.provisioned;
                self.unreserved_busy += function.busy;
            }
        }
    }

    fn take_off(&mut self, function: &FunctionCounts) {
        match function.reserved {
            Some(reserved) => {
                self.reserved -= reserved;
                self.reserved_busy -= function.busy;
            }
            None => {
                self.provisioned -= function.provisioned;
                self.unreserved_busy -= function.busy;
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = lock(&self.function.counts);
        let mut account = lock(&self.function.account.counts);
        counts.scaling.busy -= 1;
        match &self.from {
            Share::Provisioned(provision) => {
                provision.give_back();
                account.provisioned_busy -= 1;
            }
            Share::OnDemand => {
                counts.busy -= 1;
                match counts.reserved {
                    Some(_) => account.reserved_busy -= 1,
                    None => account.unreserved_busy -= 1,
                }
            }
        }
    }
}

impl Drop for FunctionConcurrency {
    fn drop(&mut self) {
        lock(&self.account.counts).take_off(&lock(&self.counts));
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
        let reserved = FunctionConcurrency::new(account.clone(), 1000);
        let first = FunctionConcurrency::new(account.clone(), 1000);
        let second = FunctionConcurrency::new(account.clone(), 1000);
        reserved.reserve(Some(1));

        let one = first.acquire(None).unwrap();
        let _two = second.acquire(None).unwrap();
        assert_eq!(
            second.acquire(None).unwrap_err(),
            Throttle::ConcurrentInvocationLimitExceeded
        );
        let _three = reserved.acquire(None).unwrap();
        assert_eq!(
            reserved.acquire(None).unwrap_err(),
            Throttle::ReservedFunctionConcurrentInvocationLimitExceeded
        );
        assert_eq!(account.busy(), 3);
        drop(one);
        assert!(second.acquire(None).is_ok());
    }

    #[test]
    fn a_reservation_of_nothing_stops_the_function() {
        let account = AccountConcurrency::new(10);
        let function = FunctionConcurrency::new(account, 1000);
        function.reserve(Some(0));
        assert!(function.acquire(None).is_err());
        function.reserve(None);
        assert!(function.acquire(None).is_ok());
    }

    #[test]
    fn what_runs_counts_in_a_reservation_that_comes_later() {
        let account = AccountConcurrency::new(2);
        let function = FunctionConcurrency::new(account.clone(), 1000);
        let permit = function.acquire(None).unwrap();
        function.reserve(Some(1));
        assert_eq!(
            function.acquire(None).unwrap_err(),
            Throttle::ReservedFunctionConcurrentInvocationLimitExceeded
        );
        drop(permit);
        let reserved = function.acquire(None).unwrap();
        function.reserve(None);
        assert_eq!(account.busy(), 1);
        drop(reserved);
        assert_eq!(account.busy(), 0);
        assert!(function.acquire(None).is_ok());
    }

    #[test]
    fn more_environments_than_the_scaling_rate_are_throttled_and_counted() {
        let function = FunctionConcurrency::new(AccountConcurrency::new(10), 2);
        let permit = function.acquire(None).unwrap();
        let now = Instant::now();
        assert!(permit.may_scale(now).is_ok());
        assert!(permit.may_scale(now).is_ok());
        assert_eq!(
            permit.may_scale(now).unwrap_err(),
            Throttle::ScalingRateExceeded
        );
        let counted = Scaling {
            busy: 1,
            environments_started: 2,
            throttles: 1,
        };
        assert_eq!(function.scaling(), counted);
        drop(permit);
        assert_eq!(function.scaling().busy, 0);
    }

    #[test]
    fn a_reservation_beside_what_runs_does_not_pass_the_accounts_limit() {
        let account = AccountConcurrency::new(3);
        let first = FunctionConcurrency::new(account.clone(), 1000);
        let second = FunctionConcurrency::new(account.clone(), 1000);
        let mut running: Vec<_> = (0..3).map(|_| first.acquire(None).unwrap()).collect();
        second.reserve(Some(2));
        assert_eq!(
            second.acquire(None).unwrap_err(),
            Throttle::ConcurrentInvocationLimitExceeded
        );
        // What ends makes room for the reservation, and not for others before that is whole.
        running.pop();
        let _reserved = second.acquire(None).unwrap();
        running.pop();
        assert!(first.acquire(None).is_err());
        assert!(second.acquire(None).is_ok());
        assert_eq!(account.busy(), 2);
    }

    #[test]
    fn the_limit_is_exact_under_parallel_load() {
        let account = AccountConcurrency::new(8);
        let function = FunctionConcurrency::new(account.clone(), 1000);
        let most = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        if let Ok(_permit) = function.acquire(None) {
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
