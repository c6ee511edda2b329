//! Functions of a record's values.

use std::net::IpAddr;

use super::value::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    Abs,
    Ceil,
    Floor,
    Greatest,
    Least,
    Log,
    Sqrt,
    IsPresent,
    Coalesce,
    IsEmpty,
    IsBlank,
    Concat,
    Ltrim,
    Rtrim,
    Trim,
    Strlen,
    ToUpper,
    ToLower,
    Substr,
    Replace,
    StrContains,
    FromMillis,
    ToMillis,
    Now,
    If,
    IsValidIp,
    IsValidIpV4,
    IsValidIpV6,
    IsIpInSubnet,
}

/// With the least and the most arguments there are.
const ALL: [(&str, Function, usize, usize); 31] = [
    ("abs", Function::Abs, 1, 1),
    ("ceil", Function::Ceil, 1, 1),
    ("floor", Function::Floor, 1, 1),
    ("greatest", Function::Greatest, 1, 64),
    ("least", Function::Least, 1, 64),
    ("log", Function::Log, 1, 1),
    ("sqrt", Function::Sqrt, 1, 1),
    ("ispresent", Function::IsPresent, 1, 1),
    ("coalesce", Function::Coalesce, 1, 64),
    ("isempty", Function::IsEmpty, 1, 1),
    ("isblank", Function::IsBlank, 1, 1),
    ("concat", Function::Concat, 1, 64),
    ("ltrim", Function::Ltrim, 1, 2),
    ("rtrim", Function::Rtrim, 1, 2),
    ("trim", Function::Trim, 1, 2),
    ("strlen", Function::Strlen, 1, 1),
    ("toupper", Function::ToUpper, 1, 1),
    ("tolower", Function::ToLower, 1, 1),
    ("substr", Function::Substr, 2, 3),
    ("replace", Function::Replace, 3, 3),
    ("strcontains", Function::StrContains, 2, 2),
    ("frommillis", Function::FromMillis, 1, 1),
    ("tomillis", Function::ToMillis, 1, 1),
    ("now", Function::Now, 0, 0),
    ("if", Function::If, 3, 3),
    ("isvalidip", Function::IsValidIp, 1, 1),
    ("isvalidipv4", Function::IsValidIpV4, 1, 1),
    ("isvalidipv6", Function::IsValidIpV6, 1, 1),
    ("isipinsubnet", Function::IsIpInSubnet, 2, 2),
    ("isipv4insubnet", Function::IsIpInSubnet, 2, 2),
    ("isipv6insubnet", Function::IsIpInSubnet, 2, 2),
];

impl Function {
    /// Whatever the case of its name.
    pub fn named(name: &str) -> Option<(Self, usize, usize)> {
        let found = ALL
            .iter()
            .find(|(known, ..)| known.eq_ignore_ascii_case(name));
        found.map(|(_, function, least, most)| (*function, *least, *most))
    }

    pub fn call(self, arguments: &[Value], now_ms: i64) -> Value {
        let at = |index: usize| arguments.get(index).unwrap_or(&Value::Null);
        let number = |of: fn(f64) -> f64| at(0).number().map_or(Value::Null, |n| of(n).into());
        let text = |of: &dyn Fn(&str) -> Value| at(0).text().map_or(Value::Null, |text| of(&text));
        match self {
            Self::Abs => number(f64::abs),
            Self::Ceil => number(f64::ceil),
            Self::Floor => number(f64::floor),
            Self::Log => number(f64::ln),
            Self::Sqrt => number(f64::sqrt),
            Self::Greatest => extreme(arguments, f64::max),
            Self::Least => extreme(arguments, f64::min),
            Self::IsPresent => (!at(0).is_null()).into(),
            Self::Coalesce => {
                let found = arguments.iter().find(|value| !value.is_null());
                found.cloned().unwrap_or_default()
            }
            Self::IsEmpty => at(0).text().is_none_or(|text| text.is_empty()).into(),
            Self::IsBlank => at(0)
                .text()
                .is_none_or(|text| text.trim().is_empty())
                .into(),
            Self::Concat => {
                let all = arguments.iter().filter_map(Value::text);
                Value::Text(all.collect::<String>())
            }
            Self::Ltrim => trimmed(arguments, true, false),
            Self::Rtrim => trimmed(arguments, false, true),
            Self::Trim => trimmed(arguments, true, true),
            Self::Strlen => text(&|text| (text.chars().count() as f64).into()),
            Self::ToUpper => text(&|text| Value::Text(text.to_uppercase())),
            Self::ToLower => text(&|text| Value::Text(text.to_lowercase())),
            Self::Substr => text(&|text| {
                let whole = |value: &Value| value.number().map(|n| n.max(0.0) as usize);
                let start = whole(at(1)).unwrap_or(0);
                let len = whole(at(2)).unwrap_or(usize::MAX);
                Value::Text(text.chars().skip(start).take(len).collect())
            }),
            Self::Replace => text(&|text| match (at(1).text(), at(2).text()) {
                (Some(from), Some(to)) if !from.is_empty() => replaced(text, &from, &to),
                _ => Value::from(text),
            }),
            Self::StrContains => text(&|text| {
                let part = at(1).text();
                part.is_some_and(|part| text.contains(&*part)).into()
            }),
            Self::FromMillis => at(0)
                .number()
                .map_or(Value::Null, |ms| Value::Time(ms as i64)),
            Self::ToMillis => at(0).number().map_or(Value::Null, Value::from),
            Self::Now => ((now_ms / 1000) as f64).into(),
            Self::If => at(if at(0).is_true() { 1 } else { 2 }).clone(),
            Self::IsValidIp => text(&|text| text.parse::<IpAddr>().is_ok().into()),
            Self::IsValidIpV4 => {
                text(&|text| text.parse().is_ok_and(|ip: IpAddr| ip.is_ipv4()).into())
            }
            Self::IsValidIpV6 => {
                text(&|text| text.parse().is_ok_and(|ip: IpAddr| ip.is_ipv6()).into())
            }
            Self::IsIpInSubnet => {
                let within = at(0).text().zip(at(1).text());
                within
                    .and_then(|(ip, subnet)| is_in(&ip, &subnet))
                    .unwrap_or(false)
                    .into()
            }
        }
    }
}

/// Bounded: what is put in for one character over and over must not fill the memory.
fn replaced(text: &str, from: &str, to: &str) -> Value {
    const LONGEST: usize = 4 * 1024 * 1024;
    let count = text.matches(from).count();
    match text.len() + count.saturating_mul(to.len()) > LONGEST {
        true => Value::Null,
        false => Value::Text(text.replace(from, to)),
    }
}

fn extreme(arguments: &[Value], of: fn(f64, f64) -> f64) -> Value {
    let numbers = arguments.iter().filter_map(Value::number);
    numbers.reduce(of).map_or(Value::Null, Value::from)
}

fn trimmed(arguments: &[Value], left: bool, right: bool) -> Value {
    let Some(text) = arguments.first().and_then(Value::text) else {
        return Value::Null;
    };
    let given = arguments.get(1).and_then(Value::text);
    let is_out = |c: char| match &given {
        Some(given) => given.contains(c),
        None => c.is_whitespace(),
    };
    let mut text = &*text;
    if left {
        text = text.trim_start_matches(is_out);
    }
    if right {
        text = text.trim_end_matches(is_out);
    }
    Value::from(text)
}

/// `10.0.0.1` in `10.0.0.0/8`.
fn is_in(ip: &str, subnet: &str) -> Option<bool> {
    let (network, bits) = subnet.split_once('/')?;
    let bits: u32 = bits.parse().ok()?;
    let of = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)) << 96, 32),
        IpAddr::V6(ip) => (u128::from(ip), 128),
    };
    let (ip, width) = of(ip.parse().ok()?);
    let (network, network_width) = of(network.parse().ok()?);
    if width != network_width || bits > width {
        return Some(false);
    }
    let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
    Some(ip & mask == network & mask)
}
