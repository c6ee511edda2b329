//! Deliveries to targets, of all senders and targets together.

use std::sync::atomic::{AtomicU64, Ordering};

use platform::Platform;

use super::Page;

pub fn print(page: &mut Page, platform: &Platform) {
    let waiting = platform.deliveries().waiting();
    let name = "lambent_deliveries";
    page.family(
        name,
        "gauge",
        "Deliveries that wait in their targets' lanes",
    );
    for (state, count) in [("ready", waiting.ready), ("held", waiting.held)] {
        page.sample(name, &format!("state=\"{state}\""), count as f64);
    }
    let name = "lambent_delivery_lanes";
    page.family(name, "gauge", "Targets that have a lane");
    page.sample(name, "", waiting.lanes as f64);
    let counts = platform.deliveries().counts();
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
    for (name, help, counter) in [
        (
            "lambent_deliveries_accepted_total",
            "Deliveries asked for",
            &counts.accepted,
        ),
        (
            "lambent_delivery_tries_total",
            "Tries with deliveries that wait",
            &counts.tries,
        ),
        (
            "lambent_delivery_failed_tries_total",
            "Tries that their targets did not take",
            &counts.failed_tries,
        ),
        (
            "lambent_delivery_dead_letter_errors_total",
            "Dead letters that could not be sent",
            &counts.dead_letter_errors,
        ),
    ] {
        page.family(name, "counter", help);
        page.sample(name, "", load(counter));
    }
    let name = "lambent_delivery_ends_total";
    page.family(name, "counter", "Deliveries by what became of them");
    for (outcome, counter) in [
        ("placed", &counts.placed),
        ("delivered", &counts.delivered),
        ("dead_lettered", &counts.dead_lettered),
        ("dropped", &counts.dropped),
    ] {
        page.sample(name, &format!("outcome=\"{outcome}\""), load(counter));
    }
}
