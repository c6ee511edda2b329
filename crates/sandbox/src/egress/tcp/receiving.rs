//! From the environment to the host: what arrives is checked, acknowledged and handed over.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
};

use super::{After, Connection, Host, Step, Wire, before};
use crate::egress::packet::{Flags, Segment};

impl Connection {
    pub(super) fn reset_received(&mut self, seq: u32) -> After {
        let offset = seq.wrapping_sub(self.receive_next);
        if offset == 0 {
            return After::Broken;
        }
        if offset < self.receive_edge.wrapping_sub(self.receive_next) {
            self.ack_now = true;
        }
        After::Alive
    }

    pub(super) fn repeat_or_ack(&mut self) {
        if self.established {
            self.ack_now = true;
        } else {
            self.send_next = self.send_unacked;
            self.ack_now = true;
        }
    }

    pub(super) fn establish(&mut self) {
        self.established = true;
        self.send_unacked = self.send_unacked.wrapping_add(1);
        self.send_next = self.send_unacked;
        self.send_max = self.send_unacked;
        self.backoff = 0;
        self.timer = None;
    }

    /// Takes in acknowledgement and window; `false` when the segment is not to be looked at
    /// further.
    pub(super) fn acknowledged<H: Host, W: Wire>(
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

    pub(super) fn received(&mut self, segment: &Segment<'_>, host: &mut impl Host) {
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

    pub(super) fn write_host(&mut self, host: &mut impl Host) {
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
}
