//! Lists in pages, whose tokens say after which name to go on.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    error::{Error, Result},
    limits,
};

/// A page of what is listed, and the token of the next if there is one.
pub fn page<T>(
    items: impl Iterator<Item = T>,
    name: impl Fn(&T) -> &str,
    max_results: Option<i32>,
    token: Option<&str>,
) -> Result<(Vec<T>, Option<String>)> {
    let max = match max_results.map(usize::try_from) {
        None => limits::LISTED_MAX,
        Some(Ok(max)) if (1..=limits::LISTED_MAX).contains(&max) => max,
        Some(_) => {
            return Err(Error::parameter(
                "Value for parameter MaxResults is invalid. Reason: MaxResults must be an integer \
                 between 1 and 1000.",
            ));
        }
    };
    let after = token.map(read).transpose()?;
    let is_next = |item: &T| after.as_deref().is_none_or(|after| name(item) > after);
    let mut items = items.filter(is_next);
    let page: Vec<T> = items.by_ref().take(max).collect();
    // Who asks for no number gets no token.
    let has_more = max_results.is_some() && items.next().is_some();
    let next = page
        .last()
        .filter(|_| has_more)
        .map(|last| write(name(last)));
    Ok((page, next))
}

fn write(name: &str) -> String {
    STANDARD.encode(name)
}

fn read(token: &str) -> Result<String> {
    let decoded = STANDARD.decode(token).ok();
    let name = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    name.ok_or_else(|| Error::parameter("Invalid or expired next token."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other() {
        let names = ["a", "b", "c"];
        let paged = |max, token: Option<&str>| {
            page(names.into_iter(), |name| *name, max, token).expect("it is listed")
        };
        assert_eq!(paged(None, None), (vec!["a", "b", "c"], None));
        assert_eq!(paged(Some(3), None), (vec!["a", "b", "c"], None));
        let (first, token) = paged(Some(2), None);
        assert_eq!(first, ["a", "b"]);
        assert_eq!(paged(Some(2), token.as_deref()), (vec!["c"], None));
        for (max, token) in [(Some(0), None), (Some(1001), None), (None, Some("?"))] {
            assert!(page(names.into_iter(), |name| *name, max, token).is_err());
        }
    }
}
