//! Which functions a chain of requests has run through, and how often: what tells a loop.
//!
//! It goes with the request in its X-Ray trace header, `Lineage=<function>:<times>|…`, which AWS's
//! SDKs pass on inside functions, and so do queues and destinations. A function is eight letters of
//! a digest of its ARN.

use aws_lc_rs::digest;

/// How often a function runs in one chain; Lambda's own figure.
pub const RUNS_MAX: u32 = 16;
/// Functions that a header tells of: a longer chain forgets its oldest.
const FUNCTIONS_MAX: usize = 24;
const FIELD: &str = "Lineage=";

/// How a function is named in a lineage.
pub fn mark_of(function_arn: &str) -> String {
    let digest = digest::digest(&digest::SHA256, function_arn.as_bytes());
    let head = digest.as_ref().iter().take(4);
    head.map(|byte| format!("{byte:02x}")).collect()
}

/// How often the chain has run through a function.
pub fn runs_of(header: Option<&str>, mark: &str) -> u32 {
    let entries = entries(header);
    let own = entries.iter().find(|(held, _)| *held == mark);
    own.map_or(0, |(_, runs)| *runs)
}

/// The header of a request that runs a function: that it came with, and one run more.
pub fn with_run(header: Option<&str>, mark: &str) -> String {
    let runs = runs_of(header, mark) + 1;
    let mut entries = entries(header);
    entries.retain(|(held, _)| *held != mark);
    entries.push((mark, runs));
    let from = entries.len().saturating_sub(FUNCTIONS_MAX);
    write(header, &entries[from..])
}

/// The header of what was made of several requests: a trace of its own, with the most runs of each
/// function. None if none of them has a lineage.
pub fn merged<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut all: Vec<(&str, u32)> = Vec::new();
    for (mark, runs) in headers.into_iter().flat_map(|header| entries(Some(header))) {
        match all.iter_mut().find(|(held, _)| *held == mark) {
            Some((_, most)) => *most = runs.max(*most),
            None => all.push((mark, runs)),
        }
    }
    let from = all.len().saturating_sub(FUNCTIONS_MAX);
    (!all.is_empty()).then(|| write(None, &all[from..]))
}

fn fields(header: &str) -> impl Iterator<Item = &str> {
    header.split(';').map(str::trim)
}

fn write(header: Option<&str>, entries: &[(&str, u32)]) -> String {
    let others = header.into_iter().flat_map(fields);
    let others = others.filter(|field| !field.starts_with(FIELD) && !field.is_empty());
    let entries: Vec<String> = entries
        .iter()
        .map(|(mark, runs)| format!("{mark}:{runs}"))
        .collect();
    let mut out: Vec<String> = others.map(str::to_owned).collect();
    if !entries.is_empty() {
        out.push(format!("{FIELD}{}", entries.join("|")));
    }
    out.join(";")
}

fn entries(header: Option<&str>) -> Vec<(&str, u32)> {
    let lineage = header
        .into_iter()
        .flat_map(fields)
        .find_map(|field| field.strip_prefix(FIELD));
    let entry = |entry: &'_ str| -> Option<(usize, u32)> {
        let (mark, runs) = entry.split_once(':')?;
        let is_mark = mark.len() == 8 && mark.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_mark.then_some((mark.len(), runs.parse().ok()?))
    };
    let parts = lineage.into_iter().flat_map(|lineage| lineage.split('|'));
    parts
        .filter_map(|part| entry(part).map(|(length, runs)| (&part[..length], runs)))
        .take(FUNCTIONS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_counts_and_the_rest_of_the_header_stays() {
        let (a, b) = (mark_of("arn:a"), mark_of("arn:b"));
        let first = with_run(Some("Root=1-2-3;Parent=4;Sampled=0"), &a);
        assert_eq!(
            first,
            format!("Root=1-2-3;Parent=4;Sampled=0;Lineage={a}:1")
        );
        let second = with_run(Some(&with_run(Some(&first), &b)), &a);
        assert_eq!(
            second,
            format!("Root=1-2-3;Parent=4;Sampled=0;Lineage={b}:1|{a}:2")
        );
        assert_eq!(runs_of(Some(&second), &a), 2);
        assert_eq!(runs_of(None, &a), 0);
        assert_eq!(with_run(None, &a), format!("Lineage={a}:1"));
    }

    #[test]
    fn nonsense_counts_nothing_and_a_long_chain_stays_short() {
        let mark = mark_of("arn:a");
        for header in ["Lineage=", "Lineage=x:1|zzzzzzzz:1", "Lineage=aaaaaaaa:-1"] {
            assert_eq!(with_run(Some(header), &mark), format!("Lineage={mark}:1"));
        }
        let mut header = None;
        for number in 0..100 {
            header = Some(with_run(header.as_deref(), &mark_of(&number.to_string())));
        }
        let header = header.unwrap();
        assert_eq!(header.matches(':').count(), FUNCTIONS_MAX);
        assert_eq!(runs_of(Some(&header), &mark_of("99")), 1);
    }

    #[test]
    fn of_several_chains_the_most_counts() {
        let (a, b) = (mark_of("arn:a"), mark_of("arn:b"));
        let (one, two) = (
            format!("Root=1;Lineage={a}:3"),
            format!("Root=2;Lineage={a}:2|{b}:5"),
        );
        let headers = [one.as_str(), two.as_str()];
        assert_eq!(merged(headers).unwrap(), format!("Lineage={a}:3|{b}:5"));
        assert_eq!(merged(["Root=1"]), None);
    }
}
