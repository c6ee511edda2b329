//! `wildcard` patterns: `*` stands for any characters; `\*` and `\\` for themselves.

/// The literal pieces between the stars; as many as there are stars, and one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wildcard(Vec<String>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWildcard {
    #[error("Consecutive wildcard characters at pos {0}")]
    Consecutive(usize),
    #[error("Invalid escape character at pos {0}")]
    Escape(usize),
}

impl Wildcard {
    pub fn parse(pattern: &str) -> Result<Self, InvalidWildcard> {
        let mut pieces = vec![String::new()];
        let mut after_star = false;
        let mut chars = pattern.chars().enumerate();
        while let Some((at, c)) = chars.next() {
            let star = c == '*';
            if star && after_star {
                return Err(InvalidWildcard::Consecutive(at));
            }
            after_star = star;
            if star {
                pieces.push(String::new());
                continue;
            }
            let literal = match c {
                '\\' => match chars.next() {
                    Some((_, escaped @ ('*' | '\\'))) => escaped,
                    _ => return Err(InvalidWildcard::Escape(at)),
                },
                other => other,
            };
            if let Some(piece) = pieces.last_mut() {
                piece.push(literal);
            }
        }
        Ok(Self(pieces))
    }

    pub fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_first() else {
            return false;
        };
        let Some((last, between)) = rest.split_last() else {
            return text == first;
        };
        let Some(mut left) = text.strip_prefix(first.as_str()) else {
            return false;
        };
        // The first place of each piece leaves the most for those that follow.
        for piece in between {
            let Some(at) = left.find(piece.as_str()) else {
                return false;
            };
            left = &left[at + piece.len()..];
        }
        left.ends_with(last.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Wildcard::parse(pattern).unwrap().matches(text)
    }

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "anything", true),
            ("", "", true),
            ("", "x", false),
            ("a*", "a", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*lib*", "/usr/lib/x", true),
            ("dir/*.png", "dir/a.b.png", true),
            ("dir/*.png", "dir/a.jpg", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            (r"a\\*", r"a\tail", true),
            ("*ü*", "für", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn stars_in_a_row_and_other_escapes_are_refused() {
        let refused = |pattern| Wildcard::parse(pattern).unwrap_err();
        assert_eq!(refused("a**"), InvalidWildcard::Consecutive(2));
        assert_eq!(refused(r"a\n"), InvalidWildcard::Escape(1));
        assert_eq!(refused(r"a\"), InvalidWildcard::Escape(1));
    }
}
