//! The end of an environment's packets: one task that reads them, keeps the flows they make, and
//! moves bytes between these and the host's sockets. It exists only while there are flows.
//!
//! Nothing here waits except [`Stack::run`]; everything else is a step on one packet, one event or
//! one timer, and flows that have more to do are marked dirty and get their turn in the same round.

use std::{
    cell::RefCell,
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    io,
    net::SocketAddrV4,
    sync::Arc,
    time::Instant,
};

use tokio::{io::unix::AsyncFd, sync::oneshot};

use super::{
    counters::add,
    device::{Device, ENVIRONMENT_ADDRESS, MTU},
    dns_flow::DnsQuery,
    host::{Epoll, Event, watch},
    limits::{BATCH, SHARE_BYTES_MIN},
    names::Names,
    packet::{self, Datagram, Ipv4, Segment},
    shared::EgressShared,
    tcp_flow::TcpFlow,
    udp_flow::UdpFlow,
};

/// Headroom and the largest packet, or the largest read from a host socket.
const SCRATCH_LEN: usize = 64 + MTU as usize;

thread_local! {
    /// Space for what is being moved, shared by all stacks of a thread: a stack itself holds
    /// nothing but its flows.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_LEN]);
    static PACKET: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_LEN]);
}

/// Source port and destination: all there is to tell flows apart, as all have one source address.
pub(super) type Key = (u16, SocketAddrV4);

pub(super) enum Flow {
    Tcp(Box<TcpFlow>),
    Udp(Box<UdpFlow>),
    Dns(Box<DnsQuery>),
}

pub(super) struct Stack {
    pub(super) shared: Arc<EgressShared>,
    pub(super) names: Arc<Names>,
    pub(super) epoll: Arc<Epoll>,
    flows: Vec<Slot>,
    free: Vec<u32>,
    pub(super) tcp: HashMap<Key, u32>,
    pub(super) udp: HashMap<Key, u32>,
    pub(super) dns_queries: usize,
    /// What the kernel keeps of the environment's packets until they are read.
    queue_bytes: usize,
    dirty: Vec<u32>,
    /// No flow's timer is before this one.
    next_timer: Option<Instant>,
    seed: RandomState,
    sequence: u64,
}

struct Slot {
    generation: u32,
    dirty: bool,
    flow: Option<Flow>,
}

/// What a step works with besides the stack itself.
pub(super) struct Io<'a> {
    pub(super) device: &'a Device,
    pub(super) scratch: &'a mut [u8],
    pub(super) now: Instant,
}

/// Why [`Stack::run`] came back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ran {
    /// No flow is left.
    Idle,
    Stopped,
}

impl Stack {
    pub(super) fn new(
        shared: Arc<EgressShared>,
        names: Arc<Names>,
        queue_bytes: usize,
    ) -> io::Result<Stack> {
        Ok(Stack {
            shared,
            names,
            epoll: Arc::new(Epoll::new()?),
            flows: Vec::new(),
            free: Vec::new(),
            tcp: HashMap::new(),
            udp: HashMap::new(),
            dns_queries: 0,
            queue_bytes,
            dirty: Vec::new(),
            next_timer: None,
            seed: RandomState::new(),
            sequence: 0,
        })
    }

    /// Serves until there is no flow left or `stopped` resolves.
    pub(super) async fn run(
        &mut self,
        device: &AsyncFd<Device>,
        stopped: &mut oneshot::Receiver<()>,
    ) -> io::Result<Ran> {
        let epoll = watch(self.epoll.clone())?;
        let timer = tokio::time::sleep(std::time::Duration::ZERO);
        tokio::pin!(timer);
        loop {
            if let Some(at) = self.next_timer
                && timer.deadline().into_std() != at
            {
                timer.as_mut().reset(at.into());
            }
            let busy;
            tokio::select! {
                biased;
                _ = &mut *stopped => return Ok(Ran::Stopped),
                ready = device.readable() => {
                    let mut ready = ready?;
                    let read = self.with_io(device, |stack, io| stack.read_packets(io));
                    busy = read == BATCH;
                    if !busy {
                        ready.clear_ready();
                    }
                }
                ready = epoll.readable() => {
                    let mut ready = ready?;
                    busy = self.take_events() == BATCH;
                    if !busy {
                        ready.clear_ready();
                    }
                }
                () = &mut timer, if self.next_timer.is_some() => {
                    busy = false;
                    self.with_io(device, |stack, io| stack.run_timers(io));
                }
                () = tokio::task::yield_now(), if !self.dirty.is_empty() => busy = false,
            }
            if busy {
                // Packets come first above; while they do not end, hosts get their turn here and
                // other tasks of the thread below.
                self.take_events();
            }
            self.with_io(device, |stack, io| stack.pump_dirty(io));
            if self.is_empty() {
                return Ok(Ran::Idle);
            }
            if busy {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Cuts every flow, telling the environment's kernel.
    pub(super) fn cut(&mut self, device: &Device) {
        for slot in &mut self.flows {
            if let Some(Flow::Tcp(flow)) = slot.flow.take() {
                flow.cut(device);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.tcp.is_empty() && self.udp.is_empty() && self.dns_queries == 0
    }

    fn with_io<T>(
        &mut self,
        device: &AsyncFd<Device>,
        step: impl FnOnce(&mut Stack, &mut Io<'_>) -> T,
    ) -> T {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut io = Io {
                device: device.get_ref(),
                scratch,
                now: Instant::now(),
            };
            step(self, &mut io)
        })
    }

    /// Reads a batch of packets; fewer than a batch means that there were no more.
    fn read_packets(&mut self, io: &mut Io<'_>) -> usize {
        PACKET.with_borrow_mut(|buf| {
            for count in 0..BATCH {
                let Ok(len) = io.device.recv(buf) else {
                    return count;
                };
                let headroom = io.device.headroom();
                let gso = super::device::udp_segment_len(&buf[..len]);
                match buf.get(headroom..len).and_then(Ipv4::parse) {
                    Some(packet) if packet.source == ENVIRONMENT_ADDRESS => {
                        self.packet(&packet, gso, io);
                    }
                    _ => self.ignore(),
                }
            }
            BATCH
        })
    }

    fn packet(&mut self, packet: &Ipv4<'_>, gso: Option<usize>, io: &mut Io<'_>) {
        match packet.protocol {
            packet::TCP => match Segment::parse(packet.payload) {
                Some(segment) => self.tcp_segment(packet, &segment, io),
                None => self.ignore(),
            },
            packet::UDP => match Datagram::parse(packet.payload) {
                Some(datagram) => self.udp_datagram(packet, &datagram, gso, io),
                None => self.ignore(),
            },
            _ => self.ignore(),
        }
    }

    fn ignore(&self) {
        add(&self.shared.counters().packets_ignored, 1);
    }

    fn take_events(&mut self) -> usize {
        let (flows, dirty) = (&mut self.flows, &mut self.dirty);
        self.epoll.poll::<BATCH>(|event: Event| {
            let (index, generation) = (event.token as u32, (event.token >> 32) as u32);
            let Some(slot) = flows.get_mut(index as usize) else {
                return;
            };
            if slot.generation != generation {
                return;
            }
            if let Some(Flow::Tcp(flow)) = &mut slot.flow {
                flow.host_event(event);
            }
            if !slot.dirty {
                slot.dirty = true;
                dirty.push(index);
            }
        })
    }

    /// Gives every dirty flow one turn; those that have more to do are dirty again.
    fn pump_dirty(&mut self, io: &mut Io<'_>) {
        let mut turn = std::mem::take(&mut self.dirty);
        for index in turn.drain(..) {
            self.flows[index as usize].dirty = false;
            match self.flows[index as usize].flow.take() {
                Some(Flow::Tcp(flow)) => self.pump_tcp(index, flow, io),
                Some(Flow::Udp(flow)) => self.pump_udp(index, flow, io),
                Some(Flow::Dns(query)) => self.pump_dns(index, query, io),
                None => {}
            }
        }
        if self.dirty.is_empty() {
            self.dirty = turn;
        }
    }

    fn run_timers(&mut self, io: &mut Io<'_>) {
        self.next_timer = None;
        for index in 0..self.flows.len() as u32 {
            let slot = &mut self.flows[index as usize];
            let Some(at) = slot.flow.as_ref().and_then(Flow::timer) else {
                continue;
            };
            if at > io.now {
                self.wake_at(Some(at));
                continue;
            }
            match slot.flow.take() {
                Some(Flow::Tcp(flow)) => self.tcp_timed_out(index, flow, io),
                Some(Flow::Udp(flow)) => self.udp_timed_out(index, &flow),
                Some(Flow::Dns(query)) => self.dns_timed_out(index, *query, io),
                None => {}
            }
        }
    }

    /// How much one direction of a TCP flow may hold. All windows together should fit what the
    /// kernel keeps for us, or connections that send at once lose packets to each other; on this
    /// link a small window is nearly as fast as a large one.
    pub(super) fn buffer_max(&self) -> usize {
        let share = self.queue_bytes / self.tcp.len().max(1);
        self.shared.buffer_max().min(share.max(SHARE_BYTES_MIN))
    }

    pub(super) fn wake_at(&mut self, at: Option<Instant>) {
        if let Some(at) = at {
            self.next_timer = Some(self.next_timer.map_or(at, |next| next.min(at)));
        }
    }

    /// A place for a new flow, and the token its socket is watched with.
    pub(super) fn reserve(&mut self) -> (u32, u64) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.flows.push(Slot {
                generation: 0,
                dirty: false,
                flow: None,
            });
            self.flows.len() as u32 - 1
        });
        let generation = self.flows[index as usize].generation;
        (index, u64::from(generation) << 32 | u64::from(index))
    }

    /// Frees the place of a flow that has been taken out of it.
    pub(super) fn release(&mut self, index: u32) {
        let slot = &mut self.flows[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
    }

    pub(super) fn put(&mut self, index: u32, flow: Flow) {
        self.wake_at(flow.timer());
        self.flows[index as usize].flow = Some(flow);
    }

    pub(super) fn take(&mut self, index: u32) -> Option<Flow> {
        self.flows[index as usize].flow.take()
    }

    pub(super) fn peek(&self, index: u32) -> Option<&Flow> {
        self.flows[index as usize].flow.as_ref()
    }

    pub(super) fn mark_dirty(&mut self, index: u32) {
        let slot = &mut self.flows[index as usize];
        if !slot.dirty {
            slot.dirty = true;
            self.dirty.push(index);
        }
    }

    /// A first sequence number that cannot be guessed.
    pub(super) fn initial_sequence(&mut self, key: Key) -> u32 {
        self.sequence += 1;
        self.seed.hash_one((self.sequence, key)) as u32
    }
}

impl Flow {
    fn timer(&self) -> Option<Instant> {
        match self {
            Flow::Tcp(flow) => flow.timer(),
            Flow::Udp(flow) => Some(flow.ends_at()),
            Flow::Dns(query) => Some(query.next_try_at()),
        }
    }
}
