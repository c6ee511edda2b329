//! Our end of one TCP connection of an environment: what the environment's kernel takes for the
//! server. Bytes go over to a [`Host`] in order, and come from it; each direction has a bounded
//! buffer, and a full one stops the side that fills it (window towards the environment, not
//! reading towards the host). Each direction closes by itself, as TCP has it.
//!
//! The link to the environment is memory, a function call long, and loses a packet only when a
//! queue overflows. So there is no congestion control and no reassembly: what arrives out of order
//! is dropped and asked for again, what is lost is sent again from where it was lost.
//!
//! No I/O of its own and no clock: the caller passes both.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    time::Instant,
};

use super::{
    limits::{
        HALF_CLOSED_PROBE, PUMP_BYTES_MAX, RETRANSMIT_FIRST, RETRANSMIT_LONGEST, RETRANSMITS_MAX,
    },
    packet::{Flags, MSS_MAX, Outgoing, Segment},
};

/// How far our window field is shifted: windows up to 8 MiB in steps of 128 bytes.
const WINDOW_SHIFT: u8 = 7;
const DEFAULT_MSS: u32 = 536;
const BACKOFF_MAX: u8 = 12;

/// The real connection behind.
pub(super) trait Host {
    fn write(&mut self, data: &[u8]) -> io::Result<usize>;
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize>;
    fn shutdown_write(&mut self);
}

/// The link to the environment. `false` when it did not take the segment.
pub(super) trait Wire {
    fn send(&mut self, out: Outgoing, data: [&[u8]; 2]) -> bool;
}

/// What is left of the connection after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Alive,
    /// Both directions have ended as they should.
    Closed,
    /// One side broke it off: the host's side is to be reset.
    Broken,
}

/// The result of [`Connection::pump`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Pumped {
    pub(super) after: After,
    /// It stopped only for others to have their turn: pump again.
    pub(super) more: bool,
}

/// How the host's side ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Eof,
    Reset,
}

/// What is kept of a SYN while the host connects.
#[derive(Debug, Clone, Copy)]
pub(super) struct Syn {
    seq: u32,
    window: u16,
    mss: Option<u16>,
    window_scale: Option<u8>,
}

impl Syn {
    pub(super) fn of(segment: &Segment<'_>) -> Syn {
        Syn {
            seq: segment.seq,
            window: segment.window,
            mss: segment.mss,
            window_scale: segment.window_scale,
        }
    }

    pub(super) fn sequence(&self) -> u32 {
        self.seq
    }

    /// The answer that refuses it.
    pub(super) fn refusal(&self) -> Outgoing {
        Outgoing {
            ack: self.seq.wrapping_add(1),
            flags: Flags::RST | Flags::ACK,
            ..Outgoing::default()
        }
    }
}

pub(super) struct Connection {
    /// The SYN has been answered and that answer acknowledged.
    established: bool,
    window_scaling: bool,
    mss: u32,

    /// Next byte expected from the environment.
    receive_next: u32,
    /// The right edge of the window as the environment was told; never moves left.
    receive_edge: u32,
    /// Taken from the environment, not yet by the host.
    to_host: VecDeque<u8>,
    environment_fin: bool,
    host_shut: bool,
    host_write_broken: bool,

    /// Oldest byte not acknowledged; while not established, the SYN.
    send_unacked: u32,
    send_next: u32,
    /// The furthest ever sent: an acknowledgement beyond it is none.
    send_max: u32,
    send_window: u32,
    send_window_max: u32,
    send_window_shift: u8,
    /// Sequence number of the segment that last set the window.
    window_from: u32,
    /// What the host sent, from `send_unacked` on.
    to_environment: VecDeque<u8>,
    host_end: End,
    fin_acknowledged: bool,

    /// Edge-triggered readiness: true until the host says `WouldBlock`.
    readable: bool,
    writable: bool,

    ack_now: bool,
    duplicate_acks: u8,
    retransmits: u8,
    backoff: u8,
    timer: Option<Instant>,
}

/// What a step needs from outside.
pub(super) struct Step<'a, H: Host, W: Wire> {
    pub(super) now: Instant,
    pub(super) host: &'a mut H,
    pub(super) wire: &'a mut W,
    /// The most that each buffer may hold at present.
    pub(super) buffer_max: usize,
    /// For what is read from the host; its size bounds one read.
    pub(super) scratch: &'a mut [u8],
}

impl Connection {
    /// Answers `syn`, now that the host is connected. `initial` is our first sequence number.
    pub(super) fn accept(syn: &Syn, initial: u32) -> Connection {
        let receive_next = syn.seq.wrapping_add(1);
        Connection {
            established: false,
            window_scaling: syn.window_scale.is_some(),
            mss: syn.mss.map_or(DEFAULT_MSS, u32::from).clamp(64, MSS_MAX),
            receive_next,
            receive_edge: receive_next,
            to_host: VecDeque::new(),
            environment_fin: false,
            host_shut: false,
            host_write_broken: false,
            send_unacked: initial,
            send_next: initial,
            send_max: initial,
            send_window: u32::from(syn.window),
            send_window_max: u32::from(syn.window),
            send_window_shift: syn.window_scale.unwrap_or(0),
            window_from: syn.seq,
            to_environment: VecDeque::new(),
            host_end: End::Open,
            fin_acknowledged: false,
            readable: true,
            writable: true,
            ack_now: true,
            duplicate_acks: 0,
            retransmits: 0,
            backoff: 0,
            timer: None,
        }
    }

    pub(super) fn host_ready(&mut self, readable: bool, writable: bool) {
        self.readable |= readable;
        self.writable |= writable;
    }

    pub(super) fn timer(&self) -> Option<Instant> {
        self.timer
    }

    pub(super) fn buffered(&self) -> usize {
        self.to_host.len() + self.to_environment.len()
    }

    /// Takes in a segment. [`Connection::pump`] must follow before the connection rests.
    pub(super) fn segment<H: Host, W: Wire>(
        &mut self,
        segment: &Segment<'_>,
        step: &mut Step<'_, H, W>,
    ) -> After {
        if segment.flags.has(Flags::RST) {
            return self.reset_received(segment.seq);
        }
        if segment.flags.has(Flags::SYN) {
            // A SYN again: our answer was lost, and the acknowledgement below repeats it. On an
            // established connection it is answered with where we are (RFC 5961).
            self.repeat_or_ack();
            return After::Alive;
        }
        if !segment.flags.has(Flags::ACK) {
            return After::Alive;
        }
        self.retransmits = 0;
        if !self.established {
            if segment.ack != self.send_unacked.wrapping_add(1)
                || self.send_max == self.send_unacked
            {
                return After::Alive;
            }
            self.establish();
        }
        if !self.acknowledged(segment, step) {
            return After::Alive;
        }
        self.received(segment, step.host);
        After::Alive
    }

    /// Moves what can be moved: to the host, from the host, to the environment.
    pub(super) fn pump<H: Host, W: Wire>(&mut self, step: &mut Step<'_, H, W>) -> Pumped {
        self.write_host(step.host);
        let more = self.established && self.read_host(step);
        if !self.transmit(step) {
            return Pumped {
                after: After::Broken,
                more: false,
            };
        }
        self.acknowledge(step);
        self.watch_half_closed(step.now);
        let closed = self.fin_acknowledged && self.host_shut;
        Pumped {
            after: if closed { After::Closed } else { After::Alive },
            more,
        }
    }

    /// The timer has run out.
    pub(super) fn timed_out<H: Host, W: Wire>(&mut self, step: &mut Step<'_, H, W>) -> After {
        self.timer = None;
        if self.retransmits >= RETRANSMITS_MAX {
            self.send_reset(step.wire);
            return After::Broken;
        }
        self.retransmits += 1;
        if self.in_flight() == 0 && self.unsent() == 0 {
            // Only a half-closed connection has a timer then.
            self.probe(step);
            return After::Alive;
        }
        self.backoff = (self.backoff + 1).min(BACKOFF_MAX);
        self.go_back();
        if self.established && self.send_window == 0 {
            // Ask for a window, without end: a frozen environment may keep it closed for hours,
            // and its kernel answers all the same.
            self.probe(step);
            self.arm(step.now);
        }
        After::Alive
    }

    /// Ends the connection towards the environment at once.
    pub(super) fn send_reset(&self, wire: &mut impl Wire) {
        let out = Outgoing {
            seq: self.send_next,
            ack: self.receive_next,
            flags: Flags::RST | Flags::ACK,
            ..Outgoing::default()
        };
        wire.send(out, [&[], &[]]);
    }

    fn reset_received(&mut self, seq: u32) -> After {
        let offset = seq.wrapping_sub(self.receive_next);
        if offset == 0 {
            return After::Broken;
        }
        if offset < self.receive_edge.wrapping_sub(self.receive_next) {
            self.ack_now = true;
        }
        After::Alive
    }

    fn repeat_or_ack(&mut self) {
        if self.established {
            self.ack_now = true;
        } else {
            self.send_next = self.send_unacked;
            self.ack_now = true;
        }
    }

    fn establish(&mut self) {
        self.established = true;
        self.send_unacked = self.send_unacked.wrapping_add(1);
        self.send_next = self.send_unacked;
        self.send_max = self.send_unacked;
        self.backoff = 0;
        self.timer = None;
    }

    /// Takes in acknowledgement and window; `false` when the segment is not to be looked at
    /// further.
    fn acknowledged<H: Host, W: Wire>(
        &mut self,
        segment: &Segment<'_>,
        step: &mut Step<'_, H, W>,
    ) -> bool {
        let newly = segment.ack.wrapping_sub(self.send_unacked);
        let outstanding = self.send_max.wrapping_sub(self.send_unacked);
        if newly > outstanding {
            if newly > i32::MAX as u32 {
                // Older than what we know: its payload may still be new.
                return true;
            }
            self.ack_now = true;
            return false;
        }
        if newly > 0 {
            self.fin_acknowledged |= newly as usize > self.to_environment.len();
            self.forget(newly as usize);
            self.send_unacked = segment.ack;
            if before(self.send_next, self.send_unacked) {
                self.send_next = self.send_unacked;
            }
            self.duplicate_acks = 0;
            self.backoff = 0;
            self.timer = None;
            self.arm_if_in_flight(step.now);
        }
        let window = u32::from(segment.window) << self.send_window_shift;
        let plain = segment.payload.is_empty() && !segment.flags.has(Flags::FIN);
        if newly == 0 && plain && window == self.send_window && self.in_flight() > 0 {
            self.duplicate_acks = self.duplicate_acks.saturating_add(1);
            if self.duplicate_acks == 3 {
                self.retransmit_first(step);
            }
        }
        // Also with an acknowledgement on a repeated segment, or the window would move with it.
        let fresh = before(self.window_from, segment.seq);
        if newly > 0 || fresh || (self.window_from == segment.seq && window > self.send_window) {
            if self.send_window == 0 && window > 0 {
                self.backoff = 0;
                self.timer = None;
                self.arm_if_in_flight(step.now);
            }
            self.send_window = window;
            self.send_window_max = self.send_window_max.max(window);
            self.window_from = segment.seq;
        }
        true
    }

    /// Drops what has been acknowledged; the FIN's number has no byte.
    fn forget(&mut self, count: usize) {
        let count = count.min(self.to_environment.len());
        self.to_environment.drain(..count);
        if self.to_environment.is_empty() {
            // An idle connection holds no buffer.
            self.to_environment = VecDeque::new();
        }
    }

    fn received(&mut self, segment: &Segment<'_>, host: &mut impl Host) {
        let fin = segment.flags.has(Flags::FIN);
        let len = segment.payload.len() as u32;
        let known = self.receive_next.wrapping_sub(segment.seq);
        if len == 0 && !fin && known == 0 {
            return;
        }
        // Anything that takes room in the sequence, a probe, or something out of order.
        self.ack_now = true;
        if known > len || self.environment_fin {
            return;
        }
        let fresh = &segment.payload[known as usize..];
        let room = self.receive_edge.wrapping_sub(self.receive_next) as usize;
        let taken = &fresh[..fresh.len().min(room)];
        self.deliver(taken, host);
        self.receive_next = self.receive_next.wrapping_add(taken.len() as u32);
        if fin && taken.len() == fresh.len() {
            self.receive_next = self.receive_next.wrapping_add(1);
            self.environment_fin = true;
        }
    }

    /// Straight to the host if nothing waits before it; what it does not take is kept.
    fn deliver(&mut self, mut data: &[u8], host: &mut impl Host) {
        if self.to_host.is_empty() {
            while !data.is_empty() && self.writable {
                let written = self.written(host.write(data));
                data = &data[written..];
            }
        }
        if !self.host_write_broken {
            self.to_host.extend(data);
        }
    }

    fn write_host(&mut self, host: &mut impl Host) {
        while self.writable && !self.to_host.is_empty() {
            let written = self.written(host.write(self.to_host.as_slices().0));
            self.to_host.drain(..written.min(self.to_host.len()));
        }
        if !self.to_host.is_empty() {
            return;
        }
        self.to_host = VecDeque::new();
        if self.environment_fin && !self.host_shut {
            self.host_shut = true;
            if !self.host_write_broken {
                host.shutdown_write();
            }
        }
    }

    fn written(&mut self, result: io::Result<usize>) -> usize {
        match result {
            Ok(written) if written > 0 => written,
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.writable = false;
                0
            }
            // The peer has gone. What it sent before is still to be read, and how it ended with it.
            _ => {
                self.writable = false;
                self.readable = true;
                self.host_write_broken = true;
                self.to_host = VecDeque::new();
                0
            }
        }
    }

    /// Reads while there is room; `true` when it stopped only to let others have their turn.
    fn read_host<H: Host, W: Wire>(&mut self, step: &mut Step<'_, H, W>) -> bool {
        let mut moved = 0;
        while self.readable && self.host_end == End::Open {
            let room = step.buffer_max.saturating_sub(self.to_environment.len());
            if room == 0 {
                return false;
            }
            if moved >= PUMP_BYTES_MAX {
                return true;
            }
            let len = room.min(step.scratch.len());
            match step.host.read(&mut step.scratch[..len]) {
                Ok(0) if self.host_write_broken => self.host_end = End::Reset,
                Ok(0) => self.host_end = End::Eof,
                Ok(read) => {
                    moved += read;
                    self.to_environment.extend(&step.scratch[..read]);
                    // Sent as it comes, so that the environment works on it while we read on.
                    if self.unsent() >= self.mss as usize {
                        self.transmit_data(step);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && !self.host_write_broken => {
                    self.readable = false;
                }
                Err(_) => self.host_end = End::Reset,
            }
        }
        false
    }

    /// Sends what the window lets through; `false` when the connection has ended with a reset.
    fn transmit<H: Host, W: Wire>(&mut self, step: &mut Step<'_, H, W>) -> bool {
        if !self.established {
            if self.send_next == self.send_unacked {
                self.send_syn_ack(step);
            }
            return true;
        }
        self.transmit_data(step);
        if self.unsent() > 0 {
            self.arm(step.now);
            return true;
        }
        match self.host_end {
            End::Reset => {
                self.send_reset(step.wire);
                return false;
            }
            End::Eof if !self.fin_acknowledged && self.send_next == self.fin_number() => {
                self.send_fin(step);
            }
            _ => {}
        }
        true
    }

    fn transmit_data<H: Host, W: Wire>(&mut self, step: &mut Step<'_, H, W>) {
        while self.unsent() > 0 {
            let window = self.send_window.saturating_sub(self.in_flight()) as usize;
            let len = self.unsent().min(window).min(self.mss as usize);
            // Few large segments rather than many small ones, unless it is all there is or
            // nothing is under way.
            let worth_it = len == self.unsent()
                || len == self.mss as usize
                || len >= self.send_window_max as usize / 2
                || self.in_flight() == 0;
            if len == 0 || !worth_it || !self.send_data(len, step) {
                return;
            }
        }
    }

    fn send_data<H: Host, W: Wire>(&mut self, len: usize, step: &mut Step<'_, H, W>) -> bool {
        let from = self.send_next.wrapping_sub(self.send_unacked) as usize;
        let out = self.outgoing(Flags::ACK | Flags::PSH, self.send_next, step.buffer_max);
        let sent = step.wire.send(out, slices(&self.to_environment, from, len));
        self.arm(step.now);
        if sent {
            self.advance(len as u32);
            self.ack_now = false;
        }
        sent
    }

    fn retransmit_first<H: Host, W: Wire>(&mut self, step: &mut Step<'_, H, W>) {
        let len = self.to_environment.len().min(self.mss as usize);
        let out = self.outgoing(Flags::ACK | Flags::PSH, self.send_unacked, step.buffer_max);
        if len > 0 {
            step.wire.send(out, slices(&self.to_environment, 0, len));
        }
    }

    fn send_syn_ack<H: Host, W: Wire>(&mut self, step: &mut Step<'_, H, W>) {
        // The window of a SYN is never scaled.
        let room = step.buffer_max.min(0xffff);
        self.receive_edge = self.receive_next.wrapping_add(room as u32);
        let out = Outgoing {
            seq: self.send_unacked,
            ack: self.receive_next,
            flags: Flags::SYN | Flags::ACK,
            window: room as u16,
            window_scale: self.window_scaling.then_some(WINDOW_SHIFT),
        };
        step.wire.send(out, [&[], &[]]);
        self.advance(1);
        self.ack_now = false;
        self.arm(step.now);
    }

    fn send_fin<H: Host, W: Wire>(&mut self, step: &mut Step<'_, H, W>) {
        let out = self.outgoing(Flags::FIN | Flags::ACK, self.send_next, step.buffer_max);
        self.arm(step.now);
        if step.wire.send(out, [&[], &[]]) {
            self.advance(1);
            self.ack_now = false;
        }
    }

    /// An acknowledgement if one is due, or if the window of a sender that was held back has
    /// opened by enough to say so.
    fn acknowledge<H: Host, W: Wire>(&mut self, step: &mut Step<'_, H, W>) {
        if !self.established {
            return;
        }
        let told = self.receive_edge.wrapping_sub(self.receive_next) as usize;
        let free = step.buffer_max.saturating_sub(self.to_host.len());
        let half = step.buffer_max / 2;
        let reopened = !self.environment_fin && told < half && free >= told + half;
        if self.ack_now || reopened {
            let out = self.outgoing(Flags::ACK, self.send_next, step.buffer_max);
            step.wire.send(out, [&[], &[]]);
            self.ack_now = false;
        }
    }

    /// A segment from before the window: whoever is there answers it with where they are.
    fn probe<H: Host, W: Wire>(&mut self, step: &mut Step<'_, H, W>) {
        let seq = self.send_unacked.wrapping_sub(1);
        let out = self.outgoing(Flags::ACK, seq, step.buffer_max);
        step.wire.send(out, [&[], &[]]);
    }

    /// A header that acknowledges what was received and offers the room there is.
    fn outgoing(&mut self, flags: u8, seq: u32, buffer_max: usize) -> Outgoing {
        let shift = if self.window_scaling { WINDOW_SHIFT } else { 0 };
        let told = self.receive_edge.wrapping_sub(self.receive_next) as usize;
        let room = buffer_max.saturating_sub(self.to_host.len()).max(told);
        // Rounded down to the scale's steps: rounded up, it would creep on with every segment.
        let window = (room >> shift).min(0xffff);
        let edge = self.receive_next.wrapping_add((window as u32) << shift);
        if before(self.receive_edge, edge) {
            self.receive_edge = edge;
        }
        Outgoing {
            seq,
            ack: self.receive_next,
            flags,
            window: window as u16,
            window_scale: None,
        }
    }

    fn advance(&mut self, count: u32) {
        self.send_next = self.send_next.wrapping_add(count);
        if before(self.send_max, self.send_next) {
            self.send_max = self.send_next;
        }
    }

    fn go_back(&mut self) {
        self.send_next = self.send_unacked;
        self.duplicate_acks = 0;
    }

    fn in_flight(&self) -> u32 {
        self.send_next.wrapping_sub(self.send_unacked)
    }

    fn unsent(&self) -> usize {
        // The FIN may be in flight too, beyond the last byte.
        self.to_environment
            .len()
            .saturating_sub(self.in_flight() as usize)
    }

    /// The sequence number of our FIN.
    fn fin_number(&self) -> u32 {
        self.send_unacked
            .wrapping_add(self.to_environment.len() as u32)
    }

    /// A program that has closed its socket entirely leaves nothing behind after a minute, without
    /// a word; one that has closed its side only is still there. Asking tells them apart.
    fn watch_half_closed(&mut self, now: Instant) {
        if self.environment_fin && self.timer.is_none() {
            self.timer = Some(now + HALF_CLOSED_PROBE);
        }
    }

    fn arm_if_in_flight(&mut self, now: Instant) {
        if self.in_flight() > 0 {
            self.arm(now);
        }
    }

    fn arm(&mut self, now: Instant) {
        if self.timer.is_none() {
            let wait = RETRANSMIT_FIRST * (1u32 << self.backoff.min(BACKOFF_MAX));
            self.timer = Some(now + wait.min(RETRANSMIT_LONGEST));
        }
    }
}

/// Whether sequence number `a` comes before `b`.
fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// `len` bytes of the ring from `from` on.
fn slices(ring: &VecDeque<u8>, from: usize, len: usize) -> [&[u8]; 2] {
    let (first, second) = ring.as_slices();
    let end = from + len;
    let split = first.len();
    [
        &first[from.min(split)..end.min(split)],
        &second[from.saturating_sub(split)..end.saturating_sub(split)],
    ]
}

#[cfg(test)]
mod tests;
