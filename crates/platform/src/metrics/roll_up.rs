//! Makes old points coarser, and deletes the oldest, as CloudWatch does: by the second for three hours,
//! by the minute for 15 days, by five minutes for 63 days, by the hour for 455 days. Alarms' history
//! that is old enough goes too.

use std::sync::PoisonError;

use super::{Metrics, alarms, limits, tables};

/// Moves what has come of age, a bounded number of points in each transaction.
pub async fn pass(metrics: Metrics, now_s: i64) -> Result<(), store::Error> {
    for (n, (period_s, kept_s)) in limits::LEVELS.into_iter().enumerate() {
        let coarser = limits::LEVELS.get(n + 1).map(|(period_s, _)| *period_s);
        // A period of the coarser level is moved at once where its points came in time.
        let whole = coarser.unwrap_or(period_s);
        let before_s = (now_s - kept_s).div_euclid(whole) * whole;
        loop {
            let moved = metrics.0.store.write(move |tx| {
                tables::roll_up(tx, period_s, before_s, coarser, limits::ROLL_UP_ROWS)
            });
            if moved.await? < limits::ROLL_UP_ROWS as usize {
                break;
            }
        }
    }
    let before_ms = now_s * 1000 - alarms::KEPT_MS;
    let history = metrics
        .0
        .store
        .write(move |tx| alarms::delete_history(tx, before_ms));
    history.await?;
    forget(&metrics, now_s).await
}

/// Series whose last point was deleted.
async fn forget(metrics: &Metrics, now_s: i64) -> Result<(), store::Error> {
    let longest = limits::LEVELS.iter().map(|(_, kept_s)| *kept_s).max();
    let gone = {
        let mut index = metrics
            .0
            .index
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        index.forget(now_s - longest.unwrap_or_default())
    };
    if gone.is_empty() {
        return Ok(());
    }
    let deleted = metrics
        .0
        .store
        .write(move |tx| gone.iter().try_for_each(|id| tables::delete_series(tx, id)));
    deleted.await
}
