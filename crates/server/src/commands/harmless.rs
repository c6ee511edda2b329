//! What a function said, made fit for an operator's terminal.

use std::fmt::Write;

/// A text that only prints: it moves no cursor, sets no title, fills no clipboard, and does not
/// turn the direction of what follows. Its control characters are written out; only colours stay,
/// and end with it.
pub fn harmless(text: &str) -> String {
    let (mut out, mut rest, mut painted) = (String::with_capacity(text.len()), text, false);
    while let Some(c) = rest.chars().next() {
        if let Some(colour) = colour(rest) {
            out.push_str(colour);
            (rest, painted) = (&rest[colour.len()..], true);
            continue;
        }
        match c {
            '\n' | '\t' => out.push(c),
            c if c.is_control() || turns(c) => {
                // Writing to a string cannot fail.
                let _ = write!(out, "{}", c.escape_default());
            }
            c => out.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    if painted {
        out.push_str("\x1b[0m");
    }
    out
}

/// The sequence that a text begins with, where it sets nothing but colour and weight.
fn colour(text: &str) -> Option<&str> {
    let parameters = text.strip_prefix("\x1b[")?;
    let plain = |c: char| c.is_ascii_digit() || matches!(c, ';' | ':');
    let len = parameters.find(|c| !plain(c)).filter(|len| *len <= 32)?;
    parameters[len..].starts_with('m').then(|| &text[..len + 3])
}

/// Unicode's marks that turn the direction of writing.
fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_function_says_does_nothing_to_the_terminal() {
        for (said, shown) in [
            (
                "plain\ttext, ünïcödé 🙂\nnext",
                "plain\ttext, ünïcödé 🙂\nnext",
            ),
            ("\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m\x1b[0m"),
            ("\x1b[38;2;1;2;3mrgb", "\x1b[38;2;1;2;3mrgb\x1b[0m"),
            ("\x1b[2Jclear", "\\u{1b}[2Jclear"),
            ("\x1b[3", "\\u{1b}[3"),
            ("\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}"),
            ("\x1b]52;c;cm0gLXJm\x1b\\", "\\u{1b}]52;c;cm0gLXJm\\u{1b}\\"),
            ("\u{9b}2J\0\x7f", "\\u{9b}2J\\u{0}\\u{7f}"),
            ("100 %\rREPORT forged", "100 %\\rREPORT forged"),
            ("a\u{202e}txt.exe", "a\\u{202e}txt.exe"),
        ] {
            assert_eq!(harmless(said), shown, "{said:?}");
        }
    }
}
