//! `lambent usage`: the bill, by function and day.

use anyhow::Result;
use jiff::{Timestamp, ToSpan, tz::Offset};
use serde_json::Value;

use super::{
    client::Client,
    style::{self, Align, say},
};
use crate::args::UsageArguments;

pub async fn run(client: Client, given: UsageArguments) -> Result<()> {
    let today = Offset::UTC.to_datetime(Timestamp::now()).date();
    let from = today.checked_sub(i64::from(given.days.saturating_sub(1)).days())?;
    let bill = fetch(&client, &format!("?from={from}")).await?;
    match given.json {
        true => say!("{bill}"),
        false => say!("{}", printed(&bill)),
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
    let columns: Vec<&Column> = COLUMNS
        .iter()
        .filter(|column| column.always || differs(&rows, column.name))
        .collect();
    let currency = bill["currency"].as_str().unwrap_or_default();
    let heading: Vec<_> = columns.iter().map(|c| (c.heading, c.align)).collect();
    let mut cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            columns
                .iter()
                .map(|c| c.cell(&row[c.name], currency))
                .collect()
        })
        .collect();
    cells.push(columns.iter().map(|c| c.total(&rows, currency)).collect());
    style::table(&heading, &cells)
}

/// A column that is not always there is shown where the rows differ in it.
struct Column {
    heading: &'static str,
    align: Align,
    name: &'static str,
    kind: Kind,
    always: bool,
}

#[derive(PartialEq)]
enum Kind {
    Day,
    Name,
    Megabytes,
    Count,
    GigabyteSeconds,
    Money,
}

const COLUMNS: [Column; 10] = [
    column("DAY", Align::Left, "day", Kind::Day, true),
    column("REGION", Align::Left, "region", Kind::Name, false),
    column("FUNCTION", Align::Left, "function", Kind::Name, true),
    column("VERSION", Align::Left, "version", Kind::Name, false),
    column(
        "ARCHITECTURE",
        Align::Left,
        "architecture",
        Kind::Name,
        false,
    ),
    column("MEMORY", Align::Right, "memory_mb", Kind::Megabytes, true),
    column("REQUESTS", Align::Right, "requests", Kind::Count, true),
    column("BILLED MS", Align::Right, "billed_ms", Kind::Count, true),
    column(
        "GB-S",
        Align::Right,
        "gb_seconds",
        Kind::GigabyteSeconds,
        true,
    ),
    column("COST", Align::Right, "cost", Kind::Money, true),
];

const fn column(
    heading: &'static str,
    align: Align,
    name: &'static str,
    kind: Kind,
    always: bool,
) -> Column {
    Column {
        heading,
        align,
        name,
        kind,
        always,
    }
}

impl Column {
    fn cell(&self, value: &Value, currency: &str) -> String {
        let number = value.as_f64().unwrap_or_default();
        match self.kind {
            Kind::Day | Kind::Name => value.as_str().unwrap_or_default().to_owned(),
            Kind::Megabytes => format!("{number} MB"),
            Kind::Count => number.to_string(),
            Kind::GigabyteSeconds => format!("{number:.4}"),
            Kind::Money => style::money(currency, number),
        }
    }

    fn total(&self, rows: &[&Value], currency: &str) -> String {
        let sum: f64 = rows.iter().filter_map(|row| row[self.name].as_f64()).sum();
        match self.kind {
            Kind::Day => "total".to_owned(),
            Kind::Name | Kind::Megabytes => String::new(),
            _ => self.cell(&sum.into(), currency),
        }
    }
}

fn differs(rows: &[&Value], name: &str) -> bool {
    rows.iter().any(|row| row[name] != rows[0][name])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(architecture: &str, billed_ms: u64, cost: f64) -> Value {
        json!({
            "day": "2026-01-02", "region": "us-east-1", "function": "resize", "version": "$LATEST",
            "architecture": architecture, "memory_mb": 512, "requests": 2, "billed_ms": billed_ms,
            "gb_seconds": 1.5, "cost": cost,
        })
    }

    #[test]
    fn the_bill_is_a_table_with_a_total() {
        let rows = [row("arm64", 1500, 0.5), row("x86_64", 500, 0.25)];
        let bill = printed(&json!({"currency": "EUR", "usage": rows}));
        let lines: Vec<Vec<&str>> = bill
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert!(lines[0].contains(&"ARCHITECTURE"), "{bill}");
        assert!(!lines[0].contains(&"REGION"), "{bill}");
        assert_eq!(
            lines[1],
            [
                "2026-01-02",
                "resize",
                "arm64",
                "512",
                "MB",
                "2",
                "1500",
                "1.5000",
                "EUR",
                "0.5000"
            ]
        );
        assert_eq!(lines[3], ["total", "4", "2000", "3.0000", "EUR", "0.7500"]);
        let one = printed(&json!({"currency": "USD", "usage": [row("arm64", 1, 0.5)]}));
        assert!(
            !one.contains("ARCHITECTURE") && one.contains("$0.5000"),
            "{one}"
        );
        let none = printed(&json!({"currency": "USD", "usage": []}));
        assert!(none.starts_with("Nothing"), "{none}");
    }
}
