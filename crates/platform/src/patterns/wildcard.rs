//! `wildcard` patterns: `*` stands for any characters; `\*` and `\\` for themselves.

use std::collections::BTreeSet;

/// The literal pieces between the stars; as many as there are stars, and one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wildcard(Vec<String>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWildcard {
    #[error("Consecutive wildcard characters at pos {0}")]
    Consecutive(usize),
    #[error("Invalid escape character at pos {0}")]
    Escape(usize),
    #[error(
        "Rule is too complex - try using fewer wildcard characters or fewer repeating character \
         sequences after a wildcard character"
    )]
    TooComplex,
}

/// Places of a pattern at which a text may be at once. Where EventBridge's own bound is it does not
/// say; `*:*:*:*:*:event-bus/*` is above it. Our matching needs none.
const PLACES_MAX: usize = 9;
/// Sets of places that are looked at to find that out.
const SETS_MAX: usize = 200;

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
        match is_too_complex(&pieces) {
            true => Err(InvalidWildcard::TooComplex),
            false => Ok(Self(pieces)),
        }
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

/// A place: so many characters of a piece have been read. A star is the beginning of all pieces but
/// the first: who is there stays there, whatever comes.
type Place = (usize, usize);

/// Whether some text can be at more places at once than may be.
fn is_too_complex(pieces: &[String]) -> bool {
    if pieces.len() > PLACES_MAX {
        return true;
    }
    let pieces: Vec<Vec<char>> = pieces.iter().map(|p| p.chars().collect()).collect();
    let mut seen = BTreeSet::new();
    let mut ahead = vec![entered(&pieces, [(0, 0)])];
    while let Some(places) = ahead.pop() {
        if places.len() > PLACES_MAX {
            return true;
        }
        if seen.len() >= SETS_MAX || !seen.insert(places.clone()) {
            continue;
        }
        let next: BTreeSet<char> = places.iter().filter_map(|at| after(&pieces, *at)).collect();
        for c in next {
            let moved = places.iter().flat_map(|&at| {
                let stays = (at.0 > 0 && at.1 == 0).then_some(at);
                let goes = (after(&pieces, at) == Some(c)).then_some((at.0, at.1 + 1));
                stays.into_iter().chain(goes)
            });
            ahead.push(entered(&pieces, moved));
        }
    }
    false
}

fn after(pieces: &[Vec<char>], (piece, read): Place) -> Option<char> {
    pieces.get(piece)?.get(read).copied()
}

/// These, and the stars behind the pieces that are read to their end.
fn entered(pieces: &[Vec<char>], places: impl IntoIterator<Item = Place>) -> BTreeSet<Place> {
    let mut all = BTreeSet::new();
    for mut place in places {
        all.insert(place);
        while place.0 + 1 < pieces.len() && place.1 == pieces[place.0].len() {
            place = (place.0 + 1, 0);
            all.insert(place);
        }
    }
    all
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

    #[test]
    fn many_repeating_stars_are_too_complex() {
        for pattern in [
            "*:*:*:*:*:event-bus/*",
            "*a*b*c*d*e*f*g*h*i*",
            "*aaaaaaaaaaa*",
        ] {
            assert_eq!(Wildcard::parse(pattern), Err(InvalidWildcard::TooComplex));
        }
        for pattern in [
            "arn:aws:events:*:*:event-bus/*",
            "*/lib/*/*.png",
            "*abcdefghijklmnopq*",
        ] {
            assert!(Wildcard::parse(pattern).is_ok(), "{pattern}");
        }
    }
}
