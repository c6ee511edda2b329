//! The connection against a host that is a pair of buffers, and against an environment that is a
//! small TCP of its own behind a link that loses, repeats and delays, all from one seed.

use std::{io::ErrorKind, time::Duration};

use super::*;

#[derive(Default)]
struct Buffers {
    taken: Vec<u8>,
    room: usize,
    given: VecDeque<u8>,
    ended: bool,
    broken: bool,
    shut: bool,
}

impl Host for Buffers {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        assert!(!self.shut, "written after the end");
        if self.broken {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let count = data.len().min(self.room);
        self.room -= count;
        self.taken.extend(&data[..count]);
        if count == 0 {
            Err(ErrorKind::WouldBlock.into())
        } else {
            Ok(count)
        }
    }

    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match io::Read::read(&mut self.given, buf) {
            Ok(0) if self.broken => Err(ErrorKind::ConnectionReset.into()),
            Ok(0) if !self.ended => Err(ErrorKind::WouldBlock.into()),
            read => read,
        }
    }

    fn shutdown_write(&mut self) {
        self.shut = true;
    }
}

#[derive(Default)]
struct Sent {
    segments: Vec<(Outgoing, Vec<u8>)>,
    full: bool,
}

impl Wire for Sent {
    fn send(&mut self, out: Outgoing, data: [&[u8]; 2]) -> bool {
        if !self.full {
            self.segments.push((out, data.concat()));
        }
        !self.full
    }
}

const BUFFER: usize = 1 << 14;

struct Bench {
    connection: Connection,
    host: Buffers,
    wire: Sent,
    now: Instant,
}

impl Bench {
    fn new(syn: &Segment<'_>) -> Bench {
        let host = Buffers {
            room: usize::MAX,
            ..Buffers::default()
        };
        let connection = Connection::accept(&Syn::of(syn), 1000);
        Bench {
            connection,
            host,
            wire: Sent::default(),
            now: Instant::now(),
        }
    }

    /// After the handshake; the environment's next byte is 501, ours 1001.
    fn established() -> Bench {
        let mut bench = Bench::new(&syn());
        assert_eq!(bench.pump().after, After::Alive);
        let flags = Flags::SYN | Flags::ACK;
        let (answer, _) = bench.wire.segments.pop().expect("an answer");
        assert_eq!((answer.flags, answer.seq, answer.ack), (flags, 1000, 501));
        assert_eq!(answer.window_scale, Some(WINDOW_SHIFT));
        bench.take(&segment(501, 1001, b""));
        assert!(bench.wire.segments.is_empty());
        bench
    }

    fn step<T>(
        &mut self,
        act: impl FnOnce(&mut Connection, &mut Step<'_, Buffers, Sent>) -> T,
    ) -> T {
        let mut step = Step {
            now: self.now,
            host: &mut self.host,
            wire: &mut self.wire,
            buffer_max: BUFFER,
            scratch: &mut [0; 4096],
        };
        act(&mut self.connection, &mut step)
    }

    fn pump(&mut self) -> Pumped {
        self.step(|connection, step| connection.pump(step))
    }

    /// A segment and what follows from it.
    fn take(&mut self, segment: &Segment<'_>) -> After {
        match self.step(|connection, step| connection.segment(segment, step)) {
            After::Alive => self.pump().after,
            after => after,
        }
    }

    fn host_gives(&mut self, data: &[u8]) -> After {
        self.host.given.extend(data);
        self.connection.host_ready(true, true);
        self.pump().after
    }

    fn wait(&mut self) -> After {
        self.now = self.connection.timer().expect("a timer");
        match self.step(|connection, step| connection.timed_out(step)) {
            After::Alive => self.pump().after,
            after => after,
        }
    }

    fn sent(&mut self) -> Vec<(Outgoing, Vec<u8>)> {
        std::mem::take(&mut self.wire.segments)
    }
}

fn syn() -> Segment<'static> {
    Segment {
        seq: 500,
        flags: Flags(Flags::SYN),
        window: 60_000,
        mss: Some(1000),
        window_scale: Some(0),
        ..Segment::default()
    }
}

fn segment(seq: u32, ack: u32, payload: &[u8]) -> Segment<'_> {
    Segment {
        seq,
        ack,
        flags: Flags(Flags::ACK),
        window: 60_000,
        payload,
        ..Segment::default()
    }
}

fn fin(seq: u32, ack: u32) -> Segment<'static> {
    Segment {
        flags: Flags(Flags::ACK | Flags::FIN),
        ..segment(seq, ack, b"")
    }
}

#[test]
fn a_repeated_syn_is_answered_again() {
    let mut bench = Bench::new(&syn());
    bench.pump();
    bench.take(&syn());
    assert_eq!(bench.sent().len(), 2);
    bench.wait();
    assert_eq!(
        bench.sent().len(),
        1,
        "and without being asked after a while"
    );
}

#[test]
fn a_client_without_window_scaling_gets_none() {
    let mut bench = Bench::new(&Segment {
        window_scale: None,
        ..syn()
    });
    bench.pump();
    let (answer, _) = bench.sent().remove(0);
    assert_eq!((answer.window_scale, answer.window), (None, BUFFER as u16));
}

#[test]
fn data_is_taken_once_and_in_order() {
    let mut bench = Bench::established();
    bench.take(&segment(504, 1001, b"def"));
    assert_eq!(bench.sent()[0].0.ack, 501, "out of order: where we are");
    bench.take(&segment(501, 1001, b"abcdef"));
    bench.take(&segment(503, 1001, b"cdefgh"));
    bench.take(&segment(501, 1001, b"abc"));
    assert_eq!(bench.host.taken, b"abcdefgh");
    assert_eq!(bench.sent().last().expect("an acknowledgement").0.ack, 509);
}

#[test]
fn a_host_that_takes_nothing_closes_the_window() {
    let mut bench = Bench::established();
    bench.host.room = 10;
    let data = vec![1; BUFFER + 5000];
    let mut seq = 501u32;
    for part in data.chunks(1000) {
        bench.take(&segment(seq, 1001, part));
        seq = seq.wrapping_add(part.len() as u32);
    }
    assert!(bench.connection.buffered() <= BUFFER + (1 << WINDOW_SHIFT));
    let (last, _) = bench.sent().pop().expect("an acknowledgement");
    assert_eq!(last.window, 0);
    // It takes again: the window is announced without being asked for.
    bench.host.room = usize::MAX;
    bench.connection.host_ready(false, true);
    bench.pump();
    let (opened, _) = bench.sent().pop().expect("a window");
    assert_eq!(usize::from(opened.window) << WINDOW_SHIFT, BUFFER);
    assert_eq!(opened.ack, last.ack);
}

#[test]
fn an_environment_that_takes_nothing_stops_the_reading() {
    let mut bench = Bench::established();
    bench.host_gives(&vec![1; 10 * BUFFER]);
    assert_eq!(bench.connection.buffered(), BUFFER);
    assert_eq!(bench.host.given.len(), 9 * BUFFER);
    // A closed window is asked after for as long as there is an answer.
    bench.take(&Segment {
        window: 0,
        ..segment(501, 1001 + BUFFER as u32, b"")
    });
    assert_eq!(bench.connection.buffered(), BUFFER);
    bench.sent();
    for _ in 0..100 {
        assert_eq!(bench.wait(), After::Alive);
        let sent = bench.sent();
        assert_eq!((sent.len(), sent[0].1.len()), (1, 0));
        bench.take(&Segment {
            window: 0,
            ..segment(501, 1001 + BUFFER as u32, b"")
        });
    }
    bench.take(&segment(501, 1001 + BUFFER as u32, b""));
    assert_eq!(
        bench
            .sent()
            .iter()
            .map(|(_, data)| data.len())
            .sum::<usize>(),
        BUFFER
    );
}

#[test]
fn what_is_not_acknowledged_is_sent_again_and_given_up_at_last() {
    let mut bench = Bench::established();
    bench.host_gives(b"hello");
    assert_eq!(bench.sent()[0].1, b"hello");
    for _ in 0..RETRANSMITS_MAX {
        assert_eq!(bench.wait(), After::Alive);
        assert_eq!(bench.sent()[0].1, b"hello");
    }
    assert_eq!(bench.wait(), After::Broken);
    assert_eq!(bench.sent()[0].0.flags, Flags::RST | Flags::ACK);
}

#[test]
fn three_repeated_acknowledgements_bring_the_lost_segment() {
    let mut bench = Bench::established();
    bench.host_gives(&vec![1; 5000]);
    bench.sent();
    for _ in 0..3 {
        bench.take(&segment(501, 1001, b""));
    }
    let sent = bench.sent();
    assert_eq!(
        (sent.len(), sent[0].0.seq, sent[0].1.len()),
        (1, 1001, 1000)
    );
}

#[test]
fn a_device_that_is_full_delays_only() {
    let mut bench = Bench::established();
    bench.wire.full = true;
    bench.host_gives(b"hello");
    bench.wire.full = false;
    assert_eq!(bench.wait(), After::Alive);
    assert_eq!(bench.sent()[0].1, b"hello");
}

#[test]
fn each_direction_ends_by_itself() {
    let mut bench = Bench::established();
    bench.take(&fin(501, 1001));
    assert!(bench.host.shut);
    assert_eq!(bench.sent()[0].0.ack, 502);
    bench.host_gives(b"answer");
    bench.take(&segment(502, 1007, b""));
    bench.host.ended = true;
    assert_eq!(bench.host_gives(b""), After::Alive);
    let (last, _) = bench.sent().pop().expect("the end");
    assert_eq!((last.flags, last.seq), (Flags::FIN | Flags::ACK, 1007));
    assert_eq!(bench.take(&segment(502, 1008, b"")), After::Closed);
}

#[test]
fn an_answer_after_the_environments_end_is_sent_again_as_soon_as_any() {
    let mut bench = Bench::established();
    bench.take(&fin(501, 1001));
    bench.host_gives(b"answer");
    let wait = bench.connection.timer().expect("a timer") - bench.now;
    assert_eq!(wait, RETRANSMIT_FIRST);
}

#[test]
fn a_lost_end_is_sent_again() {
    let mut bench = Bench::established();
    bench.host.ended = true;
    bench.host_gives(b"bye");
    bench.take(&segment(501, 1004, b""));
    bench.sent();
    bench.wait();
    let (again, _) = bench.sent().pop().expect("the end");
    assert_eq!((again.flags, again.seq), (Flags::FIN | Flags::ACK, 1004));
    bench.take(&segment(501, 1005, b""));
    assert_eq!(bench.connection.timer(), None, "nothing to wait for");
    assert_eq!(bench.take(&fin(501, 1005)), After::Closed);
}

#[test]
fn one_that_closed_and_went_away_is_found_out() {
    let mut bench = Bench::established();
    bench.take(&fin(501, 1001));
    bench.sent();
    for _ in 0..3 {
        assert_eq!(bench.wait(), After::Alive);
        assert_eq!(bench.sent()[0].0.seq, 1000, "a probe");
        assert_eq!(bench.take(&segment(502, 1001, b"")), After::Alive);
    }
    let reset = Segment {
        seq: 502,
        flags: Flags(Flags::RST),
        ..Segment::default()
    };
    assert_eq!(bench.take(&reset), After::Broken);
}

#[test]
fn a_reset_counts_only_where_it_fits() {
    let mut bench = Bench::established();
    let reset = |seq| Segment {
        seq,
        flags: Flags(Flags::RST),
        ..Segment::default()
    };
    assert_eq!(bench.take(&reset(499)), After::Alive);
    assert!(bench.sent().is_empty());
    assert_eq!(bench.take(&reset(502)), After::Alive);
    assert_eq!(bench.sent().len(), 1, "in the window: challenged");
    assert_eq!(bench.take(&reset(501)), After::Broken);
}

#[test]
fn last_words_come_before_the_reset() {
    let mut bench = Bench::established();
    bench.host.broken = true;
    assert_eq!(bench.host_gives(b"last words"), After::Broken);
    let sent = bench.sent();
    assert_eq!(sent[0].1, b"last words");
    assert_eq!(sent[1].0.flags, Flags::RST | Flags::ACK);
    // Also when it is found out by writing.
    let mut bench = Bench::established();
    bench.host.broken = true;
    bench.host.given.extend(b"last words");
    assert_eq!(bench.take(&segment(501, 1001, b"data")), After::Broken);
    assert_eq!(bench.sent()[0].1, b"last words");
}

#[test]
fn acknowledgements_of_what_was_never_sent_do_nothing() {
    let mut bench = Bench::established();
    bench.take(&segment(501, 5000, b"data"));
    assert_eq!(bench.host.taken, b"");
    bench.host_gives(b"hello");
    assert_eq!(bench.sent().last().expect("data").0.seq, 1001);
}

#[test]
fn any_segment_is_survived_within_bounds() {
    let mut dice = Dice(3);
    for round in 0..300 {
        let mut bench = Bench::established();
        bench.host.room = if round % 2 == 0 { 100 } else { usize::MAX };
        for _ in 0..200 {
            let data = vec![0; dice.roll(2000)];
            let near = |dice: &mut Dice, base: u32| match dice.roll(3) {
                0 => dice.next(),
                _ => base.wrapping_add(dice.roll(4000) as u32).wrapping_sub(1000),
            };
            let segment = Segment {
                seq: near(&mut dice, bench.connection.receive_next),
                ack: near(&mut dice, bench.connection.send_max),
                flags: Flags(
                    dice.next() as u8 & !(if dice.roll(20) == 0 { 0 } else { Flags::RST }),
                ),
                window: dice.next() as u16,
                payload: &data,
                ..Segment::default()
            };
            if bench.take(&segment) != After::Alive {
                break;
            }
            if dice.roll(4) == 0 && bench.host_gives(&vec![0; dice.roll(5000)]) != After::Alive {
                break;
            }
            if dice.roll(4) == 0
                && bench.connection.timer().is_some()
                && bench.wait() != After::Alive
            {
                break;
            }
            assert!(bench.connection.buffered() <= 2 * BUFFER + 128);
            bench.sent();
        }
    }
}

struct Dice(u32);

impl Dice {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1664525).wrapping_add(1013904223);
        self.0.rotate_right(16)
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.next() as usize % sides
    }
}

/// An environment's TCP: slow, plain and right.
struct Client {
    out: Vec<u8>,
    acked: usize,
    fin_acked: bool,
    got: Vec<u8>,
    got_fin: bool,
    unread: usize,
    window: usize,
}

const FIRST: u32 = 501;

impl Client {
    fn ack_number(&self) -> u32 {
        1001u32
            .wrapping_add(self.got.len() as u32)
            .wrapping_add(u32::from(self.got_fin))
    }

    fn segments(&self) -> Vec<(u32, Vec<u8>, u8)> {
        let from = self.acked;
        let to = self.out.len().min(from + self.window);
        let mut segments: Vec<_> = (from..to)
            .step_by(700)
            .map(|at| {
                let data = self.out[at..to.min(at + 700)].to_vec();
                (FIRST.wrapping_add(at as u32), data, Flags::ACK)
            })
            .collect();
        let end = FIRST.wrapping_add(self.out.len() as u32);
        if to == self.out.len() && !self.fin_acked {
            segments.push((end, Vec::new(), Flags::ACK | Flags::FIN));
        }
        let next = FIRST
            .wrapping_add(to as u32)
            .wrapping_add(u32::from(self.fin_acked));
        segments.push((next, Vec::new(), Flags::ACK));
        segments
    }

    fn take(&mut self, out: &Outgoing, data: &[u8]) {
        let acked = out.ack.wrapping_sub(FIRST) as usize;
        assert!(
            acked <= self.out.len() + 1,
            "more acknowledged than there is"
        );
        if acked >= self.acked {
            self.fin_acked |= acked == self.out.len() + 1;
            self.acked = acked.min(self.out.len());
            self.window = usize::from(out.window) << WINDOW_SHIFT;
        }
        if out.seq != self.ack_number() || self.got_fin {
            return;
        }
        assert!(
            data.len() <= 5000 - self.unread,
            "more sent than the window lets"
        );
        self.got.extend(data);
        self.unread += data.len();
        self.got_fin |= out.flags & Flags::FIN != 0;
    }
}

#[test]
fn streams_arrive_whole_over_a_link_that_loses() {
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let up: Vec<u8> = (0..dice.roll(60_000)).map(|i| (i / 7) as u8).collect();
        let down: Vec<u8> = (0..dice.roll(60_000)).map(|i| (i / 5) as u8).collect();
        let mut bench = Bench::established();
        let mut client = Client {
            out: up.clone(),
            acked: 0,
            fin_acked: false,
            got: Vec::new(),
            got_fin: false,
            unread: 0,
            window: BUFFER,
        };
        bench.host.room = 0;
        let mut to_give = VecDeque::from(down.clone());
        let loss = dice.roll(40);
        let mut after = After::Alive;
        let mut rounds = 0;
        while after == After::Alive {
            rounds += 1;
            assert!(
                rounds < 4_000,
                "seed {seed} does not end: {} of {}, {} of {}",
                bench.host.taken.len(),
                up.len(),
                client.got.len(),
                down.len()
            );
            bench.now += Duration::from_millis(50);
            bench.host.room += dice.roll(3000);
            let count = dice.roll(3000).min(to_give.len());
            bench.host.given.extend(to_give.drain(..count));
            bench.host.ended = to_give.is_empty();
            bench.connection.host_ready(true, true);
            after = bench.pump().after;
            if after == After::Alive && bench.connection.timer().is_some_and(|at| at <= bench.now) {
                after = bench.wait();
            }
            for (out, data) in bench.sent() {
                if dice.roll(100) >= loss {
                    client.take(&out, &data);
                }
            }
            client.unread -= dice.roll(client.unread + 1);
            for (seq, data, flags) in client.segments() {
                let repeats = if dice.roll(100) < loss {
                    0
                } else {
                    1 + dice.roll(10) / 9
                };
                for _ in 0..repeats {
                    let segment = Segment {
                        seq,
                        ack: client.ack_number(),
                        flags: Flags(flags),
                        window: (5000 - client.unread) as u16,
                        payload: &data,
                        ..Segment::default()
                    };
                    if after == After::Alive {
                        after = bench.take(&segment);
                    }
                }
            }
        }
        assert_eq!(after, After::Closed, "seed {seed}");
        assert!(bench.host.taken == up && bench.host.shut, "seed {seed}: up");
        assert!(client.got == down && client.got_fin, "seed {seed}: down");
    }
}
