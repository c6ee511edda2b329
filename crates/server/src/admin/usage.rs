//! `/_lambent/usage[?from=YYYY-MM-DD][&to=YYYY-MM-DD]`: the bill of the caller's account, by function
//! version and day.

use http::{Response, StatusCode};
use jiff::{ToSpan, civil::Date, tz::Offset};
use platform::metering::MeteringError;

use super::{Ask, error, json};
use crate::serve::Body;

/// Days of an answer, unless others are asked for.
const DAYS_DEFAULT: i64 = 30;

pub async fn respond(ask: Ask<'_>) -> Response<Body> {
    let today = Offset::UTC.to_datetime(ask.now).date();
    let first = today.checked_sub(DAYS_DEFAULT.days()).unwrap_or(today);
    let day = |name: &str, default: Date| match ask.query.get(name) {
        None => Some(default),
        Some(text) => text.parse().ok(),
    };
    let (Some(from), Some(to)) = (day("from", first), day("to", today)) else {
        return error(StatusCode::BAD_REQUEST, "days are written YYYY-MM-DD");
    };
    if from > to {
        return error(StatusCode::BAD_REQUEST, "the last day is before the first");
    }
    let account = Some(ask.caller.account_id.as_str());
    let metering = ask.platform.metering();
    let rows = match metering
        .usage(account, &from.to_string(), &to.to_string())
        .await
    {
        Ok(rows) => rows,
        Err(MeteringError::TooMany) => {
            let message = "the bill has too many rows for one answer: ask for fewer days";
            return error(StatusCode::BAD_REQUEST, message);
        }
        Err(failed) => {
            tracing::error!("read the usage: {failed}");
            let message = match failed.is_disk_full() {
                true => "the usage cannot be read: the platform's disk is full",
                false => "the usage cannot be read",
            };
            return error(StatusCode::INTERNAL_SERVER_ERROR, message);
        }
    };
    let prices = ask.platform.prices();
    let shown: Vec<_> = rows
        .iter()
        .map(|row| {
            let cost = prices.cost(row);
            json!({
                "account": row.account_id,
                "region": row.region,
                "function": row.function,
                "version": row.version,
                "architecture": row.architecture,
                "memory_mb": row.memory_mb,
                "day": row.day,
                "requests": row.requests,
                "errors": row.errors,
                "throttles": row.throttles,
                "billed_ms": row.billed_ms,
                "init_ms": row.init_ms,
                "max_memory_mb": row.max_memory_mb,
                "gb_seconds": row.gb_s(),
                "provisioned_ms": row.provisioned_ms,
                "provisioned_gb_seconds": row.provisioned_gb_s(),
                "cost": cost.total(),
                "cost_requests": cost.requests,
                "cost_compute": cost.compute,
                "cost_provisioned": cost.provisioned,
            })
        })
        .collect();
    let total: f64 = rows.iter().map(|row| prices.cost(row).total()).sum();
    json(&json!({
        "currency": prices.currency,
        "from": from.to_string(),
        "to": to.to_string(),
        "total": total,
        "usage": shown,
    }))
}
