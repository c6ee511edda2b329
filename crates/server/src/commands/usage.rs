//! `lambent usage`: the bill, by function and day.

use anyhow::Result;
use jiff::{Timestamp, ToSpan, tz::Offset};
use serde_json::Value;

use super::{
    client::Client,
    style::{self, Align},
};
use crate::args::UsageArguments;

pub async fn run(client: Client, given: UsageArguments) -> Result<()> {
    let today = Offset::UTC.to_datetime(Timestamp::now()).date();
    let from = today.checked_sub(i64::from(given.days.saturating_sub(1)).days())?;
    let bill = fetch(&client, &format!("?from={from}")).await?;
    match given.json {
        true => println!("{bill}"),
        false => println!("{}", printed(&bill)),
    }
    Ok(())
}

pub async fn fetch(client: &Client, query: &str) -> Result<Value> {
    client
        .get(&format!("/_lambent/usage{query}"))
        .await?
        .good()?
        .json()
}

/// The bill as a table with its total.
pub fn printed(bill: &Value) -> String {
    let rows: Vec<&Value> = bill["usage"].as_array().into_iter().flatten().collect();
    if rows.is_empty() {
        return "Nothing was used: nothing is to be paid.".to_owned();
    }
    let number = |row: &Value, name: &str| row[name].as_f64().unwrap_or_default();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let mut cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                text(row, "day"),
                text(row, "function"),
                format!("{} MB", number(row, "memory_mb")),
                number(row, "requests").to_string(),
                number(row, "billed_ms").to_string(),
                format!("{:.4}", number(row, "gb_seconds")),
                style::dollars(number(row, "cost_usd")),
            ]
        })
        .collect();
    let sum = |name: &str| rows.iter().map(|row| number(row, name)).sum::<f64>();
    cells.push(vec![
        "total".to_owned(),
        String::new(),
        String::new(),
        sum("requests").to_string(),
        sum("billed_ms").to_string(),
        format!("{:.4}", sum("gb_seconds")),
        style::dollars(sum("cost_usd")),
    ]);
    let heading = [
        ("DAY", Align::Left),
        ("FUNCTION", Align::Left),
        ("MEMORY", Align::Right),
        ("REQUESTS", Align::Right),
        ("BILLED MS", Align::Right),
        ("GB-S", Align::Right),
        ("COST", Align::Right),
    ];
    style::table(&heading, &cells)
}
