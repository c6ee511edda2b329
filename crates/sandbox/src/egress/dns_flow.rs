//! A query of the environment to its name server over UDP: asked on of the host's name servers,
//! one after the other, each from a socket of its own.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    sync::Arc,
    time::Instant,
};

use super::{
    counters::add,
    device::{Device, GATEWAY_ADDRESS},
    dns::{self, Answer, NO_SUCH_NAME, Query, SERVER_FAILURE},
    host,
    limits::{DNS_QUERIES_MAX, DNS_TRY},
    packet::{self, Datagram},
    policy::HOST_NAME,
    shared::Permit,
    stack::{Flow, Io, Stack},
};

pub(super) const DNS_PORT: u16 = 53;
/// Where the environment's name server is.
pub(super) const SERVER: SocketAddrV4 = SocketAddrV4::new(GATEWAY_ADDRESS, DNS_PORT);

pub(super) struct DnsQuery {
    query: Query,
    message: Box<[u8]>,
    /// The environment's port that waits for the answer.
    port: u16,
    socket: UdpSocket,
    servers: Arc<[SocketAddr]>,
    /// How many of the servers have been asked.
    asked: usize,
    next_try_at: Instant,
    _permit: Permit,
}

impl DnsQuery {
    pub(super) fn next_try_at(&self) -> Instant {
        self.next_try_at
    }
}

impl Stack {
    pub(super) fn dns_datagram(&mut self, datagram: &Datagram<'_>, io: &mut Io<'_>) {
        add(&self.shared.counters().dns_queries, 1);
        let (message, port) = (datagram.payload, datagram.source_port);
        let Some(query) = Query::parse(message) else {
            if let Some(error) = dns::format_error(message) {
                reply(io.device, port, &error);
            }
            return;
        };
        if query.is_loopback() {
            // Under every policy: it leads nowhere but to the environment itself.
            let address = Ipv4Addr::LOCALHOST;
            return reply(io.device, port, &dns::own_reply(message, &query, address));
        }
        if query.name == HOST_NAME
            && self.shared.has_host_services()
            && self.names.may_resolve(&query)
        {
            return reply(
                io.device,
                port,
                &dns::own_reply(message, &query, GATEWAY_ADDRESS),
            );
        }
        if !self.names.may_resolve(&query) {
            self.shared.counters().count_name_denied();
            reply(
                io.device,
                port,
                &dns::error_reply(message, &query, NO_SUCH_NAME),
            );
            return;
        }
        let servers = self.shared.resolvers.current(io.now);
        let permit = (self.dns_queries < DNS_QUERIES_MAX)
            .then(|| self.shared.permit())
            .flatten();
        let Some(permit) = permit else {
            add(&self.shared.counters().flows_over_limit, 1);
            reply(
                io.device,
                port,
                &dns::error_reply(message, &query, SERVER_FAILURE),
            );
            return;
        };
        self.dns_queries += 1;
        let waiting = Waiting {
            query,
            message: message.into(),
            port,
            servers,
            permit,
        };
        self.dns_ask(waiting, 0, io);
    }

    /// Asks the next server that can be asked; without any the query has failed.
    fn dns_ask(&mut self, waiting: Waiting, mut asked: usize, io: &mut Io<'_>) {
        while let Some(server) = waiting.servers.get(asked) {
            asked += 1;
            let (index, token) = self.reserve();
            let socket = host::connect_udp(*server).and_then(|socket| {
                self.epoll.add(&socket, token)?;
                socket.send(&waiting.message)?;
                Ok(socket)
            });
            let Ok(socket) = socket else {
                self.release(index);
                continue;
            };
            let Waiting {
                query,
                message,
                port,
                servers,
                permit,
            } = waiting;
            let next_try_at = io.now + DNS_TRY;
            let flow = DnsQuery {
                query,
                message,
                port,
                socket,
                servers,
                asked,
                next_try_at,
                _permit: permit,
            };
            self.put(index, Flow::Dns(Box::new(flow)));
            return;
        }
        self.dns_queries -= 1;
        let failed = dns::error_reply(&waiting.message, &waiting.query, SERVER_FAILURE);
        reply(io.device, waiting.port, &failed);
    }

    pub(super) fn pump_dns(&mut self, index: u32, flow: Box<DnsQuery>, io: &mut Io<'_>) {
        loop {
            match flow.socket.recv(io.scratch) {
                Ok(len) => {
                    let Some(answer) = Answer::parse(&io.scratch[..len], &flow.query) else {
                        continue;
                    };
                    // "Server failure", "not implemented" and "refused" are about the server, not
                    // the name: the next may know better.
                    if matches!(answer.code, 2 | 4 | 5) && flow.asked < flow.servers.len() {
                        return self.dns_ask_next(index, *flow, io);
                    }
                    self.names.learn(&flow.query, &answer, io.now);
                    reply(io.device, flow.port, &io.scratch[..len]);
                    self.dns_queries -= 1;
                    self.release(index);
                    return;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return self.dns_ask_next(index, *flow, io),
            }
        }
        self.put(index, Flow::Dns(flow));
    }

    pub(super) fn dns_timed_out(&mut self, index: u32, flow: DnsQuery, io: &mut Io<'_>) {
        self.dns_ask_next(index, flow, io);
    }

    fn dns_ask_next(&mut self, index: u32, flow: DnsQuery, io: &mut Io<'_>) {
        self.release(index);
        let DnsQuery {
            query,
            message,
            port,
            servers,
            asked,
            _permit: permit,
            ..
        } = flow;
        self.dns_ask(
            Waiting {
                query,
                message,
                port,
                servers,
                permit,
            },
            asked,
            io,
        );
    }
}

/// A query that no server is being asked.
struct Waiting {
    query: Query,
    message: Box<[u8]>,
    port: u16,
    servers: Arc<[SocketAddr]>,
    permit: Permit,
}

fn reply(device: &Device, port: u16, message: &[u8]) {
    packet::send_udp(device, SERVER, port, message);
}
