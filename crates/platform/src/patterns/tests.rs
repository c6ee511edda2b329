//! Patterns against events: what the documentation says, and a naive oracle on what nobody thought
//! of.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn matches(pattern: Value, event: Value) -> bool {
    let pattern = Pattern::compile(&pattern.to_string(), Operators::ALL);
    pattern.unwrap().matches(&event)
}

fn refused(pattern: Value) -> String {
    let pattern = Pattern::compile(&pattern.to_string(), Operators::ALL);
    pattern.unwrap_err().to_string()
}

/// Whether one test of a field passes a value.
fn passes(test: Value, value: Value) -> bool {
    matches(json!({ "f": [test] }), json!({ "f": value }))
}

#[test]
fn each_operator_knows_its_values() {
    for (test, yes, no) in [
        (json!(null), json!([null]), json!(["", 0, "null", false])),
        (json!(""), json!([""]), json!([null, " "])),
        (
            json!("a"),
            json!(["a", ["b", "a"], [["a"]]]),
            json!(["A", ["b"], [], {"a": "a"}]),
        ),
        (
            json!(300),
            json!([300, 300.0, 3.0e2]),
            json!(["300", 301, 300.5]),
        ),
        (
            json!(9007199254740993i64),
            json!([9007199254740993i64]),
            json!([9007199254740992i64]),
        ),
        (json!(true), json!([true]), json!([false, "true", 1])),
        (
            json!({"exists": true}),
            json!([null, "", 0, [1]]),
            json!([[], {}, {"a": 1}]),
        ),
        (
            json!({"exists": false}),
            json!([[], {}, {"a": 1}]),
            json!([null, "", 0, [1]]),
        ),
        (
            json!({"prefix": "ab"}),
            json!(["ab", "abc"]),
            json!(["a", "cab", 12, null]),
        ),
        (
            json!({"prefix": {"equals-ignore-case": "aB"}}),
            json!(["AbC"]),
            json!(["CaB"]),
        ),
        (
            json!({"suffix": ".png"}),
            json!([".png", "x.png"]),
            json!(["x.PNG", "png"]),
        ),
        (
            json!({"suffix": {"equals-ignore-case": ".PNG"}}),
            json!(["x.png"]),
            json!(["x.jpg"]),
        ),
        (
            json!({"equals-ignore-case": "Ünder"}),
            json!(["üNDER"]),
            json!(["under"]),
        ),
        (
            json!({"wildcard": "a*c"}),
            json!(["ac", "abbc"]),
            json!(["acb", 1]),
        ),
        (
            json!({"anything-but": "a"}),
            json!(["b", 1, null, true, ["a", "b"]]),
            json!(["a", ["a"], []]),
        ),
        (
            json!({"anything-but": 1}),
            json!([2, "1", null]),
            json!([1, 1.0]),
        ),
        (
            json!({"anything-but": ["a", "b"]}),
            json!(["c", 1]),
            json!(["a", "b"]),
        ),
        (
            json!({"anything-but": [1, 2]}),
            json!([3, "1"]),
            json!([1, 2]),
        ),
        (
            json!({"anything-but": {"prefix": "a"}}),
            json!(["b", 1, null]),
            json!(["ab"]),
        ),
        (
            json!({"anything-but": {"suffix": ["a", "b"]}}),
            json!(["c"]),
            json!(["xa", "xb"]),
        ),
        (
            json!({"anything-but": {"equals-ignore-case": ["a"]}}),
            json!(["b"]),
            json!(["A"]),
        ),
        (
            json!({"anything-but": {"wildcard": "*/lib/*"}}),
            json!(["/usr"]),
            json!(["/usr/lib/x"]),
        ),
        (
            json!({"numeric": ["=", 3]}),
            json!([3, 3.0]),
            json!(["3", 4, null]),
        ),
        (json!({"numeric": ["<", 3]}), json!([2.9, -1]), json!([3])),
        (
            json!({"numeric": [">", 0, "<=", 5]}),
            json!([0.1, 5]),
            json!([0, 5.1]),
        ),
        (
            json!({"cidr": "10.0.0.0/24"}),
            json!(["10.0.0.255"]),
            json!(["10.0.1.0", 123, "x"]),
        ),
        (
            json!({"cidr": "2001:db8::/32"}),
            json!(["2001:db8::1"]),
            json!(["2001:db9::1", "10.0.0.1"]),
        ),
        (
            json!({"cidr": "0.0.0.0/0"}),
            json!(["1.2.3.4"]),
            json!(["::1"]),
        ),
    ] {
        for value in yes.as_array().unwrap() {
            assert!(passes(test.clone(), value.clone()), "{test} of {value}");
        }
        for value in no.as_array().unwrap() {
            assert!(!passes(test.clone(), value.clone()), "{test} of {value}");
        }
    }
}

#[test]
fn all_fields_have_to_hold_and_of_each_one_value() {
    let pattern = json!({"a": ["x", "y"], "b": {"c": [{"numeric": [">", 1]}]}});
    assert!(matches(
        pattern.clone(),
        json!({"a": "y", "b": {"c": 2, "d": 0}})
    ));
    assert!(!matches(pattern.clone(), json!({"a": "y", "b": {"c": 1}})));
    assert!(!matches(pattern.clone(), json!({"a": "z", "b": {"c": 2}})));
    assert!(!matches(pattern, json!({"a": "y", "b": 2})));
    // Nothing asked is all there is, for Lambda; EventBridge wants to be asked something.
    let nothing = Pattern::compile("{}", Operators::LAMBDA).unwrap();
    assert!(nothing.matches(&json!({"a": 1})) && !nothing.matches(&json!([])));
    assert_eq!(refused(json!({})), "Empty objects are not allowed");
}

#[test]
fn fields_asked_together_are_of_one_element() {
    let staff = json!({"staff": [{"first": "Anna", "last": "Smith"}, [{"first": "Peter", "last": "Jones"}]]});
    let pattern = |first: &str, last: &str| json!({"staff": {"first": [first], "last": [last]}});
    assert!(matches(pattern("Anna", "Smith"), staff.clone()));
    assert!(matches(pattern("Peter", "Jones"), staff.clone()));
    assert!(!matches(pattern("Anna", "Jones"), staff));
}

#[test]
fn what_is_to_be_absent_is_absent_everywhere() {
    let absent = json!({"o": {"a": [{"exists": false}]}});
    assert!(matches(absent.clone(), json!({})));
    assert!(matches(absent.clone(), json!({"o": 1})));
    assert!(matches(absent.clone(), json!({"o": [{"b": 1}]})));
    assert!(!matches(
        absent.clone(),
        json!({"o": [{"b": 1}, {"a": null}]})
    ));
    assert!(!matches(absent, json!({"o.a": 1})));
    let or_value = json!({"o": {"a": [{"exists": false}, {"anything-but": "x"}]}});
    assert!(matches(or_value.clone(), json!({"p": 1})));
    assert!(matches(or_value.clone(), json!({"o": {"a": "y"}})));
    assert!(!matches(or_value, json!({"o": {"a": "x"}})));
}

#[test]
fn or_is_one_of_several_fields() {
    let pattern = json!({"s": ["x"], "$or": [{"a": [1], "b": [1]}, {"c": {"d": [2]}}]});
    assert!(matches(pattern.clone(), json!({"s": "x", "a": 1, "b": 1})));
    assert!(matches(pattern.clone(), json!({"s": "x", "c": {"d": 2}})));
    assert!(!matches(pattern.clone(), json!({"s": "x", "a": 1})));
    assert!(!matches(pattern, json!({"c": {"d": 2}})));
    // A field of that name.
    assert!(matches(
        json!({"$or": {"a": [1]}}),
        json!({"$or": {"a": 1}})
    ));
    assert!(matches(
        json!({"$or": [{"prefix": "a"}, {"prefix": "b"}]}),
        json!({"$or": "bc"})
    ));
}

#[test]
fn a_dot_is_a_level() {
    for pattern in [
        json!({"d": {"s": {"t": ["r"]}}}),
        json!({"d": {"s.t": ["r"]}}),
    ] {
        for event in [
            json!({"d": {"s": {"t": "r"}}}),
            json!({"d": {"s.t": "r"}}),
            json!({"d.s": {"t": "r"}}),
        ] {
            assert!(
                matches(pattern.clone(), event.clone()),
                "{pattern} on {event}"
            );
        }
    }
    assert!(!matches(
        json!({"s": {"t": ["r"]}}),
        json!({"s.t": {"t": "r"}})
    ));
}

#[test]
fn what_cannot_be_a_pattern_is_refused_with_its_reason() {
    for (pattern, reason) in [
        (json!("text"), "Filter is not an object"),
        (json!({"a": 42}), "\"a\" must be an object or an array"),
        (json!({"a": []}), "Empty arrays are not allowed"),
        (json!({"a": {}}), "Empty objects are not allowed"),
        (
            json!({"a": [[1]]}),
            "Match value must be String, number, true, false, or null",
        ),
        (
            json!({"a": [{"prefix": "x", "suffix": "y"}]}),
            "Only one key allowed in match expression",
        ),
        (
            json!({"a": [{"like": "x"}]}),
            "Unrecognized match type like",
        ),
        (
            json!({"a": [{"prefix": ["x"]}]}),
            "prefix match pattern must be a string",
        ),
        (
            json!({"a": [{"wildcard": "a**"}]}),
            "Consecutive wildcard characters at pos 2",
        ),
        (
            json!({"a": [{"numeric": 10}]}),
            "Value of numeric must be an array.",
        ),
        (
            json!({"a": [{"numeric": [">", 0, ">", 0]}]}),
            "Bad numeric range operator: >",
        ),
        (
            json!({"a": [{"numeric": [">", 0, "<"]}]}),
            "Value of < must be numeric",
        ),
        (
            json!({"a": [{"numeric": [">", 5, "<", 1]}]}),
            "Bottom must be less than top",
        ),
        (
            json!({"a": [{"cidr": "bad"}]}),
            "Malformed CIDR, one '/' required",
        ),
        (
            json!({"a": [{"anything-but": null}]}),
            "Value of anything-but must be an array or single string/number value.",
        ),
        (
            json!({"a": [{"anything-but": ["a", 1]}]}),
            "Inside anything but list, either all values are number or string, mixed type is not supported",
        ),
    ] {
        assert_eq!(refused(pattern.clone()), reason, "{pattern}");
    }
    let cidr = Pattern::compile(r#"{"a": [{"cidr": "10.0.0.0/8"}]}"#, Operators::LAMBDA);
    assert_eq!(
        cidr.unwrap_err().reason,
        Reason::UnknownOperator("cidr".to_owned())
    );
}

#[test]
fn where_a_pattern_is_wrong_is_shown() {
    // The mark stands where the reader is when it finds the fault.
    for marked in [
        r#"{"a": 42^}"#,
        r#"{"a": "^text"}"#,
        r#"{"a": []^}"#,
        r#"{"a": {}^}"#,
        r#"[^1]"#,
        r#"{"a": [{"prefix": [^"x"]}]}"#,
        r#"{"a": [{"wildcard": "**"^}]}"#,
        r#"{"a": [{"numeric": [">", 0, ">"^, 0]}]}"#,
        r#"{"a": [{"numeric": [">", 0, "<"]^}]}"#,
        r#"{"a": [{"numeric": [">", 5, "<", 1]^}]}"#,
        r#"{"a": [{"anything-but": null^}]}"#,
        r#"{"a": [{"anything-but": {"suffix": {^"equals-ignore-case": "x"}}}]}"#,
        r#"{"a": [{"prefix": "x", "suffix": "^y"}]}"#,
        r#"{^'a': 1}"#,
        "{\n \"a\": [[^1]]}",
    ] {
        let at = marked.find('^').unwrap();
        let pattern = marked.replace('^', "");
        let invalid = Pattern::compile(&pattern, Operators::ALL).unwrap_err();
        let line = marked[..at].matches('\n').count() + 1;
        let column = at - marked[..at].rfind('\n').map_or(0, |nl| nl + 1) + 1;
        let place = format!("at [Source: (String)\"{pattern}\"; line: {line}, column: {column}]");
        let expected = format!("{invalid}\n {place}");
        assert_eq!(invalid.located(&pattern), expected, "{marked}");
    }
    let twice = r#"{"a": [{"anything-but": ["x", null]}]}"#;
    let twice = Pattern::compile(twice, Operators::ALL)
        .unwrap_err()
        .located(twice);
    assert_eq!(twice.matches("column: 35]").count(), 2, "{twice}");
    let nowhere = r#"{"a": [{"cidr": "x"}]}"#;
    let invalid = Pattern::compile(nowhere, Operators::ALL).unwrap_err();
    assert_eq!(invalid.located(nowhere), "Malformed CIDR, one '/' required");
}

/// A field of a flattened event: its path, which elements of which arrays it lies in, its value.
type Flat = (String, BTreeMap<String, usize>, Value);

/// Flattens an event as Ruler describes it.
fn flatten(
    value: &Value,
    path: &str,
    place: &str,
    within: &BTreeMap<String, usize>,
    flat: &mut Vec<Flat>,
) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                flatten(
                    value,
                    &format!("{path}.{key}"),
                    &format!("{place}.{key}"),
                    within,
                    flat,
                );
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                let mut within = within.clone();
                within.insert(place.to_owned(), index);
                flatten(element, path, &format!("{place}[{index}]"), &within, flat);
            }
        }
        value => flat.push((path.to_owned(), within.clone(), value.clone())),
    }
}

/// A pattern's alternatives, each a list of fields with their tests.
fn alternatives(pattern: &Map<String, Value>, path: &str) -> Vec<Vec<(String, Vec<Value>)>> {
    let mut all = vec![Vec::new()];
    for (key, value) in pattern {
        let here = format!("{path}.{key}");
        let choices: Vec<Vec<(String, Vec<Value>)>> = match value {
            Value::Array(list) if key == "$or" => {
                let each = list
                    .iter()
                    .map(|it| alternatives(it.as_object().unwrap(), path));
                each.flatten().collect()
            }
            Value::Array(tests) => vec![vec![(here, tests.clone())]],
            Value::Object(below) => alternatives(below, &here),
            other => panic!("{other}"),
        };
        let both = |before: &Vec<_>| {
            let before = before.clone();
            choices
                .iter()
                .map(move |choice| [before.clone(), choice.clone()].concat())
                .collect::<Vec<_>>()
        };
        all = all.iter().flat_map(both).collect();
    }
    all
}

fn oracle(pattern: &Value, event: &Value) -> bool {
    let mut flat = Vec::new();
    flatten(event, "", "", &BTreeMap::new(), &mut flat);
    let all = alternatives(pattern.as_object().unwrap(), "");
    all.iter()
        .any(|fields| choose(fields, &BTreeMap::new(), &flat))
}

/// Whether each field can be given a value so that all are of the same elements.
fn choose(
    fields: &[(String, Vec<Value>)],
    within: &BTreeMap<String, usize>,
    flat: &[Flat],
) -> bool {
    let Some(((path, tests), rest)) = fields.split_first() else {
        return true;
    };
    let absent =
        tests.contains(&json!({"exists": false})) && flat.iter().all(|field| field.0 != *path);
    let candidates = flat.iter().filter(|(found, arrays, value)| {
        let same = arrays
            .iter()
            .all(|(array, index)| within.get(array).is_none_or(|held| held == index));
        let passes = |test: &Value| *test != json!({"exists": false}) && simple(test, value);
        found == path && same && tests.iter().any(passes)
    });
    absent && choose(rest, within, flat)
        || candidates.into_iter().any(|(_, arrays, _)| {
            let mut within = within.clone();
            within.extend(arrays.clone());
            choose(rest, &within, flat)
        })
}

/// One test on one plain value, said anew.
fn simple(test: &Value, value: &Value) -> bool {
    if let Value::Object(operator) = test {
        let (name, operand) = operator.iter().next().unwrap();
        return match name.as_str() {
            "exists" => true,
            "prefix" => value
                .as_str()
                .is_some_and(|text| text.starts_with(operand.as_str().unwrap())),
            "anything-but" => value != operand,
            "numeric" => value
                .as_f64()
                .is_some_and(|number| number > operand[1].as_f64().unwrap()),
            other => panic!("{other}"),
        };
    }
    test == value
}

fn plain() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        (0..3i32).prop_map(|number| json!(number)),
        "[ab]{0,2}".prop_map(|text| json!(text)),
    ]
}

fn some_object(below: BoxedStrategy<Value>) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        plain(),
        prop::collection::vec(plain(), 0..3).prop_map(Value::Array)
    ];
    let below = prop_oneof![
        below.clone(),
        prop::collection::vec(below, 0..3).prop_map(Value::Array)
    ];
    let leaves = prop::collection::btree_map("[lm]", leaf, 0..3);
    let objects = prop::collection::btree_map("[op]", below, 0..3);
    (leaves, objects)
        .prop_map(|(leaves, objects)| Value::Object(leaves.into_iter().chain(objects).collect()))
}

fn event() -> impl Strategy<Value = Value> {
    let deepest = some_object(plain().boxed()).boxed();
    some_object(some_object(deepest).boxed())
}

fn some_tests() -> impl Strategy<Value = Value> {
    let test = prop_oneof![
        4 => plain(),
        1 => any::<bool>().prop_map(|exists| json!({"exists": exists})),
        1 => "[ab]{0,1}".prop_map(|prefix| json!({"prefix": prefix})),
        1 => "[ab]{0,1}".prop_map(|text| json!({"anything-but": text})),
        1 => (0..2i32).prop_map(|number| json!({"numeric": [">", number]})),
    ];
    prop::collection::vec(test, 1..4).prop_map(Value::Array)
}

fn some_fields(below: Option<BoxedStrategy<Value>>) -> BoxedStrategy<Value> {
    let leaves = || prop::collection::btree_map("[lm]", some_tests(), 1..3);
    let map = |fields: BTreeMap<String, Value>| fields.into_iter().collect::<Map<_, _>>();
    let or = prop::option::weighted(0.3, prop::collection::vec(leaves(), 2..3));
    let below = below.map_or(Just(BTreeMap::new()).boxed(), |below| {
        prop::collection::btree_map("[op]", below, 0..3).boxed()
    });
    (leaves(), or, below)
        .prop_map(move |(leaves, or, below)| {
            let mut all = map(leaves);
            all.extend(below);
            if let Some(or) = or {
                // A field that is asked for twice has no meaning in EventBridge's rules.
                or.iter().flat_map(BTreeMap::keys).for_each(|asked| {
                    all.remove(asked);
                });
                all.insert(
                    "$or".into(),
                    or.into_iter().map(|it| Value::Object(map(it))).collect(),
                );
            }
            Value::Object(all)
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn patterns_match_as_the_oracle_says(
        pattern in some_fields(Some(some_fields(Some(some_fields(None))))),
        event in event(),
    ) {
        prop_assert_eq!(matches(pattern.clone(), event.clone()), oracle(&pattern, &event));
    }
}
