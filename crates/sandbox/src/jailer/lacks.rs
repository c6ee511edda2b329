//! What this machine does not have, beside control groups, in words for the operator at start.

use std::{
    io::{self, Read, Write},
    os::fd::OwnedFd,
};

use guest::jail::sys;

use crate::egress;

pub fn all() -> Vec<String> {
    let landlock = (sys::landlock_abi() == 0).then(|| {
        "Landlock, the second lock on files behind the mounts: this kernel has it switched off or \
         is older than 5.13"
            .to_owned()
    });
    landlock.into_iter().chain(outbound_network()).collect()
}

/// Tries to make a device. In a child, because to give one back takes tens of milliseconds, which
/// nobody need wait for.
fn outbound_network() -> Option<String> {
    let (read, write) = io::pipe().ok()?;
    // SAFETY: the jailer has one thread, so the child may go on as it likes.
    match unsafe { libc::fork() } {
        0 => {
            drop(read);
            let device = try_device();
            said(&device, write);
            // Not `exit`: what the jailer has open is not ours to flush.
            sys::exit_group(0)
        }
        -1 => None,
        _ => {
            drop(write);
            heard(read)
        }
    }
}

fn try_device() -> io::Result<OwnedFd> {
    sys::unshare(sys::CLONE_NEWNET)?;
    egress::device::create_in_current_netns(None).map(egress::Device::into_fd)
}

fn said(device: &io::Result<OwnedFd>, mut to: io::PipeWriter) {
    if let Err(error) = device {
        let _ = to.write_all(egress::unavailable(error).as_bytes());
    }
}

fn heard(mut from: io::PipeReader) -> Option<String> {
    let mut text = String::new();
    from.read_to_string(&mut text).ok()?;
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_cannot_be_had_is_told() {
        for (device, expected) in [
            (
                Ok(std::fs::File::open("/dev/null").expect("open").into()),
                false,
            ),
            (Err(io::Error::from_raw_os_error(libc::ENODEV)), true),
        ] {
            let (read, write) = io::pipe().expect("a pipe");
            said(&device, write);
            let text = heard(read);
            assert_eq!(text.is_some(), expected, "{text:?}");
        }
    }
}
