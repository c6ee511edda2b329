//! Connections of functions, which arrive in their environments' own networks: served like others,
//! as coming from those functions.

use std::{
    net::{IpAddr, Ipv4Addr},
    pin::Pin,
    sync::{Arc, Weak},
};

use platform::{Sender, functions::execution::Reception, gateway::url::Client, identity::Session};
use tokio::{net::TcpStream, sync::watch};

use super::{
    App, Origin,
    listen::{Phase, Terms, serve},
};
use crate::limits;

/// Serves them for as long as the server is there.
pub struct Functions {
    app: Weak<App>,
    phase: watch::Receiver<Phase>,
}

impl Functions {
    pub fn new(app: &Arc<App>, phase: watch::Receiver<Phase>) -> Arc<Self> {
        Arc::new(Self {
            // The platform holds this, and the app holds the platform.
            app: Arc::downgrade(app),
            phase,
        })
    }
}

impl Reception for Functions {
    fn serve(
        &self,
        connection: TcpStream,
        from: Arc<Session>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let (app, phase) = (self.app.upgrade(), self.phase.clone());
        Box::pin(async move {
            let Some(app) = app else { return };
            let port = connection.local_addr().map_or(0, |local| local.port());
            let origin = Origin {
                client: Client {
                    ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
                    port,
                },
                sender: Sender::Environment(from),
            };
            let terms = Terms {
                origin,
                head_within: limits::FUNCTION_HEAD_WITHIN,
                // A function that is still running may need others to finish.
                until: Phase::Cut,
            };
            serve(connection, app, phase, terms).await;
        })
    }
}
