//! Dashboards: documents that are kept and checked, and drawn by nobody here.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Page, Record, Table};

use super::{
    Metrics,
    error::{Error, Result},
};

const DASHBOARDS: Table<DashboardRecord> = Table::new();

/// Of one account, and of one answer of ListDashboards.
const DASHBOARDS_MAX: u32 = 1_000;
const WIDGETS_MAX: usize = 500;

/// Keyed by account and name: dashboards belong to no region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DashboardRecord {
    pub body: String,
    pub modified_at_ms: i64,
}

impl Record for DashboardRecord {
    const TABLE: &'static str = "dashboards";
    const VERSION: u32 = 1;
}

/// One of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dashboard {
    pub name: String,
    pub record: DashboardRecord,
}

pub fn arn(account_id: &str, name: &str) -> String {
    format!("arn:aws:cloudwatch::{account_id}:dashboard/{name}")
}

impl Metrics {
    pub async fn put_dashboard(&self, account_id: &str, dashboard: Dashboard) -> Result<()> {
        check_name(&dashboard.name)?;
        let wrong = wrong_in(&dashboard.record.body);
        if !wrong.is_empty() {
            return Err(Error::Dashboard(wrong));
        }
        let account_id = account_id.to_owned();
        let stored = self.0.store.write(move |tx| {
            let key = [account_id.as_str(), &dashboard.name];
            if DASHBOARDS.get(tx, &key)?.is_none()
                && all(tx, &account_id)?.len() >= DASHBOARDS_MAX as usize
            {
                return Ok(false);
            }
            DASHBOARDS.put(tx, &key, &dashboard.record)?;
            Ok(true)
        });
        match stored.await? {
            true => Ok(()),
            false => Err(Error::LimitExceeded(format!(
                "The maximum limit of {DASHBOARDS_MAX} dashboards has been exceeded"
            ))),
        }
    }

    pub async fn dashboard(&self, account_id: &str, name: &str) -> Result<Dashboard> {
        check_name(name)?;
        let (account, wanted) = (account_id.to_owned(), name.to_owned());
        let found = self
            .0
            .store
            .read(move |tx| DASHBOARDS.get(tx, &[&account, &wanted]));
        match found.await? {
            Some(stored) => Ok(Dashboard {
                name: name.to_owned(),
                record: stored.record,
            }),
            None => Err(none(name)),
        }
    }

    /// By name; all there are of a prefix.
    pub async fn dashboards(&self, account_id: &str, prefix: &str) -> Result<Vec<Dashboard>> {
        let account_id = account_id.to_owned();
        let mut found = self.0.store.read(move |tx| all(tx, &account_id)).await?;
        found.retain(|dashboard| dashboard.name.starts_with(prefix));
        Ok(found)
    }

    /// All or none.
    pub async fn delete_dashboards(&self, account_id: &str, names: Vec<String>) -> Result<()> {
        for name in &names {
            check_name(name)?;
        }
        let account_id = account_id.to_owned();
        let missing = self.0.store.write(move |tx| {
            for name in &names {
                if DASHBOARDS.get(tx, &[&account_id, name])?.is_none() {
                    return Ok(Some(name.clone()));
                }
            }
            for name in &names {
                DASHBOARDS.delete(tx, &[&account_id, name])?;
            }
            Ok(None)
        });
        missing.await?.map_or(Ok(()), |name| Err(none(&name)))
    }
}

fn all(tx: &mut store::ReadTx, account_id: &str) -> store::Result<Vec<Dashboard>> {
    let page = Page {
        prefix: &[account_id],
        after: None,
        limit: DASHBOARDS_MAX,
    };
    let found = DASHBOARDS.list(tx, page)?.into_iter();
    let dashboard = |stored: store::Stored<DashboardRecord>| Dashboard {
        name: stored.key.name().to_owned(),
        record: stored.record,
    };
    Ok(found.map(dashboard).collect())
}

fn none(name: &str) -> Error {
    Error::NoSuchDashboard(format!("Dashboard {name} does not exist"))
}

fn check_name(name: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || name.len() > 255 {
        return Err(Error::invalid(
            "The value for field DashboardName must have a length between 1 and 255.",
        ));
    }
    if !name.chars().all(is_plain) {
        return Err(Error::invalid(
            "The value for field DashboardName contains invalid characters. It can only contain \
             alphanumerics, dash (-) and underscore (_).\n",
        ));
    }
    Ok(())
}

/// What is wrong with a body, by path.
fn wrong_in(body: &str) -> Vec<(String, String)> {
    let wrong = |path: &str, text: &str| vec![(path.to_owned(), text.to_owned())];
    let Ok(Value::Object(body)) = serde_json::from_str(body) else {
        return wrong("/", "The field DashboardBody must be a valid JSON object");
    };
    let Some(widgets) = body.get("widgets").and_then(Value::as_array) else {
        return wrong("/", "Should have required property 'widgets', an array");
    };
    if widgets.len() > WIDGETS_MAX {
        return wrong("/widgets", "Should have at most 500 widgets");
    }
    let mut all = Vec::new();
    for (n, widget) in widgets.iter().enumerate() {
        let kinds = ["metric", "text", "log", "alarm", "explorer", "custom"];
        let kind = widget.get("type").and_then(Value::as_str);
        if !kind.is_some_and(|kind| kinds.contains(&kind)) {
            let text = format!("Should have property 'type', one of {}", kinds.join(", "));
            all.push((format!("/widgets/{n}"), text));
        }
        if !widget.get("properties").is_some_and(Value::is_object) {
            let text = "Should have required property 'properties', an object".to_owned();
            all.push((format!("/widgets/{n}"), text));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_checked() {
        let good = r##"{"widgets": [{"type": "text", "properties": {"markdown": "# hi"}}]}"##;
        assert_eq!(wrong_in(good), []);
        assert_eq!(wrong_in(r#"{"widgets": []}"#), []);
        for bad in ["", "[]", "{}", r#"{"widgets": [{"type": "text"}]}"#] {
            assert_eq!(wrong_in(bad).len(), 1, "{bad}");
        }
        assert_eq!(wrong_in(r#"{"widgets": [{"type": "dance"}, 3]}"#).len(), 4);
    }
}
