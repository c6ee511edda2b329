//! All that the store was ever changed by, in the order in which it came.

use store::Migration;

use crate::{
    buckets, buses, durable,
    functions::{self, MIGRATION_COUNT},
    logs, metering, metrics, pipes, queues, schedules, timers, topics, triggers,
};

pub fn migrations() -> Vec<Migration> {
    let next = |all: &Vec<Migration>| u32::try_from(all.len()).unwrap_or(u32::MAX) + 1;
    let mut all = Vec::from(functions::migrations(1));
    let usage = Migration::new(MIGRATION_COUNT + 1, "usage", metering::MIGRATION_SQL);
    all.push(usage);
    all.extend(queues::migrations(MIGRATION_COUNT + 2));
    let queues = queues::MIGRATION_COUNT;
    all.extend(triggers::migrations(MIGRATION_COUNT + 2 + queues));
    // From here on in the order in which they came, each after all before it.
    all.extend(functions::layer_migrations(next(&all)));
    all.extend(functions::version_migrations(next(&all)));
    all.push(functions::signing_migration(next(&all)));
    all.extend(durable::migrations(next(&all)));
    let sql = metering::PROVISIONED_MIGRATION_SQL;
    all.push(Migration::new(next(&all), "usage_provisioned", sql));
    all.extend(buckets::migrations(next(&all)));
    all.push(metrics::migration(next(&all)));
    all.extend(buses::migrations(next(&all)));
    all.extend(pipes::migrations(next(&all)));
    all.extend(timers::migrations(next(&all)));
    all.extend(schedules::migrations(next(&all)));
    all.extend(metrics::alarm_migrations(next(&all)));
    all.push(logs::migration(next(&all)));
    all.extend(topics::migrations(next(&all)));
    all
}
