//! `ptrace`, as far as a snapshot needs it: a process that has stopped is looked at, changed, and
//! let go on for a stretch.
//!
//! Numbers and layouts of x86-64 alone.

use super::{
    numbers::trace_nr as nr,
    sys::{self, Errno},
};

const TRACEME: usize = 0;
const PEEK: usize = 1;
const POKE: usize = 4;
const CONT: usize = 7;
const GET_REGISTERS: usize = 12;
const SET_REGISTERS: usize = 13;
const GET_FLOATS: usize = 14;
const SET_FLOATS: usize = 15;
const DETACH: usize = 17;
const SYSCALL: usize = 24;
const SET_OPTIONS: usize = 0x4200;
const GET_EVENT_MESSAGE: usize = 0x4201;
const SEIZE: usize = 0x4206;
const INTERRUPT: usize = 0x4207;
const GET_SIGNAL_MASK: usize = 0x420a;
const SET_SIGNAL_MASK: usize = 0x420b;
const GET_RSEQ: usize = 0x420f;

/// System calls stop with this beside SIGTRAP.
const MARK: usize = 1;
const OF_NEW_PROCESSES: usize = 2 | 4 | 8;
/// The traced one does not outlive who traces it.
const DIES_ALONG: usize = 0x10_0000;

/// The kernel's `user_regs_struct`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Registers {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// The number of the system call; all ones where there is none to be begun again.
    pub orig_rax: u64,
    pub rip: u64,
    pub cs: u64,
    pub eflags: u64,
    pub rsp: u64,
    pub ss: u64,
    pub fs_base: u64,
    pub gs_base: u64,
    pub ds: u64,
    pub es: u64,
    pub fs: u64,
    pub gs: u64,
}

/// `user_fpregs_struct`: what a call preserves of it are two control words.
#[repr(C, align(16))]
#[derive(Clone, Copy)]
pub struct Floats([u8; 512]);

/// What a wait status says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It has ended.
    End,
    /// At the beginning or the end of a system call.
    Call,
    /// A new process of it is there.
    Birth,
    /// Asked to, or with all of its process.
    Asked,
    /// About to get this signal.
    Signal(i32),
}

pub fn stop(wait_status: i32) -> Stop {
    if wait_status & 0xff != 0x7f {
        return Stop::End;
    }
    const STOPPED: i32 = 128;
    let (signal, event) = (wait_status >> 8 & 0xff, wait_status >> 16);
    match (event, signal) {
        (0, signal) if signal == sys::SIGTRAP | 0x80 => Stop::Call,
        (0, signal) => Stop::Signal(signal),
        (STOPPED, _) => Stop::Asked,
        _ => Stop::Birth,
    }
}

/// # Safety
/// `data` must be what the request wants.
unsafe fn request(request: usize, pid: i32, address: u64, data: usize) -> Result<usize, Errno> {
    let arguments = [request, pid as usize, address as usize, data, 0, 0];
    // SAFETY: as the caller promises.
    unsafe { sys::call(nr::PTRACE, arguments) }
}

/// Lets the parent trace the calling process.
pub fn trace_me() -> Result<usize, Errno> {
    // SAFETY: takes nothing.
    unsafe { request(TRACEME, 0, 0, 0) }
}

/// Makes new processes stop, and their maker; for a child that traces itself.
pub fn follow(pid: i32) -> Result<usize, Errno> {
    // SAFETY: a number.
    unsafe { request(SET_OPTIONS, pid, 0, MARK | OF_NEW_PROCESSES | DIES_ALONG) }
}

/// Begins to trace a process, which goes on.
pub fn seize(pid: i32) -> Result<usize, Errno> {
    // SAFETY: a number.
    unsafe { request(SEIZE, pid, 0, MARK) }
}

pub fn interrupt(pid: i32) -> Result<usize, Errno> {
    // SAFETY: takes nothing.
    unsafe { request(INTERRUPT, pid, 0, 0) }
}

/// Lets it go on, with this signal.
pub fn go_on(pid: i32, signal: i32) -> Result<usize, Errno> {
    // SAFETY: a number.
    unsafe { request(CONT, pid, 0, signal as usize) }
}

/// The same, to the next begin or end of a system call.
pub fn go_on_to_call(pid: i32, signal: i32) -> Result<usize, Errno> {
    // SAFETY: a number.
    unsafe { request(SYSCALL, pid, 0, signal as usize) }
}

/// Lets it go on untraced, without the signal it stopped for.
pub fn detach(pid: i32) -> Result<usize, Errno> {
    // SAFETY: a number.
    unsafe { request(DETACH, pid, 0, 0) }
}

/// The new process that a [`Stop::Birth`] is about.
pub fn born(pid: i32) -> Result<i32, Errno> {
    let mut message = 0u64;
    // SAFETY: room for the answer.
    unsafe { request(GET_EVENT_MESSAGE, pid, 0, &raw mut message as usize) }?;
    i32::try_from(message).map_err(|_| sys::EINVAL)
}

pub fn registers(pid: i32) -> Result<Registers, Errno> {
    let mut registers = Registers::default();
    // SAFETY: the kernel's layout.
    unsafe { request(GET_REGISTERS, pid, 0, &raw mut registers as usize) }?;
    Ok(registers)
}

pub fn set_registers(pid: i32, registers: &Registers) -> Result<usize, Errno> {
    // SAFETY: the kernel's layout.
    unsafe { request(SET_REGISTERS, pid, 0, &raw const *registers as usize) }
}

pub fn floats(pid: i32) -> Result<Floats, Errno> {
    let mut floats = Floats([0; 512]);
    // SAFETY: the kernel's layout.
    unsafe { request(GET_FLOATS, pid, 0, &raw mut floats as usize) }?;
    Ok(floats)
}

pub fn set_floats(pid: i32, floats: &Floats) -> Result<usize, Errno> {
    // SAFETY: the kernel's layout.
    unsafe { request(SET_FLOATS, pid, 0, &raw const *floats as usize) }
}

pub fn signal_mask(pid: i32) -> Result<u64, Errno> {
    let mut mask = 0u64;
    // SAFETY: room for a signal set of the size that is told.
    unsafe { request(GET_SIGNAL_MASK, pid, 8, &raw mut mask as usize) }?;
    Ok(mask)
}

pub fn set_signal_mask(pid: i32, mask: u64) -> Result<usize, Errno> {
    // SAFETY: a signal set of the size that is told.
    unsafe { request(SET_SIGNAL_MASK, pid, 8, &raw const mask as usize) }
}

/// Whether the kernel does things in the process's memory, and to where it executes, by itself.
pub fn has_restartable_sequences(pid: i32) -> bool {
    // struct ptrace_rseq_configuration: the address comes first.
    let mut found = [0u64; 3];
    // SAFETY: room for the answer, whose size is told.
    let asked = unsafe { request(GET_RSEQ, pid, 24, &raw mut found as usize) };
    // A kernel that has none does not know the question either.
    asked.is_ok() && found[0] != 0
}

/// A word of its memory.
pub fn peek(pid: i32, address: u64) -> Result<u64, Errno> {
    let mut word = 0u64;
    // SAFETY: the call writes the word to where `data` says.
    unsafe { request(PEEK, pid, address, &raw mut word as usize) }?;
    Ok(word)
}

/// Changes a word of its memory, also where it may not itself.
pub fn poke(pid: i32, address: u64, word: u64) -> Result<usize, Errno> {
    // SAFETY: the word itself is the argument.
    unsafe { request(POKE, pid, address, word as usize) }
}

/// Writes into another process's memory, where it may itself.
pub fn write(pid: i32, address: u64, bytes: &[u8]) -> Result<(), Errno> {
    let local = [bytes.as_ptr() as usize, bytes.len()];
    transfer(nr::PROCESS_VM_WRITEV, pid, address, local)
}

/// Reads another process's memory.
pub fn read(pid: i32, address: u64, into: &mut [u8]) -> Result<(), Errno> {
    let local = [into.as_mut_ptr() as usize, into.len()];
    transfer(nr::PROCESS_VM_READV, pid, address, local)
}

/// `local` is an `iovec` of ours.
fn transfer(number: usize, pid: i32, address: u64, local: [usize; 2]) -> Result<(), Errno> {
    let remote = [address as usize, local[1]];
    let arguments = [
        pid as usize,
        local.as_ptr() as usize,
        1,
        remote.as_ptr() as usize,
        1,
        0,
    ];
    // SAFETY: `local` is a live slice of the caller's; what the remote one is, the kernel looks at.
    match unsafe { sys::call(number, arguments) } {
        Ok(length) if length == local[1] => Ok(()),
        Ok(_) => Err(sys::EINVAL),
        Err(errno) => Err(errno),
    }
}
