//! Writes what is put: one task, whose transactions take in all requests that came during the last.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

use store::Store;
use tokio::sync::{mpsc, oneshot};

use super::{
    distribution::Distribution,
    error::{Error, Result},
    index::{Index, Known},
    limits,
    series::{Datum, Home, Metric, SeriesId},
    tables,
};

/// What is to be written together.
pub struct Put {
    pub home: Home,
    pub data: Vec<Datum>,
    pub done: oneshot::Sender<Result<()>>,
}

/// A series that the store does not know yet, or not with data so new.
#[derive(Clone)]
struct Newer {
    id: SeriesId,
    home: Home,
    metric: Metric,
    unit: String,
    last_at_s: i64,
}

/// How old the store's knowledge of a series' newest data may be, in seconds.
const LAST_AT_STALE_S: i64 = 3600;

/// Until the last handle is gone.
pub async fn run(store: Store, index: Arc<RwLock<Index>>, mut puts: mpsc::Receiver<Put>) {
    while let Some(first) = puts.recv().await {
        let mut count = first.data.len();
        let mut batch = vec![first];
        while count < limits::POINTS_OF_BATCH {
            let Ok(next) = puts.try_recv() else { break };
            count += next.data.len();
            batch.push(next);
        }
        write(&store, &index, batch).await;
    }
}

async fn write(store: &Store, index: &RwLock<Index>, batch: Vec<Put>) {
    let mut points: BTreeMap<(SeriesId, i64, i64), Distribution> = BTreeMap::new();
    let mut newer: HashMap<SeriesId, Newer> = HashMap::new();
    let mut waiting = Vec::with_capacity(batch.len());
    for put in batch {
        match gathered(index, &mut newer, &put) {
            Ok(ids) => {
                for (id, datum) in ids.into_iter().zip(put.data) {
                    let (period_s, at_s) = datum.place();
                    match points.get_mut(&(id.clone(), at_s, period_s)) {
                        Some(sum) => sum.merge(&datum.values),
                        None => {
                            points.insert((id, at_s, period_s), datum.values);
                        }
                    }
                }
                waiting.push(put.done);
            }
            Err(error) => {
                let _ = put.done.send(Err(error));
            }
        }
    }
    let newer: Arc<Vec<Newer>> = Arc::new(newer.into_values().collect());
    let (points, series) = (Arc::new(points), newer.clone());
    let written = store.write(move |tx| {
        for newer in series.iter() {
            let metric = (&newer.metric, newer.unit.as_str());
            tables::put_series(tx, &newer.id, &newer.home, metric, newer.last_at_s)?;
        }
        for ((id, at_s, period_s), values) in points.iter() {
            tables::add(tx, &id.0, *at_s, *period_s, values)?;
        }
        Ok(())
    });
    let written = written.await.map_err(Error::from);
    if written.is_ok() {
        note(index, &newer);
    }
    for done in waiting {
        // Who asked may have gone.
        let _ = done.send(written.clone());
    }
}

/// The series of a request's data; nothing of it where there would be too many.
fn gathered(
    index: &RwLock<Index>,
    newer: &mut HashMap<SeriesId, Newer>,
    put: &Put,
) -> Result<Vec<SeriesId>> {
    let index = index.read().unwrap_or_else(PoisonError::into_inner);
    let mut ids = Vec::with_capacity(put.data.len());
    let mut found: HashMap<SeriesId, Newer> = HashMap::new();
    let mut fresh = 0;
    for datum in &put.data {
        let known = index.get(&put.home, &datum.metric, &datum.unit);
        let id = match known {
            Some(known) => known.id.clone(),
            None => SeriesId::of(&put.home, &datum.metric, &datum.unit),
        };
        let stale = known.is_none_or(|known| known.stored_at_s + LAST_AT_STALE_S <= datum.at_s);
        if stale {
            let newest = |newer: Option<&Newer>| newer.map_or(i64::MIN, |newer| newer.last_at_s);
            let seen = newest(newer.get(&id)).max(newest(found.get(&id)));
            fresh += usize::from(known.is_none() && seen == i64::MIN);
            if datum.at_s > seen {
                let entry = Newer {
                    id: id.clone(),
                    home: put.home.clone(),
                    metric: datum.metric.clone(),
                    unit: datum.unit.clone(),
                    last_at_s: datum.at_s,
                };
                found.insert(id.clone(), entry);
            }
        }
        ids.push(id);
    }
    let unknown = |newer: &&Newer| index.get(&newer.home, &newer.metric, &newer.unit).is_none();
    let coming = newer.values().filter(unknown).count();
    if fresh > 0 && index.len() + coming + fresh > limits::SERIES_MAX {
        return Err(Error::LimitExceeded(format!(
            "This platform keeps {} series of metrics at most, and there are as many",
            limits::SERIES_MAX
        )));
    }
    newer.extend(found);
    Ok(ids)
}

fn note(index: &RwLock<Index>, newer: &[Newer]) {
    if newer.is_empty() {
        return;
    }
    let mut index = index.write().unwrap_or_else(PoisonError::into_inner);
    for newer in newer {
        let known = Known {
            id: newer.id.clone(),
            last_at_s: newer.last_at_s,
            stored_at_s: newer.last_at_s,
        };
        index.set(&newer.home, &newer.metric, &newer.unit, known);
    }
}
