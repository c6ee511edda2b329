//! Connections: how requests to API destinations are authorized. Their secrets are sealed.

use std::sync::Arc;

use jiff::Timestamp;
use store::Tx;
use uuid::Uuid;
use wire::{Context, arn::Arn, event_bridge as api};

use super::{
    Buses,
    bus::refuse_key,
    connection_auth as auth,
    error::{Error, Result},
    limits,
    names::Named,
    paging::{begins, page},
    tables::{Auth, AuthKind, CONNECTIONS, ConnectionRecord, ConnectionState},
};

const KIND: &str = "connection";

impl ConnectionRecord {
    pub fn arn(&self) -> String {
        format!("{}/{}", self.key.arn(KIND), self.uid)
    }

    /// Under which Secrets Manager has a connection's secret in AWS. Here it is in the connection's
    /// record.
    fn secret_arn(&self) -> String {
        let resource = format!(
            "secret:events!connection/{}/{}",
            self.key.name, self.secret_uid
        );
        Arn::new(
            "secretsmanager",
            &self.key.region,
            &self.key.account_id,
            resource,
        )
        .to_string()
    }
}

impl Buses {
    pub(super) async fn create_connection_of(
        &self,
        cx: &Context,
        input: api::CreateConnectionRequest,
    ) -> Result<api::CreateConnectionResponse> {
        refuse_key(input.kms_key_identifier.as_deref())?;
        let private = input.invocation_connectivity_parameters.is_some()
            || input.auth_parameters.connectivity_parameters.is_some();
        refuse_private(private)?;
        let key = Named::new(&cx.account_id, &cx.region, &input.name);
        let kind = AuthKind::read(&input.authorization_type);
        let auth = auth::created(kind, input.auth_parameters)?;
        let record = ConnectionRecord {
            uid: Uuid::new_v4().to_string(),
            secret_uid: format!(
                "{}-{}",
                Uuid::new_v4(),
                &Uuid::new_v4().simple().to_string()[..6]
            ),
            description: input.description,
            kind,
            sealed: self.seal_auth(&key, &auth)?,
            state: ConnectionState::Authorizing,
            reason: None,
            created: cx.now,
            modified: cx.now,
            authorized: None,
            key: key.clone(),
        };
        let record = authorized_if_it_can(record, cx.now);
        let _changing = self.0.changing.lock().await;
        if self.0.connections.get(&key).is_some() {
            return Err(Error::Exists {
                what: "Connection",
                name: key.name,
            });
        }
        let all = self.0.connections.under(&cx.account_id, &cx.region);
        if all.len() >= limits::CONNECTIONS_MAX {
            return Err(Error::OverLimit);
        }
        let answer = api::CreateConnectionResponse {
            connection_arn: Some(record.arn()),
            connection_state: Some(record.state.as_str().to_owned()),
            creation_time: Some(record.created),
            last_modified_time: Some(record.modified),
        };
        self.store_connection(record).await?;
        Ok(answer)
    }

    pub(super) async fn update_connection_of(
        &self,
        cx: &Context,
        input: api::UpdateConnectionRequest,
    ) -> Result<api::UpdateConnectionResponse> {
        refuse_key(input.kms_key_identifier.as_deref())?;
        let given = input.auth_parameters.unwrap_or_default();
        let private = input.invocation_connectivity_parameters.is_some();
        refuse_private(private || given.connectivity_parameters.is_some())?;
        let key = Named::new(&cx.account_id, &cx.region, &input.name);
        let _changing = self.0.changing.lock().await;
        let mut record = ConnectionRecord::clone(&*self.connection(&key)?);
        if input.description.is_some() {
            record.description = input.description;
        }
        if let Some(kind) = input.authorization_type.as_deref() {
            record.kind = AuthKind::read(kind);
        }
        let auth = auth::updated(record.kind, self.open_auth(&record)?, given)?;
        record.sealed = self.seal_auth(&key, &auth)?;
        record.modified = cx.now;
        record.state = ConnectionState::Authorizing;
        let record = authorized_if_it_can(record, cx.now);
        self.0.tokens.forget(&record.uid);
        let answer = api::UpdateConnectionResponse {
            connection_arn: Some(record.arn()),
            connection_state: Some(record.state.as_str().to_owned()),
            creation_time: Some(record.created),
            last_modified_time: Some(record.modified),
            last_authorized_time: record.authorized,
        };
        self.store_connection(record).await?;
        Ok(answer)
    }

    pub(super) async fn deauthorize_connection_of(
        &self,
        cx: &Context,
        name: &str,
    ) -> Result<api::DeauthorizeConnectionResponse> {
        let key = Named::new(&cx.account_id, &cx.region, name);
        let _changing = self.0.changing.lock().await;
        let mut record = ConnectionRecord::clone(&*self.connection(&key)?);
        record.state = ConnectionState::Deauthorized;
        record.sealed = self.seal_auth(&key, &Auth::default())?;
        record.modified = cx.now;
        self.0.tokens.forget(&record.uid);
        let answer = api::DeauthorizeConnectionResponse {
            connection_arn: Some(record.arn()),
            connection_state: Some(record.state.as_str().to_owned()),
            creation_time: Some(record.created),
            last_modified_time: Some(record.modified),
            last_authorized_time: record.authorized,
        };
        self.store_connection(record).await?;
        Ok(answer)
    }

    pub(super) async fn delete_connection_of(
        &self,
        cx: &Context,
        name: &str,
    ) -> Result<api::DeleteConnectionResponse> {
        let key = Named::new(&cx.account_id, &cx.region, name);
        let _changing = self.0.changing.lock().await;
        let record = self.connection(&key)?;
        let gone = key.clone();
        let delete = move |tx: &mut Tx| CONNECTIONS.delete(tx, &gone.parts());
        self.0.store.write(delete).await?;
        self.0.connections.remove(&key);
        self.0.tokens.forget(&record.uid);
        Ok(api::DeleteConnectionResponse {
            connection_arn: Some(record.arn()),
            connection_state: Some("DELETING".to_owned()),
            creation_time: Some(record.created),
            last_modified_time: Some(record.modified),
            last_authorized_time: record.authorized,
        })
    }

    pub(super) fn describe_connection_of(
        &self,
        cx: &Context,
        name: &str,
    ) -> Result<api::DescribeConnectionResponse> {
        let key = Named::new(&cx.account_id, &cx.region, name);
        let record = self.connection(&key)?;
        let auth = self.open_auth(&record)?;
        Ok(api::DescribeConnectionResponse {
            connection_arn: Some(record.arn()),
            name: Some(key.name),
            description: record.description.clone(),
            connection_state: Some(record.state.as_str().to_owned()),
            state_reason: record.reason.clone(),
            authorization_type: Some(record.kind.as_str().to_owned()),
            secret_arn: Some(record.secret_arn()),
            auth_parameters: Some(auth::shown(auth)),
            creation_time: Some(record.created),
            last_modified_time: Some(record.modified),
            last_authorized_time: record.authorized,
            ..Default::default()
        })
    }

    pub(super) fn list_connections_of(
        &self,
        cx: &Context,
        input: &api::ListConnectionsRequest,
    ) -> Result<api::ListConnectionsResponse> {
        let (prefix, state) = (
            input.name_prefix.as_deref(),
            input.connection_state.as_deref(),
        );
        let is_asked = |record: &Arc<ConnectionRecord>| {
            begins(&record.key.name, prefix)
                && state.is_none_or(|state| state == record.state.as_str())
        };
        let all = self.0.connections.under(&cx.account_id, &cx.region);
        let (listed, next_token) = page(
            all.into_iter().filter(is_asked),
            |record| record.key.name.as_str(),
            input.limit,
            input.next_token.as_deref(),
        )?;
        let shown = listed.iter().map(|record| api::Connection {
            connection_arn: Some(record.arn()),
            name: Some(record.key.name.clone()),
            connection_state: Some(record.state.as_str().to_owned()),
            state_reason: record.reason.clone(),
            authorization_type: Some(record.kind.as_str().to_owned()),
            creation_time: Some(record.created),
            last_modified_time: Some(record.modified),
            last_authorized_time: record.authorized,
        });
        Ok(api::ListConnectionsResponse {
            connections: Some(shown.collect()),
            next_token,
        })
    }

    pub(super) fn connection(&self, key: &Named) -> Result<Arc<ConnectionRecord>> {
        self.0.connections.get(key).ok_or_else(|| {
            Error::NotFound(format!(
                "Failed to describe the connection(s). Connection '{}' does not exist.",
                key.name
            ))
        })
    }

    pub(super) async fn store_connection(&self, record: ConnectionRecord) -> Result<()> {
        let stored = record.clone();
        let put = move |tx: &mut Tx| CONNECTIONS.put(tx, &stored.key.parts(), &stored);
        self.0.store.write(put).await?;
        let must_ask = record.state == ConnectionState::Authorizing;
        self.0.connections.put(record.key.clone(), record);
        if must_ask {
            self.0.connections_wake.wake();
        }
        Ok(())
    }

    /// Tries the authorization of every connection that has yet to get one, once.
    pub(super) async fn keep_authorizing(&self) -> Result<()> {
        for record in self.0.connections.all() {
            if record.state != ConnectionState::Authorizing {
                continue;
            }
            let asked = self.token(&record).await;
            let _changing = self.0.changing.lock().await;
            let Some(now) = self.0.connections.get(&record.key) else {
                continue;
            };
            if now.sealed != record.sealed || now.state != record.state {
                continue;
            }
            let mut record = ConnectionRecord::clone(&now);
            match asked {
                Ok(_) => {
                    record.state = ConnectionState::Authorized;
                    record.authorized = Timestamp::from_millisecond(self.0.clock.now_ms()).ok();
                    record.reason = None;
                }
                Err(failure) => {
                    record.state = ConnectionState::Deauthorized;
                    record.reason = Some(failure.message);
                }
            }
            self.store_connection(record).await?;
        }
        Ok(())
    }

    fn seal_auth(&self, key: &Named, auth: &Auth) -> Result<String> {
        let json = serde_json::to_vec(auth).map_err(Error::platform)?;
        let sealed = self.0.secrets.seal(&key.arn(KIND), &json);
        sealed.map_err(Error::platform)
    }

    pub(super) fn open_auth(&self, record: &ConnectionRecord) -> Result<Auth> {
        let opened = self
            .0
            .secrets
            .open_sealed(&record.key.arn(KIND), &record.sealed);
        let opened = opened.map_err(Error::platform)?;
        serde_json::from_slice(&opened).map_err(Error::platform)
    }
}

/// A name and password, or a key, are taken as they are; a client's credentials are tried first.
fn authorized_if_it_can(record: ConnectionRecord, now: Timestamp) -> ConnectionRecord {
    match record.kind {
        AuthKind::OAuth => record,
        AuthKind::Basic | AuthKind::ApiKey => ConnectionRecord {
            state: ConnectionState::Authorized,
            reason: None,
            authorized: Some(now),
            ..record
        },
    }
}

fn refuse_private(is_given: bool) -> Result<()> {
    match is_given {
        true => Err(Error::Unsupported(
            "A connection to a private API".to_owned(),
        )),
        false => Ok(()),
    }
}
