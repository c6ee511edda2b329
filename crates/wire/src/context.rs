//! Who asks, where and when: what every operation is given beside its input.

use std::{net::IpAddr, sync::Arc};

use jiff::Timestamp;

/// The circumstances of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Also sent back as `x-amzn-RequestId`.
    pub request_id: String,
    /// Twelve digits.
    pub account_id: String,
    /// From the signature's scope.
    pub region: String,
    /// Whose key signed the request; empty where nothing did.
    pub access_key_id: String,
    /// The role that the caller acts in; none where it is the account itself.
    pub role: Option<Arc<RoleSession>>,
    /// The host that was asked for, with its port if it has one: URLs in answers lead back to it.
    pub host: String,
    /// Where the request came from, for conditions of policies.
    pub origin: Origin,
    /// `X-Amzn-Trace-Id` as it came: the trace that this request is part of. No model has it.
    pub trace_header: Option<String>,
    pub now: Timestamp,
}

/// Where a request came from, as far as that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    pub ip: Option<IpAddr>,
    /// Whether nobody on a wire could read along.
    pub is_secure: bool,
    pub user_agent: Option<String>,
    pub referer: Option<String>,
}

/// A role that somebody has taken on for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSession {
    /// With its path, e.g. `service-role/resize`.
    pub role: String,
    /// What they call themselves in it; an environment by its function's name.
    pub session: String,
}
