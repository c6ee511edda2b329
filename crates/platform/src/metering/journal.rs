//! The usage journal: a text line per invocation, in numbered files that are never written again
//! once the next one is begun.
//!
//! A file's name is never used twice, even if a power cut undoes its making, so that by its name it
//! is known whether it was folded. What the disk does not take is added up in memory until it does.

use std::{
    collections::BTreeMap,
    fs::{DirBuilder, File},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Usage, UsageEvent, UsageRow};
use crate::limits;

pub struct Journal {
    directory: PathBuf,
    /// Part of our files' names; of nobody else's.
    run: String,
    current: Mutex<Current>,
}

struct Current {
    file: File,
    number: u64,
    len: u64,
    /// Sums that could not be written yet, by what identifies their row.
    unwritten: BTreeMap<String, UsageRow>,
}

/// A use that is not in the file.
#[derive(Debug)]
pub struct Unwritten {
    pub error: io::Error,
    /// It is added to what waits in memory; otherwise it is lost.
    pub kept: bool,
    /// It is the first since the last that was written.
    pub first: bool,
}

/// What is in a file.
#[derive(Debug, Default, PartialEq)]
pub struct Sum {
    /// By function version and day.
    pub rows: Vec<UsageRow>,
    /// Whole lines that cannot be read.
    pub damaged: u64,
}

impl Journal {
    /// Begins a file of its own behind those that are there.
    pub fn open(directory: &Path) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        let number = files(directory)?.last().map_or(0, |last| last.number + 1);
        let run = uuid::Uuid::new_v4().simple().to_string();
        Ok(Self {
            current: Mutex::new(Current {
                file: create(directory, number, &run)?,
                number,
                len: 0,
                unwritten: BTreeMap::new(),
            }),
            directory: directory.to_owned(),
            run,
        })
    }

    /// Gives the length of the journal.
    pub fn append(&self, usage: &Usage<'_>) -> Result<u64, Unwritten> {
        let line = line(usage);
        let mut current = self.lock();
        let written = match current.write_waiting() {
            Ok(()) => current.write(&line),
            Err(error) => Err(error),
        };
        match written {
            Ok(()) => Ok(current.len),
            Err(error) => Err(current.keep(&line, error)),
        }
    }

    pub fn is_empty(&self) -> bool {
        let current = self.lock();
        current.len == 0 && current.unwritten.is_empty()
    }

    /// Closes the current file and begins the next, unless it is empty.
    pub fn rotate(&self) -> io::Result<()> {
        let mut current = self.lock();
        current.write_waiting()?;
        if current.len > 0 {
            let number = current.number + 1;
            current.file = create(&self.directory, number, &self.run)?;
            (current.number, current.len) = (number, 0);
        }
        Ok(())
    }

    /// The files that will not be written again, oldest first.
    pub fn closed(&self) -> io::Result<Vec<Closed>> {
        let current = name(self.lock().number, &self.run);
        let mut files = files(&self.directory)?;
        files.retain(|file| file.name != current);
        Ok(files)
    }

    /// Removes a file, for good when this returns.
    pub fn remove(&self, file: &Closed) -> io::Result<()> {
        std::fs::remove_file(&file.path)?;
        File::open(&self.directory)?.sync_all()
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    /// Writes a piece or leaves the file as it was.
    fn write(&mut self, text: &str) -> io::Result<()> {
        let written = self.file.write_all(text.as_bytes());
        match &written {
            Ok(()) => self.len += text.len() as u64,
            // The half of a line would spoil the next. That a file gets shorter always succeeds.
            Err(_) => drop(self.file.set_len(self.len)),
        }
        written
    }

    fn write_waiting(&mut self) -> io::Result<()> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let text: String = self.unwritten.iter().map(summed).collect();
        self.write(&text)?;
        let rows = self.unwritten.len();
        tracing::info!(rows, "the usage journal is written again");
        self.unwritten.clear();
        Ok(())
    }

    fn keep(&mut self, line: &str, error: io::Error) -> Unwritten {
        let first = self.unwritten.is_empty();
        let Some((key, row)) = parse(line.trim_end()) else {
            let kept = false;
            return Unwritten { error, kept, first };
        };
        let room = self.unwritten.len() < limits::USAGE_ROWS_KEPT_MAX;
        let kept = room || self.unwritten.contains_key(&key);
        if kept {
            merge(&mut self.unwritten, key, row);
        }
        Unwritten { error, kept, first }
    }
}

/// Adds up a journal's lines by function version and day; a torn last line is left out.
pub fn sum(bytes: &[u8]) -> Sum {
    let text = String::from_utf8_lossy(bytes);
    let mut rows = BTreeMap::new();
    let mut damaged = 0;
    for line in text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
    {
        match parse(line.trim_end()) {
            Some((key, row)) => merge(&mut rows, key, row),
            None => damaged += 1,
        }
    }
    Sum {
        rows: rows.into_values().collect(),
        damaged,
    }
}

fn merge(rows: &mut BTreeMap<String, UsageRow>, key: String, row: UsageRow) {
    match rows.get_mut(&key) {
        Some(sum) => add(sum, &row),
        None => drop(rows.insert(key, row)),
    }
}

fn add(sum: &mut UsageRow, row: &UsageRow) {
    sum.requests += row.requests;
    sum.errors += row.errors;
    sum.throttles += row.throttles;
    sum.billed_ms += row.billed_ms;
    sum.init_ms += row.init_ms;
    sum.max_memory_mb = sum.max_memory_mb.max(row.max_memory_mb);
    sum.provisioned_billed_ms += row.provisioned_billed_ms;
    sum.provisioned_ms += row.provisioned_ms;
}

/// What identifies a row, a tab, and what is added up, separated by commas: none of the names may
/// hold either.
fn line(usage: &Usage<'_>) -> String {
    let Usage {
        account_id,
        region,
        function,
        version,
        architecture,
        memory_mb,
        ..
    } = usage;
    let day = usage.at.strftime("%Y-%m-%d");
    let counts = match usage.event {
        UsageEvent::Throttled => "0,0,1,0,0,0,0,0".to_owned(),
        UsageEvent::Provisioned { kept_ms } => format!("0,0,0,0,0,0,0,{kept_ms}"),
        UsageEvent::Invoked {
            billed_ms,
            init_ms,
            max_memory_mb,
            failed,
            provisioned,
        } => format!(
            "1,{},0,{billed_ms},{init_ms},{max_memory_mb},{},0",
            u8::from(failed),
            if provisioned { billed_ms } else { 0 }
        ),
    };
    format!(
        "{day},{account_id},{region},{function},{version},{architecture},{memory_mb}\t{counts}\n"
    )
}

/// A line of what several lines would add up to.
fn summed((key, row): (&String, &UsageRow)) -> String {
    let UsageRow {
        requests,
        errors,
        throttles,
        billed_ms,
        init_ms,
        max_memory_mb,
        provisioned_billed_ms,
        provisioned_ms,
        ..
    } = row;
    format!(
        "{key}\t{requests},{errors},{throttles},{billed_ms},{init_ms},{max_memory_mb},\
         {provisioned_billed_ms},{provisioned_ms}\n"
    )
}

fn parse(line: &str) -> Option<(String, UsageRow)> {
    let (key, counts) = line.split_once('\t')?;
    let mut names = key.split(',');
    let mut name = || names.next();
    let (day, account_id, region) = (name()?, name()?, name()?);
    let (function, version, architecture, memory_mb) = (name()?, name()?, name()?, name()?);
    let mut counts = counts.split(',').map(str::parse::<u64>);
    let mut count = || counts.next()?.ok();
    let (requests, errors, throttles) = (count()?, count()?, count()?);
    let (billed_ms, init_ms, max_memory_mb) = (count()?, count()?, count()?);
    // A journal of before provisioned concurrency has no more.
    let mut later = || counts.next().map_or(Some(0), Result::ok);
    let row = UsageRow {
        account_id: account_id.to_owned(),
        region: region.to_owned(),
        function: function.to_owned(),
        version: version.to_owned(),
        architecture: architecture.to_owned(),
        memory_mb: memory_mb.parse().ok()?,
        day: day.to_owned(),
        requests,
        errors,
        throttles,
        billed_ms,
        init_ms,
        max_memory_mb,
        provisioned_billed_ms: later()?,
        provisioned_ms: later()?,
    };
    Some((key.to_owned(), row))
}

fn create(directory: &Path, number: u64, run: &str) -> io::Result<File> {
    let path = directory.join(name(number, run)).with_extension("usage");
    File::options().append(true).create_new(true).open(path)
}

fn name(number: u64, run: &str) -> String {
    format!("{number:012}-{run}")
}

/// A file that is not written any more.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Closed {
    number: u64,
    pub name: String,
    pub path: PathBuf,
}

fn files(directory: &Path) -> io::Result<Vec<Closed>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let Some(name) = stem.filter(|_| path.extension().is_some_and(|ext| ext == "usage")) else {
            continue;
        };
        let number = name
            .split('-')
            .next()
            .and_then(|number| number.parse().ok());
        if let Some(number) = number {
            let name = name.to_owned();
            files.push(Closed { number, name, path });
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::{super::tests::invoked, *};

    fn contents(journal: &Journal) -> Sum {
        journal.rotate().unwrap();
        let files = journal.closed().unwrap();
        let bytes = files
            .iter()
            .flat_map(|file| std::fs::read(&file.path).unwrap());
        sum(&bytes.collect::<Vec<u8>>())
    }

    #[test]
    fn a_full_disk_loses_no_use() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        journal.append(&invoked(1, false)).unwrap();
        let full = File::options().append(true).open("/dev/full").unwrap();
        let good = std::mem::replace(&mut journal.lock().file, full);
        for first in [true, false] {
            let unwritten = journal.append(&invoked(10, false)).unwrap_err();
            assert!(unwritten.kept, "{unwritten:?}");
            assert_eq!(unwritten.first, first);
        }
        assert!(journal.rotate().is_err(), "nothing can be written yet");
        journal.lock().file = good;
        journal.append(&invoked(100, true)).unwrap();
        let Sum { rows, damaged } = contents(&journal);
        assert_eq!((rows.len(), damaged), (1, 0));
        assert_eq!(
            (rows[0].billed_ms, rows[0].requests, rows[0].errors),
            (121, 4, 1)
        );
    }

    #[test]
    fn a_torn_end_is_left_out_and_a_damaged_line_is_counted() {
        let whole = line(&invoked(5, false));
        let text = format!("{whole}rubbish\n{whole}{}", &whole[..whole.len() - 2]);
        let Sum { rows, damaged } = sum(text.as_bytes());
        assert_eq!((rows[0].billed_ms, damaged), (10, 1));
    }

    #[test]
    fn a_journal_of_before_provisioned_concurrency_is_read() {
        let old = "2026-01-02,000000000000,eu-west-1,f,1,arm64,128\t1,0,0,5,2,64\n";
        let Sum { rows, damaged } = sum(old.as_bytes());
        assert_eq!(
            (rows[0].billed_ms, rows[0].provisioned_ms, damaged),
            (5, 0, 0)
        );
    }

    /// As after a power cut that undid the making of a file.
    #[test]
    fn a_name_is_never_used_twice() {
        let dir = tempfile::tempdir().unwrap();
        let mut names = Vec::new();
        for _ in 0..2 {
            let journal = Journal::open(dir.path()).unwrap();
            journal.append(&invoked(1, false)).unwrap();
            journal.rotate().unwrap();
            names.push(journal.closed().unwrap().remove(0).name);
            for file in std::fs::read_dir(dir.path()).unwrap() {
                std::fs::remove_file(file.unwrap().path()).unwrap();
            }
        }
        assert_ne!(names[0], names[1]);
    }
}
