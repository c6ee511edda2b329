//! The usage journal: a text line per invocation, in numbered files that are never written again
//! once the next one is begun.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Usage, UsageEvent, UsageRow};

pub struct Journal {
    directory: PathBuf,
    current: Mutex<Current>,
}

struct Current {
    file: File,
    number: u64,
    len: u64,
}

impl Journal {
    /// Begins a file of its own behind those that are there.
    pub fn open(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        // Numbers are never used again, so that a file folded twice is known as the same.
        let number = next_number(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            current: Mutex::new(create(directory, number)?),
        })
    }

    /// Gives the length of the journal.
    pub fn append(&self, usage: &Usage<'_>) -> io::Result<u64> {
        let line = line(usage);
        let mut current = self.lock();
        current.file.write_all(line.as_bytes())?;
        current.len += line.len() as u64;
        Ok(current.len)
    }

    pub fn is_empty(&self) -> bool {
        self.lock().len == 0
    }

    /// Closes the current file and begins the next, unless it is empty.
    pub fn rotate(&self) -> io::Result<()> {
        let mut current = self.lock();
        if current.len > 0 {
            *current = create(&self.directory, current.number + 1)?;
        }
        Ok(())
    }

    /// The files that will not be written again, oldest first.
    pub fn closed(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let number = self.lock().number;
        let mut files = files(&self.directory)?;
        files.retain(|(n, _)| *n != number);
        Ok(files)
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds up a journal's lines by function version and day; a torn last line is left out.
pub fn sum(bytes: &[u8]) -> Vec<UsageRow> {
    let text = String::from_utf8_lossy(bytes);
    let mut rows: HashMap<String, UsageRow> = HashMap::new();
    for line in text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
    {
        let Some((key, row)) = parse(line.trim_end()) else {
            continue;
        };
        match rows.get_mut(&key) {
            Some(sum) => add(sum, &row),
            None => {
                rows.insert(key, row);
            }
        }
    }
    rows.into_values().collect()
}

fn add(sum: &mut UsageRow, row: &UsageRow) {
    sum.requests += row.requests;
    sum.errors += row.errors;
    sum.throttles += row.throttles;
    sum.billed_ms += row.billed_ms;
    sum.init_ms += row.init_ms;
    sum.max_memory_mb = sum.max_memory_mb.max(row.max_memory_mb);
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
        UsageEvent::Throttled => "0,0,1,0,0,0".to_owned(),
        UsageEvent::Invoked {
            billed_ms,
            init_ms,
            max_memory_mb,
            failed,
        } => format!(
            "1,{},0,{billed_ms},{init_ms},{max_memory_mb}",
            u8::from(failed)
        ),
    };
    format!(
        "{day},{account_id},{region},{function},{version},{architecture},{memory_mb}\t{counts}\n"
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
    let row = UsageRow {
        account_id: account_id.to_owned(),
        region: region.to_owned(),
        function: function.to_owned(),
        version: version.to_owned(),
        architecture: architecture.to_owned(),
        memory_mb: memory_mb.parse().ok()?,
        day: day.to_owned(),
        requests: count()?,
        errors: count()?,
        throttles: count()?,
        billed_ms: count()?,
        init_ms: count()?,
        max_memory_mb: count()?,
    };
    Some((key.to_owned(), row))
}

fn create(directory: &Path, number: u64) -> io::Result<Current> {
    let path = directory.join(format!("{number:012}.usage"));
    let file = File::options().append(true).create_new(true).open(path)?;
    // The counter outlives the files, which are removed when they are folded.
    std::fs::write(directory.join("next"), (number + 1).to_string())?;
    Ok(Current {
        file,
        number,
        len: 0,
    })
}

fn next_number(directory: &Path) -> io::Result<u64> {
    let noted = std::fs::read_to_string(directory.join("next"));
    let noted = noted
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0);
    let last = files(directory)?.last().map_or(0, |(number, _)| number + 1);
    Ok(last.max(noted))
}

fn files(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|ext| ext == "usage"))
        {
            files.push((number, path));
        }
    }
    files.sort();
    Ok(files)
}
