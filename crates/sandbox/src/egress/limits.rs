//! Every bound of the outbound network in one place.

use std::time::Duration;

/// TCP connections of one environment; Lambda gives a function 1,024 file descriptors.
pub(super) const TCP_FLOWS_MAX: usize = 1024;
/// UDP flows (source port, destination) of one environment. One more ends the oldest.
pub(super) const UDP_FLOWS_MAX: usize = 256;
/// Name server queries of one environment under way.
pub(super) const DNS_QUERIES_MAX: usize = 128;
/// Addresses remembered for names of an allow-list, per environment.
pub(super) const LEARNED_ADDRESSES_MAX: usize = 1024;

/// Bytes of one connection taken from the environment that the other side has not taken (the window
/// it is given), and bytes from the other side that the environment has not acknowledged: each.
pub(super) const BUFFER_BYTES_MAX: usize = 256 << 10;
/// What that shrinks to while all environments together hold `BUFFERED_BYTES_MAX`.
pub(super) const PRESSED_BYTES_MAX: usize = 16 << 10;
/// The least that a connection is given of a device's queue.
pub(super) const SHARE_BYTES_MIN: usize = 16 << 10;
pub(super) const BUFFERED_BYTES_MAX: usize = 256 << 20;

/// Packets read, and host events taken, before everything else gets its turn.
pub(super) const BATCH: usize = 64;
/// Bytes moved from one host socket before everything else gets its turn.
pub(super) const PUMP_BYTES_MAX: usize = 256 << 10;

/// A UDP flow ends when nothing passed for this long.
pub(super) const UDP_IDLE: Duration = Duration::from_secs(120);
/// How long one name server gets before the next is asked.
pub(super) const DNS_TRY: Duration = Duration::from_millis(1500);
/// How long a remembered address outlives its time to live at least: programs keep addresses
/// longer than they should, and a frozen one does not see time pass.
pub(super) const LEARNED_AT_LEAST: Duration = Duration::from_secs(600);
/// A query over TCP that is longer than this is cut off.
pub(super) const DNS_QUERY_BYTES_MAX: usize = 4096;
/// Bytes of answers over TCP that an environment has not fetched, before no more of its queries
/// are read.
pub(super) const DNS_ANSWERS_BYTES_MAX: usize = 64 << 10;

/// The first retransmission towards an environment. The link is a function call long, so a missing
/// acknowledgement means a lost packet, not a slow one.
pub(super) const RETRANSMIT_FIRST: Duration = Duration::from_millis(200);
pub(super) const RETRANSMIT_LONGEST: Duration = Duration::from_secs(60);
/// Retransmissions without a sign of life before the flow is given up.
pub(super) const RETRANSMITS_MAX: u8 = 8;
/// How often an environment that has closed its side is asked whether it still listens.
pub(super) const HALF_CLOSED_PROBE: Duration = Duration::from_secs(60);
