//! Room on the disk that is kept for the moment when it is full: without it nothing could be
//! written any more, not even that something is deleted.
//!
//! Given up once, it is taken again when there is room. Writes that come later than what it is good
//! for are refused, as all are where it could not be taken.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::limits;

pub(crate) struct Reserve {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_held: bool,
    tried: Option<Instant>,
}

impl Reserve {
    /// In a file of its own.
    pub fn at(path: PathBuf) -> Self {
        Self {
            path,
            state: Mutex::default(),
        }
    }

    /// Takes the room if it is not held, not more often than every [`limits::RESERVE_EVERY`].
    pub fn take(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_early = |tried: Instant| tried.elapsed() < limits::RESERVE_EVERY;
        if state.is_held || state.tried.is_some_and(is_early) {
            return;
        }
        state.tried = Some(Instant::now());
        if self.is_there() {
            state.is_held = true;
            return;
        }
        match self.fill() {
            Ok(()) => state.is_held = true,
            Err(error) => {
                tracing::debug!(%error, "no room is kept for when the disk is full");
                let _ = fs::remove_file(&self.path);
            }
        }
    }

    /// Whether there is room now that was not there before.
    pub fn give_up(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let was_held = std::mem::take(&mut state.is_held);
        let given = was_held && fs::remove_file(&self.path).is_ok();
        if given {
            tracing::warn!("the disk is full: what was kept for this moment is used now");
        }
        given
    }

    /// The process before has left it: on a full disk it would not come again.
    fn is_there(&self) -> bool {
        let found = fs::metadata(&self.path);
        found.is_ok_and(|found| found.len() == limits::RESERVE_BYTES as u64)
    }

    /// Written in full, so that it takes room on every file system that does not compress.
    fn fill(&self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&self.path)?;
        let zeros = [0; 64 * 1024];
        for _ in 0..limits::RESERVE_BYTES / zeros.len() {
            file.write_all(&zeros)?;
        }
        // Room may turn out not to be there only now.
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_process_before_has_left_is_not_written_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("reserve");
        fs::write(&path, vec![7; limits::RESERVE_BYTES]).unwrap();
        let reserve = Reserve::at(path.clone());
        reserve.take();
        assert_eq!(fs::read(&path).unwrap()[0], 7);
        assert!(reserve.give_up());
    }

    #[test]
    fn one_that_was_not_finished_is_written_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("reserve");
        fs::write(&path, vec![7; 100]).unwrap();
        Reserve::at(path.clone()).take();
        let written = fs::read(&path).unwrap();
        assert_eq!((written.len(), written[0]), (limits::RESERVE_BYTES, 0));
    }

    #[test]
    fn it_is_given_up_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("reserve");
        let reserve = Reserve::at(path.clone());
        assert!(!reserve.give_up());
        reserve.take();
        assert_eq!(
            fs::metadata(&path).unwrap().len(),
            limits::RESERVE_BYTES as u64
        );
        assert!(reserve.give_up());
        assert!(!path.exists());
        assert!(!reserve.give_up());
        // Not at once again: whoever needed it still does.
        reserve.take();
        assert!(!path.exists());
    }
}
