//! Tokens of WGSL, as far as text edits need them. Comments and blanks are no tokens.

use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Word,
    Number,
    /// Operators and punctuation, the longest that fits.
    Sign,
}

#[derive(Clone, Debug)]
pub struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    /// Bytes of the source.
    pub span: Range<usize>,
}

impl Token<'_> {
    pub fn is(&self, text: &str) -> bool {
        self.text == text
    }
}

/// Signs of more than one character, longer ones first.
const LONG_SIGNS: [&str; 21] = [
    "<<=", ">>=", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "->", "++", "--", "+=", "-=",
    "*=", "/=", "%=", "&=", "|=", "^=",
];

pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = source[at..].chars().next() {
        let rest = &source[at..];
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        if rest.starts_with("//") || rest.starts_with("/*") {
            at += comment(rest);
            continue;
        }
        let (kind, length) = if first.is_alphabetic() || first == '_' {
            let ends = |c: char| !(c.is_alphanumeric() || c == '_');
            (Kind::Word, rest.find(ends).unwrap_or(rest.len()))
        } else if first.is_ascii_digit() {
            (Kind::Number, number(rest))
        } else {
            let long = LONG_SIGNS.iter().find(|sign| rest.starts_with(**sign));
            (Kind::Sign, long.map_or(first.len_utf8(), |sign| sign.len()))
        };
        tokens.push(Token { kind, text: &rest[..length], span: at..at + length });
        at += length;
    }
    tokens
}

/// Bytes of the comment at the start; those in `/* */` nest.
fn comment(text: &str) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        match text.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Bytes of the number at the start, with its suffix; `-` and `+` belong to an exponent only.
fn number(text: &str) -> usize {
    let hexadecimal = text.starts_with("0x") || text.starts_with("0X");
    let mut before = ' ';
    let ends = |c: char| {
        let exponent = !hexadecimal && matches!(before, 'e' | 'E');
        before = c;
        !(c.is_ascii_alphanumeric() || c == '.' || exponent && matches!(c, '+' | '-'))
    };
    text.find(ends).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::tokens;

    #[test]
    fn comments_are_no_tokens_and_signs_are_as_long_as_they_can_be() {
        let source = "x >>= 0xffu; // a - b\ny += /* c /* d */ e */ 1.5e-7f-z[i].x;";
        let found: Vec<_> = tokens(source).into_iter().map(|token| token.text).collect();
        let expected = "x >>= 0xffu ; y += 1.5e-7f - z [ i ] . x ;";
        assert_eq!(found, expected.split(' ').collect::<Vec<_>>());
    }
}
