//! How functions are named in requests: by name, by part of an ARN or by all of it, each with or
//! without a qualifier, and the qualifier perhaps given again beside it.

use super::errors;
use crate::{
    arn::{Arn, partition},
    context::Context,
    error::Error,
};

/// The longest name of a function; the model's limits are those of a name in an ARN.
const NAME_MAX: usize = 64;

/// A function of the caller's own account and region, perhaps one version or alias of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FunctionName {
    pub name: String,
    pub qualifier: Option<String>,
}

impl FunctionName {
    /// Reads what an operation was given. `name` has passed the model's pattern.
    pub fn resolve(cx: &Context, name: &str, qualifier: Option<&str>) -> Result<Self, Error> {
        match Self::resolve_anywhere(cx, name, qualifier)? {
            (None, found) => Ok(found),
            (Some(_), _) => Err(Error::access_denied(None)),
        }
    }

    /// The same for operations that a function's policy can open to other accounts: also gives
    /// the account where it is not the caller's. Whether it may is for whoever knows the policy.
    pub fn resolve_anywhere(
        cx: &Context,
        name: &str,
        qualifier: Option<&str>,
    ) -> Result<(Option<String>, Self), Error> {
        let given = Given::read(name);
        if let Some(region) = given.region.filter(|region| *region != cx.region) {
            return Err(errors::resource_not_found(format!(
                "Functions from '{region}' are not reachable in this region ('{}')",
                cx.region
            )));
        }
        let other = given.account_id.filter(|account| *account != cx.account_id);
        if let (Some(derived), Some(given)) = (given.qualifier, qualifier)
            && derived != given
        {
            return Err(errors::invalid_parameter_value(
                "The derived qualifier from the function name does not match the specified \
                 qualifier.",
            ));
        }
        let qualifier = qualifier.or(given.qualifier).map(str::to_owned);
        let found = Self {
            name: given.name.to_owned(),
            qualifier,
        };
        Ok((other.map(str::to_owned), found))
    }

    /// Reads the name of a function that is to be made: no qualifier, and 64 characters at most.
    pub fn for_creation(cx: &Context, name: &str) -> Result<String, Error> {
        let resolved = Self::resolve(cx, name, None)?;
        if resolved.name.len() > NAME_MAX {
            return Err(errors::invalid_parameter_value(format!(
                "1 validation error detected: Value '{}' at 'functionName' failed to satisfy \
                 constraint: Member must have length less than or equal to {NAME_MAX}",
                resolved.name
            )));
        }
        Ok(resolved.name)
    }

    /// The ARN, with the qualifier if there is one.
    pub fn arn(&self, cx: &Context) -> String {
        function_arn(
            &cx.region,
            &cx.account_id,
            &self.name,
            self.qualifier.as_deref(),
        )
    }

    pub fn unqualified_arn(&self, cx: &Context) -> String {
        function_arn(&cx.region, &cx.account_id, &self.name, None)
    }
}

/// `arn:aws:lambda:<region>:<account>:function:<name>[:<qualifier>]`
pub fn function_arn(region: &str, account: &str, name: &str, qualifier: Option<&str>) -> String {
    let partition = partition(region);
    let colon = if qualifier.is_some() { ":" } else { "" };
    let qualifier = qualifier.unwrap_or_default();
    format!("arn:{partition}:lambda:{region}:{account}:function:{name}{colon}{qualifier}")
}

/// The function that an ARN of Lambda's names, for tags: they take nothing but ARNs.
pub fn function_of(arn: &Arn) -> Option<(&str, Option<&str>)> {
    let rest = arn
        .resource
        .strip_prefix("function:")
        .filter(|_| arn.service == "lambda")?;
    Some(match rest.split_once(':') {
        Some((name, qualifier)) => (name, Some(qualifier)),
        None => (rest, None),
    })
}

/// The optional parts of a name, in the order in which the model's pattern has them.
struct Given<'a> {
    region: Option<&'a str>,
    account_id: Option<&'a str>,
    name: &'a str,
    qualifier: Option<&'a str>,
}

impl<'a> Given<'a> {
    fn read(text: &'a str) -> Self {
        let rest = without_arn_prefix(text);
        let (region, rest) = leading(rest, is_region);
        let (account_id, rest) = leading(rest, is_account);
        let (_, rest) = leading(rest, |part| part == "function");
        let (name, qualifier) = match rest.split_once(':') {
            Some((name, qualifier)) => (name, Some(qualifier)),
            None => (rest, None),
        };
        Self {
            region,
            account_id,
            name,
            qualifier,
        }
    }
}

/// What follows `arn:<partition>:lambda:`.
fn without_arn_prefix(text: &str) -> &str {
    let rest = text
        .strip_prefix("arn:")
        .and_then(|rest| rest.split_once(':'));
    rest.and_then(|(_, rest)| rest.strip_prefix("lambda:"))
        .unwrap_or(text)
}

fn leading(text: &str, wanted: impl Fn(&str) -> bool) -> (Option<&str>, &str) {
    match text.split_once(':') {
        Some((part, rest)) if wanted(part) => (Some(part), rest),
        _ => (None, text),
    }
}

/// `us-east-1`, `us-gov-west-1`, `us-isob-east-1`, `eusc-de-east-1`
fn is_region(part: &str) -> bool {
    let words: Vec<&str> = part.split('-').collect();
    let lower = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    let number = words
        .last()
        .is_some_and(|last| last.len() == 1 && last.as_bytes()[0].is_ascii_digit());
    (3..=4).contains(&words.len()) && number && words[..words.len() - 1].iter().all(lower)
}

fn is_account(part: &str) -> bool {
    part.len() == 12 && part.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cx() -> Context {
        Context {
            request_id: String::new(),
            account_id: "123456789012".to_owned(),
            region: "us-east-1".to_owned(),
            role: None,
            access_key_id: String::new(),
            host: String::new(),
            origin: crate::Origin::default(),
            trace_header: None,
            now: crate::Timestamp::UNIX_EPOCH,
        }
    }

    fn check(name: &str, qualifier: Option<&str>, expect: (&str, Option<&str>)) {
        let found = FunctionName::resolve(&cx(), name, qualifier).unwrap();
        assert_eq!(
            (found.name.as_str(), found.qualifier.as_deref()),
            expect,
            "{name}"
        );
    }

    #[test]
    fn every_form_of_a_name_is_read() {
        check("f", None, ("f", None));
        check("f", Some("1"), ("f", Some("1")));
        check("f:PROD", None, ("f", Some("PROD")));
        check("f:$LATEST", Some("$LATEST"), ("f", Some("$LATEST")));
        check("123456789012:function:f", None, ("f", None));
        check("123456789012:f:2", None, ("f", Some("2")));
        check("function:f", None, ("f", None));
        check("us-east-1:123456789012:function:f", None, ("f", None));
        check(
            "arn:aws:lambda:us-east-1:123456789012:function:f:7",
            None,
            ("f", Some("7")),
        );
        check(
            "arn:aws:lambda:us-east-1:123456789012:function",
            None,
            ("function", None),
        );
        check("123456789012", None, ("123456789012", None));
    }

    #[test]
    fn what_lies_elsewhere_is_refused_in_lambdas_words() {
        let refused = |name, qualifier| FunctionName::resolve(&cx(), name, qualifier).unwrap_err();
        let region = refused("arn:aws:lambda:eu-west-1:123456789012:function:f", None);
        assert_eq!(region.code, "ResourceNotFoundException");
        assert_eq!(
            region.message,
            "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')"
        );
        let account = refused("arn:aws:lambda:us-east-1:000000000000:function:f", None);
        assert_eq!(
            (account.code, account.status.as_u16()),
            ("AccessDeniedException", 403)
        );
        let other = "arn:aws:lambda:us-east-1:000000000000:function:f";
        let (account, found) = FunctionName::resolve_anywhere(&cx(), other, None).unwrap();
        assert_eq!(account.as_deref(), Some("000000000000"));
        assert_eq!(found.name, "f");
        let qualifier = refused("f:1", Some("2"));
        assert_eq!(qualifier.code, "InvalidParameterValueException");
    }

    #[test]
    fn new_names_are_short() {
        assert_eq!(
            FunctionName::for_creation(&cx(), &"a".repeat(64)).unwrap(),
            "a".repeat(64)
        );
        let error = FunctionName::for_creation(&cx(), &"a".repeat(65)).unwrap_err();
        assert_eq!(error.code, "InvalidParameterValueException");
        assert!(error.message.ends_with("less than or equal to 64"));
    }
}
