//! All the mutants of a shader: what one small edit at one token makes of it.
//!
//! Edits stay inside functions and module constants. Declarations of structs, bindings and variables
//! at module scope, types and attributes are left alone: verification finds no fault with a
//! workgroup array that is one element longer, and nothing is wrong with it.

use std::fmt;
use std::ops::Range;

use moodshader::kernels::Shader;

use super::tokens::{Kind, Token, tokens};

/// What an edit does, as the list of mutants says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    Arithmetic,
    Bits,
    Comparison,
    Condition,
    Sign,
    Constant,
    Index,
    Component,
    Function,
    Barrier,
    Statement,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Arithmetic => "arithmetic",
            Self::Bits => "bits",
            Self::Comparison => "comparison",
            Self::Condition => "condition",
            Self::Sign => "sign",
            Self::Constant => "constant",
            Self::Index => "index",
            Self::Component => "component",
            Self::Function => "function",
            Self::Barrier => "barrier left out",
            Self::Statement => "statement left out",
        })
    }
}

/// One edit.
#[derive(Clone, Debug)]
pub struct Mutant {
    pub change: Change,
    /// Bytes of the source that it replaces.
    pub span: Range<usize>,
    pub replacement: String,
}

impl Mutant {
    /// The whole shader.
    pub fn source(&self, original: &str) -> String {
        [&original[..self.span.start], &self.replacement, &original[self.span.end..]].concat()
    }

    /// The path of the file that it changes, and the number of the line there, from 1.
    pub fn place(&self, shader: &Shader) -> (&'static str, usize) {
        let mut first = 0;
        for file in shader.files {
            if self.span.start < first + file.bytes {
                let before = &shader.source[first..self.span.start];
                return (file.path, before.matches('\n').count() + 1);
            }
            first += file.bytes;
        }
        unreachable!("the mutant lies past the source's end")
    }

    /// The lines that it touches, before and after, with blanks and line breaks as one blank each.
    pub fn lines(&self, original: &str) -> [String; 2] {
        let start = original[..self.span.start].rfind('\n').map_or(0, |at| at + 1);
        let after = &original[self.span.end..];
        let end = self.span.end + after.find('\n').unwrap_or(after.len());
        let tidy = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let changed =
            [&original[start..self.span.start], &self.replacement, &original[self.span.end..end]];
        [tidy(&original[start..end]), tidy(&changed.concat())]
    }
}

/// Every mutant of a shader, in the order of its text. Some do not compile.
pub fn mutants(source: &str) -> Vec<Mutant> {
    let tokens = tokens(source);
    let mut found = Finder { tokens: &tokens, source, mutants: Vec::new() };
    for region in regions(&tokens) {
        found.region(region);
    }
    found.mutants
}

/// Token ranges of function bodies, braces included, and of the values of module constants.
fn regions(tokens: &[Token<'_>]) -> Vec<Range<usize>> {
    let mut regions = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let from = |at: usize, text: &str| {
            tokens[at..].iter().position(|token| token.is(text)).map(|place| at + place)
        };
        let end = match tokens[at].text {
            "fn" => from(at, "{").and_then(|open| {
                let close = closing(tokens, open)?;
                regions.push(open..close + 1);
                Some(close)
            }),
            "const" => from(at, ";").inspect(|&end| {
                regions.extend(from(at, "=").map(|equals| equals + 1..end));
            }),
            "struct" => from(at, "{").and_then(|open| closing(tokens, open)),
            // Attributes stand before declarations; their arguments hold nothing that begins one.
            _ => Some(at),
        };
        at = end.unwrap_or(tokens.len()) + 1;
    }
    regions
}

/// The bracket that closes the one at `open`.
fn closing(tokens: &[Token<'_>], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

struct Finder<'a> {
    tokens: &'a [Token<'a>],
    source: &'a str,
    mutants: Vec<Mutant>,
}

impl Finder<'_> {
    fn add(&mut self, change: Change, span: &Range<usize>, replacement: impl Into<String>) {
        let replacement = replacement.into();
        self.mutants.push(Mutant { change, span: span.clone(), replacement });
    }

    fn region(&mut self, region: Range<usize>) {
        let mut at = region.start;
        // Inside parentheses, as in the head of a `for`, nothing is a statement.
        let mut depth = 0_usize;
        while at < region.end {
            let token = &self.tokens[at];
            match token.text {
                "(" => depth += 1,
                ")" => depth -= 1,
                _ => {}
            }
            if let Some(end) = self.template(at) {
                at = end + 1;
                continue;
            }
            match token.kind {
                Kind::Number => self.constant(at),
                Kind::Word => self.word(at, (depth == 0).then_some(region.end)),
                Kind::Sign => self.sign(at),
            }
            at += 1;
        }
    }

    /// The end of the template list that the type at `at` opens: `array<vec4f, 4>`.
    fn template(&self, at: usize) -> Option<usize> {
        let word = self.tokens[at].text;
        let generic = ["array", "atomic", "bitcast", "ptr", "var"].contains(&word)
            || word.starts_with("vec")
            || word.starts_with("mat");
        if !generic || !self.tokens.get(at + 1)?.is("<") {
            return None;
        }
        let mut depth = 0_usize;
        for (place, token) in self.tokens.iter().enumerate().skip(at + 1) {
            match token.text {
                "<" => depth += 1,
                ">" => depth -= 1,
                ">>" => depth = depth.checked_sub(2)?,
                _ => {}
            }
            if depth == 0 {
                return Some(place);
            }
        }
        None
    }

    /// Whether a value ends before `at`, so that a sign there has two operands.
    fn follows_value(&self, at: usize) -> bool {
        let before = &self.tokens[at - 1];
        match before.kind {
            Kind::Number => true,
            Kind::Word => !before.is("return"),
            Kind::Sign => before.is(")") || before.is("]"),
        }
    }

    fn sign(&mut self, at: usize) {
        let token = &self.tokens[at];
        let span = token.span.clone();
        let (change, others): (_, &[&str]) = match token.text {
            "-" if !self.follows_value(at) => (Change::Sign, &[""]),
            "+" => (Change::Arithmetic, &["-", "*"]),
            "-" => (Change::Arithmetic, &["+"]),
            "*" => (Change::Arithmetic, &["+", "/"]),
            "/" => (Change::Arithmetic, &["*", "%"]),
            "%" => (Change::Arithmetic, &["/"]),
            "+=" => (Change::Arithmetic, &["-=", "="]),
            "-=" => (Change::Arithmetic, &["+="]),
            "*=" => (Change::Arithmetic, &["+="]),
            "/=" => (Change::Arithmetic, &["*="]),
            "++" => (Change::Arithmetic, &["--"]),
            "--" => (Change::Arithmetic, &["++"]),
            "&" if self.follows_value(at) => (Change::Bits, &["|"]),
            "|" => (Change::Bits, &["&"]),
            "^" => (Change::Bits, &["|"]),
            "<<" => (Change::Bits, &[">>"]),
            ">>" => (Change::Bits, &["<<"]),
            "^=" | "|=" | "&=" => (Change::Bits, &["="]),
            ">>=" => (Change::Bits, &["<<="]),
            "<<=" => (Change::Bits, &[">>="]),
            "&&" => (Change::Condition, &["||"]),
            "||" => (Change::Condition, &["&&"]),
            "<" => (Change::Comparison, &["<=", ">="]),
            "<=" => (Change::Comparison, &["<", ">"]),
            ">" => (Change::Comparison, &[">=", "<="]),
            ">=" => (Change::Comparison, &[">", "<"]),
            "==" => (Change::Comparison, &["!="]),
            "!=" => (Change::Comparison, &["=="]),
            "[" if self.follows_value(at) => return self.index(at),
            _ => return,
        };
        for other in others {
            self.add(change, &span, *other);
        }
    }

    fn index(&mut self, open: usize) {
        let Some(close) = closing(self.tokens, open) else { return };
        let span = self.tokens[open].span.end..self.tokens[close].span.start;
        for by in ["+ 1", "- 1"] {
            let index = format!("({}) {by}", &self.source[span.clone()]);
            self.add(Change::Index, &span, index);
        }
    }

    fn constant(&mut self, at: usize) {
        let token = &self.tokens[at];
        for other in other_numbers(token.text) {
            self.add(Change::Constant, &token.span, other);
        }
    }

    /// `end` is that of the function, where `at` may begin a statement.
    fn word(&mut self, at: usize, end: Option<usize>) {
        let token = &self.tokens[at];
        let after = self.tokens.get(at + 1).map_or("", |token| token.text);
        let before = self.tokens[at - 1].text;
        match token.text {
            _ if before == "." => self.component(at),
            "max" | "min" | "any" | "all" | "atomicMin" | "atomicMax" | "floor" | "ceil"
                if after == "(" =>
            {
                let other = match token.text {
                    "max" => "min",
                    "min" => "max",
                    "any" => "all",
                    "all" => "any",
                    "atomicMin" => "atomicMax",
                    "atomicMax" => "atomicMin",
                    "floor" => "ceil",
                    _ => "floor",
                };
                self.add(Change::Function, &token.span, other);
            }
            "select" if after == "(" => self.swapped_arguments(at + 1),
            "if" => self.negated(at),
            _ => {}
        }
        if let Some(end) = end.filter(|_| ["{", "}", ";"].contains(&before)) {
            self.left_out(at, end);
        }
    }

    fn component(&mut self, at: usize) {
        let token = &self.tokens[at];
        let others: &[&str] = match token.text {
            "x" => &["y"],
            "y" => &["x", "z"],
            "z" => &["y", "w"],
            "w" => &["z"],
            _ => return,
        };
        for other in others {
            self.add(Change::Component, &token.span, *other);
        }
    }

    /// `select(b, a, c)` of `select(a, b, c)`.
    fn swapped_arguments(&mut self, open: usize) {
        let Some(close) = closing(self.tokens, open) else { return };
        let mut starts = vec![open + 1];
        let mut at = open + 1;
        while at < close {
            match self.tokens[at].text {
                "(" | "[" => at = closing(self.tokens, at).unwrap_or(close),
                "," => starts.push(at + 1),
                _ => {}
            }
            at += 1;
        }
        let [first, second, third, ..] = starts[..] else { return };
        let text = |from: usize, comma: usize| {
            &self.source[self.tokens[from].span.start..self.tokens[comma].span.start]
        };
        let swapped = format!("{}, {}", text(second, third - 1), text(first, second - 1));
        let span = self.tokens[first].span.start..self.tokens[third - 1].span.start;
        self.add(Change::Function, &span, swapped);
    }

    /// `if !(c) {` of `if c {`.
    fn negated(&mut self, at: usize) {
        let Some(open) = self.tokens[at..].iter().position(|token| token.is("{")) else { return };
        let span = self.tokens[at + 1].span.start..self.tokens[at + open - 1].span.end;
        let condition = format!("!({})", &self.source[span.clone()]);
        self.add(Change::Condition, &span, condition);
    }

    /// The statement that begins at `at`, if it is a simple one that ends with a semicolon.
    fn left_out(&mut self, at: usize, end: usize) {
        let declares = ["let", "var", "const"];
        let compound = ["if", "for", "while", "loop", "switch", "case", "default", "else"];
        let first = self.tokens[at].text;
        if declares.contains(&first) || compound.contains(&first) {
            return;
        }
        let mut last = at;
        while last < end && !self.tokens[last].is(";") {
            if self.tokens[last].is("{") {
                return;
            }
            if self.tokens[last].is("(") || self.tokens[last].is("[") {
                let Some(close) = closing(self.tokens, last) else { return };
                last = close;
            }
            last += 1;
        }
        if last == end {
            return;
        }
        let change = if first.ends_with("Barrier") { Change::Barrier } else { Change::Statement };
        self.add(change, &(self.tokens[at].span.start..self.tokens[last].span.end), "");
    }
}

/// A number's neighbours, or its double: with the suffix that it has.
fn other_numbers(text: &str) -> Vec<String> {
    let hexadecimal = text.starts_with("0x");
    let suffixes: &[char] = if hexadecimal { &['u', 'i'] } else { &['u', 'i', 'f', 'h'] };
    let digits = text.trim_end_matches(suffixes);
    let suffix = &text[digits.len()..];
    let integer = match digits.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => digits.parse().ok().filter(|_| !matches!(suffix, "f" | "h")),
    };
    if let Some(integer) = integer {
        let others = [Some(integer + 1), (integer > 0).then(|| integer - 1)];
        return others.into_iter().flatten().map(|other| format!("{other}{suffix}")).collect();
    }
    match digits.parse::<f64>() {
        Ok(0.0) => vec![format!("1.0{suffix}")],
        Ok(float) => vec![
            format!("{:?}{suffix}", 2.0 * float),
            format!("{:?}{suffix}", 0.999 * float),
            format!("(-{text})"),
        ],
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, mutants, other_numbers};

    const SOURCE: &str = "
        struct Params { size: u32 }
        const FLOOR = 1e-10; // not - this
        var<workgroup> z: array<f32, 64>;
        @compute @workgroup_size(64)
        fn main(@builtin(global_invocation_id) id: vec3u) {
            if id.x >= size {
                return;
            }
            for (var i = 0u; i < 4u; i++) {
                z[i] = max(-a, select(b, f(c, d), id.y == 3u));
            }
            workgroupBarrier();
        }";

    fn made(change: Change) -> Vec<String> {
        let mut all = mutants(SOURCE);
        all.retain(|mutant| mutant.change == change);
        all.iter().map(|mutant| mutant.lines(SOURCE)[1].clone()).collect()
    }

    #[test]
    fn edits_are_small_and_where_they_belong() {
        assert_eq!(made(Change::Comparison).len(), 5, "templates are not comparisons");
        assert_eq!(made(Change::Barrier), [""]);
        assert_eq!(
            made(Change::Statement),
            ["", ""],
            "the return and the assignment; declarations and the loop's head stay"
        );
        assert_eq!(made(Change::Condition), ["if !(id.x >= size) {"]);
        assert_eq!(
            made(Change::Function),
            [
                "z[i] = min(-a, select(b, f(c, d), id.y == 3u));",
                "z[i] = max(-a, select(f(c, d), b, id.y == 3u));"
            ]
        );
        assert_eq!(made(Change::Sign), ["z[i] = max(a, select(b, f(c, d), id.y == 3u));"]);
        assert_eq!(made(Change::Index)[0], "z[(i) + 1] = max(-a, select(b, f(c, d), id.y == 3u));");
        let constants = made(Change::Constant);
        assert_eq!(constants[0], "const FLOOR = 2e-10; // not - this");
        assert!(constants.iter().all(|line| !line.contains("array") && !line.contains('@')));
    }

    #[test]
    fn numbers_keep_their_suffix() {
        assert_eq!(other_numbers("0u"), ["1u"]);
        assert_eq!(other_numbers("0xffu"), ["256u", "254u"]);
        assert_eq!(other_numbers("7"), ["8", "6"]);
        assert_eq!(other_numbers("0.0"), ["1.0"]);
        assert_eq!(other_numbers("0.5f"), ["1.0f", "0.4995f", "(-0.5f)"]);
    }
}
