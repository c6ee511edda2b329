use super::*;
use crate::metrics::series::Metric;

struct Some3;

fn series(label: &str, points: &[(i64, f64)]) -> Series {
    Series {
        label: label.to_owned(),
        period_s: 60,
        points: points.iter().copied().collect(),
    }
}

impl Names for Some3 {
    fn query(&self, id: &str) -> Option<Result<Value>> {
        let all = self.metrics();
        let (_, series) = all.into_iter().find(|(name, _)| name == id)?;
        Some(Ok(Value::Series(series)))
    }

    fn metrics(&self) -> Vec<(String, Series)> {
        vec![
            (
                "m1".into(),
                series("one", &[(0, 1.0), (60, 2.0), (180, 4.0)]),
            ),
            (
                "m2".into(),
                series("two", &[(0, 10.0), (60, 0.0), (120, 30.0)]),
            ),
            ("x3".into(), series("three", &[])),
        ]
    }

    fn search(&self, _: &Expr) -> Option<Vec<Series>> {
        Some(vec![series("found", &[(0, 7.0)])])
    }
}

const SPAN: Span = Span {
    start_s: 0,
    end_s: 240,
};

fn of(text: &str) -> Result<Value> {
    evaluate(&parse(text)?, &Some3, SPAN, 60)
}

fn points(text: &str) -> Vec<(i64, f64)> {
    match of(text) {
        Ok(Value::Series(series)) => series.points.into_iter().collect(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn numbers_and_their_order() {
    for (text, expected) in [
        ("1 + 2 * 3", 7.0),
        ("(1 + 2) * 3", 9.0),
        ("2 ^ 3 ^ 2", 512.0),
        ("-2 ^ 2", 4.0),
        ("10 - 3 - 2", 5.0),
        ("1e3 / 4", 250.0),
        ("1 < 2 && 2 >= 3 || 4 == 4", 1.0),
        ("1 AND 0 OR 0", 0.0),
        ("!1 + 2", 2.0),
        ("1 != 1", 0.0),
        ("ABS(-3) + CEIL(1.2) + FLOOR(1.8)", 6.0),
    ] {
        assert_eq!(of(text), Ok(Value::Scalar(expected)), "{text}");
    }
}

#[test]
fn series_meet_where_both_have_something() {
    assert_eq!(points("m1 + m2"), [(0, 11.0), (60, 2.0)]);
    assert_eq!(
        points("m1 / m2"),
        [(0, 0.1)],
        "nothing is divided by nothing"
    );
    assert_eq!(points("100 * m1"), [(0, 100.0), (60, 200.0), (180, 400.0)]);
    assert_eq!(points("m1 > 1"), [(0, 0.0), (60, 1.0), (180, 1.0)]);
}

#[test]
fn one_of_many() {
    let sum = [(0, 11.0), (60, 2.0), (120, 30.0), (180, 4.0)];
    assert_eq!(points("SUM(METRICS())"), sum);
    assert_eq!(points("SUM([m1, m2])"), sum);
    assert_eq!(points("SUM(m1, m2)"), sum);
    assert_eq!(points("MAX(METRICS(\"m\"))")[1], (60, 2.0));
    assert_eq!(points("AVG([m1,m2])")[0], (0, 5.5));
    assert_eq!(of("SUM(m1)"), Ok(Value::Scalar(7.0)));
    assert_eq!(
        of("METRIC_COUNT(REMOVE_EMPTY(METRICS()))"),
        Ok(Value::Scalar(2.0))
    );
    assert_eq!(points("FIRST(SORT(METRICS('m'), SUM, DESC))")[0], (0, 10.0));
    assert_eq!(points("LAST(SLICE(METRICS(), 0, 1))")[0], (0, 1.0));
    assert_eq!(points("SUM(SEARCH('x', 'Sum', 60))"), [(0, 7.0)]);
}

#[test]
fn gaps_are_filled() {
    assert_eq!(points("FILL(m1, 0)")[2], (120, 0.0));
    assert_eq!(points("FILL(m1, REPEAT)")[2], (120, 2.0));
    assert_eq!(points("FILL(m1, LINEAR)")[2], (120, 3.0));
    assert_eq!(points("FILL(m2, LINEAR)").len(), 3, "no end, no line");
    assert_eq!(points("FILL(x3, m2)"), points("m2"));
    assert_eq!(points("TIME_SERIES(5)").len(), 4);
}

#[test]
fn what_changes_and_when() {
    assert_eq!(points("DIFF(m1)"), [(60, 1.0), (180, 2.0)]);
    assert_eq!(points("DIFF_TIME(m1)"), [(60, 60.0), (180, 120.0)]);
    assert_eq!(points("RATE(m1)"), [(60, 1.0 / 60.0), (180, 2.0 / 120.0)]);
    assert_eq!(points("RUNNING_SUM(m1)")[2], (180, 7.0));
    assert_eq!(points("MINUTE(m1)")[2], (180, 3.0));
    assert_eq!(points("DAY(m1)")[0], (0, 4.0), "1970 began on a Thursday");
    assert_eq!(of("PERIOD(m1)"), Ok(Value::Scalar(60.0)));
}

#[test]
fn choices() {
    assert_eq!(points("IF(m1 > 1, m2, 5)"), [(0, 5.0), (60, 0.0)]);
    assert_eq!(points("IF(m1 > 1, m1)"), [(60, 2.0), (180, 4.0)]);
    assert_eq!(points("IF(0, m1, m2)"), points("m2"));
}

#[test]
fn what_is_wrong_is_said() {
    for (text, part) in [
        ("", "ends too early"),
        ("m1 +", "ends too early"),
        ("m9", "'m9' is not the Id"),
        ("FOO(m1)", "no function FOO"),
        ("ANOMALY_DETECTION_BAND(m1)", "not supported"),
        ("(m1", "')' is missing"),
        ("m1 m2", "Unexpected input"),
        ("'a", "does not end"),
        ("1.2.3", "no number"),
        (&"(".repeat(5000), "too deeply"),
        (&"-".repeat(5000), "too deeply"),
    ] {
        let MathError(said) = of(text).unwrap_err();
        assert!(said.contains(part), "{text:.20}: {said}");
    }
}

#[test]
fn searches_find_by_words_and_by_values() {
    let metric = Metric::new(
        "AWS/Lambda",
        "Invocations",
        [("FunctionName", "resize-images")],
    );
    let takes = |text: &str| {
        let call = parse(&format!("SEARCH('{text}', 'Sum', 300)")).unwrap();
        let Expr::Call(_, arguments) = call else {
            panic!()
        };
        let search = search(&arguments).unwrap();
        assert_eq!(
            (search.statistic.as_str(), search.period_s),
            ("Sum", Some(300))
        );
        search.takes(&metric)
    };
    for yes in [
        "",
        "{AWS/Lambda,FunctionName}",
        "{AWS/Lambda,FunctionName} MetricName=\"Invocations\"",
        "invocations resize",
        "Namespace=\"AWS/Lambda\" NOT MetricName=\"Errors\"",
        "MetricName=(\"Errors\" OR \"Invocations\")",
        "FunctionName=resize",
        "(errors OR invocations) AND images",
    ] {
        assert!(takes(yes), "{yes}");
    }
    for no in [
        "{AWS/Lambda}",
        "{AWS/Lambda,Resource}",
        "{AWS/SQS,FunctionName}",
        "MetricName=\"Invoc\"",
        "FunctionName=\"resize\"",
        "invocations AND errors",
        "NOT resize",
    ] {
        assert!(!takes(no), "{no}");
    }
}
