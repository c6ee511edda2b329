//! A query's commands as stages that records go through. Some let a record go on at once, some keep
//! what they need until there are no more.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap, HashSet},
};

use regex::Regex;

use super::{
    Column, Command, Direction, ParseBy, ROWS_MAX,
    aggregate::{Aggregate, State},
    discover::Record,
    evaluate::Scope,
    expression::Expression,
    value::Value,
};

/// What a stage keeps, in bytes. What is beyond is left out, the last in its order first.
const KEPT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Groups of a stats command, and combinations that dedup knows.
const GROUPS_MAX: usize = 100_000;

pub enum Stage {
    Fields(Vec<Column>),
    Filter(Expression),
    Parse {
        from: Expression,
        by: ParseBy,
    },
    Stats(Stats),
    Sort(Sort),
    Limit {
        limit: usize,
        passed: usize,
    },
    Dedup {
        by: Vec<Expression>,
        seen: HashSet<String>,
    },
}

impl Stage {
    /// `kept` is how many of a sort's records are wanted at most.
    pub fn of(command: Command, kept: usize) -> Self {
        match command {
            Command::Fields(columns) | Command::Display(columns) => Self::Fields(columns),
            Command::Filter(condition) => Self::Filter(condition),
            Command::Parse { from, by } => Self::Parse { from, by },
            Command::Stats { columns, by } => Self::Stats(Stats::new(columns, by)),
            Command::Sort(keys) => Self::Sort(Sort::new(keys, kept)),
            Command::Limit(limit) => Self::Limit { limit, passed: 0 },
            Command::Dedup(by) => Self::Dedup {
                by,
                seen: HashSet::new(),
            },
        }
    }

    /// Takes a record; gives it back if it goes on at once.
    pub fn take(&mut self, mut record: Record, now_ms: i64) -> Option<Record> {
        match self {
            Self::Fields(columns) => {
                for column in columns.iter() {
                    if matches!(&column.expression, Expression::Field(name) if *name == column.name)
                    {
                        continue;
                    }
                    let value = scope(&record, now_ms).evaluate(&column.expression);
                    record.set(&column.name, value);
                }
                Some(record)
            }
            Self::Filter(condition) => {
                let is_in = scope(&record, now_ms).evaluate(condition).is_true();
                is_in.then_some(record)
            }
            Self::Parse { from, by } => {
                let text = scope(&record, now_ms).evaluate(from);
                if let Some(text) = text.text() {
                    parse(by, &text, &mut record);
                }
                Some(record)
            }
            Self::Stats(stats) => {
                stats.take(&record, now_ms);
                None
            }
            Self::Sort(sort) => {
                sort.take(record, now_ms);
                None
            }
            Self::Limit { limit, passed } => {
                *passed += 1;
                (*passed <= *limit).then_some(record)
            }
            Self::Dedup { by, seen } => {
                let mut key = String::new();
                for expression in by.iter() {
                    // A record without one of them is left out.
                    let value = scope(&record, now_ms).evaluate(expression);
                    key.push_str(&value.text()?);
                    key.push('\0');
                }
                (seen.len() < GROUPS_MAX && seen.insert(key)).then_some(record)
            }
        }
    }

    /// What it kept, when no more comes.
    pub fn finish(&mut self, now_ms: i64) -> Vec<Record> {
        match self {
            Self::Stats(stats) => stats.finish(now_ms),
            Self::Sort(sort) => sort.finish(),
            _ => Vec::new(),
        }
    }

    /// Whether it would let nothing more through.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Limit { limit, passed } if passed >= limit)
    }
}

fn scope(record: &Record, now_ms: i64) -> Scope<'_> {
    Scope {
        record,
        slots: &[],
        now_ms,
    }
}

fn parse(by: &ParseBy, text: &str, record: &mut Record) {
    match by {
        ParseBy::Glob(regex, names) => {
            if let Some(found) = regex.captures(text) {
                for (group, name) in found.iter().skip(1).zip(names) {
                    if let Some(group) = group {
                        record.set(name, Value::from(group.as_str()));
                    }
                }
            }
        }
        ParseBy::Regex(regex) => named_groups(regex, text, record),
    }
}

fn named_groups(regex: &Regex, text: &str, record: &mut Record) {
    let Some(found) = regex.captures(text) else {
        return;
    };
    for name in regex.capture_names().flatten() {
        if let Some(group) = found.name(name) {
            record.set(name, Value::from(group.as_str()));
        }
    }
}

pub struct Stats {
    columns: Vec<Column>,
    by: Vec<Column>,
    aggregates: Vec<Aggregate>,
    groups: HashMap<String, Group>,
}

struct Group {
    key: Vec<Value>,
    states: Vec<State>,
}

impl Stats {
    fn new(columns: Vec<Column>, by: Vec<Column>) -> Self {
        let mut aggregates = Vec::new();
        let columns = columns
            .into_iter()
            .map(|column| Column {
                name: column.name,
                expression: column.expression.take_aggregates(&mut aggregates),
            })
            .collect();
        Self {
            columns,
            by,
            aggregates,
            groups: HashMap::new(),
        }
    }

    fn take(&mut self, record: &Record, now_ms: i64) {
        let scope = scope(record, now_ms);
        let key: Vec<Value> = self
            .by
            .iter()
            .map(|column| scope.evaluate(&column.expression))
            .collect();
        let text: String = key
            .iter()
            .map(|value| format!("{}\0", value.text().unwrap_or("\u{1}".into())))
            .collect();
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&text) {
            return;
        }
        let aggregates = &self.aggregates;
        let group = self.groups.entry(text).or_insert_with(|| Group {
            key,
            states: aggregates.iter().map(Aggregate::state).collect(),
        });
        for (aggregate, state) in aggregates.iter().zip(&mut group.states) {
            let value = aggregate.of.as_ref().map(|of| scope.evaluate(of));
            state.take(value, record.timestamp_ms());
        }
    }

    fn finish(&mut self, now_ms: i64) -> Vec<Record> {
        let mut groups: Vec<Group> = std::mem::take(&mut self.groups).into_values().collect();
        if groups.is_empty() && self.by.is_empty() {
            // Of nothing there are counts as well.
            groups.push(Group {
                key: Vec::new(),
                states: self.aggregates.iter().map(Aggregate::state).collect(),
            });
        }
        groups.sort_by(|left, right| order_of_keys(&left.key, &right.key));
        let rows = groups.into_iter().map(|group| {
            let results = self.aggregates.iter().zip(&group.states);
            let slots: Vec<Value> = results
                .map(|(aggregate, state)| aggregate.result(state))
                .collect();
            let names = self.by.iter().map(|column| column.name.clone());
            let keys: Vec<(String, Value)> = names.zip(group.key).collect();
            let record = Record::of(keys.clone());
            let scope = Scope {
                record: &record,
                slots: &slots,
                now_ms,
            };
            let columns = self.columns.iter();
            let values =
                columns.map(|column| (column.name.clone(), scope.evaluate(&column.expression)));
            Record::of(keys.into_iter().chain(values).collect())
        });
        rows.collect()
    }
}

/// The newest first, everything else from the least on.
fn order_of_keys(left: &[Value], right: &[Value]) -> Ordering {
    let pairs = left.iter().zip(right);
    let orders = pairs.map(|(left, right)| match (left, right) {
        (Value::Time(left), Value::Time(right)) => right.cmp(left),
        _ => left.order(right),
    });
    orders.fold(Ordering::Equal, Ordering::then)
}

pub struct Sort {
    keys: Vec<(Expression, Direction)>,
    kept_max: usize,
    rows: BTreeMap<SortKey, Record>,
    bytes: usize,
    number: u64,
}

/// Equal ones stay in the order in which they came.
struct SortKey {
    values: Vec<(Value, Direction)>,
    number: u64,
}

impl SortKey {
    fn compare(&self, other: &Self) -> Ordering {
        let pairs = self.values.iter().zip(&other.values);
        let orders = pairs.map(|((left, direction), (right, _))| match direction {
            Direction::Ascending => left.order(right),
            Direction::Descending => right.order(left),
        });
        orders
            .fold(Ordering::Equal, Ordering::then)
            .then(self.number.cmp(&other.number))
    }
}

impl PartialEq for SortKey {
    fn eq(&self, other: &Self) -> bool {
        self.compare(other).is_eq()
    }
}

impl Eq for SortKey {}

impl PartialOrd for SortKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SortKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.compare(other)
    }
}

impl Sort {
    fn new(keys: Vec<(Expression, Direction)>, kept_max: usize) -> Self {
        Self {
            keys,
            kept_max: kept_max.max(1),
            rows: BTreeMap::new(),
            bytes: 0,
            number: 0,
        }
    }

    fn take(&mut self, record: Record, now_ms: i64) {
        let values = self.keys.iter().map(|(expression, direction)| {
            let value = scope(&record, now_ms).evaluate(expression);
            (value, *direction)
        });
        let key = SortKey {
            values: values.collect(),
            number: self.number,
        };
        self.number += 1;
        let is_full = self.rows.len() >= self.kept_max;
        if is_full
            && self
                .rows
                .last_key_value()
                .is_some_and(|(last, _)| key > *last)
        {
            return;
        }
        self.bytes += record.size();
        self.rows.insert(key, record);
        while self.rows.len() > self.kept_max
            || (self.bytes > KEPT_BYTES_MAX && self.rows.len() > 1)
        {
            if let Some((_, last)) = self.rows.pop_last() {
                self.bytes = self.bytes.saturating_sub(last.size());
            }
        }
    }

    fn finish(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.rows).into_values().collect()
    }
}

/// How many records a sort has to keep, by what comes behind it.
pub fn kept_by_sort(behind: &[Command]) -> usize {
    for command in behind {
        match command {
            Command::Limit(limit) => return *limit,
            Command::Fields(_) | Command::Display(_) | Command::Parse { .. } | Command::Sort(_) => {
            }
            // Records may be left out or taken together.
            Command::Filter(_) | Command::Stats { .. } | Command::Dedup(_) => return usize::MAX,
        }
    }
    ROWS_MAX
}
