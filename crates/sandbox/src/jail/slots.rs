//! The server's side of slots: those made ahead, those in use, and how many there should be.
//!
//! Taking one is popping a queue. Everything slow (making, clearing, removing) is asked of the
//! jailer and comes back as a message; who finds the queue empty waits for the next to arrive.

use std::{
    collections::{HashMap, VecDeque},
    net::TcpListener,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
};

use guest::jail::message::Group;
use tokio::sync::oneshot;

use crate::{
    Error,
    cgroup::{Alarm, Cpu, Freezer, Slot as Number},
    egress::Device,
    jailer::message::{Request, SlotNotice},
};

/// Ready slots beyond this multiple of what is wanted ahead are taken down again.
const SPARE_FACTOR: usize = 4;
const SPARE_MIN: usize = 64;

/// Everything one environment needs, made ahead.
#[derive(Debug)]
pub struct Slot {
    pub number: Number,
    /// Not one that was here before.
    pub fresh: bool,
    pub owner: u32,
    pub listener: TcpListener,
    pub platform: Option<TcpListener>,
    pub net: OwnedFd,
    pub user: OwnedFd,
    pub freezer: Option<Freezer>,
    pub group: Option<(Group, OwnedFd)>,
    pub entrances: Vec<OwnedFd>,
    pub settings: Settings,
}

/// What stays with a slot from one environment to the next.
#[derive(Debug, Default)]
pub struct Settings {
    /// As last written to the control group.
    pub size: Option<Size>,
    /// Rings at the memory size; `None` also after it was set to something else.
    pub alarm: Option<Arc<Alarm>>,
    pub cpu: Option<Cpu>,
    pub device: Option<Device>,
    /// Out-of-memory kills of earlier tenants.
    pub out_of_memory_kills: u64,
}

/// What a slot's memory limit is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub memory_mb: u32,
    pub tmp_mb: u32,
}

/// How many slots there should be.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    pub ahead: usize,
    pub max: usize,
}

pub struct Slots {
    wanted: Wanted,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Slot>,
    /// Being made or cleared by the jailer.
    coming: usize,
    in_use: usize,
    waiting: VecDeque<oneshot::Sender<Result<Slot, Error>>>,
    settings: HashMap<Number, Settings>,
    closed: bool,
}

/// Either a slot, or a place in the queue for one.
pub enum Taken {
    Now(Box<Slot>),
    Later(oneshot::Receiver<Result<Slot, Error>>),
}

/// What is to be asked of the jailer after a change.
pub type Ask = Option<Request>;

impl Slots {
    pub fn new(wanted: Wanted) -> Self {
        Slots {
            wanted,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a slot, if possible one that already has these limits.
    pub fn take(&self, size: Size) -> Result<(Taken, Ask), Error> {
        let mut state = self.lock();
        if state.closed {
            return Err(gone());
        }
        let fitting = state
            .ready
            .iter()
            .position(|one| one.settings.size == Some(size));
        if let Some(slot) = state.ready.remove(fitting.unwrap_or(0)) {
            state.in_use += 1;
            return Ok((Taken::Now(Box::new(slot)), state.refill(self.wanted)));
        }
        if state.in_use + state.coming.min(state.waiting.len()) >= self.wanted.max {
            return Err(Error::Exhausted(format!(
                "{} environments are running, as many as allowed",
                state.in_use
            )));
        }
        let (sender, receiver) = oneshot::channel();
        state.waiting.push_back(sender);
        Ok((Taken::Later(receiver), state.refill(self.wanted)))
    }

    /// The jailer has made or cleared a slot.
    pub fn arrived(&self, slot: Slot) -> Ask {
        let mut state = self.lock();
        state.coming = state.coming.saturating_sub(1);
        let mut slot = slot;
        // A number whose last slot could not be made ready again is another slot's now, with
        // groups that have no limits yet and a device of its own.
        let known = state.settings.remove(&slot.number);
        if let Some(settings) = known.filter(|_| !slot.fresh) {
            slot.settings = settings;
        }
        while let Some(waiting) = state.waiting.pop_front() {
            state.in_use += 1;
            match waiting.send(Ok(slot)) {
                Ok(()) => return state.refill(self.wanted),
                Err(refused) => {
                    state.in_use -= 1;
                    match refused {
                        Ok(back) => slot = back,
                        Err(_) => return None,
                    }
                }
            }
        }
        state.ready.push_back(slot);
        None
    }

    /// The jailer could not make one.
    pub fn failed(&self, why: &str) -> Ask {
        let mut state = self.lock();
        state.coming = state.coming.saturating_sub(1);
        if let Some(waiting) = state.waiting.pop_front() {
            let _ = waiting.send(Err(Error::Exhausted(why.to_owned())));
        }
        None
    }

    /// An environment has ended. Its slot no longer counts as in use, and comes back once it is
    /// tidied, or not at all.
    pub fn leave(&self) {
        let mut state = self.lock();
        state.in_use -= 1;
        state.coming += 1;
    }

    /// A slot that was left is tidy. A device that is not needed any more comes back.
    pub fn give_back(&self, number: Number, settings: Settings) -> (Request, Option<Device>) {
        let mut state = self.lock();
        let spare = (self.wanted.ahead * SPARE_FACTOR).max(SPARE_MIN);
        if state.ready.len() + state.coming > spare + state.waiting.len() {
            state.coming -= 1;
            return (Request::Remove(number), settings.device);
        }
        state.settings.insert(number, settings);
        (Request::Recycle(number), None)
    }

    /// A slot that was left is in an unknown state: what to ask for in its place, beside its end.
    pub fn condemn(&self, number: Number) -> [Ask; 2] {
        let mut state = self.lock();
        state.coming = state.coming.saturating_sub(1);
        [Some(Request::Remove(number)), state.refill(self.wanted)]
    }

    /// A slot that was taken and not used.
    pub fn put_back(&self, slot: Slot) {
        self.leave();
        self.arrived(slot);
    }

    /// What to ask for at the beginning.
    pub fn fill(&self) -> Ask {
        self.lock().refill(self.wanted)
    }

    /// The jailer is gone: nobody need wait.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.ready.clear();
        state
            .waiting
            .drain(..)
            .for_each(|waiting| drop(waiting.send(Err(gone()))));
    }
}

impl State {
    fn refill(&mut self, wanted: Wanted) -> Ask {
        let room = wanted
            .max
            .saturating_sub(self.in_use + self.ready.len() + self.coming);
        let short = (wanted.ahead + self.waiting.len())
            .saturating_sub(self.ready.len() + self.coming)
            .min(room);
        self.coming += short;
        (short > 0).then_some(Request::Make(short as u32))
    }
}

fn gone() -> Error {
    Error::System {
        what: "the jailer has ended".into(),
        source: std::io::ErrorKind::BrokenPipe.into(),
    }
}

impl Slot {
    /// Puts together what came with a notice; `None` if descriptors are missing.
    pub fn assemble(notice: SlotNotice, fds: Vec<OwnedFd>) -> Option<Self> {
        let mut fds = fds.into_iter();
        let listener = TcpListener::from(fds.next()?);
        let (net, user) = (fds.next()?, fds.next()?);
        let platform = match notice.platform {
            true => Some(TcpListener::from(fds.next()?)),
            false => None,
        };
        let freezer = match notice.freezer {
            Some(kind) => Some(Freezer {
                file: fds.next()?,
                kind,
            }),
            None => None,
        };
        let device = match notice.egress {
            true => Device::from_fd(fds.next()?).ok(),
            false => None,
        };
        let group = match notice.group {
            Group::None => None,
            kind => Some((kind, fds.next()?)),
        };
        Some(Slot {
            group,
            number: notice.slot,
            fresh: notice.fresh,
            owner: notice.owner,
            listener,
            platform,
            net,
            user,
            freezer,
            entrances: fds.collect(),
            settings: Settings {
                device,
                ..Settings::default()
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(memory_mb: u32) -> Size {
        Size {
            memory_mb,
            tmp_mb: 512,
        }
    }

    fn slot(number: Number, memory_mb: Option<u32>) -> Slot {
        let null = || OwnedFd::from(std::fs::File::open("/dev/null").expect("open"));
        Slot {
            number,
            fresh: false,
            owner: 0,
            listener: TcpListener::from(null()),
            platform: None,
            net: null(),
            user: null(),
            freezer: None,
            group: None,
            entrances: Vec::new(),
            settings: Settings {
                size: memory_mb.map(size),
                ..Settings::default()
            },
        }
    }

    fn filled(ahead: usize, max: usize, sizes: &[Option<u32>]) -> Slots {
        let slots = Slots::new(Wanted { ahead, max });
        assert_eq!(slots.fill(), Some(Request::Make(ahead.min(max) as u32)));
        for (number, size) in sizes.iter().enumerate() {
            slots.arrived(slot(number as u32, *size));
        }
        slots
    }

    fn number(taken: Taken) -> Option<Number> {
        match taken {
            Taken::Now(slot) => Some(slot.number),
            Taken::Later(_) => None,
        }
    }

    #[test]
    fn one_with_the_right_limit_is_preferred() {
        let slots = filled(2, 10, &[Some(128), Some(512)]);
        let (taken, ask) = slots.take(size(512)).expect("there are two");
        assert_eq!((number(taken), ask), (Some(1), Some(Request::Make(1))));
        let (taken, _) = slots.take(size(512)).expect("there is one");
        assert_eq!(number(taken), Some(0));
    }

    #[test]
    fn who_finds_none_gets_the_next_to_arrive() {
        let slots = filled(1, 10, &[]);
        let (taken, ask) = slots.take(size(128)).expect("may wait");
        assert_eq!(
            ask,
            Some(Request::Make(1)),
            "one for the one waiting, beside the one ahead"
        );
        let Taken::Later(mut later) = taken else {
            panic!("none is ready")
        };
        slots.arrived(slot(7, None));
        let arrived = later.try_recv().expect("sent").expect("a slot");
        assert_eq!(arrived.number, 7);
    }

    #[test]
    fn more_than_allowed_is_refused() {
        let slots = filled(1, 1, &[None]);
        assert!(slots.take(size(128)).is_ok());
        assert!(matches!(slots.take(size(128)), Err(Error::Exhausted(_))));
        slots.leave();
        assert_eq!(
            slots.give_back(0, Settings::default()).0,
            Request::Recycle(0)
        );
        assert!(matches!(slots.take(size(128)), Ok((Taken::Later(_), None))));
    }

    #[test]
    fn another_slot_of_the_same_number_has_no_past() {
        let slots = filled(1, 1, &[None]);
        for (fresh, expected) in [(false, Some(size(128))), (true, None)] {
            assert!(slots.take(size(128)).is_ok());
            slots.leave();
            let settings = Settings {
                size: Some(size(128)),
                ..Settings::default()
            };
            slots.give_back(0, settings);
            slots.arrived(Slot {
                fresh,
                ..slot(0, None)
            });
            let (taken, _) = slots.take(size(128)).expect("there is one");
            let Taken::Now(taken) = taken else {
                panic!("it is ready")
            };
            assert_eq!(taken.settings.size, expected);
            slots.put_back(*taken);
        }
    }

    #[test]
    fn a_burst_leaves_no_mountain() {
        let all = vec![None; SPARE_MIN + 10];
        let slots = filled(all.len(), 1000, &all);
        let slots = Slots {
            wanted: Wanted {
                ahead: 1,
                max: 1000,
            },
            ..slots
        };
        assert!(slots.take(size(128)).is_ok());
        slots.leave();
        assert_eq!(
            slots.give_back(0, Settings::default()).0,
            Request::Remove(0)
        );
    }

    #[test]
    fn after_the_end_nobody_waits() {
        let slots = filled(1, 10, &[]);
        let Ok((Taken::Later(mut later), _)) = slots.take(size(1)) else {
            panic!("none is ready")
        };
        slots.close();
        assert!(later.try_recv().expect("answered").is_err());
        assert!(slots.take(size(1)).is_err());
    }
}
