//! The process that the metering's crash test kills: notes uses, says so, and folds without a pause.

use std::io::Write;

use lambent_platform::metering::{
    MIGRATION_SQL, Metering, PROVISIONED_MIGRATION_SQL, Usage, UsageEvent,
};
use store::{Migration, Store, StoreConfig};
use wire::Timestamp;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [location, directory] = arguments.as_slice() else {
        return Err("usage: usage-load LOCATION DIRECTORY".into());
    };
    let migrations = [
        Migration::new(1, "usage", MIGRATION_SQL),
        Migration::new(2, "usage_provisioned", PROVISIONED_MIGRATION_SQL),
    ];
    let store = Store::open(StoreConfig::new(location), &migrations).await?;
    let metering = Metering::open(store, directory, "node").await?;
    let folding = metering.clone();
    tokio::spawn(async move {
        loop {
            folding.fold().await.expect("the journal is folded");
            tokio::task::yield_now().await;
        }
    });
    let at = Timestamp::now();
    loop {
        metering.record(&Usage {
            at,
            account_id: "000000000000",
            region: "us-east-1",
            function: "counted",
            version: "$LATEST",
            architecture: "x86_64",
            memory_mb: 128,
            event: UsageEvent::Invoked {
                billed_ms: 7,
                init_ms: 1,
                max_memory_mb: 30,
                failed: false,
                provisioned: false,
            },
        });
        // Out of this process at once: the kernel keeps what was said when we are killed.
        let mut said = std::io::stdout().lock();
        said.write_all(b"+")?;
        said.flush()?;
    }
}
