//! GetAccountSettings.

use std::sync::Arc;

use wire::{
    Context,
    lambda::{AccountLimit, AccountUsage, GetAccountSettingsResponse},
};

use super::{Functions, definitions::Entry, limits};

impl Functions {
    pub(super) fn account_settings(&self, cx: &Context) -> GetAccountSettingsResponse {
        let all = self.all_of(cx);
        let concurrency = self.0.account_concurrency;
        let reserved: u32 = all
            .iter()
            .filter_map(|entry| entry.record.reserved_concurrency)
            .sum();
        let signed = |number: u32| i32::try_from(number).ok();
        GetAccountSettingsResponse {
            account_limit: Some(AccountLimit {
                total_code_size: Some(limits::ACCOUNT_CODE_BYTES_MAX),
                code_size_unzipped: i64::try_from(limits::UNZIPPED_BYTES_MAX).ok(),
                code_size_zipped: i64::try_from(limits::ZIPPED_BYTES_MAX).ok(),
                concurrent_executions: signed(concurrency),
                unreserved_concurrent_executions: signed(concurrency.saturating_sub(reserved)),
            }),
            account_usage: Some(AccountUsage {
                total_code_size: i64::try_from(code_size(&all)).ok(),
                function_count: i64::try_from(all.len()).ok(),
            }),
        }
    }

    pub(super) fn all_of(&self, cx: &Context) -> Vec<Arc<Entry>> {
        let (account, region) = (&cx.account_id, &cx.region);
        self.0.definitions.list(account, region, None, usize::MAX)
    }
}

/// Every version counts with its package, as in Lambda, also where packages are the same.
fn code_size(all: &[Arc<Entry>]) -> u64 {
    all.iter().map(|entry| entry.record.spec.code.size).sum()
}
