//! Lists in pages, whose tokens say after which name to go on. Pure.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    error::{Error, Result},
    limits,
};

/// A page of what is listed in the order of its names, and the token of the next if there is one.
pub fn page<T>(
    items: impl Iterator<Item = T>,
    name: impl Fn(&T) -> &str,
    limit: Option<i32>,
    token: Option<&str>,
) -> Result<(Vec<T>, Option<String>)> {
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.unwrap_or(limits::PAGE_MAX).clamp(1, limits::PAGE_MAX);
    let after = token.map(read).transpose()?;
    let is_next = |item: &T| after.as_deref().is_none_or(|after| name(item) > after);
    let mut items = items.filter(is_next).peekable();
    let page: Vec<T> = items.by_ref().take(limit).collect();
    let has_more = items.peek().is_some();
    let last = page.last().filter(|_| has_more);
    let next = last.map(|last| STANDARD.encode(name(last)));
    Ok((page, next))
}

/// Whether a name begins as it was asked for.
pub fn begins(name: &str, prefix: Option<&str>) -> bool {
    prefix.is_none_or(|prefix| name.starts_with(prefix))
}

fn read(token: &str) -> Result<String> {
    let decoded = STANDARD.decode(token).ok();
    let name = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    name.ok_or_else(|| Error::parameter("NextToken", "It is no token of this operation."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other() {
        let paged = |limit, token: Option<&str>| {
            page(["a", "b", "c"].into_iter(), |name| *name, limit, token).expect("it is listed")
        };
        assert_eq!(paged(None, None), (vec!["a", "b", "c"], None));
        assert_eq!(paged(Some(3), None), (vec!["a", "b", "c"], None));
        let (first, token) = paged(Some(2), None);
        assert_eq!(first, ["a", "b"]);
        assert_eq!(paged(Some(2), token.as_deref()), (vec!["c"], None));
        assert!(page(["a"].into_iter(), |name| *name, None, Some("?")).is_err());
    }
}
