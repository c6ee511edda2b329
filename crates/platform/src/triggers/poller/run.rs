//! The poller's loop: one task per mapping decides, tasks of their own receive, invoke and delete.
//!
//! Idle, it is one receive that waits in the queue. A message is either with a function, waits here
//! for its turn, or is in the queue: whatever ends before its deletion comes back by its visibility
//! timeout.

mod fetch;
mod hand_over;
mod settle;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet, time::Instant};

use super::{
    Deps, Orders, Plan,
    batch::{Assembly, Batch},
    invoke::Invoked,
    receive::Got,
    scale::Scale,
};
use crate::{
    queues::Queue,
    triggers::{limits, mapping::Mapping},
};

/// Demand that nothing happens about is looked at again after this time.
const DEMAND_EVERY: Duration = Duration::from_millis(200);
/// After a refusal with nothing running, the next try waits, longer each time.
const BACK_OFF: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

pub struct Run {
    deps: Deps,
    mapping: Arc<Mapping>,
    plan: Arc<Plan>,
    orders: watch::Receiver<Orders>,
    stopping: bool,
    /// There is nobody left to give orders.
    abandoned: bool,
    queue: Option<Arc<Queue>>,

    scale: Scale,
    assembly: Assembly,
    /// Complete, waiting for their turn.
    ready: VecDeque<Batch>,
    receiving: JoinSet<Option<Got>>,
    invoking: JoinSet<Invoked>,
    /// The groups of what is being invoked, with FIFO queues.
    busy: Vec<Arc<str>>,
    settling: JoinSet<()>,

    /// The last receive came back with as much as it could.
    more: bool,
    /// How many receives of a FIFO queue run at once: twice as many as long as there is something.
    width: usize,
    /// Running means.
    invoke_ms: Option<f64>,
    message_bytes: f64,
    no_receive: Hold,
    /// The mapping's problem is that the queue cannot be read.
    is_unreadable: bool,
    no_invoke: Hold,
}

/// Something that is not to be done until a time, later each time in a row.
#[derive(Default)]
struct Hold {
    until: Option<Instant>,
    times: u32,
}

impl Hold {
    fn longer(&mut self) {
        let after = BACK_OFF.saturating_mul(1 << self.times.min(10));
        self.times += 1;
        self.for_time(after.min(BACK_OFF_MAX));
    }

    fn for_time(&mut self, time: Duration) {
        self.until = Some(Instant::now() + time);
    }

    fn is_on(&mut self) -> bool {
        self.until = self.until.filter(|until| Instant::now() < *until);
        self.until.is_some()
    }
}

impl Run {
    pub fn new(
        deps: Deps,
        mapping: Arc<Mapping>,
        plan: Arc<Plan>,
        orders: watch::Receiver<Orders>,
    ) -> Self {
        let settings = &plan.record.settings;
        let is_fifo = plan.queue.is_fifo();
        // An earlier poller may have told of it.
        let is_unreadable = mapping.problem().is_some();
        Self {
            scale: Scale::new(settings, is_fifo),
            assembly: Assembly::new(settings.batch_size as usize, window_ms(&plan)),
            deps,
            mapping,
            plan,
            orders,
            stopping: false,
            abandoned: false,
            queue: None,
            ready: VecDeque::new(),
            receiving: JoinSet::new(),
            invoking: JoinSet::new(),
            busy: Vec::new(),
            settling: JoinSet::new(),
            more: false,
            width: 1,
            invoke_ms: None,
            message_bytes: limits::RECEIVE_BYTES as f64 / limits::RECEIVE_START as f64,
            no_receive: Hold::default(),
            is_unreadable,
            no_invoke: Hold::default(),
        }
    }

    pub async fn run(mut self) {
        loop {
            if self.stopping {
                self.give_all_back();
                let idle = self.receiving.is_empty() && self.invoking.is_empty();
                if idle && self.settling.is_empty() {
                    return;
                }
            } else {
                self.ready.extend(self.assembly.due(self.now_ms()));
                self.invoke_ready();
                self.receive_more();
            }
            let turn = self.next_turn();
            tokio::select! {
                told = self.orders.changed(), if !self.abandoned => self.obey(told.is_err()),
                Some(got) = self.receiving.join_next() => if let Ok(Some(got)) = got { self.got(got) },
                Some(ended) = self.invoking.join_next() => self.invoked(ended),
                Some(_) = self.settling.join_next() => {}
                () = tokio::time::sleep_until(turn.unwrap_or_else(Instant::now)), if turn.is_some() => {}
            }
        }
    }

    fn obey(&mut self, abandoned: bool) {
        self.abandoned = abandoned;
        let orders = self.orders.borrow_and_update().clone();
        match orders {
            Orders::Run(plan) if !abandoned => {
                self.stopping = false;
                let settings = &plan.record.settings;
                self.scale.change(settings, plan.queue.is_fifo());
                self.assembly
                    .change(settings.batch_size as usize, window_ms(&plan));
                self.no_receive = Hold::default();
                self.no_invoke = Hold::default();
                self.plan = plan;
            }
            Orders::Run(_) | Orders::Stop => {
                self.stopping = true;
            }
        }
    }

    fn now_ms(&self) -> i64 {
        self.deps.queues.clock().now_ms()
    }

    /// When to look again although nothing has happened.
    fn next_turn(&self) -> Option<Instant> {
        if self.stopping {
            return None;
        }
        let after = |ms: i64| Instant::now() + Duration::from_millis(ms.max(0).unsigned_abs());
        let due = self
            .assembly
            .due_ms()
            .map(|due_ms| after(due_ms - self.now_ms()));
        let demand = self.is_in_demand().then(|| Instant::now() + DEMAND_EVERY);
        let receive = self.no_receive.until.filter(|_| self.receiving.is_empty());
        let invoke = self.no_invoke.until.filter(|_| !self.ready.is_empty());
        let turns = [due, demand, receive, invoke];
        turns.into_iter().flatten().min()
    }

    fn is_in_demand(&self) -> bool {
        let full = self.invoking.len() >= self.scale.allowed();
        full && self.no_invoke.until.is_none() && (self.more || !self.ready.is_empty())
    }
}

fn window_ms(plan: &Plan) -> i64 {
    i64::from(plan.record.settings.window_s) * 1000
}

pub fn visibility_ms(queue: &Queue) -> i64 {
    i64::from(queue.definition().attributes.visibility_timeout_s) * 1000
}
