//! An environment's hold on its device: begins with [`attach`], ends with [`Attachment::detach`].
//! While nothing is sent it is a task that sleeps on a file descriptor, a few hundred bytes.

use std::{
    io,
    pin::Pin,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use tokio::{io::unix::AsyncFd, sync::oneshot, task::JoinHandle};

use super::{
    counters::add,
    device::Device,
    host::watch,
    names::Names,
    shared::EgressShared,
    stack::{Ran, Stack},
};
use crate::NetworkPolicy;

const TRY_AGAIN: Duration = Duration::from_millis(100);

/// Connects a device to the world as `policy` lets it. Call it in a tokio runtime, before anything
/// of the environment runs: what waits on the device from before is thrown away.
pub fn attach(
    device: Device,
    policy: NetworkPolicy,
    shared: &Arc<EgressShared>,
) -> io::Result<Attachment> {
    drain(&device, &shared.counters().packets_drained);
    let device = Registered::new(device, shared.clone())?;
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(serve(device, Arc::new(Names::new(policy)), stopped));
    Ok(Attachment {
        stop: Some(stop),
        task: Some(task),
    })
}

/// Dropping it cuts every flow and closes the device.
#[derive(Debug)]
pub struct Attachment {
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<Option<Device>>>,
}

impl Attachment {
    /// Cuts every flow and gives the device back, empty, for the next environment. Call it when
    /// the last process of the environment is gone. `None` if the device was lost.
    pub async fn detach(mut self) -> Option<Device> {
        drop(self.stop.take());
        let task = self.task.take()?;
        task.await.ok().flatten()
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// One task from attaching to detaching; a stack only while there are flows.
async fn serve(
    mut device: Registered,
    names: Arc<Names>,
    mut stopped: oneshot::Receiver<()>,
) -> Option<Device> {
    let shared = device.shared.clone();
    loop {
        tokio::select! {
            biased;
            _ = &mut stopped => break,
            ready = device.fd()?.readable() => drop(ready.ok()?),
        }
        match serve_flows(device.fd()?, names.clone(), shared.clone(), &mut stopped).await {
            Ok(Ran::Idle) => {}
            Ok(Ran::Stopped) => break,
            Err(error) => {
                // Most likely out of file descriptors. What was sent is lost, which TCP survives.
                tracing::warn!(%error, "an environment's outbound packets are dropped");
                drain(device.fd()?.get_ref(), &shared.counters().packets_ignored);
                tokio::time::sleep(TRY_AGAIN).await;
            }
        }
    }
    let drained = &shared.counters().packets_drained;
    let device = device.take()?;
    drain(&device, drained);
    Some(device)
}

/// Boxed, so that a sleeping attachment does not hold room for it.
fn serve_flows<'a>(
    device: &'a AsyncFd<Device>,
    names: Arc<Names>,
    shared: Arc<EgressShared>,
    stopped: &'a mut oneshot::Receiver<()>,
) -> Pin<Box<dyn Future<Output = io::Result<Ran>> + Send + 'a>> {
    Box::pin(async move {
        let mut stack = Stack::new(shared, names, device.get_ref().queue_bytes())?;
        let ran = stack.run(device, stopped).await;
        stack.cut(device.get_ref());
        ran
    })
}

fn drain(device: &Device, counter: &AtomicU64) {
    // A longer packet is cut off, which does no harm here.
    add(counter, device.drain(&mut [0; 64]));
}

/// A device that tokio watches. Closed, if it comes to that, by the thread for it.
struct Registered {
    device: Option<AsyncFd<Device>>,
    shared: Arc<EgressShared>,
}

impl Registered {
    fn new(device: Device, shared: Arc<EgressShared>) -> io::Result<Registered> {
        let device = watch(device)?;
        Ok(Registered {
            device: Some(device),
            shared,
        })
    }

    fn fd(&self) -> Option<&AsyncFd<Device>> {
        self.device.as_ref()
    }

    fn take(&mut self) -> Option<Device> {
        self.device.take().map(AsyncFd::into_inner)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(device) = self.take() {
            self.shared.close(device);
        }
    }
}
