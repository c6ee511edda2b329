//! System calls that a stopped process makes on behalf of whoever traces it, without running any
//! instruction of its own memory but these few: a table of calls, and the loop that makes them.
//!
//! The loop is ours, copied to a place that the kernel chose and nothing but it was ever in. It ends
//! with a trap, at the table's end or at the first call with another outcome than expected.

use core::arch::global_asm;

use super::{
    sys::{self, Errno},
    trace::{self, Registers, Stop},
};

global_asm!(
    ".pushsection .rodata.lambent_script, \"a\", @progbits",
    ".globl lambent_script_begin",
    ".hidden lambent_script_begin",
    "lambent_script_begin:",
    "2: mov rax, [rbx]",
    "cmp rax, -1",
    "je 5f",
    "mov rdi, [rbx + 8]",
    "mov rsi, [rbx + 16]",
    "mov rdx, [rbx + 24]",
    "mov r10, [rbx + 32]",
    "mov r8, [rbx + 40]",
    "mov r9, [rbx + 48]",
    "syscall",
    "mov [rbx + 64], rax",
    "mov rcx, [rbx + 56]",
    "cmp rcx, -1",
    "je 4f",
    "cmp rcx, -2",
    "jne 3f",
    "test rax, rax",
    "js 5f",
    "jmp 4f",
    "3: cmp rax, rcx",
    "jne 5f",
    "4: add rbx, 72",
    "jmp 2b",
    "5: int3",
    "jmp 5b",
    ".globl lambent_script_end",
    ".hidden lambent_script_end",
    "lambent_script_end:",
    ".popsection",
);

unsafe extern "C" {
    static lambent_script_begin: u8;
    static lambent_script_end: u8;
}

/// The loop. It takes the table's address in `rbx`.
pub fn code() -> &'static [u8] {
    // SAFETY: the two labels enclose read-only bytes.
    unsafe {
        let begin = &raw const lambent_script_begin;
        let end = &raw const lambent_script_end;
        core::slice::from_raw_parts(begin, end.offset_from(begin) as usize)
    }
}

/// What a call has to come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    Anything,
    /// No error.
    Good,
    This(u64),
}

const LINE_BYTES: usize = 72;
const END: u64 = u64::MAX;

/// Calls, and what they point to, as they will lie at an address.
pub struct Script {
    at: u64,
    data: Vec<u8>,
    calls: Vec<[u64; 9]>,
}

impl Script {
    /// For this place in the other process.
    pub fn at(at: u64) -> Self {
        Script {
            at,
            data: Vec::new(),
            calls: Vec::new(),
        }
    }

    /// Keeps bytes for the calls: their address.
    pub fn keep(&mut self, bytes: &[u8]) -> u64 {
        let address = self.at + self.data.len() as u64;
        self.data.extend(bytes);
        self.data.resize(self.data.len().next_multiple_of(16), 0);
        address
    }

    /// Keeps words.
    pub fn words(&mut self, words: &[u64]) -> u64 {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.keep(&bytes)
    }

    /// Keeps a string.
    pub fn text(&mut self, text: &core::ffi::CStr) -> u64 {
        self.keep(text.to_bytes_with_nul())
    }

    pub fn call(&mut self, number: usize, arguments: &[u64], want: Want) {
        let mut call = [0u64; 9];
        call[0] = number as u64;
        call[1..=arguments.len()].copy_from_slice(arguments);
        call[7] = match want {
            Want::Anything => -1i64 as u64,
            Want::Good => -2i64 as u64,
            Want::This(value) => value,
        };
        self.calls.push(call);
    }

    fn table_at(&self) -> u64 {
        self.at + self.data.len() as u64
    }

    fn bytes(&self) -> Vec<u8> {
        let end = [END, 0, 0, 0, 0, 0, 0, 0, 0];
        let calls = self.calls.iter().chain([&end]).flatten();
        let mut bytes = self.data.clone();
        bytes.extend(calls.flat_map(|word| word.to_le_bytes()));
        bytes
    }

    /// Lets a stopped process begin with it. `base` are registers of its own, `code` is where
    /// [`code`] lies in it.
    pub fn begin(&self, pid: i32, base: &Registers, code: u64) -> Result<(), Errno> {
        trace::write(pid, self.at, &self.bytes())?;
        let registers = Registers {
            rip: code,
            rbx: self.table_at(),
            orig_rax: u64::MAX,
            ..*base
        };
        trace::set_registers(pid, &registers)?;
        trace::go_on(pid, 0)?;
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// The number of the call that did not come to what it has to, and its error.
    pub fn end(&self, pid: i32) -> Result<(), (usize, Errno)> {
        const LOST: usize = usize::MAX;
        let lost = |errno| (LOST, errno);
        match wait(pid).map_err(lost)? {
            Stop::Signal(sys::SIGTRAP) => {}
            _ => return Err(lost(sys::EINVAL)),
        }
        let registers = trace::registers(pid).map_err(lost)?;
        let done = registers.rbx.wrapping_sub(self.table_at()) as usize / LINE_BYTES;
        if done == self.calls.len() {
            return Ok(());
        }
        let errno = match registers.rax as i64 {
            code @ -4095..0 => Errno(-code as i32),
            _ => sys::EINVAL,
        };
        Err((done, errno))
    }
}

/// Waits until it has stopped, or ended.
pub fn wait(pid: i32) -> Result<Stop, Errno> {
    wait_status(pid).map(trace::stop)
}

pub fn wait_status(pid: i32) -> Result<i32, Errno> {
    loop {
        match sys::wait4(pid, 0) {
            Ok(Some((_, status))) => return Ok(status),
            Ok(None) | Err(sys::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_ends_where_the_loop_ends() {
        let mut script = Script::at(0x1000);
        assert_eq!(script.text(c"abc"), 0x1000);
        assert_eq!(script.words(&[7]), 0x1010);
        script.call(39, &[1, 2], Want::This(5));
        let bytes = script.bytes();
        assert_eq!(script.table_at(), 0x1020);
        assert_eq!(bytes.len(), 0x20 + 2 * LINE_BYTES);
        assert_eq!(bytes[0x20], 39);
        assert_eq!(bytes[0x20 + LINE_BYTES..][..8], [0xff; 8]);
        assert_eq!(code()[code().len() - 3], 0xcc, "a trap, and a jump to it");
    }
}
