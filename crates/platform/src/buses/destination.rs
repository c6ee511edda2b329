//! API destinations: HTTP endpoints that rules and pipes send to.

use std::sync::Arc;

use serde_json::Value;
use store::Tx;
use uuid::Uuid;
use wire::{Context, event_bridge as api};

use super::{
    Buses,
    error::{Error, Result},
    limits,
    names::Named,
    paging::{begins, page},
    tables::{ConnectionState, DESTINATIONS, DestinationRecord, HttpRecord},
};
use crate::{deliveries::ToDestination, json_path::Path};

pub const KIND: &str = "api-destination";
/// AWS's own figure where none is given.
pub const RATE_PER_S: i32 = 300;

impl DestinationRecord {
    pub fn arn(&self) -> String {
        format!("{}/{}", self.key.arn(KIND), self.uid)
    }
}

/// What a target adds to a request, of which some may be parts of the event.
pub fn resolve(http: &HttpRecord, event: &Value) -> ToDestination {
    let value = |given: &String| match Path::parse(given) {
        Ok(path) => match path.find(event) {
            Some(Value::String(text)) => text,
            Some(other) => other.to_string(),
            None => String::new(),
        },
        Err(_) => given.clone(),
    };
    let pairs = |given: &Option<Vec<(String, String)>>| {
        let given = given.iter().flatten();
        given.map(|(name, it)| (name.clone(), value(it))).collect()
    };
    ToDestination {
        path: http.path.iter().flatten().map(value).collect(),
        headers: pairs(&http.headers),
        query: pairs(&http.query),
    }
}

impl Buses {
    pub(super) async fn create_destination_of(
        &self,
        cx: &Context,
        input: api::CreateApiDestinationRequest,
    ) -> Result<api::CreateApiDestinationResponse> {
        let key = Named::new(&cx.account_id, &cx.region, &input.name);
        let _changing = self.0.changing.lock().await;
        let record = DestinationRecord {
            uid: Uuid::new_v4().to_string(),
            description: input.description,
            connection: self.connection_of(cx, &input.connection_arn)?,
            endpoint: checked_endpoint(input.invocation_endpoint)?,
            method: input.http_method,
            rate_per_s: input.invocation_rate_limit_per_second,
            created: cx.now,
            modified: cx.now,
            key: key.clone(),
        };
        if self.0.destinations.get(&key).is_some() {
            return Err(Error::Exists {
                what: "An api-destination",
                name: format!("'{}'", key.name),
            });
        }
        let all = self.0.destinations.under(&cx.account_id, &cx.region);
        if all.len() >= limits::DESTINATIONS_MAX {
            return Err(Error::OverLimit);
        }
        let answer = api::CreateApiDestinationResponse {
            api_destination_arn: Some(record.arn()),
            api_destination_state: Some(self.destination_state(&record).to_owned()),
            creation_time: Some(record.created),
            last_modified_time: Some(record.modified),
        };
        self.store_destination(record).await?;
        Ok(answer)
    }

    pub(super) async fn update_destination_of(
        &self,
        cx: &Context,
        input: api::UpdateApiDestinationRequest,
    ) -> Result<api::UpdateApiDestinationResponse> {
        let key = Named::new(&cx.account_id, &cx.region, &input.name);
        let _changing = self.0.changing.lock().await;
        let mut record = DestinationRecord::clone(&*self.destination(&key)?);
        if input.description.is_some() {
            record.description = input.description;
        }
        if let Some(arn) = input.connection_arn {
            record.connection = self.connection_of(cx, &arn)?;
        }
        if let Some(endpoint) = input.invocation_endpoint {
            record.endpoint = checked_endpoint(endpoint)?;
        }
        if let Some(method) = input.http_method {
            record.method = method;
        }
        if input.invocation_rate_limit_per_second.is_some() {
            record.rate_per_s = input.invocation_rate_limit_per_second;
        }
        record.modified = cx.now;
        let answer = api::UpdateApiDestinationResponse {
            api_destination_arn: Some(record.arn()),
            api_destination_state: Some(self.destination_state(&record).to_owned()),
            creation_time: Some(record.created),
            last_modified_time: Some(record.modified),
        };
        self.store_destination(record).await?;
        Ok(answer)
    }

    pub(super) async fn delete_destination_of(
        &self,
        cx: &Context,
        name: &str,
    ) -> Result<api::DeleteApiDestinationResponse> {
        let key = Named::new(&cx.account_id, &cx.region, name);
        let _changing = self.0.changing.lock().await;
        self.destination(&key)?;
        let gone = key.clone();
        let delete = move |tx: &mut Tx| DESTINATIONS.delete(tx, &gone.parts());
        self.0.store.write(delete).await?;
        self.0.destinations.remove(&key);
        Ok(api::DeleteApiDestinationResponse {})
    }

    pub(super) fn describe_destination_of(
        &self,
        cx: &Context,
        name: &str,
    ) -> Result<api::DescribeApiDestinationResponse> {
        let key = Named::new(&cx.account_id, &cx.region, name);
        let record = self.destination(&key)?;
        let shown = self.shown(&record);
        Ok(api::DescribeApiDestinationResponse {
            api_destination_arn: shown.api_destination_arn,
            name: shown.name,
            description: record.description.clone(),
            api_destination_state: shown.api_destination_state,
            connection_arn: shown.connection_arn,
            invocation_endpoint: shown.invocation_endpoint,
            http_method: shown.http_method,
            invocation_rate_limit_per_second: shown.invocation_rate_limit_per_second,
            creation_time: shown.creation_time,
            last_modified_time: shown.last_modified_time,
        })
    }

    pub(super) fn list_destinations_of(
        &self,
        cx: &Context,
        input: &api::ListApiDestinationsRequest,
    ) -> Result<api::ListApiDestinationsResponse> {
        let prefix = input.name_prefix.as_deref();
        let connection = input.connection_arn.as_deref();
        let connection = connection.map(|arn| Named::of(arn, "connection"));
        let is_asked = |record: &Arc<DestinationRecord>| {
            let wanted = connection.as_ref();
            begins(&record.key.name, prefix)
                && wanted.is_none_or(|wanted| wanted.as_ref() == Some(&record.connection))
        };
        let all = self.0.destinations.under(&cx.account_id, &cx.region);
        let (listed, next_token) = page(
            all.into_iter().filter(is_asked),
            |record| record.key.name.as_str(),
            input.limit,
            input.next_token.as_deref(),
        )?;
        let shown = listed.iter().map(|record| self.shown(record));
        Ok(api::ListApiDestinationsResponse {
            api_destinations: Some(shown.collect()),
            next_token,
        })
    }

    pub(super) fn destination(&self, key: &Named) -> Result<Arc<DestinationRecord>> {
        self.0.destinations.get(key).ok_or_else(|| {
            Error::NotFound(format!(
                "Failed to describe the api-destination(s). An api-destination '{}' does not exist.",
                key.name
            ))
        })
    }

    fn connection_of(&self, cx: &Context, arn: &str) -> Result<Named> {
        let key = Named::of(arn, "connection");
        let key = key.filter(|key| key.account_id == cx.account_id && key.region == cx.region);
        let found = key.filter(|key| {
            let held = self.0.connections.get(key);
            held.is_some_and(|held| held.arn() == arn)
        });
        found.ok_or_else(|| Error::NotFound(format!("Connection '{arn}' does not exist.")))
    }

    async fn store_destination(&self, record: DestinationRecord) -> Result<()> {
        let stored = record.clone();
        let put = move |tx: &mut Tx| DESTINATIONS.put(tx, &stored.key.parts(), &stored);
        self.0.store.write(put).await?;
        self.0.destinations.put(record.key.clone(), record);
        Ok(())
    }

    /// A destination is active as long as its connection is authorized.
    fn destination_state(&self, record: &DestinationRecord) -> &'static str {
        let connection = self.0.connections.get(&record.connection);
        match connection.is_some_and(|it| it.state == ConnectionState::Authorized) {
            true => "ACTIVE",
            false => "INACTIVE",
        }
    }

    fn shown(&self, record: &DestinationRecord) -> api::ApiDestination {
        let connection = self.0.connections.get(&record.connection);
        let arn = connection.map_or_else(|| record.connection.arn("connection"), |it| it.arn());
        api::ApiDestination {
            api_destination_arn: Some(record.arn()),
            name: Some(record.key.name.clone()),
            api_destination_state: Some(self.destination_state(record).to_owned()),
            connection_arn: Some(arn),
            invocation_endpoint: Some(record.endpoint.clone()),
            http_method: Some(record.method.clone()),
            invocation_rate_limit_per_second: record.rate_per_s,
            creation_time: Some(record.created),
            last_modified_time: Some(record.modified),
        }
    }
}

/// An endpoint that can be sent to. AWS takes `https` only; in a network of one's own `http` will
/// do, too.
fn checked_endpoint(endpoint: String) -> Result<String> {
    let uri: Option<http::Uri> = endpoint.parse().ok();
    let is_one = uri.is_some_and(|uri| {
        uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https"))
    });
    match is_one {
        true => Ok(endpoint),
        false => Err(Error::parameter("InvocationEndpoint", "It is no URL.")),
    }
}
