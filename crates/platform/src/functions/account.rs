//! GetAccountSettings.

use std::sync::Arc;

use wire::{
    Context,
    lambda::{AccountLimit, AccountUsage, GetAccountSettingsResponse},
};

use super::{
    Functions,
    definitions::Entry,
    error::{Error, Result},
    execution::FunctionKey,
    limits,
};

impl Functions {
    pub(super) async fn account_settings(
        &self,
        cx: &Context,
    ) -> Result<GetAccountSettingsResponse> {
        let layers_size = self.layers_size(cx).await?;
        let all = self.all_of(cx);
        let concurrency = self.0.account_concurrency;
        let reserved: u32 = all
            .iter()
            .filter_map(|entry| entry.record.reserved_concurrency)
            .sum();
        let signed = |number: u32| i32::try_from(number).ok();
        let code_size = code_size(&all).saturating_add(layers_size);
        Ok(GetAccountSettingsResponse {
            account_limit: Some(AccountLimit {
                total_code_size: Some(limits::ACCOUNT_CODE_BYTES_MAX),
                code_size_unzipped: i64::try_from(limits::UNZIPPED_BYTES_MAX).ok(),
                code_size_zipped: i64::try_from(limits::ZIPPED_BYTES_MAX).ok(),
                concurrent_executions: signed(concurrency),
                unreserved_concurrent_executions: signed(concurrency.saturating_sub(reserved)),
            }),
            account_usage: Some(AccountUsage {
                total_code_size: i64::try_from(code_size).ok(),
                function_count: i64::try_from(all.len()).ok(),
            }),
        })
    }

    /// Refuses a package with which an account's functions and layers would have more code than
    /// they may. `key` is the function that it is to be of, if it is not a layer's.
    pub(super) async fn check_code_size(
        &self,
        cx: &Context,
        key: Option<&FunctionKey>,
        size: u64,
    ) -> Result<()> {
        let layers_size = self.layers_size(cx).await?;
        let all = self.all_of(cx);
        // What `$LATEST` has goes when it gets another one.
        let replaced = all.iter().find(|entry| Some(&entry.key) == key);
        let replaced = replaced.map_or(0, |entry| entry.record.spec.code.size);
        let others = code_size(&all).saturating_sub(replaced);
        if fits(others.saturating_add(layers_size), size) {
            Ok(())
        } else {
            Err(Error::CodeStorageExceeded)
        }
    }

    /// The same for another version of a function.
    pub(super) async fn check_version_size(&self, cx: &Context, size: u64) -> Result<()> {
        let layers_size = self.layers_size(cx).await?;
        match fits(
            code_size(&self.all_of(cx)).saturating_add(layers_size),
            size,
        ) {
            true => Ok(()),
            false => Err(Error::CodeStorageExceeded),
        }
    }

    pub(super) fn all_of(&self, cx: &Context) -> Vec<Arc<Entry>> {
        let (account, region) = (&cx.account_id, &cx.region);
        self.0.definitions.list(account, region, None, usize::MAX)
    }
}

/// Every version counts with its package, as in Lambda, also where packages are the same.
fn code_size(all: &[Arc<Entry>]) -> u64 {
    let versions = |entry: &Arc<Entry>| -> u64 {
        let published = entry.published.versions.values();
        published.map(|version| version.spec.code.size).sum()
    };
    all.iter()
        .map(|entry| entry.record.spec.code.size + versions(entry))
        .sum()
}

fn fits(others: u64, size: u64) -> bool {
    let all = i64::try_from(others.saturating_add(size));
    all.is_ok_and(|all| all <= limits::ACCOUNT_CODE_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_an_account_is_bounded() {
        let max = u64::try_from(limits::ACCOUNT_CODE_BYTES_MAX).unwrap();
        assert!(fits(max - 1, 1));
        assert!(!fits(max, 1));
        assert!(!fits(u64::MAX, u64::MAX));
    }
}
