//! What use costs: the price table, as data.

use serde::Deserialize;

use super::UsageRow;

/// Lambda's list prices in us-east-1, first tier, without the free tier. An owner sets their own.
const DEFAULT: &str = include_str!("prices.json");

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// E.g. `USD`.
    pub currency: String,
    pub requests_per_million: f64,
    pub gb_s_x86_64: f64,
    pub gb_s_arm64: f64,
}

/// What a row costs, in the table's currency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    pub requests: f64,
    pub compute: f64,
}

impl Cost {
    pub fn total(self) -> f64 {
        self.requests + self.compute
    }
}

impl Prices {
    /// Reads an owner's table.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    pub fn cost(&self, row: &UsageRow) -> Cost {
        let gb_s = match row.architecture.as_str() {
            "arm64" => self.gb_s_arm64,
            _ => self.gb_s_x86_64,
        };
        Cost {
            requests: row.requests as f64 / 1e6 * self.requests_per_million,
            compute: row.gb_s() * gb_s,
        }
    }
}

impl Default for Prices {
    fn default() -> Self {
        Self::parse(DEFAULT).expect("the table in this repository is well-formed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gigabyte_for_a_second_costs_the_list_price() {
        let row = UsageRow {
            account_id: String::new(),
            region: String::new(),
            function: String::new(),
            version: String::new(),
            architecture: "x86_64".into(),
            memory_mb: 1024,
            day: String::new(),
            requests: 1_000_000,
            errors: 0,
            throttles: 0,
            billed_ms: 1000,
            init_ms: 0,
            max_memory_mb: 0,
        };
        let cost = Prices::default().cost(&row);
        assert!((cost.requests - 0.20).abs() < 1e-9);
        assert!((cost.compute - 0.000_016_666_7).abs() < 1e-12);
    }
}
