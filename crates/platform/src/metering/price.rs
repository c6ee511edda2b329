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
    /// What it costs to keep environments ready; nothing in a table that does not say.
    #[serde(default)]
    pub provisioned_gb_s_x86_64: f64,
    #[serde(default)]
    pub provisioned_gb_s_arm64: f64,
    /// What running in one costs; as much as in others in a table that does not say.
    pub provisioned_run_gb_s_x86_64: Option<f64>,
    pub provisioned_run_gb_s_arm64: Option<f64>,
}

/// What a row costs, in the table's currency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    pub requests: f64,
    pub compute: f64,
    /// Of keeping environments ready.
    pub provisioned: f64,
}

impl Cost {
    pub fn total(self) -> f64 {
        self.requests + self.compute + self.provisioned
    }
}

impl Prices {
    /// Reads an owner's table.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    pub fn cost(&self, row: &UsageRow) -> Cost {
        let (gb_s, kept, run) = match row.architecture.as_str() {
            "arm64" => (
                self.gb_s_arm64,
                self.provisioned_gb_s_arm64,
                self.provisioned_run_gb_s_arm64,
            ),
            _ => (
                self.gb_s_x86_64,
                self.provisioned_gb_s_x86_64,
                self.provisioned_run_gb_s_x86_64,
            ),
        };
        let provisioned_run = row.provisioned_billed_gb_s();
        let on_demand = row.gb_s() - provisioned_run;
        Cost {
            requests: row.requests as f64 / 1e6 * self.requests_per_million,
            compute: on_demand * gb_s + provisioned_run * run.unwrap_or(gb_s),
            provisioned: row.provisioned_gb_s() * kept,
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
            provisioned_billed_ms: 0,
            provisioned_ms: 0,
        };
        let cost = Prices::default().cost(&row);
        assert!((cost.requests - 0.20).abs() < 1e-9);
        assert!((cost.compute - 0.000_016_666_7).abs() < 1e-12);
        // Kept ready for ten seconds, in which it ran for one.
        let provisioned = UsageRow {
            provisioned_billed_ms: 1000,
            provisioned_ms: 10_000,
            ..row
        };
        let cost = Prices::default().cost(&provisioned);
        assert!((cost.compute - 0.000_009_722_2).abs() < 1e-12);
        assert!((cost.provisioned - 0.000_041_667).abs() < 1e-12);
        let own =
            r#"{"currency": "EUR", "requests_per_million": 0, "gb_s_x86_64": 2, "gb_s_arm64": 1}"#;
        let cost = Prices::parse(own).unwrap().cost(&provisioned);
        assert_eq!((cost.compute, cost.provisioned), (2.0, 0.0));
    }
}
