//! What connections know, between the shapes of the API and what is stored. Pure.

use wire::event_bridge as api;

use super::{
    error::{Error, Result},
    tables::{Auth, AuthKind, HttpParts, OAuth, Part},
};

pub fn created(kind: AuthKind, given: api::CreateConnectionAuthRequestParameters) -> Result<Auth> {
    let auth = Auth {
        basic: given
            .basic_auth_parameters
            .map(|it| (it.username, it.password)),
        api_key: given
            .api_key_auth_parameters
            .map(|it| (it.api_key_name, it.api_key_value)),
        oauth: given.o_auth_parameters.map(|it| OAuth {
            client_id: it.client_parameters.client_id,
            client_secret: it.client_parameters.client_secret,
            endpoint: it.authorization_endpoint,
            method: it.http_method,
            parts: it.o_auth_http_parameters.map(parts),
        }),
        invocation: given.invocation_http_parameters.map(parts),
    };
    checked(kind, auth)
}

/// What is not given stays as it was.
pub fn updated(
    kind: AuthKind,
    held: Auth,
    given: api::UpdateConnectionAuthRequestParameters,
) -> Result<Auth> {
    let either = |new: Option<String>, old: Option<&String>| new.or_else(|| old.cloned());
    let pair = |old: &Option<(String, String)>, first: Option<String>, second: Option<String>| {
        let first = either(first, old.as_ref().map(|(first, _)| first));
        let second = either(second, old.as_ref().map(|(_, second)| second));
        Some((first?, second?))
    };
    let mut auth = Auth {
        invocation: given
            .invocation_http_parameters
            .map(parts)
            .or(held.invocation),
        ..Auth::default()
    };
    match kind {
        AuthKind::Basic => {
            let given = given.basic_auth_parameters.unwrap_or_default();
            auth.basic = pair(&held.basic, given.username, given.password);
        }
        AuthKind::ApiKey => {
            let given = given.api_key_auth_parameters.unwrap_or_default();
            auth.api_key = pair(&held.api_key, given.api_key_name, given.api_key_value);
        }
        AuthKind::OAuth => {
            let given = given.o_auth_parameters.unwrap_or_default();
            let client = given.client_parameters.unwrap_or_default();
            let old = held.oauth.as_ref();
            auth.oauth = (|| {
                Some(OAuth {
                    client_id: either(client.client_id, old.map(|old| &old.client_id))?,
                    client_secret: either(client.client_secret, old.map(|old| &old.client_secret))?,
                    endpoint: either(given.authorization_endpoint, old.map(|old| &old.endpoint))?,
                    method: either(given.http_method, old.map(|old| &old.method))?,
                    parts: given
                        .o_auth_http_parameters
                        .map(parts)
                        .or_else(|| old.and_then(|old| old.parts.clone())),
                })
            })();
        }
    }
    checked(kind, auth)
}

/// Whether there is what its kind of authorization needs.
fn checked(kind: AuthKind, auth: Auth) -> Result<Auth> {
    let (is_there, name) = match kind {
        AuthKind::Basic => (auth.basic.is_some(), "BasicAuthParameters"),
        AuthKind::ApiKey => (auth.api_key.is_some(), "ApiKeyAuthParameters"),
        AuthKind::OAuth => (auth.oauth.is_some(), "OAuthParameters"),
    };
    match is_there {
        true => Ok(auth),
        false => Err(Error::invalid(format!(
            "Parameter AuthParameters.{name} must be specified for the authorization type {}.",
            kind.as_str()
        ))),
    }
}

/// As DescribeConnection shows it: without secrets.
pub fn shown(auth: Auth) -> api::ConnectionAuthResponseParameters {
    api::ConnectionAuthResponseParameters {
        basic_auth_parameters: auth.basic.map(|(username, _)| {
            api::ConnectionBasicAuthResponseParameters {
                username: Some(username),
            }
        }),
        api_key_auth_parameters: auth.api_key.map(|(name, _)| {
            api::ConnectionApiKeyAuthResponseParameters {
                api_key_name: Some(name),
            }
        }),
        o_auth_parameters: auth
            .oauth
            .map(|oauth| api::ConnectionOAuthResponseParameters {
                client_parameters: Some(api::ConnectionOAuthClientResponseParameters {
                    client_id: Some(oauth.client_id),
                }),
                authorization_endpoint: Some(oauth.endpoint),
                http_method: Some(oauth.method),
                o_auth_http_parameters: oauth.parts.map(shown_parts),
            }),
        invocation_http_parameters: auth.invocation.map(shown_parts),
        connectivity_parameters: None,
    }
}

fn parts(given: api::ConnectionHttpParameters) -> HttpParts {
    let part = |key: Option<String>, value: Option<String>, is_secret: Option<bool>| Part {
        key: key.unwrap_or_default(),
        value: value.unwrap_or_default(),
        is_secret: is_secret.unwrap_or(false),
    };
    HttpParts {
        headers: given.header_parameters.map(|all| {
            let all = all.into_iter();
            all.map(|it| part(it.key, it.value, it.is_value_secret))
                .collect()
        }),
        query: given.query_string_parameters.map(|all| {
            let all = all.into_iter();
            all.map(|it| part(it.key, it.value, it.is_value_secret))
                .collect()
        }),
        body: given.body_parameters.map(|all| {
            let all = all.into_iter();
            all.map(|it| part(it.key, it.value, it.is_value_secret))
                .collect()
        }),
    }
}

fn shown_parts(parts: HttpParts) -> api::ConnectionHttpParameters {
    let shown = |part: Part| {
        let value = (!part.is_secret).then_some(part.value);
        (Some(part.key), value, Some(part.is_secret))
    };
    api::ConnectionHttpParameters {
        header_parameters: parts.headers.map(|all| {
            let all = all.into_iter().map(shown);
            all.map(
                |(key, value, is_value_secret)| api::ConnectionHeaderParameter {
                    key,
                    value,
                    is_value_secret,
                },
            )
            .collect()
        }),
        query_string_parameters: parts.query.map(|all| {
            let all = all.into_iter().map(shown);
            all.map(
                |(key, value, is_value_secret)| api::ConnectionQueryStringParameter {
                    key,
                    value,
                    is_value_secret,
                },
            )
            .collect()
        }),
        body_parameters: parts.body.map(|all| {
            let all = all.into_iter().map(shown);
            all.map(
                |(key, value, is_value_secret)| api::ConnectionBodyParameter {
                    key,
                    value,
                    is_value_secret,
                },
            )
            .collect()
        }),
    }
}
