//! The tasks that there are: kept in memory, stored with every step that a restart has to know.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use store::{Page, Store};
use tokio::sync::Notify;

use super::{MOVE_TASKS, MoveTask, Status, no_resource};
use crate::queues::{
    definition::QueueKey,
    error::{Error, Result},
    limits,
};

pub struct MoveTasks {
    store: Store,
    by_source: Mutex<BTreeMap<QueueKey, Vec<Arc<Task>>>>,
}

/// A task and its worker's bell.
pub struct Task {
    record: Mutex<MoveTask>,
    cancelled: Notify,
}

impl Task {
    fn new(record: MoveTask) -> Arc<Self> {
        Arc::new(Self {
            record: Mutex::new(record),
            cancelled: Notify::new(),
        })
    }

    pub fn record(&self) -> MoveTask {
        self.lock().clone()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut MoveTask)) -> MoveTask {
        let mut record = self.lock();
        change(&mut record);
        record.clone()
    }

    /// Answers when the task is to be cancelled.
    pub(super) async fn cancelled(&self) {
        self.cancelled.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, MoveTask> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MoveTasks {
    /// Reads the tasks that there are. [`MoveTasks::unended`] are to be run again.
    pub async fn open(store: Store) -> store::Result<Self> {
        let stored = store.read(read_all).await?;
        let mut by_source: BTreeMap<QueueKey, Vec<Arc<Task>>> = BTreeMap::new();
        for record in stored {
            let tasks = by_source.entry(record.source.clone()).or_default();
            tasks.push(Task::new(record));
        }
        for tasks in by_source.values_mut() {
            tasks.sort_by_key(|task| task.record().started_ms);
        }
        Ok(Self {
            store,
            by_source: Mutex::new(by_source),
        })
    }

    pub fn unended(&self) -> Vec<Arc<Task>> {
        let by_source = self.lock();
        let all = by_source.values().flatten();
        let unended = all.filter(|task| !task.record().status.is_ended());
        unended.cloned().collect()
    }

    /// A queue's tasks, the newest first.
    pub fn of(&self, source: &QueueKey) -> Vec<MoveTask> {
        let by_source = self.lock();
        let tasks = by_source.get(source).into_iter().flatten().rev();
        tasks.map(|task| task.record()).collect()
    }

    /// Takes in and stores a new task, unless one of the queue's is at work.
    pub async fn start(&self, record: MoveTask) -> Result<Arc<Task>> {
        let task = Task::new(record.clone());
        let forgotten = self.take_in(&record, &task)?;
        let stored = self.store.write(move |tx| {
            for old in &forgotten {
                MOVE_TASKS.delete(tx, &key(old))?;
            }
            MOVE_TASKS.put(tx, &key(&record), &record)?;
            Ok(())
        });
        if let Err(error) = stored.await {
            self.drop_task(&task);
            return Err(error.into());
        }
        Ok(task)
    }

    /// Gives the old tasks that make room.
    fn take_in(&self, record: &MoveTask, task: &Arc<Task>) -> Result<Vec<MoveTask>> {
        let mut by_source = self.lock();
        let source = &record.source;
        let is_near = |key: &&QueueKey| {
            (&key.account_id, &key.region) == (&source.account_id, &source.region)
        };
        let running = |task: &&Arc<Task>| !task.record().status.is_ended();
        let near = by_source.iter().filter(|(key, _)| is_near(key));
        let at_work = near.flat_map(|(_, tasks)| tasks).filter(running).count();
        if by_source
            .get(source)
            .into_iter()
            .flatten()
            .any(|task| running(&task))
        {
            return Err(Error::parameter(
                "There is already a task running. Only one active task is allowed for a source \
                 queue arn at a given time.",
            ));
        }
        if at_work >= limits::MOVE_TASKS_RUNNING_MAX {
            return Err(Error::OverLimit(format!(
                "The maximum number of active message move tasks is {}.",
                limits::MOVE_TASKS_RUNNING_MAX
            )));
        }
        let tasks = by_source.entry(source.clone()).or_default();
        tasks.push(task.clone());
        let excess = tasks.len().saturating_sub(limits::MOVE_TASKS_KEPT);
        Ok(tasks.drain(..excess).map(|task| task.record()).collect())
    }

    fn drop_task(&self, task: &Arc<Task>) {
        let source = task.record().source;
        if let Some(tasks) = self.lock().get_mut(&source) {
            tasks.retain(|held| !Arc::ptr_eq(held, task));
        }
    }

    /// Tells a task at work to stop; gives it as it is now.
    pub async fn cancel(&self, source: &QueueKey, id: &str) -> Result<MoveTask> {
        let found = {
            let by_source = self.lock();
            let mut tasks = by_source.get(source).into_iter().flatten();
            tasks.find(|task| task.record().id == id).cloned()
        };
        let task = found.ok_or_else(|| no_resource("TaskHandle"))?;
        let record = task.change(|record| {
            if record.status == Status::Running {
                record.status = Status::Cancelling;
            }
        });
        if record.status != Status::Cancelling {
            return Err(Error::parameter(
                "Only message move tasks with the status RUNNING can be cancelled.",
            ));
        }
        task.cancelled.notify_one();
        self.save(&record).await?;
        Ok(record)
    }

    pub(super) async fn save(&self, record: &MoveTask) -> store::Result<()> {
        let record = record.clone();
        let saved = self.store.write(move |tx| {
            MOVE_TASKS.put(tx, &key(&record), &record)?;
            Ok(())
        });
        saved.await
    }

    /// A queue is gone, and what was told of it with it.
    pub async fn forget(&self, source: &QueueKey) -> store::Result<()> {
        let tasks = self.lock().remove(source).unwrap_or_default();
        if tasks.is_empty() {
            return Ok(());
        }
        for task in &tasks {
            task.change(|record| record.status = Status::Cancelling);
            task.cancelled.notify_one();
        }
        let QueueKey {
            account_id,
            region,
            name,
        } = source.clone();
        let forgotten = self.store.write(move |tx| {
            MOVE_TASKS.delete_under(tx, &[&account_id, &region, &name])?;
            Ok(())
        });
        forgotten.await
    }

    /// Whether the task is still one to be told of.
    pub(super) fn has(&self, task: &Arc<Task>) -> bool {
        let source = task.record().source;
        let by_source = self.lock();
        let mut tasks = by_source.get(&source).into_iter().flatten();
        tasks.any(|held| Arc::ptr_eq(held, task))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<QueueKey, Vec<Arc<Task>>>> {
        self.by_source
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(record: &MoveTask) -> [&str; 4] {
    let QueueKey {
        account_id,
        region,
        name,
    } = &record.source;
    [account_id, region, name, &record.id]
}

fn read_all(tx: &mut store::ReadTx) -> store::Result<Vec<MoveTask>> {
    const PAGE: u32 = 500;
    let mut all: Vec<MoveTask> = Vec::new();
    loop {
        let last = all.last().cloned();
        let after = last.as_ref().map(key);
        let page = Page {
            prefix: &[],
            after: after.as_ref().map(|key| key.as_slice()),
            limit: PAGE,
        };
        let found = MOVE_TASKS.list(tx, page)?;
        let is_last = found.len() < PAGE as usize;
        all.extend(found.into_iter().map(|stored| stored.record));
        if is_last {
            return Ok(all);
        }
    }
}
