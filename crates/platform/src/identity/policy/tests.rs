//! Cases of AWS's documentation of policies and of their evaluation.

use serde_json::{Value, json};

use super::{
    Bounds, Kind, Policy, PolicyError, Request,
    pattern::{Pattern, Resolved, Syntax, is_match},
    resource::{Allowed, Refused, decide},
};
use crate::identity::Principal;

const QUEUE: &str = "arn:aws:sqs:us-east-1:111111111111:jobs";
const BOUNDS: Bounds = Bounds {
    bytes_max: 20_480,
    statements_max: 20,
};

fn read(policy: &Value) -> Result<Policy, PolicyError> {
    Policy::parse(&policy.to_string(), Kind::Resource, BOUNDS)
}

fn account(id: &str) -> Principal {
    Principal::Account {
        account_id: id.into(),
    }
}

fn session() -> Principal {
    let role = "arn:aws:iam::222222222222:role/team/worker";
    Principal::session_of(role, "one").expect("a role")
}

fn service() -> Principal {
    Principal::Service("sns.amazonaws.com".into())
}

fn request<'a>(principal: &'a Principal, keys: &'a [(&'a str, &'a str)]) -> Request<'a> {
    let now = "2026-03-01T12:00:00Z".parse().expect("a time");
    let mut request = Request::new(
        principal,
        "sqs:SendMessage",
        QUEUE,
        "111111111111",
        "us-east-1",
        now,
    );
    request.source_ip = "203.0.113.7".parse().ok();
    request.user_agent = Some("Boto3/1.40");
    request.source_arn = Some("arn:aws:sns:us-east-1:333333333333:topic");
    request.keys = keys;
    request
}

/// A statement for everything by everybody, with other elements in place of its own.
fn statement(other: &Value) -> Value {
    let mut statement = json!({
        "Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": QUEUE,
    });
    for (name, value) in other.as_object().expect("an object") {
        match value {
            Value::Null => statement.as_object_mut().expect("one").remove(name),
            _ => statement
                .as_object_mut()
                .expect("one")
                .insert(name.clone(), value.clone()),
        };
    }
    statement
}

fn applies(principal: &Principal, keys: &[(&str, &str)], other: &Value) -> bool {
    let policy = json!({"Version": "2012-10-17", "Statement": statement(other)});
    let policy = read(&policy).unwrap_or_else(|error| panic!("{other}: {error}"));
    policy.statements()[0].applies(&request(principal, keys))
}

#[test]
fn conditions_are_met_as_documented() {
    let keys = &[
        ("sqs:Tag", "one"),
        ("sqs:Tag", "two"),
        ("sqs:Number", "10"),
        ("sqs:Date", "2026-03-01T00:00:00Z"),
        ("sqs:Bytes", "QUI="),
        ("sqs:Name", "User"),
    ];
    for (expect, operator, key, wanted) in [
        (true, "StringEquals", "SQS:name", json!("User")),
        (true, "StringEquals", "sqs:Name", json!(["x", "User"])),
        (false, "StringEquals", "sqs:Name", json!("Us*")),
        (false, "StringEquals", "sqs:Name", json!("user")),
        (true, "StringEqualsIgnoreCase", "sqs:Name", json!("uSER")),
        (true, "StringLike", "sqs:Name", json!("U?e*")),
        (false, "StringLike", "sqs:Name", json!("U?e")),
        (false, "StringNotLike", "sqs:Name", json!(["x", "U*"])),
        (true, "StringNotEquals", "sqs:Name", json!(["x", "y"])),
        // A key that is not there.
        (false, "StringEquals", "sqs:None", json!("x")),
        (true, "StringNotEquals", "sqs:None", json!("x")),
        (true, "StringEqualsIfExists", "sqs:None", json!("x")),
        (false, "StringEqualsIfExists", "sqs:Name", json!("x")),
        (true, "Null", "sqs:None", json!(true)),
        (false, "Null", "sqs:None", json!("false")),
        (true, "Null", "sqs:Name", json!("false")),
        (false, "NumericLessThan", "sqs:None", json!(1)),
        // Keys of several values.
        (
            true,
            "ForAllValues:StringEquals",
            "sqs:Tag",
            json!(["one", "two", "three"]),
        ),
        (
            false,
            "ForAllValues:StringEquals",
            "sqs:Tag",
            json!(["one"]),
        ),
        (
            true,
            "ForAllValues:StringEquals",
            "sqs:None",
            json!(["one"]),
        ),
        (
            true,
            "ForAnyValue:StringEquals",
            "sqs:Tag",
            json!(["two", "x"]),
        ),
        (false, "ForAnyValue:StringEquals", "sqs:Tag", json!("x")),
        (false, "ForAnyValue:StringNotEquals", "sqs:None", json!("x")),
        (true, "ForAnyValue:StringNotEquals", "sqs:Tag", json!("one")),
        (
            false,
            "ForAllValues:StringNotEquals",
            "sqs:Tag",
            json!("one"),
        ),
        // The other kinds.
        (true, "NumericEquals", "sqs:Number", json!(10.0)),
        (true, "NumericLessThan", "sqs:Number", json!("10.5")),
        (false, "NumericLessThan", "sqs:Number", json!("9")),
        (true, "NumericGreaterThanEquals", "sqs:Number", json!(10)),
        (true, "NumericNotEquals", "sqs:Number", json!(-10)),
        (
            true,
            "DateGreaterThan",
            "aws:CurrentTime",
            json!("2026-03-01T11:59:59Z"),
        ),
        (true, "DateLessThan", "aws:CurrentTime", json!("2026-03-02")),
        (
            true,
            "DateLessThanEquals",
            "aws:EpochTime",
            json!(1_772_366_400),
        ),
        (true, "DateEquals", "sqs:Date", json!("2026-03")),
        (true, "DateNotEquals", "sqs:Date", json!("2026")),
        (
            true,
            "NumericGreaterThan",
            "aws:EpochTime",
            json!(1_700_000_000),
        ),
        (true, "Bool", "aws:SecureTransport", json!("False")),
        (false, "Bool", "aws:SecureTransport", json!(true)),
        (true, "BinaryEquals", "sqs:Bytes", json!("QUI=")),
        (true, "IpAddress", "aws:SourceIp", json!("203.0.113.0/24")),
        (
            true,
            "IpAddress",
            "aws:SourceIp",
            json!(["2001:db8::/32", "203.0.113.7"]),
        ),
        (true, "IpAddress", "aws:SourceIp", json!("0.0.0.0/0")),
        (
            false,
            "NotIpAddress",
            "aws:SourceIp",
            json!("203.0.113.0/24"),
        ),
        (
            true,
            "NotIpAddress",
            "aws:SourceIp",
            json!("203.0.114.0/24"),
        ),
        (
            true,
            "ArnLike",
            "aws:SourceArn",
            json!("arn:aws:sns:*:333333333333:*"),
        ),
        (
            true,
            "ArnEquals",
            "aws:SourceArn",
            json!("arn:*:sns:*:*:top?c"),
        ),
        // A wildcard stays within its segment.
        (
            false,
            "ArnLike",
            "aws:SourceArn",
            json!("arn:aws:*:333333333333:topic:*"),
        ),
        (
            false,
            "ArnNotLike",
            "aws:SourceArn",
            json!("arn:aws:sns:*:*:*"),
        ),
        (true, "StringLike", "aws:UserAgent", json!("Boto3/*")),
        (
            true,
            "StringEquals",
            "aws:PrincipalType",
            json!("AssumedRole"),
        ),
        (
            true,
            "StringEquals",
            "aws:PrincipalAccount",
            json!("222222222222"),
        ),
        (
            true,
            "StringEquals",
            "aws:RequestedRegion",
            json!("us-east-1"),
        ),
        (
            true,
            "ArnEquals",
            "aws:PrincipalArn",
            json!("arn:aws:iam::222222222222:role/team/*"),
        ),
        // Variables.
        (
            true,
            "StringEquals",
            "aws:PrincipalAccount",
            json!("${aws:PrincipalAccount}"),
        ),
        (
            true,
            "StringLike",
            "sqs:Name",
            json!("${aws:username, 'Us'}*"),
        ),
        (false, "StringLike", "sqs:Name", json!("${aws:username}*")),
        (
            false,
            "StringNotLike",
            "sqs:Name",
            json!("${aws:username}*"),
        ),
        (false, "StringLike", "sqs:Name", json!("Us${*}")),
    ] {
        let condition = json!({"Condition": {operator: {key: wanted}}});
        assert_eq!(applies(&session(), keys, &condition), expect, "{condition}");
    }
}

#[test]
fn all_of_a_condition_has_to_be_met() {
    let met = ("aws:RequestedRegion", "us-east-1");
    let unmet = ("aws:UserAgent", "curl/8");
    for (expect, other) in [(true, met), (false, unmet)] {
        let one = json!({"Condition": {"StringEquals": {met.0: met.1, other.0: other.1}}});
        assert_eq!(applies(&session(), &[], &one), expect);
        let two = json!({"Condition": {
            "StringEquals": {met.0: met.1}, "StringLike": {other.0: other.1},
        }});
        assert_eq!(applies(&session(), &[], &two), expect);
    }
}

#[test]
fn actions_and_resources_are_matched_with_wildcards() {
    for (expect, other) in [
        (true, json!({"Action": "SQS:sendmessage"})),
        (true, json!({"Action": ["sqs:Get*", "sqs:Send????age"]})),
        (true, json!({"Action": "*"})),
        (false, json!({"Action": "sqs:SendMessageBatch"})),
        (false, json!({"Action": "sns:*"})),
        (false, json!({"Action": null, "NotAction": "sqs:Send*"})),
        (true, json!({"Action": null, "NotAction": "sqs:Delete*"})),
        (true, json!({"Resource": null})),
        (true, json!({"Resource": "*"})),
        (true, json!({"Resource": "arn:aws:sqs:*:111111111111:j*s"})),
        (true, json!({"Resource": "arn:aws:sqs:*"})),
        (
            true,
            json!({"Resource": "arn:aws:sqs:us-east-1:${aws:ResourceAccount}:jobs"}),
        ),
        (false, json!({"Resource": "arn:aws:sqs:*:jobs"})),
        (false, json!({"Resource": "jobs"})),
        (false, json!({"Resource": "*jobs"})),
        (
            false,
            json!({"Resource": "arn:aws:sqs:us-east-1:111111111111:Jobs"}),
        ),
        (false, json!({"Resource": null, "NotResource": QUEUE})),
    ] {
        assert_eq!(applies(&session(), &[], &other), expect, "{other}");
    }
}

#[test]
fn principals_are_accounts_roles_sessions_services_and_everybody() {
    let (other, anonymous) = (account("333333333333"), Principal::Anonymous);
    let user = Principal::User {
        account_id: "222222222222".into(),
        user: "bob".into(),
    };
    let role = "arn:aws:iam::222222222222:role/team/worker";
    let one = "arn:aws:sts::222222222222:assumed-role/worker/one";
    let root = "arn:aws:iam::222222222222:root";
    // Whether it is a session's, its account's user's, another account's, a service's, nobody's.
    for (expect, element, named) in [
        ("+++++", "Principal", json!("*")),
        ("+++++", "Principal", json!({"AWS": "*"})),
        ("++---", "Principal", json!({"AWS": "222222222222"})),
        ("++---", "Principal", json!({"AWS": root})),
        ("+-+--", "Principal", json!({"AWS": [role, "333333333333"]})),
        ("+----", "Principal", json!({"AWS": one})),
        (
            "-----",
            "Principal",
            json!({"AWS": "arn:aws:iam::222222222222:role/worker"}),
        ),
        (
            "-+---",
            "Principal",
            json!({"AWS": "arn:aws:iam::222222222222:user/bob"}),
        ),
        (
            "---+-",
            "Principal",
            json!({"Service": "sns.amazonaws.com"}),
        ),
        (
            "-----",
            "Principal",
            json!({"Federated": "accounts.google.com"}),
        ),
        ("--+++", "NotPrincipal", json!({"AWS": root})),
        ("-++++", "NotPrincipal", json!({"AWS": one})),
    ] {
        let statement = match element {
            "Principal" => json!({element: named}),
            _ => json!({"Principal": null, element: named}),
        };
        let session = session();
        let all = [&session, &user, &other, &service(), &anonymous];
        let got = all.map(|principal| match applies(principal, &[], &statement) {
            true => '+',
            false => '-',
        });
        assert_eq!(got.iter().collect::<String>(), expect, "{statement}");
    }
}

#[test]
fn who_is_exempt_from_a_denial_is_named_in_full() {
    let denied = |named: &[&str]| {
        let statement =
            json!({"Effect": "Deny", "Principal": null, "NotPrincipal": {"AWS": named}});
        applies(&session(), &[], &statement)
    };
    let role = "arn:aws:iam::222222222222:role/team/worker";
    let one = "arn:aws:sts::222222222222:assumed-role/worker/one";
    assert!(!denied(&[one, role, "222222222222"]));
    assert!(denied(&[role, "222222222222"]));
    assert!(denied(&["222222222222"]));
}

#[test]
fn what_a_variable_leaves_open_is_decided_against_the_caller() {
    let condition = json!({"StringNotEquals": {"aws:UserAgent": "${aws:PrincipalTag/team}"}});
    let allow = json!({"Effect": "Allow", "Condition": condition});
    assert!(!applies(&session(), &[], &allow));
    let deny = json!({"Effect": "Deny", "Condition": condition});
    assert!(applies(&session(), &[], &deny));
}

#[test]
fn a_denial_ends_it_and_others_need_to_be_allowed() {
    let allow = json!({"Sid": "all"});
    let deny = json!({"Sid": "none", "Effect": "Deny", "Action": "sqs:Send*"});
    let policy = |statements: &[&Value]| {
        let statements: Vec<_> = statements.iter().map(|one| statement(one)).collect();
        read(&json!({"Statement": statements})).expect("a policy")
    };
    let (own, other) = (account("111111111111"), account("222222222222"));
    let name = |principal: &Principal, policy: Option<&Policy>| match decide(
        &request(principal, &[]),
        policy,
    ) {
        Ok(Allowed::Own) => "own".to_owned(),
        Ok(Allowed::By(statement)) => format!("by {statement}"),
        Err(refused) => refused.to_string(),
    };
    assert_eq!(name(&own, None), "own");
    assert_eq!(name(&other, None), "no statement allows it");
    assert_eq!(name(&Principal::Anonymous, None), "no statement allows it");
    let allows = policy(&[&allow]);
    assert_eq!(name(&other, Some(&allows)), "by statement all");
    assert_eq!(name(&service(), Some(&allows)), "by statement all");
    let both = policy(&[&allow, &deny]);
    assert_eq!(name(&own, Some(&both)), "denied by statement none");
    assert_eq!(name(&other, Some(&both)), "denied by statement none");
}

#[test]
fn refusals_are_in_awss_words() {
    let session = session();
    let request = request(&session, &[]);
    let said = Refused::NotAllowed.sentence(&request, "sqs:sendmessage");
    assert_eq!(
        said.as_deref(),
        Some(
            "User: arn:aws:sts::222222222222:assumed-role/worker/one is not authorized to perform: \
             sqs:sendmessage on resource: arn:aws:sqs:us-east-1:111111111111:jobs because no \
             resource-based policy allows the sqs:sendmessage action"
        )
    );
    let denies = json!({"Statement": statement(&json!({"Effect": "Deny"}))});
    let denies = read(&denies).expect("a policy");
    let refused = decide(&request, Some(&denies)).expect_err("it is denied");
    let said = refused
        .sentence(&request, "sqs:sendmessage")
        .expect("words");
    assert!(said.ends_with(":jobs with an explicit deny in a resource-based policy"));
}

#[test]
fn what_is_no_policy_is_refused_with_a_reason() {
    for (expect, other) in [
        (
            "Statement 1, Effect: is neither",
            json!({"Effect": "allow"}),
        ),
        ("Statement 1, Effect: is missing", json!({"Effect": null})),
        (
            "Statement 1, Principal: is missing",
            json!({"Principal": null}),
        ),
        ("names nobody", json!({"Principal": {"AWS": []}})),
        ("no principal by AWS", json!({"Principal": {"AWS": "1234"}})),
        (
            "no principal by AWS",
            json!({"Principal": {"AWS": "arn:aws:iam::222222222222:user/*"}}),
        ),
        ("no principal by *", json!({"Principal": {"*": "*"}})),
        ("is neither *", json!({"Principal": "222222222222"})),
        ("together with NotAction", json!({"NotAction": "sqs:*"})),
        (
            "Action: SendMessage is no action",
            json!({"Action": "SendMessage"}),
        ),
        ("Action: is neither", json!({"Action": []})),
        (
            "closing brace",
            json!({"Resource": format!("{QUEUE}${{aws:username")}),
        ),
        ("Condition: is no object", json!({"Condition": []})),
        (
            "Condition Equals: is no operator",
            json!({"Condition": {"Equals": {}}}),
        ),
        (
            "is no operator",
            json!({"Condition": {"NullIfExists": {"aws:x": true}}}),
        ),
        (
            "is no operator",
            json!({"Condition": {"ForSome:Bool": {"aws:x": true}}}),
        ),
        (
            "is no condition key",
            json!({"Condition": {"Bool": {"x": true}}}),
        ),
        (
            "no number",
            json!({"Condition": {"NumericEquals": {"aws:x": "1e3"}}}),
        ),
        (
            "no date",
            json!({"Condition": {"DateEquals": {"aws:x": "yesterday"}}}),
        ),
        (
            "no IP address",
            json!({"Condition": {"IpAddress": {"aws:x": "10.0.0.0/33"}}}),
        ),
        (
            "neither true nor false",
            json!({"Condition": {"Bool": {"aws:x": "yes"}}}),
        ),
        (
            "single quotes",
            json!({"Condition": {"StringLike": {"aws:x": "${aws:y, z}"}}}),
        ),
        ("is no element", json!({"Principals": "*"})),
    ] {
        let policy = json!({"Version": "2012-10-17", "Statement": [statement(&other)]});
        let said = read(&policy).expect_err(expect).to_string();
        assert!(said.contains(expect), "{said}");
    }
    let twice = r#"{"Statement":{"Effect":"Deny","Effect":"Allow","Principal":"*","Action":"*"}}"#;
    let said = Policy::parse(twice, Kind::Resource, BOUNDS)
        .expect_err("no policy")
        .to_string();
    assert!(said.contains("Effect is there twice"), "{said}");
    let one = statement(&json!({"Sid": "a"}));
    for (expect, policy) in [
        ("another statement's", json!({"Statement": [one, one]})),
        ("Statement: is empty", json!({"Statement": []})),
        ("Statement: is missing", json!({})),
        (
            "Version",
            json!({"Version": "2026-01-01", "Statement": one}),
        ),
        (
            "21 statements",
            json!({"Statement": vec![statement(&json!({})); 21]}),
        ),
        (
            "longer",
            json!({"Id": "x".repeat(30_000), "Statement": one}),
        ),
        ("is no object", json!([])),
    ] {
        let said = read(&policy).expect_err(expect).to_string();
        assert!(said.contains(expect), "{said}");
    }
}

#[test]
fn before_2012_there_were_no_variables() {
    let condition = json!({"StringEquals": {"aws:UserAgent": "${aws:UserAgent}"}});
    let one = statement(&json!({"Condition": condition}));
    for (expect, version) in [(true, "2012-10-17"), (false, "2008-10-17")] {
        let policy = read(&json!({"Version": version, "Statement": one})).expect("a policy");
        assert_eq!(
            policy.statements()[0].applies(&request(&session(), &[])),
            expect
        );
    }
}

#[test]
fn a_policy_of_an_identity_is_about_that_identity() {
    let parse = |policy: Value| Policy::parse(&policy.to_string(), Kind::Identity, BOUNDS);
    let one = statement(&json!({"Principal": null}));
    let policy = parse(json!({"Statement": one})).expect("a policy");
    assert!(policy.statements()[0].applies(&request(&session(), &[])));
    assert!(parse(json!({"Statement": statement(&json!({}))})).is_err());
    let nowhere = statement(&json!({"Principal": null, "Resource": null}));
    assert!(parse(json!({"Statement": nowhere})).is_err());
    let no_arn = statement(&json!({"Principal": null, "Resource": "jobs"}));
    assert!(parse(json!({"Statement": no_arn})).is_err());
}

/// Every pattern and every text of a small alphabet, against the definition of a wildcard.
#[test]
fn wildcards_match_by_their_definition() {
    fn defined(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), None) => defined(rest, text),
            (Some(('*', rest)), Some((_, after))) => defined(rest, text) || defined(pattern, after),
            (Some((p, rest)), Some((t, after))) => (*p == '?' || p == t) && defined(rest, after),
            _ => false,
        }
    }
    fn all(letters: &[char], up_to: usize) -> Vec<Vec<char>> {
        let mut all = vec![Vec::new()];
        let mut from = 0;
        for _ in 0..up_to {
            let until = all.len();
            for at in from..until {
                for letter in letters {
                    let mut longer = all[at].clone();
                    longer.push(*letter);
                    all.push(longer);
                }
            }
            from = until;
        }
        all
    }
    let syntax = Syntax {
        wildcards: true,
        variables: false,
    };
    let principal = Principal::Anonymous;
    let request = request(&principal, &[]);
    let texts = all(&['a', 'é'], 5);
    for pattern in all(&['a', 'é', '*', '?'], 5) {
        let parsed = Pattern::parse(&pattern.iter().collect::<String>(), syntax).expect("one");
        let Resolved::Known(symbols) = parsed.resolve(&request) else {
            panic!("a pattern without variables is known");
        };
        for text in &texts {
            let expect = defined(&pattern, text);
            let got = is_match(&symbols, &text.iter().collect::<String>());
            assert_eq!(got, expect, "{pattern:?} {text:?}");
        }
    }
}
