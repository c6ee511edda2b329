//! STS's API: who calls. There are no users and no roles' trust yet, so it gives no credentials.

use wire::{
    Context, Error, arn,
    sts::{GetCallerIdentityRequest, GetCallerIdentityResponse, STS},
};

use super::Principal;

/// Answers from what a request's signature says alone.
#[derive(Debug, Clone, Copy)]
pub struct Tokens;

impl STS for Tokens {
    async fn get_caller_identity(
        &self,
        cx: &Context,
        _input: GetCallerIdentityRequest,
    ) -> Result<GetCallerIdentityResponse, Error> {
        let partition = arn::partition(&cx.region);
        let principal = Principal::of(&cx.account_id, cx.role.as_deref());
        Ok(GetCallerIdentityResponse {
            user_id: principal.user_id(partition),
            account: Some(cx.account_id.clone()),
            arn: principal.arn(partition),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wire::{RoleSession, Timestamp};

    use super::*;

    async fn told(region: &str, role: Option<RoleSession>) -> [String; 3] {
        let cx = Context {
            request_id: "r".into(),
            account_id: "123456789012".into(),
            region: region.into(),
            access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
            role: role.map(Arc::new),
            host: "localhost".into(),
            origin: wire::Origin::default(),
            trace_header: None,
            now: Timestamp::UNIX_EPOCH,
        };
        let answer = Tokens.get_caller_identity(&cx, GetCallerIdentityRequest::default());
        let answer = answer.await.expect("everybody is somebody");
        [answer.account, answer.arn, answer.user_id].map(|text| text.expect("it is told"))
    }

    #[tokio::test]
    async fn an_accounts_credentials_are_its_root_users() {
        let [account, arn, id] = told("cn-north-1", None).await;
        assert_eq!(account, "123456789012");
        assert_eq!(arn, "arn:aws-cn:iam::123456789012:root");
        assert_eq!(id, "123456789012");
    }

    #[tokio::test]
    async fn a_session_is_told_without_its_roles_path() {
        let session = RoleSession {
            role: "service-role/worker".into(),
            session: "resize".into(),
        };
        let [account, arn, id] = told("eu-west-1", Some(session)).await;
        assert_eq!(account, "123456789012");
        assert_eq!(arn, "arn:aws:sts::123456789012:assumed-role/worker/resize");
        let (role, name) = id
            .split_once(':')
            .expect("a role's id and a session's name");
        assert!(role.starts_with("AROA") && role.len() == 21, "{role}");
        assert_eq!(name, "resize");
    }
}
