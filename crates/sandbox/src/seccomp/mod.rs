//! Which system calls a function may make.
//!
//! The list is data ([`ALLOWED`], `allow.txt`), compiled once into a BPF program shaped as a
//! balanced tree over ranges of call numbers: the kernel runs a program for every number when it
//! is installed, which happens at each start of an environment, so the shape is felt there (a
//! linear list costs more than twice as much).

mod bpf;
mod numbers;

use bpf::Verdict;

const ALLOWED: &str = include_str!("allow.txt");

/// Refused without an error: the caller is told that it is done.
const SUCCESS: u16 = 0;
const EPERM: u16 = 1;
const ENOSYS: u16 = 38;

/// A condition on one argument, of which only the low 32 bits count in every call it is used for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    argument: u8,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    In(Vec<u32>),
    NotIn(Vec<u32>),
    Clear(u32),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Allow,
    /// If all of them hold.
    If(Vec<Condition>),
    /// It succeeds and does nothing.
    Done,
    NotImplemented,
}

/// The program for this machine's architecture, an instruction per element.
pub fn program() -> Vec<u64> {
    let rules = parse(ALLOWED).expect("allow.txt is part of this binary and tested");
    bpf::compile(&verdicts(&rules))
}

fn parse(text: &str) -> Result<Vec<(u32, Rule)>, String> {
    let mut rules = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with('#') {
            continue;
        }
        let (name, condition) = line.split_once(' ').unwrap_or((line, ""));
        match numbers::number(name) {
            Some(number) => rules.push((number, rule(condition).ok_or(line)?)),
            None if numbers::is_known_elsewhere(name) => {}
            None => return Err(format!("unknown system call {name}")),
        }
    }
    rules.sort_by_key(|(number, _)| *number);
    match rules.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(format!("system call {} is listed twice", pair[0].0)),
        None => Ok(rules),
    }
}

fn rule(text: &str) -> Option<Rule> {
    match text.trim() {
        "" => Some(Rule::Allow),
        "done" => Some(Rule::Done),
        "nosys" => Some(Rule::NotImplemented),
        conditions => {
            let conditions = conditions.split(" and ").map(condition);
            Some(Rule::If(conditions.collect::<Option<_>>()?))
        }
    }
}

fn condition(text: &str) -> Option<Condition> {
    let mut words = text.split_whitespace();
    let argument = words.next()?.strip_prefix("arg")?.parse().ok();
    let argument = argument.filter(|at| *at < 6)?;
    let test = words.next()?;
    let values: Vec<u32> = words.map(value).collect::<Option<_>>()?;
    let test = match (test, values.as_slice()) {
        (_, []) => return None,
        ("in", _) => Test::In(values),
        ("notin", _) => Test::NotIn(values),
        ("clear", [mask]) => Test::Clear(*mask),
        _ => return None,
    };
    Some(Condition { argument, test })
}

fn value(word: &str) -> Option<u32> {
    match word.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => word.parse().ok(),
    }
}

/// What becomes of every call number, as ranges: each entry holds from its number to the next's.
fn verdicts(rules: &[(u32, Rule)]) -> Vec<(u32, Verdict)> {
    let mut ranges: Vec<(u32, Verdict)> = Vec::new();
    let mut push = |from, verdict: Verdict| {
        if ranges.last().is_none_or(|(_, last)| *last != verdict) {
            ranges.push((from, verdict));
        }
    };
    let mut next = 0;
    for (number, rule) in rules {
        if *number > next {
            push(next, Verdict::Refuse(EPERM));
        }
        push(
            *number,
            match rule {
                Rule::Allow => Verdict::Allow,
                Rule::If(conditions) => Verdict::AllowIf(conditions.clone()),
                Rule::Done => Verdict::Refuse(SUCCESS),
                Rule::NotImplemented => Verdict::Refuse(ENOSYS),
            },
        );
        next = number + 1;
    }
    push(next, Verdict::Refuse(ENOSYS));
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_whole() {
        let rules = parse(ALLOWED).expect("every name has a number");
        assert!(rules.len() > 200, "{}", rules.len());
    }

    #[test]
    fn conditions_are_read() {
        let clear = Condition {
            argument: 0,
            test: Test::Clear(0xf0),
        };
        let both = Condition {
            argument: 2,
            test: Test::In(vec![1, 6]),
        };
        assert_eq!(
            rule("arg0 clear 0xf0 and arg2 in 1 6"),
            Some(Rule::If(vec![clear.clone(), both]))
        );
        assert_eq!(rule("arg0 clear 0xf0"), Some(Rule::If(vec![clear])));
        assert_eq!(rule(""), Some(Rule::Allow));
        assert_eq!(rule("done"), Some(Rule::Done));
        for wrong in [
            "arg6 in 1",
            "arg0",
            "arg0 in",
            "arg0 in x",
            "arg0 clear 1 2",
            "what",
            "arg0 in 1 and",
            "arg0 in 1 and done",
        ] {
            assert_eq!(rule(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_name_twice_is_refused() {
        assert!(parse("read\nread").is_err());
        assert!(parse("no_such_call").is_err());
    }
}
