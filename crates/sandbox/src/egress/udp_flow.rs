//! A UDP flow: one source port of the environment and one destination, with a connected socket of
//! the host to it. It ends when nothing has passed for a while.

use std::{
    io,
    net::{SocketAddrV4, UdpSocket},
    time::Instant,
};

use super::{
    counters::add,
    device::GATEWAY_ADDRESS,
    dns_flow::SERVER,
    host,
    limits::{BATCH, UDP_FLOWS_MAX, UDP_IDLE},
    packet::{self, Datagram, Ipv4, Unreachable},
    policy::{Decision, Reason},
    shared::Permit,
    stack::{Flow, Io, Key, Stack},
};

pub(super) struct UdpFlow {
    key: Key,
    socket: UdpSocket,
    last_used: Instant,
    _permit: Permit,
}

impl UdpFlow {
    pub(super) fn ends_at(&self) -> Instant {
        self.last_used + UDP_IDLE
    }
}

impl Stack {
    /// `segment_len` cuts a datagram that is really several (UDP_SEGMENT).
    pub(super) fn udp_datagram(
        &mut self,
        packet: &Ipv4<'_>,
        datagram: &Datagram<'_>,
        segment_len: Option<usize>,
        io: &mut Io<'_>,
    ) {
        let to = SocketAddrV4::new(packet.destination, datagram.destination_port);
        if to == SERVER {
            return self.dns_datagram(datagram, io);
        }
        let key = (datagram.source_port, to);
        if !self.udp.contains_key(&key)
            && let Err(code) = self.udp_open(key, io)
        {
            packet::send_unreachable(io.device, code, packet);
            return;
        }
        let Some(Flow::Udp(mut flow)) = self.udp.get(&key).copied().and_then(|i| self.take(i))
        else {
            return;
        };
        flow.last_used = io.now;
        let chunk = segment_len.unwrap_or(usize::MAX);
        let mut refused = None;
        if datagram.payload.is_empty() {
            refused = self.udp_send(&flow, &[]);
        }
        for part in datagram.payload.chunks(chunk) {
            refused = self.udp_send(&flow, part).or(refused);
        }
        if let Some(code) = refused {
            packet::send_unreachable(io.device, code, packet);
        }
        let index = self.udp[&key];
        self.put(index, Flow::Udp(flow));
    }

    fn udp_open(&mut self, key: Key, io: &mut Io<'_>) -> Result<(), Unreachable> {
        if *key.1.ip() == GATEWAY_ADDRESS {
            return Err(Unreachable::Port);
        }
        match self.shared.decide(&self.names, key.1, io.now) {
            Decision::Allow => {}
            Decision::Deny(Reason::Off) => return Err(Unreachable::NetProhibited),
            Decision::Deny(_) => return Err(Unreachable::Prohibited),
        }
        if self.udp.len() >= UDP_FLOWS_MAX {
            self.udp_end_oldest();
        }
        let Some(permit) = self.shared.permit() else {
            add(&self.shared.counters().flows_over_limit, 1);
            return Err(Unreachable::Port);
        };
        let (index, token) = self.reserve();
        match self.udp_socket(key.1, token) {
            Ok(socket) => {
                add(&self.shared.counters().udp_flows, 1);
                self.udp.insert(key, index);
                let flow = UdpFlow {
                    key,
                    socket,
                    last_used: io.now,
                    _permit: permit,
                };
                self.put(index, Flow::Udp(Box::new(flow)));
                Ok(())
            }
            Err(error) => {
                self.release(index);
                add(&self.shared.counters().connects_failed, 1);
                Err(unreachable(&error).unwrap_or(Unreachable::Net))
            }
        }
    }

    fn udp_socket(&self, to: SocketAddrV4, token: u64) -> io::Result<UdpSocket> {
        let socket = host::connect_udp(to.into())?;
        if host::speaks_to_itself(socket.local_addr(), socket.peer_addr()) {
            return Err(io::Error::from_raw_os_error(libc::EHOSTUNREACH));
        }
        self.epoll.add(&socket, token)?;
        Ok(socket)
    }

    /// Sends; an error that the world reported for an earlier datagram is the environment's to
    /// know. A full socket loses the datagram, as networks do.
    fn udp_send(&self, flow: &UdpFlow, data: &[u8]) -> Option<Unreachable> {
        let mut reported = None;
        // The first call may only fetch that error.
        for _ in 0..2 {
            match flow.socket.send(data) {
                Ok(sent) => {
                    add(&self.shared.counters().bytes_to_world, sent);
                    break;
                }
                Err(error) => match unreachable(&error) {
                    Some(code) => reported = Some(code),
                    None => break,
                },
            }
        }
        reported
    }

    pub(super) fn pump_udp(&mut self, index: u32, mut flow: Box<UdpFlow>, io: &mut Io<'_>) {
        let (port, from) = flow.key;
        for _ in 0..BATCH {
            match flow.socket.recv(io.scratch) {
                Ok(len) => {
                    flow.last_used = io.now;
                    add(&self.shared.counters().bytes_from_world, len);
                    if !packet::send_udp(io.device, from, port, &io.scratch[..len]) {
                        add(&self.shared.counters().packets_refused, 1);
                    }
                }
                Err(error) => {
                    if let Some(code) = unreachable(&error) {
                        let quote = packet::quote(packet::UDP, from, port, 0);
                        packet::send_unreachable_quoting(io.device, code, &quote);
                        continue;
                    }
                    self.put(index, Flow::Udp(flow));
                    return;
                }
            }
        }
        self.put(index, Flow::Udp(flow));
        self.mark_dirty(index);
    }

    pub(super) fn udp_timed_out(&mut self, index: u32, flow: &UdpFlow) {
        self.udp.remove(&flow.key);
        self.release(index);
    }

    fn udp_end_oldest(&mut self) {
        let used = |index: u32| match self.peek(index) {
            Some(Flow::Udp(flow)) => Some(flow.last_used),
            _ => None,
        };
        let oldest = self
            .udp
            .iter()
            .min_by_key(|(_, index)| used(**index))
            .map(|(key, _)| *key);
        if let Some(index) = oldest.and_then(|key| self.udp.remove(&key)) {
            self.take(index);
            self.release(index);
        }
    }
}

fn unreachable(error: &io::Error) -> Option<Unreachable> {
    match error.raw_os_error()? {
        libc::ECONNREFUSED => Some(Unreachable::Port),
        libc::EHOSTUNREACH => Some(Unreachable::Host),
        libc::ENETUNREACH => Some(Unreachable::Net),
        libc::EACCES | libc::EPERM => Some(Unreachable::Prohibited),
        _ => None,
    }
}
