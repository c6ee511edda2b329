//! What the server and a station (the spawner or zygote of one function version) say to each
//! other, on a `SOCK_SEQPACKET` pair: one message, one packet, never more than [`MESSAGE_MAX`].
//!
//! Both ends come out of the same binary, so a version mismatch means a mixed installation; it is
//! refused, not negotiated. This file has no dependency, because it is also compiled into the
//! Python extension.

use std::ffi::CString;

/// Changes whenever a message does.
pub const VERSION: u8 = 2;
/// The size of the largest message, well below the default socket buffer.
pub const MESSAGE_MAX: usize = 128 * 1024;

/// From the server to a station.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// The first message: everything that is the same for all environments.
    Configure(Box<Configuration>),
    /// Start an environment. Descriptors: log, net namespace, user namespace; its line if it gets
    /// one; the directory of its version 2 group if it has one; then the `tasks` files of its
    /// version 1 groups.
    Start(Start),
    /// Execute a helper that will be a station too. Descriptor: its socket.
    Help(Help),
    /// Take the snapshot of this environment at its next fork.
    Freeze { id: u32 },
    /// Its snapshot is not needed any more.
    Discard { id: u32 },
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    /// What to execute, in order of preference; empty in a zygote.
    pub programs: Vec<Program>,
    /// `NAME=value` strings.
    pub environment: Vec<CString>,
    /// Where it begins.
    pub directory: CString,
    pub tmp_kib: u64,
    /// `RLIMIT_DATA` where no cgroup limits memory; 0 for none.
    pub data_bytes_max: u64,
    /// `RLIMIT_NPROC`: the tasks one environment may have.
    pub tasks_max: u64,
    /// The seccomp program, an instruction per element.
    pub seccomp: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    pub path: CString,
    /// All arguments, the program's own name first.
    pub arguments: Vec<CString>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Help {
    pub program: Program,
    pub environment: Vec<CString>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    pub id: u32,
    /// The user that owns the environment, as the station's user namespace numbers it.
    pub owner: u32,
    /// It gets a descriptor to read from, as number [`LINE`]: for a process that is to be told
    /// later whose it is.
    pub waits: bool,
    pub kind: Kind,
    pub group: Group,
    pub environment: Vec<CString>,
}

/// As what an environment begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// As a program, or as a copy of the zygote.
    Plain,
    /// As a copy of the zygote, whose own copies others are to be.
    Snapshot,
    /// As a copy of the station's snapshot.
    Restored,
}

/// How an environment gets into its version 2 group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Group {
    /// It has none.
    None,
    /// By birth.
    Birth,
    /// By moving there, where birth does not work.
    Move,
}

/// The descriptor of an environment's line.
pub const LINE: i32 = 3;
/// The same in one that was restored: the last that there may be, so that it is in nobody's way.
pub const RESTORED_LINE: i32 = 1023;

/// From a station to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The root file system stands; the station takes orders.
    Ready,
    /// The station could not be made and has ended.
    Broken(String),
    /// It runs. Descriptor: a pidfd of its init. To kill that is to kill the environment;
    /// [`STOP`](super::init::STOP) and [`CONTINUE`](super::init::CONTINUE) sent to it stop and
    /// continue all other processes, where there is no freezer.
    Started {
        id: u32,
    },
    NotStarted {
        id: u32,
        failure: Failure,
    },
    /// The first process has ended with this wait status, and all others are gone.
    Exited {
        id: u32,
        wait_status: i32,
    },
    /// The snapshot will be taken at its next fork.
    Armed {
        id: u32,
    },
    /// The snapshot is taken, and its processes are gone.
    Frozen {
        id: u32,
    },
    /// There is no snapshot of it and will be none.
    NotFrozen {
        id: u32,
        failure: Failure,
    },
}

/// Where starting an environment failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    pub step: Step,
    pub errno: i32,
    /// Which of the programs was tried last.
    pub program: u8,
}

macro_rules! steps {
    ($($name:ident = $text:literal,)*) => {
        /// The steps of starting an environment, in order.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Step { $($name),* }

        impl Step {
            pub const ALL: &[Step] = &[$(Step::$name),*];

            /// What was being done, for an operator.
            pub fn text(self) -> &'static str {
                match self { $(Step::$name => $text),* }
            }
        }
    };
}

steps! {
    Receive = "receive the order to start",
    Init = "make the namespaces",
    Tmp = "mount /tmp",
    Proc = "mount /proc",
    Clone = "make the process",
    Cgroup = "enter the control group",
    Enter = "enter the namespaces",
    Net = "enter the network namespace",
    Directory = "change to its directory",
    Streams = "attach the log",
    User = "enter the user namespace",
    Ids = "take the user id",
    Capabilities = "drop capabilities",
    NoNewPrivileges = "set no_new_privs",
    Landlock = "apply Landlock",
    Seccomp = "apply seccomp",
    Missing = "find the program",
    Exec = "execute the program",
    Aside = "set a snapshot's process aside",
    Arm = "watch for the snapshot's moment",
    Freeze = "take the snapshot",
    Restore = "restore the snapshot",
}

impl Order {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        match self {
            Order::Configure(configuration) => out.u8(0).configuration(configuration),
            Order::Start(start) => out
                .u8(1)
                .u32(start.id)
                .u32(start.owner)
                .u8(start.waits.into())
                .u8(start.kind as u8)
                .u8(start.group as u8)
                .strings(&start.environment),
            Order::Help(help) => out.u8(2).program(&help.program).strings(&help.environment),
            Order::Freeze { id } => out.u8(3).u32(*id),
            Order::Discard { id } => out.u8(4).u32(*id),
        };
        out.0
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader::new(bytes)?;
        let order = match from.u8()? {
            0 => Order::Configure(Box::new(from.configuration()?)),
            1 => Order::Start(Start {
                id: from.u32()?,
                owner: from.u32()?,
                waits: from.u8()? != 0,
                kind: from.kind()?,
                group: from.group()?,
                environment: from.strings()?,
            }),
            2 => Order::Help(Help {
                program: from.program()?,
                environment: from.strings()?,
            }),
            3 => Order::Freeze { id: from.u32()? },
            4 => Order::Discard { id: from.u32()? },
            _ => return None,
        };
        from.end().then_some(order)
    }
}

impl Report {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        match self {
            Report::Ready => out.u8(0),
            Report::Broken(why) => out.u8(1).bytes(why.as_bytes()),
            Report::Started { id } => out.u8(2).u32(*id),
            Report::NotStarted { id, failure } => out.u8(3).u32(*id).failure(failure),
            Report::Exited { id, wait_status } => out.u8(4).u32(*id).u32(*wait_status as u32),
            Report::Armed { id } => out.u8(5).u32(*id),
            Report::Frozen { id } => out.u8(6).u32(*id),
            Report::NotFrozen { id, failure } => out.u8(7).u32(*id).failure(failure),
        };
        out.0
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader::new(bytes)?;
        let report = match from.u8()? {
            0 => Report::Ready,
            1 => Report::Broken(String::from_utf8_lossy(from.bytes()?).into_owned()),
            2 => Report::Started { id: from.u32()? },
            3 => Report::NotStarted {
                id: from.u32()?,
                failure: from.failure()?,
            },
            4 => Report::Exited {
                id: from.u32()?,
                wait_status: from.u32()? as i32,
            },
            5 => Report::Armed { id: from.u32()? },
            6 => Report::Frozen { id: from.u32()? },
            7 => Report::NotFrozen {
                id: from.u32()?,
                failure: from.failure()?,
            },
            _ => return None,
        };
        from.end().then_some(report)
    }
}

/// Appends values to a message.
pub struct Writer(pub Vec<u8>);

impl Writer {
    #[allow(
        clippy::new_without_default,
        reason = "a message begins with its version"
    )]
    pub fn new() -> Self {
        Writer(vec![VERSION])
    }

    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.u32(value.len() as u32);
        self.0.extend(value);
        self
    }

    pub fn strings(&mut self, values: &[CString]) -> &mut Self {
        self.u32(values.len() as u32);
        for value in values {
            self.bytes(value.as_bytes());
        }
        self
    }

    fn failure(&mut self, failure: &Failure) -> &mut Self {
        self.u8(failure.step as u8)
            .u32(failure.errno as u32)
            .u8(failure.program)
    }

    fn program(&mut self, program: &Program) -> &mut Self {
        self.bytes(program.path.as_bytes())
            .strings(&program.arguments)
    }

    fn configuration(&mut self, from: &Configuration) -> &mut Self {
        self.u32(from.programs.len() as u32);
        for program in &from.programs {
            self.program(program);
        }
        self.strings(&from.environment)
            .bytes(from.directory.as_bytes())
            .u64(from.tmp_kib)
            .u64(from.data_bytes_max)
            .u64(from.tasks_max)
            .u32(from.seccomp.len() as u32);
        for instruction in &from.seccomp {
            self.u64(*instruction);
        }
        self
    }
}

/// Takes a message apart; `None` at the first thing that does not fit.
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(message: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(message);
        (reader.u8()? == VERSION).then_some(reader)
    }

    pub fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub fn u32(&mut self) -> Option<u32> {
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*value))
    }

    pub fn u64(&mut self) -> Option<u64> {
        let (value, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*value))
    }

    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()? as usize;
        let (value, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(value)
    }

    fn string(&mut self) -> Option<CString> {
        CString::new(self.bytes()?).ok()
    }

    /// How many elements follow, of at least `size` bytes each.
    pub fn count(&mut self, size: usize) -> Option<usize> {
        let count = self.u32()? as usize;
        (count.checked_mul(size)? <= self.0.len()).then_some(count)
    }

    pub fn strings(&mut self) -> Option<Vec<CString>> {
        let count = self.count(4)?;
        (0..count).map(|_| self.string()).collect()
    }

    pub fn end(&self) -> bool {
        self.0.is_empty()
    }

    pub fn group(&mut self) -> Option<Group> {
        match self.u8()? {
            0 => Some(Group::None),
            1 => Some(Group::Birth),
            2 => Some(Group::Move),
            _ => None,
        }
    }

    fn kind(&mut self) -> Option<Kind> {
        match self.u8()? {
            0 => Some(Kind::Plain),
            1 => Some(Kind::Snapshot),
            2 => Some(Kind::Restored),
            _ => None,
        }
    }

    fn failure(&mut self) -> Option<Failure> {
        Some(Failure {
            step: *Step::ALL.get(usize::from(self.u8()?))?,
            errno: self.u32()? as i32,
            program: self.u8()?,
        })
    }

    fn program(&mut self) -> Option<Program> {
        Some(Program {
            path: self.string()?,
            arguments: self.strings()?,
        })
    }

    fn configuration(&mut self) -> Option<Configuration> {
        let count = self.count(8)?;
        let programs = (0..count).map(|_| self.program()).collect::<Option<_>>()?;
        let environment = self.strings()?;
        let directory = self.string()?;
        let (tmp_kib, data_bytes_max, tasks_max) = (self.u64()?, self.u64()?, self.u64()?);
        let count = self.count(8)?;
        let seccomp = (0..count).map(|_| self.u64()).collect::<Option<_>>()?;
        Some(Configuration {
            programs,
            environment,
            directory,
            tmp_kib,
            data_bytes_max,
            tasks_max,
            seccomp,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Order {
        Order::Start(Start {
            id: 7,
            owner: 993,
            waits: true,
            kind: Kind::Restored,
            group: Group::Birth,
            environment: vec![c"A=b".into(), c"".into()],
        })
    }

    #[test]
    fn orders_survive_the_way() {
        let configure = Order::Configure(Box::new(Configuration {
            programs: vec![Program {
                path: c"/a".into(),
                arguments: vec![c"a".into()],
            }],
            environment: vec![c"X=1".into()],
            directory: c"/var/task".into(),
            tmp_kib: 1,
            data_bytes_max: 2,
            tasks_max: 3,
            seccomp: vec![u64::MAX, 0],
        }));
        let help = Order::Help(Help {
            program: Program {
                path: c"/p".into(),
                arguments: vec![c"p".into()],
            },
            environment: vec![c"L=1".into()],
        });
        let (freeze, discard) = (Order::Freeze { id: 1 }, Order::Discard { id: 2 });
        for order in [help, configure, start(), freeze, discard] {
            assert_eq!(Order::decode(&order.encode()), Some(order));
        }
    }

    #[test]
    fn reports_survive_the_way() {
        let failure = Failure {
            step: Step::Exec,
            errno: 13,
            program: 1,
        };
        for report in [
            Report::Ready,
            Report::Broken("no".into()),
            Report::Started { id: 1 },
            Report::NotStarted { id: 1, failure },
            Report::Exited {
                id: 1,
                wait_status: 256,
            },
            Report::Armed { id: 1 },
            Report::Frozen { id: 2 },
            Report::NotFrozen { id: 3, failure },
        ] {
            assert_eq!(Report::decode(&report.encode()), Some(report));
        }
    }

    #[test]
    fn anything_cut_short_or_too_long_is_refused() {
        let whole = start().encode();
        for end in 0..whole.len() {
            assert_eq!(Order::decode(&whole[..end]), None, "cut at {end}");
        }
        assert_eq!(Order::decode(&[whole.as_slice(), &[0]].concat()), None);
        let mut other_version = whole;
        other_version[0] ^= 0xff;
        assert_eq!(Order::decode(&other_version), None);
    }
}
