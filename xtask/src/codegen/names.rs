//! Rust names for AWS's names.

/// `KMSKeyArn` to `kms_key_arn`, `CodeSha256` to `code_sha256`.
pub fn snake(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::with_capacity(name.len() + 4);
    for (i, &c) in chars.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| chars[i]);
        let after = chars.get(i + 1);
        let starts_word = c.is_ascii_uppercase()
            && before.is_some_and(|b| {
                b.is_ascii_lowercase()
                    || b.is_ascii_digit()
                    || after.is_some_and(char::is_ascii_lowercase)
            });
        if starts_word {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    if KEYWORDS.contains(&out.as_str()) {
        out.push('_');
    }
    out
}

const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// A structure's type: its own name, unless the generated code means something else by that.
pub fn structure(name: &str) -> String {
    const TAKEN: &[&str] = &[
        "Box",
        "Bytes",
        "Call",
        "Context",
        "Default",
        "Err",
        "Error",
        "Future",
        "Kind",
        "Map",
        "Member",
        "None",
        "Ok",
        "Operation",
        "Option",
        "Protocol",
        "Response",
        "Result",
        "Self",
        "Send",
        "Service",
        "Shape",
        "Some",
        "String",
        "Sync",
        "Vec",
    ];
    if TAKEN.contains(&name) {
        format!("{name}Shape")
    } else {
        name.to_owned()
    }
}

/// A service's trait: `CloudWatch Logs` to `CloudWatchLogs`.
pub fn service(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// An error's constructor: `TooManyRequestsException` to `too_many_requests`.
pub fn error(name: &str) -> String {
    snake(name.strip_suffix("Exception").unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_into_words() {
        let check = |name, expect: &str| assert_eq!(snake(name), expect);
        check("FunctionName", "function_name");
        check("KMSKeyArn", "kms_key_arn");
        check("CodeSha256", "code_sha256");
        check("S3Bucket", "s3_bucket");
        check("PrincipalOrgID", "principal_org_id");
        check("Type", "type_");
        check("retryAfterSeconds", "retry_after_seconds");
        check("Static", "static_");
        assert_eq!(structure("Error"), "ErrorShape");
        assert_eq!(structure("Cors"), "Cors");
        assert_eq!(service("CloudWatch Logs"), "CloudWatchLogs");
        assert_eq!(error("ENILimitReachedException"), "eni_limit_reached");
    }
}
