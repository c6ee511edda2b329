//! A query at work.

use super::{
    Command, Direction, Query, ROWS_MAX,
    discover::{Record, Source},
    expression::Expression,
    stages::{Stage, kept_by_sort},
    value::Value,
};

/// Names and values of an answer's row.
pub type Row = Vec<(String, String)>;

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Statistics {
    pub scanned: u64,
    pub scanned_bytes: u64,
    pub matched: u64,
}

pub struct Run {
    stages: Vec<Stage>,
    /// What is shown; none is shown as it comes from stats.
    columns: Option<Vec<String>>,
    rows: Vec<Record>,
    limit: usize,
    now_ms: i64,
    /// How many of the first stages tell whether an event matches.
    matching: usize,
    pub statistics: Statistics,
}

impl Run {
    /// `limit` is what is asked for beside the query.
    pub fn new(query: &Query, limit: Option<usize>, now_ms: i64) -> Self {
        let mut commands = query.commands.clone();
        let columns = columns(&commands);
        sort_by_time(&mut commands);
        if let Some(limit) = limit {
            commands.push(Command::Limit(limit.min(ROWS_MAX)));
        }
        let goes_on = |command: &Command| {
            matches!(
                command,
                Command::Fields(_) | Command::Filter(_) | Command::Parse { .. }
            )
        };
        let matching = commands
            .iter()
            .take_while(|command| goes_on(command))
            .count();
        let kept: Vec<usize> = (1..=commands.len())
            .map(|behind| kept_by_sort(&commands[behind..]))
            .collect();
        let stages = commands.into_iter().zip(kept);
        Self {
            stages: stages
                .map(|(command, kept)| Stage::of(command, kept))
                .collect(),
            columns,
            rows: Vec::new(),
            limit: ROWS_MAX,
            now_ms,
            matching,
            statistics: Statistics::default(),
        }
    }

    pub fn take(&mut self, event: Source) {
        self.statistics.scanned += 1;
        self.statistics.scanned_bytes += event.message.len() as u64;
        let mut record = Record::new(event);
        for at in 0..self.matching {
            match self.stages[at].take(record, self.now_ms) {
                Some(next) => record = next,
                None => return,
            }
        }
        self.statistics.matched += 1;
        self.pass(record, self.matching);
    }

    /// Whether more events would change nothing.
    pub fn is_full(&self) -> bool {
        self.stages
            .iter()
            .take_while(|stage| !matches!(stage, Stage::Stats(_) | Stage::Sort(_)))
            .any(Stage::is_full)
    }

    fn pass(&mut self, mut record: Record, from: usize) {
        for stage in &mut self.stages[from..] {
            match stage.take(record, self.now_ms) {
                Some(next) => record = next,
                None => return,
            }
        }
        if self.rows.len() < self.limit {
            self.rows.push(record);
        }
    }

    /// The answer. `pointer` names an event so that it is found again.
    pub fn finish(mut self, pointer: impl Fn(&Source) -> String) -> (Vec<Row>, Statistics) {
        for at in 0..self.stages.len() {
            for record in self.stages[at].finish(self.now_ms) {
                self.pass(record, at + 1);
            }
        }
        let rows = self.rows.iter().map(|record| {
            let mut row = shown(record, self.columns.as_deref());
            if let Some(event) = record.event() {
                row.push(("@ptr".to_owned(), pointer(event)));
            }
            row
        });
        (rows.collect(), self.statistics)
    }
}

/// The last display says what is shown, or all fields together.
fn columns(commands: &[Command]) -> Option<Vec<String>> {
    let mut shown: Option<Vec<String>> = None;
    let mut is_displayed = false;
    let mut has_stats = false;
    for command in commands {
        match command {
            Command::Display(columns) => {
                shown = Some(columns.iter().map(|column| column.name.clone()).collect());
                is_displayed = true;
            }
            Command::Fields(columns) if !is_displayed => {
                let all = shown.get_or_insert_default();
                for column in columns {
                    if !all.contains(&column.name) {
                        all.push(column.name.clone());
                    }
                }
            }
            Command::Stats { .. } => {
                has_stats = true;
                is_displayed = false;
                shown = None;
            }
            _ => {}
        }
    }
    match has_stats {
        true => shown.filter(|_| is_displayed),
        false => {
            Some(shown.unwrap_or_else(|| vec!["@timestamp".to_owned(), "@message".to_owned()]))
        }
    }
}

/// The newest come first, where nothing else is said.
fn sort_by_time(commands: &mut Vec<Command>) {
    let at = commands.iter().position(|command| {
        matches!(
            command,
            Command::Sort(_) | Command::Stats { .. } | Command::Limit(_) | Command::Dedup(_)
        )
    });
    let at = match at {
        Some(at) if matches!(commands[at], Command::Sort(_) | Command::Stats { .. }) => return,
        Some(at) => at,
        None => commands.len(),
    };
    let time = Expression::Field("@timestamp".to_owned());
    commands.insert(at, Command::Sort(vec![(time, Direction::Descending)]));
}

fn shown(record: &Record, columns: Option<&[String]>) -> Row {
    let mut row = Row::new();
    let mut add = |name: &str, value: Value| {
        if !value.is_null() {
            row.push((name.to_owned(), value.to_string()));
        }
    };
    match columns {
        Some(columns) => {
            for name in columns {
                add(name, record.get(name));
            }
        }
        None => {
            for (name, value) in record.computed() {
                add(name, value.clone());
            }
        }
    }
    row
}
