//! Starting a station: a fork of the jailer that moves into a function version's root.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
};

use guest::jail::{
    exec::Exec,
    message::Report,
    station::{Role, Station},
    sys,
};

use super::{During, Trouble, message::Root, root};

/// Where the station keeps its socket; all descriptors above are closed.
const SOCKET: i32 = 3;

/// Starts it; whether it got anywhere it reports itself, on its socket.
pub fn start(spec: &Root, socket: OwnedFd, staging: &Path, ordinary: bool) -> Result<(), Trouble> {
    // SAFETY: the jailer has one thread, so the child may go on as it likes.
    match unsafe { libc::fork() } {
        -1 => Err(Trouble::new("fork a station", io::Error::last_os_error())),
        0 => {
            let settled = settle(socket);
            let outcome = settled.and_then(|()| live(spec, staging, ordinary));
            if let Err(trouble) = &outcome {
                let _ = sys::send(SOCKET, &Report::Broken(trouble.0.clone()).encode(), &[], 0);
            }
            // Not `exit`: what the jailer has open is not ours to flush.
            sys::exit_group(outcome.is_err().into())
        }
        _ => Ok(()),
    }
}

fn settle(socket: OwnedFd) -> Result<(), Trouble> {
    let _ = sys::prctl(sys::PR_SET_PDEATHSIG, sys::SIGKILL as usize);
    sys::set_name(c"lambent-station");
    if socket.as_raw_fd() != SOCKET {
        sys::dup3(socket.as_raw_fd(), SOCKET, sys::O_CLOEXEC)
            .during(|| "keep the socket".into())?;
    }
    // Closed wholesale right below.
    std::mem::forget(socket);
    sys::close_range(SOCKET as u32 + 1, u32::MAX, 0).during(|| "close descriptors".into())?;
    Ok(())
}

fn live(spec: &Root, staging: &Path, ordinary: bool) -> Result<(), Trouble> {
    root::build(spec, staging, ordinary)?;
    if !ordinary {
        // Nobody may look into what many environments share. An ordinary user's namespaces would
        // be closed to ourselves too; functions are kept out by theirs.
        let _ = sys::prctl(sys::PR_SET_DUMPABLE, 0);
    }
    let own = sys::pidfd_open(std::process::id(), 0).during(|| "open the own process".into())?;
    let _ = sys::send(SOCKET, &Report::Ready.encode(), &[], 0);
    let mut station =
        Station::new(SOCKET, own as i32, Exec::new()).during(|| "configure the station".into())?;
    match station.run() {
        Role::Ended => Ok(()),
        Role::Environment(_) => unreachable!("an executed child does not come back"),
    }
}
