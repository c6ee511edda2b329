//! From the host to the environment: what is read is sent as the window lets it, with the
//! acknowledgements of the other direction on it.

use std::io::ErrorKind;

use super::{Connection, End, Host, Step, WINDOW_SHIFT, Wire, before, slices};
use crate::egress::{
    limits::PUMP_BYTES_MAX,
    packet::{Flags, Outgoing},
};

impl Connection {
    /// Reads while there is room; `true` when it stopped only to let others have their turn.
    pub(super) fn read_host<H: Host, W: Wire>(&mut self, step: &mut Step<'_, H, W>) -> bool {
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
    pub(super) fn transmit<H: Host, W: Wire>(&mut self, step: &mut Step<'_, H, W>) -> bool {
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

    pub(super) fn retransmit_first<H: Host, W: Wire>(&mut self, step: &mut Step<'_, H, W>) {
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
    pub(super) fn acknowledge<H: Host, W: Wire>(&mut self, step: &mut Step<'_, H, W>) {
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
    pub(super) fn probe<H: Host, W: Wire>(&mut self, step: &mut Step<'_, H, W>) {
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
}
