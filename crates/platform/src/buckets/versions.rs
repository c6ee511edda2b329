//! Listing all versions, the current one of each key first and the older ones from the newest on.

use store::ReadTx;

use super::{
    error::{Error, Result},
    ids, limits,
    list::{Page, Query, behind, behind_key, behind_prefix, group},
    rows::{self, Version},
};

/// `after_version` is the version of the key that the query goes on behind, which is in the page then
/// if there are older ones.
pub fn list(
    tx: &mut ReadTx,
    bucket: i64,
    query: &Query,
    after_version: Option<&str>,
) -> Result<Page<Version>> {
    let mut page = Page::default();
    if query.max == 0 {
        return Ok(page);
    }
    let mut walk = Walk::begin(tx, bucket, query, after_version)?;
    while let Some(version) = walk.next(tx)? {
        if !version.key.starts_with(&query.prefix) {
            break;
        }
        if page.items.len() + page.prefixes.len() == query.max {
            page.is_truncated = true;
            break;
        }
        match group(query, &version.key) {
            Some(prefix) => {
                let prefix = prefix.to_owned();
                walk.pass_over(&prefix);
                page.last = Some(prefix.clone());
                page.prefixes.push(prefix);
            }
            None => {
                page.last = Some(version.key.clone());
                page.items.push(version);
            }
        }
    }
    Ok(page)
}

/// Both tables, merged in order.
struct Walk {
    bucket: i64,
    /// Read ahead, the next one last.
    current: Vec<Version>,
    older: Vec<Version>,
    /// From where each goes on; none at its end.
    current_from: Option<Vec<u8>>,
    older_from: Option<(Vec<u8>, i64)>,
    chunk: usize,
    /// The version that the listing goes on behind, by its key and number.
    passed: Option<(String, i64)>,
}

impl Walk {
    fn begin(
        tx: &mut ReadTx,
        bucket: i64,
        query: &Query,
        after_version: Option<&str>,
    ) -> Result<Self> {
        let prefix = query.prefix.as_bytes().to_vec();
        let mut passed = None;
        let (mut current_from, mut older_from) = (prefix.clone(), (prefix, i64::MIN));
        if let Some(after) = &query.after {
            let behind = behind(query, after);
            current_from = current_from.max(behind.clone());
            older_from = (older_from.0.max(behind), i64::MIN);
            if let Some(id) = after_version {
                // It need not be there any more: its id tells where it was.
                let found = rows::find(tx, bucket, after, id)?.map(|found| found.seq);
                let seq = found.or_else(|| ids::seq_of(id)).ok_or_else(|| {
                    let message = "Invalid version id specified";
                    Error::argument(message, "version-id-marker", id)
                })?;
                older_from = (after.as_bytes().to_vec(), 1 - seq);
                current_from = after.as_bytes().to_vec();
                passed = Some((after.clone(), seq));
            }
        }
        Ok(Self {
            bucket,
            current: Vec::new(),
            older: Vec::new(),
            current_from: Some(current_from),
            older_from: Some(older_from),
            chunk: (query.max + 1).min(limits::SCAN_ROWS),
            passed,
        })
    }

    fn next(&mut self, tx: &mut ReadTx) -> Result<Option<Version>> {
        self.read_ahead(tx)?;
        let is_current = match (self.current.last(), self.older.last()) {
            (None, None) => return Ok(None),
            (Some(current), Some(older)) => current.key <= older.key,
            (current, _) => current.is_some(),
        };
        Ok(match is_current {
            true => self.current.pop(),
            false => self.older.pop(),
        })
    }

    fn read_ahead(&mut self, tx: &mut ReadTx) -> Result<()> {
        if self.current.is_empty()
            && let Some(from) = self.current_from.take()
        {
            let found = rows::scan(tx, self.bucket, &from, self.chunk)?;
            if found.len() == self.chunk {
                self.current_from = found.last().map(|last| behind_key(last.key.as_bytes()));
            }
            let passed = self.passed.as_ref();
            let is_behind = |version: &Version| {
                passed.is_none_or(|(key, seq)| version.key != *key || version.seq < *seq)
            };
            self.current = found.into_iter().filter(is_behind).rev().collect();
        }
        if self.older.is_empty()
            && let Some((key, age)) = self.older_from.take()
        {
            let found = rows::scan_older(tx, self.bucket, (&key, age), self.chunk)?;
            if found.len() == self.chunk {
                let last = found.last();
                self.older_from = last.map(|last| (last.key.as_bytes().to_vec(), 1 - last.seq));
            }
            self.older = found.into_iter().rev().collect();
        }
        Ok(())
    }

    fn pass_over(&mut self, prefix: &str) {
        let behind = behind_prefix(prefix.as_bytes());
        let is_behind = |version: &Version| !version.key.starts_with(prefix);
        self.current.retain(is_behind);
        self.older.retain(is_behind);
        self.current_from = self
            .current_from
            .take()
            .map(|from| from.max(behind.clone()));
        self.older_from = self.older_from.take().map(|(key, age)| match key < behind {
            true => (behind.clone(), i64::MIN),
            false => (key, age),
        });
    }
}
