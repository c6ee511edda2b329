//! Listing keys: a prefix, groups by a delimiter, and pages.
//!
//! Rows are read a page at a time in the order of keys; a group is passed over by going on behind
//! everything that begins as it does, so that many keys under one prefix cost one step.

use store::ReadTx;

use super::{
    error::Result,
    limits,
    rows::{self, Version},
};

/// What is listed.
#[derive(Debug, Clone, Default)]
pub struct Query {
    pub prefix: String,
    pub delimiter: Option<String>,
    /// Only what comes behind this, and behind the group that it is in.
    pub after: Option<String>,
    pub max: usize,
}

/// A page.
#[derive(Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub prefixes: Vec<String>,
    pub is_truncated: bool,
    /// The last item or prefix, if there may be more behind it.
    pub last: Option<String>,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            prefixes: Vec::new(),
            is_truncated: false,
            last: None,
        }
    }
}

/// Where a listing is: at the first key that is not before these bytes.
struct Cursor(Vec<u8>);

impl Cursor {
    fn at(query: &Query) -> Self {
        let prefix = query.prefix.as_bytes();
        let Some(after) = &query.after else {
            return Self(prefix.to_vec());
        };
        let behind = behind(query, after);
        Self(behind.max(prefix.to_vec()))
    }
}

/// Where a listing goes on behind a key. One that is in a group, as a marker may be, is behind all of
/// the group.
pub fn behind(query: &Query, after: &str) -> Vec<u8> {
    match group(query, after) {
        Some(group) => behind_prefix(group.as_bytes()),
        None => behind_key(after.as_bytes()),
    }
}

/// The first key that can come after this one.
pub fn behind_key(key: &[u8]) -> Vec<u8> {
    let mut next = key.to_vec();
    next.push(0);
    next
}

/// What comes after everything that begins so: no UTF-8 has the byte 0xff.
pub fn behind_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut next = prefix.to_vec();
    next.push(0xff);
    next
}

/// The group that a key is in, by the delimiter behind the prefix.
pub fn group<'k>(query: &Query, key: &'k str) -> Option<&'k str> {
    let delimiter = query.delimiter.as_deref().filter(|d| !d.is_empty())?;
    let rest = key.strip_prefix(query.prefix.as_str())?;
    let at = rest.find(delimiter)?;
    Some(&key[..query.prefix.len() + at + delimiter.len()])
}

/// Lists by what `scan` gives: items with their keys, from some bytes on, in order.
pub fn list<T>(
    query: &Query,
    key_of: impl Fn(&T) -> &str,
    mut scan: impl FnMut(&[u8], usize) -> Result<Vec<T>>,
    is_shown: impl Fn(&T) -> bool,
) -> Result<Page<T>> {
    let mut page = Page::default();
    if query.max == 0 {
        return Ok(page);
    }
    let Cursor(mut from) = Cursor::at(query);
    loop {
        let left = query.max - page.items.len() - page.prefixes.len();
        let wanted = (left + 1).min(limits::SCAN_ROWS);
        let found = scan(&from, wanted)?;
        let is_end = found.len() < wanted;
        for item in found {
            let key = key_of(&item);
            if key.as_bytes() < from.as_slice() {
                continue;
            }
            if !key.starts_with(&query.prefix) {
                return Ok(page);
            }
            if !is_shown(&item) {
                from = behind_key(key.as_bytes());
                continue;
            }
            if page.items.len() + page.prefixes.len() == query.max {
                page.is_truncated = true;
                return Ok(page);
            }
            match group(query, key) {
                Some(group) => {
                    let group = group.to_owned();
                    from = behind_prefix(group.as_bytes());
                    page.last = Some(group.clone());
                    page.prefixes.push(group);
                }
                None => {
                    let key = key.to_owned();
                    from = behind_key(key.as_bytes());
                    page.last = Some(key);
                    page.items.push(item);
                }
            }
        }
        if is_end {
            return Ok(page);
        }
    }
}

/// The current objects of a bucket.
pub fn objects(tx: &mut ReadTx, bucket: i64, query: &Query) -> Result<Page<Version>> {
    list(
        query,
        |version: &Version| &version.key,
        |from, limit| Ok(rows::scan(tx, bucket, from, limit)?),
        |version| !version.is_marker,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 9] = ["a", "b/1", "b/2", "b/3", "b0", "c//x", "c/y", "d", "é/1"];

    fn page(prefix: &str, delimiter: &str, after: Option<&str>, max: usize) -> Page<String> {
        let query = Query {
            prefix: prefix.to_owned(),
            delimiter: Some(delimiter.to_owned()),
            after: after.map(str::to_owned),
            max,
        };
        let scan = |from: &[u8], limit: usize| {
            let keys = KEYS.iter().filter(|key| key.as_bytes() >= from);
            Ok(keys.take(limit).map(|key| (*key).to_owned()).collect())
        };
        list(&query, |key| key.as_str(), scan, |key| key != "d").expect("it is listed")
    }

    fn check(given: Page<String>, items: &[&str], prefixes: &[&str], is_truncated: bool) {
        assert_eq!(
            (given.items, given.prefixes),
            (owned(items), owned(prefixes))
        );
        assert_eq!(given.is_truncated, is_truncated);
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn groups_count_as_one_and_are_passed_over() {
        check(
            page("", "/", None, 10),
            &["a", "b0"],
            &["b/", "c/", "é/"],
            false,
        );
        check(page("", "/", None, 2), &["a"], &["b/"], true);
        check(page("", "/", Some("b/"), 2), &["b0"], &["c/"], true);
        check(
            page("", "/", Some("b/1"), 10),
            &["b0"],
            &["c/", "é/"],
            false,
        );
        check(
            page("b/", "/", None, 10),
            &["b/1", "b/2", "b/3"],
            &[],
            false,
        );
        check(page("c", "/", None, 10), &[], &["c/"], false);
        check(page("c/", "/", None, 10), &["c/y"], &["c//"], false);
        check(page("b", "", None, 3), &["b/1", "b/2", "b/3"], &[], true);
        check(page("", "", Some("c/y"), 9), &["é/1"], &[], false);
        check(page("", "", None, 0), &[], &[], false);
    }
}
