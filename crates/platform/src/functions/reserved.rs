//! PutFunctionConcurrency, GetFunctionConcurrency and DeleteFunctionConcurrency.

use wire::{Context, lambda::FunctionName};

use super::{
    Functions,
    error::{Error, Result},
    execution::FunctionKey,
    key_of, limits, not_found, provisioned,
};

impl Functions {
    pub(super) async fn reserve(
        &self,
        cx: &Context,
        name: &FunctionName,
        asked: i32,
    ) -> Result<u32> {
        refuse_qualifier(name)?;
        let key = key_of(cx, &name.name);
        // What is left depends on all functions of the account.
        let _deciding = self.0.reservations.lock().await;
        if self.0.definitions.get(&key).is_none() {
            return Err(not_found(&key, Some("$LATEST")));
        }
        let asked = u32::try_from(asked).unwrap_or_default();
        let others: u32 = self
            .all_of(cx)
            .iter()
            .filter(|entry| entry.key != key)
            .filter_map(|entry| entry.record.reserved_concurrency)
            .sum();
        let others = others.saturating_add(self.provisioned_of_others(cx, &key));
        if !leaves_enough(self.0.account_concurrency, others, asked) {
            return Err(Error::TooMuchReserved {
                min: limits::UNRESERVED_CONCURRENCY_MIN,
            });
        }
        let set = self.change(&key, |record| {
            let provisioned = provisioned::total(record);
            if asked < provisioned {
                return Err(Error::LessThanProvisioned { asked, provisioned });
            }
            record.reserved_concurrency = Some(asked);
            Ok(())
        });
        self.reserve_as_stored(&key, set.await)?;
        Ok(asked)
    }

    pub(super) fn reserved(&self, cx: &Context, name: &FunctionName) -> Result<Option<u32>> {
        refuse_qualifier(name)?;
        let entry = self.find(&key_of(cx, &name.name))?;
        Ok(entry.record.reserved_concurrency)
    }

    pub(super) async fn unreserve(&self, cx: &Context, name: &FunctionName) -> Result<()> {
        refuse_qualifier(name)?;
        let key = key_of(cx, &name.name);
        let _deciding = self.0.reservations.lock().await;
        let set = self.change(&key, |record| {
            record.reserved_concurrency = None;
            Ok(())
        });
        self.reserve_as_stored(&key, set.await)
    }

    /// Whatever came of a change: what is shown from now on is what holds, also where the change may
    /// have been made although it failed.
    fn reserve_as_stored<T>(&self, key: &FunctionKey, set: Result<T>) -> Result<()> {
        let entry = self.0.definitions.get(key);
        let reserved = entry.and_then(|entry| entry.record.reserved_concurrency);
        self.0.executor.set_reserved_concurrency(key, reserved);
        set.map(drop)
    }
}

/// Reserving nothing takes nothing from the others, so that is always possible.
fn leaves_enough(account: u32, others: u32, asked: u32) -> bool {
    let left = account.checked_sub(others.saturating_add(asked));
    asked == 0 || left.is_some_and(|left| left >= limits::UNRESERVED_CONCURRENCY_MIN)
}

pub(super) fn refuse_qualifier(name: &FunctionName) -> Result<()> {
    match name.qualifier {
        Some(_) => Err(Error::invalid(
            "This operation is permitted on Lambda functions only. Aliases and versions do not \
             support this operation. Please specify either a function name or an unqualified \
             function ARN.",
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_stay_for_functions_without_a_reservation() {
        assert!(leaves_enough(1000, 0, 900));
        assert!(!leaves_enough(1000, 0, 901));
        assert!(!leaves_enough(1000, 500, 401));
        assert!(!leaves_enough(1000, 0, u32::MAX));
        assert!(leaves_enough(50, 0, 0));
    }
}
