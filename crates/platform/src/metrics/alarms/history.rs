//! What became of alarms: kept for thirty days.

use serde_json::json;
use store::{ReadTx, Result, Tx};

use super::record::{AlarmRecord, State, StateValue};

/// CloudWatch's own.
pub const KEPT_MS: i64 = 30 * 24 * 3600 * 1000;

pub const SQL: &str = "
CREATE TABLE alarm_history (
  account_id {text} NOT NULL, region {text} NOT NULL, at_ms {int} NOT NULL, id {text} NOT NULL,
  name {text} NOT NULL, alarm_type {text} NOT NULL, kind {text} NOT NULL,
  summary {text} NOT NULL, data {text} NOT NULL,
  PRIMARY KEY (account_id, region, at_ms, id)
) {clustered};
CREATE INDEX alarm_history_name ON alarm_history (account_id, region, name, at_ms);
CREATE INDEX alarm_history_age ON alarm_history (at_ms);";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub at_ms: i64,
    /// Orders entries of one time, in the order in which they were made.
    pub id: String,
    pub name: String,
    pub alarm_type: String,
    /// `ConfigurationUpdate`, `StateUpdate` or `Action`
    pub kind: String,
    pub summary: String,
    /// JSON.
    pub data: String,
}

impl Entry {
    pub fn new(
        alarm: &AlarmRecord,
        at_ms: i64,
        kind: &str,
        summary: String,
        data: &serde_json::Value,
    ) -> Self {
        Self {
            at_ms,
            id: uuid::Uuid::now_v7().to_string(),
            name: alarm.name.clone(),
            alarm_type: alarm.type_name().to_owned(),
            kind: kind.to_owned(),
            summary,
            data: data.to_string(),
        }
    }

    /// That an alarm was made, changed or deleted; `verb` is e.g. `created`.
    pub fn configured(alarm: &AlarmRecord, at_ms: i64, verb: &str, kind: &str) -> Self {
        let data = json!({
            "version": "1.0",
            "type": kind,
            "alarmArn": alarm.arn(),
            "alarmName": alarm.name,
            "alarmDescription": alarm.description,
            "actionsEnabled": alarm.actions_enabled,
            "okActions": alarm.actions.ok,
            "alarmActions": alarm.actions.alarm,
            "insufficientDataActions": alarm.actions.insufficient_data,
        });
        let summary = format!("Alarm \"{}\" {verb}", alarm.name);
        Self::new(alarm, at_ms, "ConfigurationUpdate", summary, &data)
    }

    pub fn moved(alarm: &AlarmRecord, before: &State) -> Self {
        let shown = |state: &State| {
            let mut shown = json!({
                "stateValue": state.value.name(),
                "stateReason": state.reason,
            });
            if let Some(data) = &state.reason_data {
                shown["stateReasonData"] = as_json(data);
            }
            shown
        };
        let data = json!({
            "version": "1.0",
            "oldState": shown(before),
            "newState": shown(&alarm.state),
        });
        let (old, new) = (before.value.name(), alarm.state.value.name());
        let summary = format!("Alarm updated from {old} to {new}");
        Self::new(
            alarm,
            alarm.state.updated_at_ms,
            "StateUpdate",
            summary,
            &data,
        )
    }

    /// That an action was handed over, or why not.
    pub fn acted(
        alarm: &AlarmRecord,
        value: StateValue,
        target: &str,
        trouble: Option<&str>,
    ) -> Self {
        let (state, summary) = match trouble {
            None => ("InProgress", format!("Sent to action {target}")),
            Some(why) => (
                "Failed",
                format!("Failed to execute action {target}: {why}"),
            ),
        };
        let data = json!({
            "version": "1.0",
            "actionState": state,
            "stateUpdateTimestamp": alarm.state.updated_at_ms,
            "stateValue": value.name(),
            "notificationResource": target,
            "error": trouble,
        });
        Self::new(alarm, alarm.state.updated_at_ms, "Action", summary, &data)
    }

    pub fn insert(&self, tx: &mut Tx, account_id: &str, region: &str) -> Result<()> {
        let sql = "INSERT INTO alarm_history \
            (account_id, region, at_ms, id, name, alarm_type, kind, summary, data) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let row = store::params![
            account_id,
            region,
            self.at_ms,
            &self.id,
            &self.name,
            &self.alarm_type,
            &self.kind,
            &self.summary,
            &self.data
        ];
        tx.execute(sql, row).map(drop)
    }
}

/// JSON as such, and what is none as a text.
pub fn as_json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

/// Which entries are asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    pub account_id: String,
    pub region: String,
    pub name: Option<String>,
    pub alarm_types: Vec<String>,
    pub kind: Option<String>,
    pub from_ms: i64,
    pub to_ms: i64,
    pub ascending: bool,
    /// Behind this entry, by time and id.
    pub after: Option<(i64, String)>,
    pub limit: usize,
}

/// A page of entries, and one more where there are more.
pub fn read(tx: &mut ReadTx, asked: &Asked) -> Result<Vec<Entry>> {
    let mut sql = String::from(
        "SELECT at_ms, id, name, alarm_type, kind, summary, data FROM alarm_history \
         WHERE account_id = $1 AND region = $2 AND at_ms >= $3 AND at_ms <= $4",
    );
    let mut row =
        store::params![&asked.account_id, &asked.region, asked.from_ms, asked.to_ms].to_vec();
    let mut with = |sql: &mut String, condition: &str, value: store::Value| {
        row.push(value);
        sql.push_str(&condition.replace('?', &format!("${}", row.len())));
    };
    if let Some(name) = &asked.name {
        with(&mut sql, " AND name = ?", name.into());
    }
    if let Some(kind) = &asked.kind {
        with(&mut sql, " AND kind = ?", kind.into());
    }
    if let [one] = asked.alarm_types.as_slice() {
        with(&mut sql, " AND alarm_type = ?", one.into());
    }
    let (than, order) = if asked.ascending {
        (">", "ASC")
    } else {
        ("<", "DESC")
    };
    if let Some((at_ms, id)) = &asked.after {
        with(&mut sql, &format!(" AND (at_ms {than} ?"), (*at_ms).into());
        with(&mut sql, " OR (at_ms = ?", (*at_ms).into());
        with(&mut sql, &format!(" AND id {than} ?))"), id.into());
    }
    let limit = i64::try_from(asked.limit).unwrap_or(100) + 1;
    with(
        &mut sql,
        &format!(" ORDER BY at_ms {order}, id {order} LIMIT ?"),
        limit.into(),
    );
    let rows = tx.query(sql.as_str(), &row)?;
    let mut entries = Vec::with_capacity(rows.len());
    for mut row in rows {
        entries.push(Entry {
            at_ms: row.get("at_ms")?,
            id: row.take("id")?,
            name: row.take("name")?,
            alarm_type: row.take("alarm_type")?,
            kind: row.take("kind")?,
            summary: row.take("summary")?,
            data: row.take("data")?,
        });
    }
    Ok(entries)
}

pub fn delete_before(tx: &mut Tx, at_ms: i64) -> Result<()> {
    let sql = "DELETE FROM alarm_history WHERE at_ms < $1";
    tx.execute(sql, store::params![at_ms]).map(drop)
}
