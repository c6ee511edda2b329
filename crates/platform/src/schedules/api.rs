//! The service as its clients see it.

use wire::scheduler::Scheduler;

use super::Schedules;

impl Scheduler for Schedules {}
