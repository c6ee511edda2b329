//! Who may call a function URL, and which other account an operation: decisions on the function's
//! resource policy, and nothing else.
//!
//! There are no identity policies yet, so whoever signs for the function's own account may.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthType {
    None,
    AwsIam,
}

/// Whether a URL may be called. With `NONE` the resource policy has to allow everybody; with
/// `AWS_IAM` the caller has to be of the function's account, or allowed by the policy.
pub fn url_allowed(
    auth_type: AuthType,
    policy: &[serde_json::Value],
    caller_account: Option<&str>,
    owner_account: &str,
) -> bool {
    let by_policy = || {
        policy
            .iter()
            .any(|statement| allows(statement, auth_type, caller_account))
    };
    match (auth_type, caller_account) {
        (AuthType::None, _) => by_policy(),
        (AuthType::AwsIam, None) => false,
        (AuthType::AwsIam, Some(caller)) => caller == owner_account || by_policy(),
    }
}

/// Whether a function's policy lets another account do something to it. Statements with
/// conditions do not: what those are about is known of services' calls only.
pub fn account_allowed(policy: &[serde_json::Value], action: &str, caller: &str) -> bool {
    policy.iter().any(|statement| {
        let text = |name: &str| statement.get(name).and_then(serde_json::Value::as_str);
        let covers = |stated: &str| {
            let mut all = ["*", "lambda:*", action].into_iter();
            all.any(|one| stated.eq_ignore_ascii_case(one))
        };
        text("Action").is_some_and(covers)
            && text("Effect") == Some("Allow")
            && is_principal(statement.get("Principal"), Some(caller))
            && statement.get("Condition").is_none()
    })
}

fn allows(statement: &serde_json::Value, auth_type: AuthType, caller: Option<&str>) -> bool {
    let text = |name: &str| statement.get(name).and_then(serde_json::Value::as_str);
    let action = matches!(
        text("Action"),
        Some("lambda:InvokeFunctionUrl" | "lambda:*" | "*")
    );
    action
        && text("Effect") == Some("Allow")
        && is_principal(statement.get("Principal"), caller)
        && meets(statement.get("Condition"), auth_type, caller)
}

fn is_principal(principal: Option<&serde_json::Value>, caller: Option<&str>) -> bool {
    let Some(principal) = principal else {
        return false;
    };
    match principal.get("AWS").and_then(serde_json::Value::as_str) {
        Some(arn) => caller.is_some_and(|caller| arn.split(':').nth(4) == Some(caller)),
        None => principal.as_str() == Some("*"),
    }
}

/// Conditions of which nothing is known here are not met.
fn meets(condition: Option<&serde_json::Value>, auth_type: AuthType, caller: Option<&str>) -> bool {
    let Some(condition) = condition.and_then(serde_json::Value::as_object) else {
        return true;
    };
    condition.iter().all(|(operator, keys)| {
        keys.as_object().is_some_and(|keys| {
            keys.iter().all(|(key, value)| {
                match (
                    operator.as_str(),
                    key.to_ascii_lowercase().as_str(),
                    value.as_str(),
                ) {
                    ("StringEquals", "lambda:functionurlauthtype", Some(wanted)) => {
                        wanted == auth_text(auth_type)
                    }
                    ("StringEquals", "aws:sourceaccount", Some(wanted)) => caller == Some(wanted),
                    ("Bool", "lambda:invokedviafunctionurl", Some(wanted)) => wanted == "true",
                    _ => false,
                }
            })
        })
    })
}

fn auth_text(auth_type: AuthType) -> &'static str {
    match auth_type {
        AuthType::None => "NONE",
        AuthType::AwsIam => "AWS_IAM",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_url_for_all_needs_a_statement_that_allows_all() {
        let statement = json!({
            "Sid": "s", "Effect": "Allow", "Principal": "*", "Action": "lambda:InvokeFunctionUrl",
            "Resource": "r", "Condition": {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}},
        });
        let allowed = |policy: &[serde_json::Value]| {
            url_allowed(AuthType::None, policy, None, "111111111111")
        };
        assert!(!allowed(&[]));
        assert!(allowed(std::slice::from_ref(&statement)));
        let mut other = statement.clone();
        other["Condition"]["StringEquals"]["lambda:FunctionUrlAuthType"] = json!("AWS_IAM");
        assert!(!allowed(&[other]));
        let mut other = statement.clone();
        other["Condition"]["StringEquals"]["aws:PrincipalOrgID"] = json!("o-1");
        assert!(!allowed(&[other]));
        let mut other = statement.clone();
        other["Action"] = json!("lambda:InvokeFunction");
        assert!(!allowed(&[other]));
        let mut other = statement;
        other["Principal"] = json!({"Service": "s3.amazonaws.com"});
        assert!(!allowed(&[other]));
    }

    #[test]
    fn a_signed_url_is_for_its_account_and_for_whom_the_policy_names() {
        let statement = json!({
            "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::222222222222:root"},
            "Action": "lambda:InvokeFunctionUrl",
        });
        let allowed = |caller| {
            let policy = std::slice::from_ref(&statement);
            url_allowed(AuthType::AwsIam, policy, caller, "111111111111")
        };
        assert!(allowed(Some("111111111111")));
        assert!(allowed(Some("222222222222")));
        assert!(!allowed(Some("333333333333")));
        assert!(!allowed(None));
    }
}
