//! Function URLs: their configuration, and for whoever serves them what a URL leads to.

use wire::{
    Context,
    lambda::{self as api, FunctionName},
};

use super::{
    Functions,
    definitions::Published,
    error::{Error, Result},
    execution::FunctionKey,
    key_of, limits,
    list::{marker, page_size, read_marker},
    tables::{Cors, FunctionRecord, FunctionUrl},
    url_access::{AuthType, url_allowed},
};

/// What stands before the id where a function URL is a path.
pub const URL_PATH: &str = "/_lambent/url/";
const ID_LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const ID_LENGTH: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvokeMode {
    Buffered,
    ResponseStream,
}

/// What a function URL leads to.
#[derive(Debug, Clone)]
pub struct UrlTarget {
    pub key: FunctionKey,
    pub qualifier: Option<String>,
    /// For the context object: the function's ARN, with the qualifier if there is one.
    pub function_arn: String,
    pub auth_type: AuthType,
    pub invoke_mode: InvokeMode,
    pub cors: Option<Cors>,
    /// The function's resource policy, for [`url_allowed`].
    pub policy: Vec<serde_json::Value>,
}

impl UrlTarget {
    /// [`url_allowed`] for a caller: the account that signed, or nobody.
    pub fn allows(&self, caller_account: Option<&str>) -> bool {
        url_allowed(
            self.auth_type,
            &self.policy,
            caller_account,
            &self.key.account_id,
        )
    }
}

impl Functions {
    /// The function behind a URL's id; from memory, for every request to it.
    pub fn url_target(&self, url_id: &str) -> Option<UrlTarget> {
        let entry = self.0.definitions.by_url(url_id)?;
        let url = entry.record.urls.iter().find(|url| url.id == url_id)?;
        Some(UrlTarget {
            key: entry.key.clone(),
            qualifier: url.qualifier.clone(),
            function_arn: url_arn(&entry.record, url),
            auth_type: match url.auth_type.as_str() {
                "NONE" => AuthType::None,
                _ => AuthType::AwsIam,
            },
            invoke_mode: match url.invoke_mode.as_str() {
                "RESPONSE_STREAM" => InvokeMode::ResponseStream,
                _ => InvokeMode::Buffered,
            },
            cors: url.cors.clone(),
            policy: entry.record.policy(url.qualifier.as_deref()).to_vec(),
        })
    }

    pub(super) async fn create_url(
        &self,
        cx: &Context,
        name: &FunctionName,
        input: api::CreateFunctionUrlConfigRequest,
    ) -> Result<api::CreateFunctionUrlConfigResponse> {
        let key = key_of(cx, &name.name);
        self.existing(&key, name)?;
        let url = FunctionUrl {
            id: new_id()?,
            qualifier: name.qualifier.clone(),
            auth_type: input.auth_type,
            invoke_mode: input
                .invoke_mode
                .clone()
                .unwrap_or_else(|| "BUFFERED".to_owned()),
            cors: input.cors.map(cors),
            created: cx.now,
            modified: cx.now,
        };
        let made = url.clone();
        let (entry, ()) = self
            .change_all(&key, |draft| {
                if !has_url_place(&draft.published, name) {
                    return Err(no_function());
                }
                if find_url(&draft.record, name).is_some() {
                    return Err(Error::Conflict(format!(
                        "Failed to create function url config for [functionArn = {}]. Error \
                         message:  FunctionUrlConfig exists for this Lambda function",
                        name.arn(cx)
                    )));
                }
                draft.record.urls.push(made);
                Ok(())
            })
            .await?;
        let shown = self.url_shown(&entry.record, &url);
        Ok(api::CreateFunctionUrlConfigResponse {
            function_url: shown.function_url,
            function_arn: shown.function_arn,
            auth_type: shown.auth_type,
            cors: shown.cors,
            creation_time: shown.creation_time,
            // As in Lambda: only if it was asked for.
            invoke_mode: input.invoke_mode,
        })
    }

    pub(super) fn get_url(
        &self,
        cx: &Context,
        name: &FunctionName,
    ) -> Result<api::GetFunctionUrlConfigResponse> {
        let entry = self.0.definitions.get(&key_of(cx, &name.name));
        let entry = entry.ok_or_else(no_url)?;
        let url = find_url(&entry.record, name).ok_or_else(no_url)?;
        let shown = self.url_shown(&entry.record, url);
        Ok(api::GetFunctionUrlConfigResponse {
            function_url: shown.function_url,
            function_arn: shown.function_arn,
            auth_type: shown.auth_type,
            cors: shown.cors,
            creation_time: shown.creation_time,
            last_modified_time: shown.last_modified_time,
            invoke_mode: shown.invoke_mode,
        })
    }

    pub(super) async fn update_url(
        &self,
        cx: &Context,
        name: &FunctionName,
        input: api::UpdateFunctionUrlConfigRequest,
    ) -> Result<api::UpdateFunctionUrlConfigResponse> {
        let key = key_of(cx, &name.name);
        self.existing(&key, name)?;
        let (entry, url) = self
            .change(&key, |record| {
                let wanted = |url: &&mut FunctionUrl| url.qualifier == name.qualifier;
                let url = record.urls.iter_mut().find(wanted).ok_or_else(no_url)?;
                if let Some(auth_type) = &input.auth_type {
                    url.auth_type.clone_from(auth_type);
                }
                if let Some(mode) = &input.invoke_mode {
                    url.invoke_mode.clone_from(mode);
                }
                if let Some(given) = input.cors.clone() {
                    let cors = cors(given);
                    // Lambda takes an empty one for none.
                    url.cors = Some(cors).filter(|cors| *cors != Cors::default());
                }
                url.modified = cx.now;
                Ok(url.clone())
            })
            .await?;
        let shown = self.url_shown(&entry.record, &url);
        Ok(api::UpdateFunctionUrlConfigResponse {
            function_url: shown.function_url,
            function_arn: shown.function_arn,
            auth_type: shown.auth_type,
            cors: shown.cors,
            creation_time: shown.creation_time,
            last_modified_time: shown.last_modified_time,
            invoke_mode: input.invoke_mode,
        })
    }

    pub(super) async fn delete_url(&self, cx: &Context, name: &FunctionName) -> Result<()> {
        let key = key_of(cx, &name.name);
        if self.0.definitions.get(&key).is_none() {
            return Err(no_url());
        }
        let deleted = self.change(&key, |record| {
            find_url(record, name).ok_or_else(no_url)?;
            record.urls.retain(|url| url.qualifier != name.qualifier);
            Ok(())
        });
        deleted.await.map(drop)
    }

    pub(super) fn list_urls(
        &self,
        cx: &Context,
        name: &FunctionName,
        input: &api::ListFunctionUrlConfigsRequest,
    ) -> Result<api::ListFunctionUrlConfigsResponse> {
        let key = key_of(cx, &name.name);
        let entry = self.0.definitions.get(&key).ok_or_else(no_function)?;
        let limit = page_size(input.max_items, limits::LIST_URLS_DEFAULT);
        let after = input.marker.as_deref().map(read_marker).transpose()?;
        let mut urls: Vec<&FunctionUrl> = entry.record.urls.iter().collect();
        urls.sort_by_key(|url| url_arn(&entry.record, url));
        let later = |url: &&&FunctionUrl| {
            after
                .as_ref()
                .is_none_or(|after| url_arn(&entry.record, url) > *after)
        };
        let rest: Vec<&&FunctionUrl> = urls.iter().filter(later).collect();
        let page = &rest[..rest.len().min(limit)];
        let last = page.last().filter(|_| rest.len() > limit);
        Ok(api::ListFunctionUrlConfigsResponse {
            function_url_configs: page
                .iter()
                .map(|url| self.url_shown(&entry.record, url))
                .collect(),
            next_marker: last.map(|url| marker(&url_arn(&entry.record, url))),
        })
    }

    /// Lambda's word for a function that is not there is another one here.
    fn existing(&self, key: &FunctionKey, name: &FunctionName) -> Result<()> {
        let entry = self.0.definitions.get(key);
        match entry.is_some_and(|entry| has_url_place(&entry.published, name)) {
            true => Ok(()),
            false => Err(no_function()),
        }
    }

    fn url_shown(&self, record: &FunctionRecord, url: &FunctionUrl) -> api::FunctionUrlConfig {
        api::FunctionUrlConfig {
            function_url: public_url(&self.0.base_url, &url.id, &record.region),
            function_arn: url_arn(record, url),
            creation_time: wire::time::iso8601_micros(url.created),
            last_modified_time: wire::time::iso8601_micros(url.modified),
            cors: url.cors.clone().map(shown_cors),
            auth_type: url.auth_type.clone(),
            invoke_mode: Some(url.invoke_mode.clone()),
        }
    }
}

/// `http://<id>.lambda-url.<region>.localhost:4566/`. An address cannot have a name in front of
/// it: where the platform is known by one, the URL is a path, or on loopback a name nevertheless.
fn public_url(base: &str, id: &str, region: &str) -> String {
    let (scheme, rest) = base.split_once("://").unwrap_or(("http", base));
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, Some(port)),
        _ => (authority, None),
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let host = match bare.parse::<std::net::IpAddr>() {
        Ok(address) if address.is_loopback() => "localhost",
        Ok(_) => return format!("{scheme}://{authority}{URL_PATH}{id}/"),
        Err(_) => host,
    };
    let colon = if port.is_some() { ":" } else { "" };
    let port = port.unwrap_or_default();
    format!("{scheme}://{id}.lambda-url.{region}.{host}{colon}{port}/")
}

fn url_arn(record: &FunctionRecord, url: &FunctionUrl) -> String {
    let (region, account) = (&record.region, &record.account_id);
    api::function_arn(region, account, &record.name, url.qualifier.as_deref())
}

fn find_url<'a>(record: &'a FunctionRecord, name: &FunctionName) -> Option<&'a FunctionUrl> {
    let mut urls = record.urls.iter();
    urls.find(|url| url.qualifier == name.qualifier)
}

/// URLs are of a function itself and of its aliases.
fn has_url_place(published: &Published, name: &FunctionName) -> bool {
    let alias = name.qualifier.as_ref();
    alias.is_none_or(|alias| published.aliases.contains_key(alias))
}

fn no_url() -> Error {
    Error::NotFound("The resource you requested does not exist.".to_owned())
}

fn no_function() -> Error {
    Error::NotFound("Function does not exist".to_owned())
}

/// Whether a function URL may have or have had this id.
pub fn is_url_id(text: &str) -> bool {
    text.len() == ID_LENGTH && text.bytes().all(|byte| ID_LETTERS.contains(&byte))
}

fn new_id() -> Result<String> {
    let mut bytes = [0_u8; ID_LENGTH];
    aws_lc_rs::rand::fill(&mut bytes).map_err(Error::platform)?;
    let letter = |byte: &u8| char::from(ID_LETTERS[usize::from(*byte) % ID_LETTERS.len()]);
    Ok(bytes.iter().map(letter).collect())
}

fn cors(given: api::Cors) -> Cors {
    Cors {
        allow_credentials: given.allow_credentials,
        allow_headers: given.allow_headers,
        allow_methods: given.allow_methods,
        allow_origins: given.allow_origins,
        expose_headers: given.expose_headers,
        max_age: given.max_age,
    }
}

fn shown_cors(stored: Cors) -> api::Cors {
    api::Cors {
        allow_credentials: stored.allow_credentials,
        allow_headers: stored.allow_headers,
        allow_methods: stored.allow_methods,
        allow_origins: stored.allow_origins,
        expose_headers: stored.expose_headers,
        max_age: stored.max_age,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_an_id_is_told_from_what_may_not() {
        assert!(is_url_id(&new_id().expect("an id")));
        for wrong in [
            "",
            "abc",
            "0123456789abcdefghijklmnopqrstuv",
            &"a".repeat(33),
        ] {
            assert!(!is_url_id(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn urls_are_names_also_where_the_platform_is_an_address() {
        let check = |base, expect: &str| assert_eq!(public_url(base, "id", "eu-west-1"), expect);
        check(
            "http://127.0.0.1:4566",
            "http://id.lambda-url.eu-west-1.localhost:4566/",
        );
        check(
            "http://[::1]:4566/",
            "http://id.lambda-url.eu-west-1.localhost:4566/",
        );
        check(
            "https://fn.example.org",
            "https://id.lambda-url.eu-west-1.fn.example.org/",
        );
        check(
            "http://192.0.2.7:4566",
            "http://192.0.2.7:4566/_lambent/url/id/",
        );
    }
}
