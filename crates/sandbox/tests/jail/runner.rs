//! Runs tests one after the other and reports like the standard harness.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    time::Duration,
};

pub type Test = (&'static str, fn() -> Pin<Box<dyn Future<Output = ()>>>);

/// Names an async function as a test.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub const TESTS: &[$crate::runner::Test] =
            &[$((concat!(module_path!(), "::", stringify!($name)), || Box::pin($name()))),*];
    };
}

/// No test takes anywhere near as long.
const TEST_MAX: Duration = Duration::from_secs(120);

/// Whether all passed.
pub fn run(groups: &[&[Test]]) -> bool {
    let filters: Vec<String> = std::env::args()
        .skip(1)
        .filter(|one| !one.starts_with('-'))
        .collect();
    let listing = std::env::args().any(|one| one == "--list");
    let wanted =
        |name: &str| filters.is_empty() || filters.iter().any(|one| name.contains(one.as_str()));
    let tests: Vec<&Test> = groups
        .iter()
        .copied()
        .flatten()
        .filter(|(name, _)| wanted(name))
        .collect();
    if listing {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return true;
    }
    println!("\nrunning {} tests", tests.len());
    let mut failed = Vec::new();
    for (name, test) in &tests {
        let passed = catch_unwind(AssertUnwindSafe(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("runtime");
            runtime.block_on(async {
                tokio::time::timeout(TEST_MAX, test())
                    .await
                    .expect("the test takes too long");
            });
        }))
        .is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        if !passed {
            failed.push(name);
        }
    }
    let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
    let passed = tests.len() - failed.len();
    println!(
        "\ntest result: {verdict}. {passed} passed; {} failed; 0 ignored; 0 measured; 0 filtered out\n",
        failed.len()
    );
    failed.is_empty()
}
