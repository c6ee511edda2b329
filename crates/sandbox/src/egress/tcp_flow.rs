//! A TCP flow: first a connection attempt of the host on behalf of the environment, whose outcome
//! is the answer to the environment's SYN, then the two ends of one stream.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, SocketAddrV4, TcpStream},
    sync::Arc,
    time::Instant,
};

use super::{
    counters::{Counters, add},
    device::{Device, GATEWAY_ADDRESS},
    dns_flow::DNS_PORT,
    dns_stream::DnsStream,
    host::{self, Event},
    limits::TCP_FLOWS_MAX,
    packet::{self, Flags, Ipv4, Outgoing, Segment, Unreachable},
    policy::Decision,
    shared::{EgressShared, Permit},
    stack::{Flow, Io, Key, Stack},
    tcp::{After, Connection, Host, Pumped, Step, Syn, Wire},
};
use crate::NetworkPolicy;

pub(super) struct TcpFlow {
    key: Key,
    permit: Permit,
    state: State,
}

enum State {
    Connecting {
        syn: Syn,
        stream: TcpStream,
        ready: bool,
        /// Name servers still to be tried, if that is what it connects to.
        others: Vec<SocketAddr>,
    },
    Open {
        connection: Connection,
        host: HostEnd,
    },
}

impl TcpFlow {
    pub(super) fn host_event(&mut self, event: Event) {
        match &mut self.state {
            State::Connecting { ready, .. } => *ready |= event.writable,
            State::Open { connection, .. } => connection.host_ready(event.readable, event.writable),
        }
    }

    pub(super) fn timer(&self) -> Option<Instant> {
        match &self.state {
            // The host's kernel gives up by itself.
            State::Connecting { .. } => None,
            State::Open { connection, .. } => connection.timer(),
        }
    }

    /// Ends the flow on both sides.
    pub(super) fn cut(self, device: &Device) {
        if let State::Open { connection, .. } = &self.state {
            connection.send_reset(&mut Link {
                device,
                key: self.key,
                counters: None,
            });
        }
    }
}

impl Stack {
    pub(super) fn tcp_segment(
        &mut self,
        packet: &Ipv4<'_>,
        segment: &Segment<'_>,
        io: &mut Io<'_>,
    ) {
        let key = (
            segment.source_port,
            SocketAddrV4::new(packet.destination, segment.destination_port),
        );
        if let Some(&index) = self.tcp.get(&key) {
            self.tcp_segment_of(index, segment, io);
        } else if segment.flags.has(Flags::SYN) && !segment.flags.has(Flags::ACK) {
            self.tcp_syn(key, segment, io);
        } else if !segment.flags.has(Flags::RST) {
            // A flow we no longer have, or never had.
            refuse_stray(key, segment, io.device);
        }
    }

    fn tcp_segment_of(&mut self, index: u32, segment: &Segment<'_>, io: &mut Io<'_>) {
        let Some(Flow::Tcp(mut flow)) = self.take(index) else {
            return;
        };
        let after = match &mut flow.state {
            State::Connecting { .. } if segment.flags.has(Flags::RST) => After::Broken,
            // The SYN again; the answer is not known yet.
            State::Connecting { .. } => After::Alive,
            State::Open { connection, host } => {
                let mut step = Step {
                    now: io.now,
                    host,
                    wire: &mut Link::new(io.device, flow.key, &self.shared),
                    buffer_max: self.buffer_max(),
                    scratch: io.scratch,
                };
                connection.segment(segment, &mut step)
            }
        };
        self.tcp_after(index, flow, after, true);
    }

    fn tcp_syn(&mut self, key: Key, segment: &Segment<'_>, io: &mut Io<'_>) {
        let syn = Syn::of(segment);
        let mut servers = match self.tcp_targets(key.1, io.now) {
            Ok(servers) => servers,
            Err(Denied) => return refuse(key, &syn, io.device),
        };
        let permit = (self.tcp.len() < TCP_FLOWS_MAX)
            .then(|| self.shared.permit())
            .flatten();
        let Some(permit) = permit else {
            add(&self.shared.counters().flows_over_limit, 1);
            return refuse(key, &syn, io.device);
        };
        add(&self.shared.counters().tcp_flows, 1);
        servers.reverse();
        self.tcp_connect(
            Attempt {
                key,
                permit,
                syn,
                servers,
            },
            io,
        );
    }

    /// Where a connection to `to` really goes: there, or for the gateway's name server to one of
    /// the host's, or to a service of the host's behind the gateway.
    fn tcp_targets(&self, to: SocketAddrV4, now: Instant) -> Result<Vec<SocketAddr>, Denied> {
        if *to.ip() == GATEWAY_ADDRESS {
            return match to.port() {
                DNS_PORT if *self.names.policy() != NetworkPolicy::Off => {
                    Ok(self.shared.resolvers.current(now).to_vec())
                }
                DNS_PORT => Err(Denied),
                port => {
                    let service = self.shared.host_service(&self.names, port);
                    service.map(|address| vec![address]).ok_or(Denied)
                }
            };
        }
        match self.shared.decide(&self.names, to, now) {
            Decision::Allow => Ok(vec![to.into()]),
            Decision::Deny(_) => Err(Denied),
        }
    }

    /// Connects to the last of the servers that are left, or tells the environment why not.
    fn tcp_connect(&mut self, mut attempt: Attempt, io: &mut Io<'_>) {
        let mut error = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        while let Some(server) = attempt.servers.pop() {
            let (index, token) = self.reserve();
            let stream = host::connect_tcp(server)
                .and_then(|stream| self.epoll.add(&stream, token).map(|()| stream));
            match stream {
                Ok(stream) => {
                    self.tcp.insert(attempt.key, index);
                    let Attempt {
                        key,
                        permit,
                        syn,
                        servers: others,
                    } = attempt;
                    let state = State::Connecting {
                        syn,
                        stream,
                        ready: false,
                        others,
                    };
                    self.put(index, Flow::Tcp(Box::new(TcpFlow { key, permit, state })));
                    return;
                }
                Err(e) => {
                    self.release(index);
                    error = e;
                }
            }
        }
        self.tcp_connect_failed(attempt.key, &attempt.syn, &error, io);
    }

    pub(super) fn pump_tcp(&mut self, index: u32, mut flow: Box<TcpFlow>, io: &mut Io<'_>) {
        if let State::Connecting { ready, .. } = flow.state {
            if !ready {
                self.put(index, Flow::Tcp(flow));
                return;
            }
            match self.tcp_connected(index, *flow, io) {
                Some(open) => flow = open,
                None => return,
            }
        }
        let State::Open { connection, host } = &mut flow.state else {
            return;
        };
        if let End::Dns(_) = host.end {
            // It may have an answer of its own, or room again, of which no event tells.
            connection.host_ready(true, true);
        }
        let mut step = Step {
            now: io.now,
            host,
            wire: &mut Link::new(io.device, flow.key, &self.shared),
            buffer_max: self.buffer_max(),
            scratch: io.scratch,
        };
        let Pumped { after, more } = connection.pump(&mut step);
        flow.permit.set_buffered(connection.buffered());
        self.tcp_after(index, flow, after, more);
    }

    /// The host's attempt has ended: the flow opens, or the environment hears why not.
    fn tcp_connected(
        &mut self,
        index: u32,
        flow: TcpFlow,
        io: &mut Io<'_>,
    ) -> Option<Box<TcpFlow>> {
        let TcpFlow { key, permit, state } = flow;
        let State::Connecting {
            syn,
            stream,
            others,
            ..
        } = state
        else {
            return None;
        };
        let gateway = *key.1.ip() == GATEWAY_ADDRESS;
        let error = match stream.take_error() {
            Ok(None) if gateway => None,
            Ok(None) => host::speaks_to_itself(stream.local_addr(), stream.peer_addr())
                .then(|| io::Error::from_raw_os_error(libc::EHOSTUNREACH)),
            Ok(Some(error)) | Err(error) => Some(error),
        };
        let Some(error) = error else {
            let connection = Connection::accept(&syn, self.initial_sequence(key));
            let end = if gateway && key.1.port() == DNS_PORT {
                End::Dns(Box::new(DnsStream::new(stream, self.names.clone())))
            } else {
                End::Plain(stream)
            };
            let host = HostEnd {
                end,
                counters: self.shared.clone(),
                finished: false,
            };
            return Some(Box::new(TcpFlow {
                key,
                permit,
                state: State::Open { connection, host },
            }));
        };
        drop(stream);
        self.tcp.remove(&key);
        self.release(index);
        if others.is_empty() {
            self.tcp_connect_failed(key, &syn, &error, io);
        } else {
            self.tcp_connect(
                Attempt {
                    key,
                    permit,
                    syn,
                    servers: others,
                },
                io,
            );
        }
        None
    }

    fn tcp_connect_failed(&mut self, key: Key, syn: &Syn, error: &io::Error, io: &mut Io<'_>) {
        add(&self.shared.counters().connects_failed, 1);
        let code = match error.raw_os_error() {
            // Silence, as from the world: the environment's own kernel will time out.
            Some(libc::ETIMEDOUT) => return,
            Some(libc::ENETUNREACH) => Unreachable::Net,
            Some(libc::EHOSTUNREACH) => Unreachable::Host,
            _ => return refuse(key, syn, io.device),
        };
        let quote = packet::quote(packet::TCP, key.1, key.0, syn.sequence());
        packet::send_unreachable_quoting(io.device, code, &quote);
    }

    pub(super) fn tcp_timed_out(&mut self, index: u32, mut flow: Box<TcpFlow>, io: &mut Io<'_>) {
        let State::Open { connection, host } = &mut flow.state else {
            self.put(index, Flow::Tcp(flow));
            return;
        };
        let mut step = Step {
            now: io.now,
            host,
            wire: &mut Link::new(io.device, flow.key, &self.shared),
            buffer_max: self.buffer_max(),
            scratch: io.scratch,
        };
        let after = connection.timed_out(&mut step);
        self.tcp_after(index, flow, after, true);
    }

    fn tcp_after(&mut self, index: u32, mut flow: Box<TcpFlow>, after: After, more: bool) {
        match after {
            After::Alive => {
                self.put(index, Flow::Tcp(flow));
                if more {
                    self.mark_dirty(index);
                }
            }
            After::Closed | After::Broken => {
                if let State::Open { host, .. } = &mut flow.state {
                    host.finished = after == After::Closed;
                }
                self.tcp.remove(&flow.key);
                self.release(index);
            }
        }
    }
}

struct Attempt {
    key: Key,
    permit: Permit,
    syn: Syn,
    /// The next one last.
    servers: Vec<SocketAddr>,
}

/// The policy, or the gateway, has nothing for the environment there.
struct Denied;

/// Refuses the environment's attempt. With a reset rather than an ICMP message that says more:
/// kernels report the latter to a waiting program a moment before they know the error, so that one
/// in some thousand programs finds no error and believes that it is connected.
fn refuse((port, from): Key, syn: &Syn, device: &Device) {
    packet::send_tcp(device, from, port, syn.refusal(), [&[], &[]]);
}

fn refuse_stray((port, from): Key, segment: &Segment<'_>, device: &Device) {
    let out = if segment.flags.has(Flags::ACK) {
        Outgoing {
            seq: segment.ack,
            flags: Flags::RST,
            ..Outgoing::default()
        }
    } else {
        let ack = segment.seq.wrapping_add(segment.payload.len() as u32);
        Outgoing {
            ack,
            flags: Flags::RST | Flags::ACK,
            ..Outgoing::default()
        }
    };
    packet::send_tcp(device, from, port, out, [&[], &[]]);
}

/// The environment's side of a flow.
struct Link<'a> {
    device: &'a Device,
    key: Key,
    counters: Option<&'a Counters>,
}

impl<'a> Link<'a> {
    fn new(device: &'a Device, key: Key, shared: &'a EgressShared) -> Link<'a> {
        Link {
            device,
            key,
            counters: Some(shared.counters()),
        }
    }
}

impl Wire for Link<'_> {
    fn send(&mut self, out: Outgoing, data: [&[u8]; 2]) -> bool {
        let sent = packet::send_tcp(self.device, self.key.1, self.key.0, out, data);
        if let (false, Some(counters)) = (sent, self.counters) {
            add(&counters.packets_refused, 1);
        }
        sent
    }
}

/// The host's side of a flow. Unless it has finished as it should, closing it resets it: a peer
/// must not take what came until then for all there was.
struct HostEnd {
    end: End,
    counters: Arc<EgressShared>,
    finished: bool,
}

enum End {
    Plain(TcpStream),
    Dns(Box<DnsStream>),
}

impl Host for HostEnd {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match &mut self.end {
            End::Plain(stream) => {
                let written = stream.write(data)?;
                add(&self.counters.counters().bytes_to_world, written);
                Ok(written)
            }
            End::Dns(stream) => stream.write(data),
        }
    }

    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.end {
            End::Plain(stream) => {
                let read = stream.read(buf)?;
                add(&self.counters.counters().bytes_from_world, read);
                Ok(read)
            }
            End::Dns(stream) => stream.read(buf),
        }
    }

    fn shutdown_write(&mut self) {
        let stream = match &self.end {
            End::Plain(stream) => stream,
            End::Dns(stream) => stream.stream(),
        };
        let _ = stream.shutdown(Shutdown::Write);
    }
}

impl Drop for HostEnd {
    fn drop(&mut self) {
        if let (End::Plain(stream), false) = (&self.end, self.finished) {
            host::reset_on_close(stream);
        }
    }
}
