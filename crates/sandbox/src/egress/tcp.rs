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

mod receiving;
mod sending;

use std::{collections::VecDeque, io, time::Instant};

use super::{
    limits::{HALF_CLOSED_PROBE, RETRANSMIT_FIRST, RETRANSMIT_LONGEST, RETRANSMITS_MAX},
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
        let wait = RETRANSMIT_FIRST * (1u32 << self.backoff.min(BACKOFF_MAX));
        let at = now + wait.min(RETRANSMIT_LONGEST);
        // An earlier one stays; a later one was set when there was less to wait for.
        self.timer = Some(self.timer.map_or(at, |timer| timer.min(at)));
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
