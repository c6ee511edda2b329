//! What the datapoints of an alarm's metric say, in CloudWatch's rules for those that are missing, and
//! the words in which it is said. Pure.

use jiff::Timestamp;
use serde_json::json;

use super::record::{AlarmSource, MetricTerms, Missing, StateValue};

/// How many periods more than it evaluates an alarm looks at, for datapoints in the place of missing
/// ones.
pub const MORE_PERIODS: u32 = 2;

/// One period, the newest first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Period {
    pub at_s: i64,
    pub value: Option<f64>,
    /// How many values that is of, where it is of a metric.
    pub count: Option<f64>,
}

/// A state with why.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub value: StateValue,
    pub reason: String,
    /// JSON.
    pub reason_data: String,
    /// Nothing was there to look at.
    pub is_empty: bool,
}

/// What the periods come to; none where the state is to stay as it is.
///
/// `periods` are those that are evaluated and [`MORE_PERIODS`] more. If enough of all these have data,
/// the newest that do are looked at, and nothing is missing.
pub fn of(terms: &MetricTerms, periods: &[Period], now: Timestamp) -> Option<Verdict> {
    let wanted = terms.evaluation_periods as usize;
    let real: Vec<(Period, f64)> = periods
        .iter()
        .filter_map(|period| Some((*period, period.value?)))
        .take(wanted)
        .collect();
    let missing = wanted - real.len();
    let breaches = |value: f64| terms.comparison.holds(value, terms.threshold);
    let breaching = real.iter().filter(|(_, value)| breaches(*value)).count();
    let to_alarm = (terms.datapoints_to_alarm() as usize).min(wanted);
    let how = terms.missing.unwrap_or(Missing::Missing);
    let value = if real.is_empty() {
        match how {
            Missing::Missing => StateValue::InsufficientData,
            Missing::Ignore => return None,
            Missing::Breaching => StateValue::Alarm,
            Missing::NotBreaching => StateValue::Ok,
        }
    } else {
        let filled = match how {
            Missing::Breaching => missing,
            _ => 0,
        };
        // All there is breaches, and that may be enough before there is enough of it.
        let early = breaching >= to_alarm.min(real.len());
        match how {
            _ if breaching + filled >= to_alarm => StateValue::Alarm,
            Missing::Missing if early => StateValue::Alarm,
            Missing::Ignore if early => return None,
            _ => StateValue::Ok,
        }
    };
    let words = Words {
        terms,
        real: &real,
        missing,
        value,
    };
    Some(Verdict {
        value,
        reason: words.reason(how),
        reason_data: words.data(periods, now),
        is_empty: real.is_empty(),
    })
}

struct Words<'a> {
    terms: &'a MetricTerms,
    real: &'a [(Period, f64)],
    missing: usize,
    value: StateValue,
}

impl Words<'_> {
    fn reason(&self, how: Missing) -> String {
        let wanted = self.terms.evaluation_periods;
        let (count, missing) = (self.real.len(), self.missing);
        if self.value == StateValue::InsufficientData {
            return format!(
                "Insufficient Data: {}.",
                counted(missing, "was unknown", "were unknown")
            );
        }
        let treated = match how {
            Missing::Breaching => "Breaching",
            _ => "NonBreaching",
        };
        if count == 0 {
            let periods = if wanted == 1 { "period" } else { "periods" };
            let missing = missing_words(missing);
            return format!(
                "Threshold Crossed: no datapoints were received for {wanted} {periods} and \
                 {missing} treated as [{treated}]."
            );
        }
        let said = self.datapoints();
        match how {
            Missing::Breaching | Missing::NotBreaching if missing > 0 => {
                let missing = missing_words(missing);
                format!("Threshold Crossed: {said} and {missing} treated as [{treated}].")
            }
            _ => format!("Threshold Crossed: {said}{}.", self.minimum()),
        }
    }

    /// Those that are as the state says, and how they are.
    fn datapoints(&self) -> String {
        let terms = self.terms;
        let is_alarm = self.value == StateValue::Alarm;
        let holds = |value: f64| terms.comparison.holds(value, terms.threshold) == is_alarm;
        let all: Vec<String> = self
            .real
            .iter()
            .filter(|(_, value)| holds(*value))
            .map(|(period, value)| format!("{} ({})", number(*value), short_time(period.at_s)))
            .collect();
        let (plural, was) = match all.len() {
            1 => ("datapoint", "was"),
            _ => ("datapoints", "were"),
        };
        let count = match terms.datapoints_to_alarm {
            Some(_) => format!(
                "{} out of the last {} datapoints",
                all.len(),
                self.real.len()
            ),
            None => format!("{} {plural}", all.len()),
        };
        let not = if is_alarm { "" } else { "not " };
        format!(
            "{count} [{}] {was} {not}{} the threshold ({})",
            all.join(", "),
            terms.comparison.words(),
            number(terms.threshold)
        )
    }

    /// How many it takes, where that is fewer than are looked at.
    fn minimum(&self) -> String {
        let terms = self.terms;
        let Some(to_alarm) = terms.datapoints_to_alarm else {
            return String::new();
        };
        let (least, change) = match self.value {
            StateValue::Alarm => (to_alarm, "OK -> ALARM"),
            _ => (terms.evaluation_periods + 1 - to_alarm, "ALARM -> OK"),
        };
        let plural = if least == 1 {
            "datapoint"
        } else {
            "datapoints"
        };
        format!(" (minimum {least} {plural} for {change} transition)")
    }

    fn data(&self, periods: &[Period], now: Timestamp) -> String {
        let terms = self.terms;
        let recent: Vec<f64> = self.real.iter().rev().map(|(_, value)| *value).collect();
        let evaluated = periods.iter().take(terms.evaluation_periods as usize);
        let evaluated: Vec<serde_json::Value> = evaluated
            .map(|period| {
                let mut told = json!({"timestamp": iso_time(period.at_s * 1000)});
                if let Some(count) = period.count {
                    told["sampleCount"] = json!(count);
                }
                if let Some(value) = period.value {
                    told["value"] = json!(value);
                }
                told
            })
            .collect();
        let mut data = json!({
            "version": "1.0",
            "queryDate": iso_time(now.as_millisecond()),
        });
        if let Some((oldest, _)) = self.real.last() {
            data["startDate"] = iso_time(oldest.at_s * 1000).into();
        }
        if let AlarmSource::One(stat) = &terms.source {
            if let Some(unit) = &stat.unit {
                data["unit"] = unit.as_str().into();
            }
            data["statistic"] = stat.statistic.as_str().into();
        }
        data["period"] = terms.period_s().into();
        data["recentDatapoints"] = json!(recent);
        data["threshold"] = json!(terms.threshold);
        data["evaluatedDatapoints"] = evaluated.into();
        data.to_string()
    }
}

fn counted(count: usize, was: &str, were: &str) -> String {
    match count {
        1 => format!("1 datapoint {was}"),
        _ => format!("{count} datapoints {were}"),
    }
}

fn missing_words(count: usize) -> String {
    match count {
        1 => "1 missing datapoint was".to_owned(),
        _ => format!("{count} missing datapoints were"),
    }
}

/// With a digit behind the point at least, as Java writes doubles.
fn number(value: f64) -> String {
    match value.fract() == 0.0 && value.abs() < 1e15 {
        true => format!("{value:.1}"),
        false => value.to_string(),
    }
}

fn short_time(at_s: i64) -> String {
    let at = Timestamp::from_second(at_s).unwrap_or_default();
    at.strftime("%d/%m/%y %H:%M:%S").to_string()
}

/// `2026-03-01T15:07:17.000+0000`
pub fn iso_time(at_ms: i64) -> String {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%S.%3f+0000").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::alarms::record::{AlarmStat, Comparison};

    fn terms(to_alarm: Option<u32>, missing: Option<Missing>) -> MetricTerms {
        MetricTerms {
            source: AlarmSource::One(AlarmStat {
                namespace: "test".into(),
                metric_name: "load".into(),
                dimensions: [].into(),
                period_s: 60,
                statistic: "Sum".into(),
                unit: None,
            }),
            evaluation_periods: 3,
            datapoints_to_alarm: to_alarm,
            threshold: 2.0,
            comparison: Comparison::GreaterThanThreshold,
            missing,
            low_sample_count: None,
        }
    }

    /// Oldest first, as CloudWatch's documentation draws them: `X` breaches.
    fn periods(drawn: &str) -> Vec<Period> {
        let all = drawn.split(' ').rev().enumerate();
        let period = |(n, point): (usize, &str)| Period {
            at_s: 3600 - 60 * n as i64,
            count: None,
            value: match point {
                "X" => Some(5.0),
                "0" => Some(1.0),
                _ => None,
            },
        };
        all.map(period).collect()
    }

    fn check(to_alarm: Option<u32>, drawn: &str, expected: [Option<StateValue>; 4]) {
        let how = [
            None,
            Some(Missing::Ignore),
            Some(Missing::Breaching),
            Some(Missing::NotBreaching),
        ];
        for (missing, expected) in how.into_iter().zip(expected) {
            let found = of(
                &terms(to_alarm, missing),
                &periods(drawn),
                Timestamp::UNIX_EPOCH,
            );
            let found = found.map(|verdict| verdict.value);
            assert_eq!(found, expected, "{to_alarm:?} {drawn} {missing:?}");
        }
    }

    #[test]
    fn missing_datapoints_are_treated_as_the_documentation_says() {
        let (ok, alarm) = (Some(StateValue::Ok), Some(StateValue::Alarm));
        let unknown = Some(StateValue::InsufficientData);
        check(None, "0 - X - X", [ok; 4]);
        check(None, "- - - - 0", [ok; 4]);
        check(None, "- - - - -", [unknown, None, alarm, ok]);
        check(None, "0 X X - X", [alarm; 4]);
        check(None, "- - X - -", [alarm, None, alarm, ok]);
        check(Some(2), "0 - X - X", [alarm; 4]);
        check(Some(2), "0 0 X 0 X", [alarm; 4]);
        check(Some(2), "0 - X - -", [ok, ok, alarm, ok]);
        check(Some(2), "- - - - 0", [ok, ok, alarm, ok]);
        check(Some(2), "- - - - X", [alarm, None, alarm, ok]);
    }

    #[test]
    fn reasons_say_what_was_seen() {
        let reason = |to_alarm, missing, drawn: &str| {
            let verdict = of(
                &terms(to_alarm, missing),
                &periods(drawn),
                Timestamp::UNIX_EPOCH,
            );
            verdict.unwrap().reason
        };
        assert_eq!(
            reason(None, None, "0 0 X X X"),
            "Threshold Crossed: 3 datapoints [5.0 (01/01/70 01:00:00), 5.0 (01/01/70 00:59:00), \
             5.0 (01/01/70 00:58:00)] were greater than the threshold (2.0)."
        );
        assert_eq!(
            reason(None, None, "0 0 X X 0"),
            "Threshold Crossed: 1 datapoint [1.0 (01/01/70 01:00:00)] was not greater than the \
             threshold (2.0)."
        );
        assert_eq!(
            reason(Some(2), None, "0 0 X 0 X"),
            "Threshold Crossed: 2 out of the last 3 datapoints [5.0 (01/01/70 01:00:00), 5.0 \
             (01/01/70 00:58:00)] were greater than the threshold (2.0) (minimum 2 datapoints \
             for OK -> ALARM transition)."
        );
        assert_eq!(
            reason(None, Some(Missing::Breaching), "- - - - -"),
            "Threshold Crossed: no datapoints were received for 3 periods and 3 missing \
             datapoints were treated as [Breaching]."
        );
        assert_eq!(
            reason(None, None, "- - - - -"),
            "Insufficient Data: 3 datapoints were unknown."
        );
    }
}
