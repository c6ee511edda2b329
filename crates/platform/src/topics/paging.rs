//! Lists in pages, whose tokens say after which name to go on.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    error::{Error, Result},
    limits,
};

/// A page of what is listed in the order of its names, and the token of the next if there is one.
pub fn page<T>(
    items: impl Iterator<Item = T>,
    name: impl Fn(&T) -> &str,
    token: Option<&str>,
) -> Result<(Vec<T>, Option<String>)> {
    let after = token.map(read).transpose()?;
    let is_next = |item: &T| after.as_deref().is_none_or(|after| name(item) > after);
    let mut items = items.filter(is_next);
    let page: Vec<T> = items.by_ref().take(limits::LISTED).collect();
    let has_more = items.next().is_some();
    let last = page.last().filter(|_| has_more);
    let next = last.map(|last| URL_SAFE_NO_PAD.encode(name(last)));
    Ok((page, next))
}

fn read(token: &str) -> Result<String> {
    let decoded = URL_SAFE_NO_PAD.decode(token).ok();
    let name = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    name.ok_or_else(|| Error::parameter("NextToken Reason: invalid token"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other() {
        let names: Vec<String> = (0..150).map(|n| format!("{n:03}")).collect();
        let page = |token: Option<&str>| page(names.iter(), |name| name.as_str(), token);
        let (first, token) = page(None).expect("listed");
        assert_eq!((first.len(), first[99].as_str()), (100, "099"));
        let (second, none) = page(token.as_deref()).expect("listed");
        assert_eq!((second.len(), second[0].as_str(), none), (50, "100", None));
        assert!(page(Some("?")).is_err());
    }
}
