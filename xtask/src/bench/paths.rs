//! What other ways to the same function cost: by a weighted alias, in environments that are kept
//! ready, and from a container image; each beside the plain way of the same run.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    function::{self, Function},
    image,
    load::Expected,
    measures::{Bench, WARM_HOLD, environments},
    platform::{Platform, call},
    request::Template,
};

const ALIAS: &str = "live";
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The median of one client's warm invokes of an alias that divides them between two versions.
pub fn weighted(bench: &Bench) -> Result<f64> {
    let platform = Platform::start(bench.binary())?;
    bench.runtime.block_on(async {
        let name = published_twice(bench, &platform).await?;
        let alias = json!({
            "Name": ALIAS,
            "FunctionVersion": "1",
            "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.5}},
        });
        post(&platform, &name, "aliases", &alias).await?;
        // Both versions have an environment by then: one client needs no more.
        warm(bench, &platform, &qualified(&name, ALIAS), 16).await
    })
}

/// The same in an environment that is kept ready.
pub fn provisioned(bench: &Bench) -> Result<f64> {
    let platform = Platform::start(bench.binary())?;
    bench.runtime.block_on(async {
        let name = published_twice(bench, &platform).await?;
        let path = format!("/2019-09-30/functions/{name}/provisioned-concurrency?Qualifier=1");
        let asked = json!({"ProvisionedConcurrentExecutions": 1}).to_string();
        let address = platform.address;
        call(address, Method::PUT, &path, &asked, StatusCode::ACCEPTED).await?;
        until(async || {
            let found = call(address, Method::GET, &path, "", StatusCode::OK).await?;
            Ok(found["Status"] == "READY")
        })
        .await?;
        warm(bench, &platform, &qualified(&name, "1"), 1).await
    })
}

/// The median of cold starts of the same program in a container image of nothing else.
pub fn cold_image(bench: &Bench) -> Result<f64> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let layout = folder.path().join("layout");
    image::layout(&layout, &Function::Rust.files()?)?;
    let allowed = folder.path().to_str().context("name a folder")?;
    let options = ["--keep-alive", "0.05", "--images", allowed];
    let platform = Platform::start_with(bench.binary(), &options)?;
    bench.runtime.block_on(async {
        let name = bench.fresh_name();
        create_from(&platform, &name, &layout).await?;
        bench.cold_of(&platform, &name).await
    })
}

async fn create_from(platform: &Platform, name: &str, layout: &Path) -> Result<()> {
    let body = json!({
        "FunctionName": name,
        "PackageType": "Image",
        "Role": "arn:aws:iam::000000000000:role/bench",
        "MemorySize": 128,
        "Timeout": 60,
        "Code": {"ImageUri": format!("oci:{}", layout.display())},
    });
    let path = "/2015-03-31/functions";
    let created = StatusCode::CREATED;
    call(
        platform.address,
        Method::POST,
        path,
        &body.to_string(),
        created,
    )
    .await?;
    until_active(platform, name).await
}

/// A function with two versions.
async fn published_twice(bench: &Bench, platform: &Platform) -> Result<String> {
    let name = bench.fresh_name();
    platform.create(&name, Function::Rust, 1769).await?;
    post(platform, &name, "versions", &json!({})).await?;
    let path = format!("/2015-03-31/functions/{name}/configuration");
    let change = json!({"Timeout": 59}).to_string();
    call(
        platform.address,
        Method::PUT,
        &path,
        &change,
        StatusCode::OK,
    )
    .await?;
    until_active(platform, &name).await?;
    post(platform, &name, "versions", &json!({})).await?;
    Ok(name)
}

async fn post(platform: &Platform, name: &str, what: &str, body: &Value) -> Result<Value> {
    let path = format!("/2015-03-31/functions/{name}/{what}");
    let created = StatusCode::CREATED;
    call(
        platform.address,
        Method::POST,
        &path,
        &body.to_string(),
        created,
    )
    .await
}

async fn until_active(platform: &Platform, name: &str) -> Result<()> {
    let path = format!("/2015-03-31/functions/{name}/configuration");
    until(async || {
        let found = call(platform.address, Method::GET, &path, "", StatusCode::OK).await?;
        ensure!(found["State"] != "Failed", "{name}: {found}");
        Ok(found["State"] == "Active" && found["LastUpdateStatus"] != "InProgress")
    })
    .await
}

async fn until(mut is_so: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + READY_WITHIN;
    while !is_so().await? {
        ensure!(Instant::now() < deadline, "it took too long");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

fn qualified(name: &str, qualifier: &str) -> String {
    format!("/2015-03-31/functions/{name}/invocations?Qualifier={qualifier}")
}

/// Warm invokes by one client, once as many environments as that were started.
async fn warm(bench: &Bench, platform: &Platform, path: &str, started: usize) -> Result<f64> {
    let authority = platform.address.to_string();
    let signed = |event: String| Template::signed(Method::POST, &authority, path, event);
    let event = function::holding_event(WARM_HOLD);
    let holding = signed(event.clone())?;
    environments(platform.address, holding, Expected::ok(event), started).await?;
    let expected = Expected {
        status: StatusCode::OK,
        body: None,
    };
    let invoke = signed(function::event())?;
    let samples = bench
        .warmed(platform.address, &invoke, &expected, 1)
        .await?;
    Ok(samples.percentile_ms(50.0))
}
