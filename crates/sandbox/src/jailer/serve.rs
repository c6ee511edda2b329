//! The jailer's loop: requests of the server, one after the other.

use std::{
    collections::HashMap,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use guest::jail::sys;

use super::{
    During, Trouble,
    ids::{Ids, SLOTS_MAX},
    inject, keeper, lacks,
    message::{Injection, MESSAGE_MAX, Notice, Request, Root},
    mounts, slot, station,
};
use crate::cgroup::{Groups, Slot};

/// What the keeper hands to the jailer.
pub struct Setup<'a> {
    pub socket: &'a OwnedFd,
    pub state_dir: &'a Path,
    pub ids: Ids,
    pub platform_port: Option<u16>,
    pub groups: &'a dyn Groups,
    /// Of all environments together.
    pub tasks_max: u64,
    pub missing: Vec<String>,
}

struct Jailer<'a> {
    socket: &'a OwnedFd,
    /// An empty directory to build roots on.
    staging: PathBuf,
    ids: Ids,
    groups: &'a dyn Groups,
    home: slot::Home,
    /// To come back to from another mount namespace.
    own_mounts: OwnedFd,
    slots: HashMap<Slot, slot::Made>,
    /// Numbers of removed slots come back before new ones are used.
    free: Vec<Slot>,
    next: Slot,
}

/// Serves until the server goes away. The return ends process 1 of the namespace, and with it
/// everything in it.
pub fn run(setup: Setup<'_>) -> i32 {
    match prepare(&setup) {
        Ok(mut jailer) => {
            let mut missing = setup.missing;
            missing.extend(lacks::all());
            if let Err(error) = setup.groups.confine(setup.tasks_max) {
                missing.push(format!("limit of processes over all environments: {error}"));
            }
            let open = keeper::open_notice(setup.groups, setup.ids, missing);
            keeper::tell(setup.socket, &open);
            jailer.run();
            0
        }
        Err(trouble) => {
            keeper::tell(setup.socket, &Notice::Refused(trouble.0));
            1
        }
    }
}

fn prepare<'a>(setup: &Setup<'a>) -> Result<Jailer<'a>, Trouble> {
    keeper::own_view()?;
    let name = c"sandbox";
    // SAFETY: a string and its length.
    let named = unsafe { libc::sethostname(name.as_ptr(), name.count_bytes()) };
    mounts::check(named).during(|| "set the host name".into())?;
    setup
        .groups
        .open()
        .during(|| "make control groups".into())?;
    Ok(Jailer {
        socket: setup.socket,
        staging: setup.state_dir.join("root"),
        ids: setup.ids,
        groups: setup.groups,
        home: slot::Home::new(setup.groups, setup.platform_port)?,
        own_mounts: mounts::own_namespace("mnt").during(|| "open the mount namespace".into())?,
        slots: HashMap::new(),
        free: Vec::new(),
        next: 0,
    })
}

impl Jailer<'_> {
    fn run(&mut self) {
        sys::set_signal_mask(!0);
        let Ok(signals) = sys::signalfd(sys::signal_bit(sys::SIGCHLD)) else {
            return;
        };
        let mut buffer = vec![0; MESSAGE_MAX];
        loop {
            let mut fds = [self.socket.as_raw_fd(), signals].map(|fd| sys::PollFd {
                fd,
                events: sys::POLLIN,
                happened: 0,
            });
            match sys::poll(&mut fds, None) {
                Ok(_) | Err(sys::EINTR) => {}
                Err(_) => return,
            }
            if fds[1].happened != 0 {
                let _ = sys::read(signals, &mut [0; 512]);
                // Stations that ended, and orphans.
                while let Ok(Some(_)) = sys::wait4(-1, sys::WNOHANG) {}
            }
            if fds[0].happened == 0 {
                continue;
            }
            let mut passed = Vec::new();
            let socket = self.socket.as_raw_fd();
            match sys::receive(socket, &mut buffer, &mut passed, sys::MSG_DONTWAIT) {
                Ok(0) => return,
                Ok(length) => {
                    // SAFETY: received just now, and nobody else's.
                    let own = |fd| unsafe { OwnedFd::from_raw_fd(fd) };
                    let passed = passed.into_iter().map(own).collect();
                    self.obey(&buffer[..length], passed);
                }
                Err(sys::EAGAIN | sys::EINTR) => {}
                Err(_) => return,
            }
        }
    }

    fn obey(&mut self, request: &[u8], fds: Vec<OwnedFd>) {
        match Request::decode(request) {
            Some(Request::Make(count)) => (0..count).for_each(|_| self.make_slot()),
            Some(Request::Recycle(slot)) => self.recycle(slot),
            Some(Request::Remove(slot)) => self.remove(slot),
            Some(Request::Inject(injection)) => self.inject(&injection, fds),
            Some(Request::Socket { id, slot }) => self.socket(id, slot),
            Some(Request::Station(root)) => self.station(&root, fds),
            None => self.warn("a request that is none".into()),
        }
    }

    fn make_slot(&mut self) {
        let Some(slot) = self
            .free
            .pop()
            .or_else(|| (self.next < SLOTS_MAX).then_some(self.next))
        else {
            return self.fail_slot(format!("all {SLOTS_MAX} slots are in use"));
        };
        self.next = self.next.max(slot + 1);
        match slot::make(&mut self.home, self.groups, self.ids, slot) {
            Ok((made, offer)) => {
                self.slots.insert(slot, made);
                offer.send(self.socket);
            }
            Err(trouble) => {
                let _ = self.groups.remove(slot);
                self.free.push(slot);
                self.fail_slot(trouble.0);
            }
        }
    }

    fn recycle(&mut self, slot: Slot) {
        let Some(made) = self.slots.get(&slot) else {
            return;
        };
        if !made.is_renewable() {
            self.remove(slot);
            return self.make_slot();
        }
        match slot::renew(&self.home, self.groups, made, slot) {
            Ok(offer) => offer.send(self.socket),
            Err(trouble) => {
                self.remove(slot);
                self.fail_slot(trouble.0);
            }
        }
    }

    fn remove(&mut self, slot: Slot) {
        if self.slots.remove(&slot).is_none() {
            return;
        }
        match self.groups.remove(slot) {
            Ok(()) => self.free.push(slot),
            // Its number is not used again, so nobody can meet what is left in it.
            Err(error) => self.warn(format!("remove the control groups of slot {slot}: {error}")),
        }
    }

    fn station(&mut self, root: &Root, mut fds: Vec<OwnedFd>) {
        let Some(socket) = fds.pop() else { return };
        let ordinary = self.ids == Ids::One;
        if let Err(trouble) = station::start(root, socket, &self.staging, ordinary) {
            self.warn(trouble.0);
        }
    }

    fn inject(&self, injection: &Injection, mut fds: Vec<OwnedFd>) {
        let Some(init) = fds.pop() else { return };
        let outcome = inject::inject(injection, &init, &self.own_mounts);
        let failed = outcome.err().map(|trouble| trouble.0);
        keeper::tell(
            self.socket,
            &Notice::Injected {
                id: injection.id,
                failed,
            },
        );
    }

    fn socket(&self, id: u32, slot: Slot) {
        let made = self.slots.get(&slot);
        let socket = made.and_then(|made| slot::socket(&self.home, made).ok());
        let fds: Vec<i32> = socket.iter().map(AsRawFd::as_raw_fd).collect();
        let notice = Notice::Socket { id }.encode();
        let _ = sys::send(self.socket.as_raw_fd(), &notice, &fds, 0);
    }

    fn warn(&self, what: String) {
        keeper::tell(self.socket, &Notice::Warning(what));
    }

    fn fail_slot(&self, why: String) {
        keeper::tell(self.socket, &Notice::SlotFailed(why));
    }
}
