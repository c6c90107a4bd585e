//! How deep a text nests tables and lists, counted before it is parsed: parsing, walking and dropping a tree are recursive.
//!
//! The TOML parser limits the depth of brackets and the parts of a key, each for itself. Both multiply: every table in braces may
//! have a dotted key of its own.

use std::ops::Range;
use toml_parser::lexer::TokenKind;

/// Most levels. JSON has 128 at most, and a route's `config` is read as JSON.
const MOST_LEVELS: usize = 100;
/// Most parts of a dotted key. The parser has a limit, too, but does not tell the place.
const MOST_PARTS: usize = 64;
/// Levels of each part of a header: it may be a list of tables.
const HEADER_PART: usize = 2;

/// A place that is too deep, and why.
pub(crate) struct TooDeep {
    /// The place.
    pub span: Range<usize>,
    /// The problem.
    pub message: String,
}

/// The first place of a text that is too deep. Mistakes in the text make it look deeper at most: the parser reads on after them.
pub(crate) fn too_deep(text: &str) -> Option<TooDeep> {
    let mut nesting = Nesting { line_starts: true, ..Nesting::default() };
    toml_parser::Source::new(text).lex().find_map(|token| {
        let span = token.span().start()..token.span().end();
        nesting.take(token.kind(), &span);
        nesting.problem(span)
    })
}

/// The levels at a place of a text.
#[derive(Default)]
struct Nesting {
    /// Levels of the header of the table.
    header: usize,
    /// True within a header.
    in_header: bool,
    /// True if nothing stands before on the line, outside of brackets.
    line_starts: bool,
    /// What closes each open bracket or brace, and the dots of the key before it.
    open: Vec<(TokenKind, usize)>,
    /// Levels of all open brackets and their keys.
    levels: usize,
    /// Dots since the last key began, and where that was. Those of numbers count, too: after a mistake they may be dots of a key.
    dots: usize,
    key: Option<usize>,
}

impl Nesting {
    fn take(&mut self, kind: TokenKind, span: &Range<usize>) {
        let line_starts = std::mem::take(&mut self.line_starts);
        match kind {
            TokenKind::Whitespace => self.line_starts = line_starts,
            TokenKind::Newline => {
                self.end_header();
                self.end_key();
                self.line_starts = self.open.is_empty();
            }
            TokenKind::Comma if !self.in_header => self.end_key(),
            TokenKind::LeftSquareBracket if line_starts => {
                (self.in_header, self.header) = (true, 0);
                self.end_key();
            }
            TokenKind::RightSquareBracket if self.in_header => self.end_header(),
            _ if self.in_header => self.part(kind, span),
            TokenKind::LeftSquareBracket => self.open(TokenKind::RightSquareBracket),
            TokenKind::LeftCurlyBracket => self.open(TokenKind::RightCurlyBracket),
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => self.close(kind),
            _ => self.part(kind, span),
        }
    }

    /// A part of a key, or a dot.
    fn part(&mut self, kind: TokenKind, span: &Range<usize>) {
        match kind {
            TokenKind::Dot => self.dots += 1,
            TokenKind::Atom | TokenKind::BasicString | TokenKind::LiteralString => {
                self.key = self.key.or(Some(span.start));
            }
            _ => {}
        }
    }

    fn open(&mut self, closed_by: TokenKind) {
        self.open.push((closed_by, self.dots));
        self.levels += self.dots + 1;
        self.end_key();
    }

    /// What closes nothing is left out.
    fn close(&mut self, kind: TokenKind) {
        if let Some((_, dots)) = self.open.pop_if(|(closed_by, _)| *closed_by == kind) {
            self.levels -= dots + 1;
            self.dots = dots;
            self.key = None;
        }
    }

    fn end_key(&mut self) {
        (self.dots, self.key) = (0, None);
    }

    fn end_header(&mut self) {
        if std::mem::take(&mut self.in_header) {
            self.header = HEADER_PART * (self.dots + 1);
            self.end_key();
        }
    }

    /// The problem of the token that was taken last.
    fn problem(&self, token: Range<usize>) -> Option<TooDeep> {
        let key = self.key.unwrap_or(token.start)..token.end;
        if self.dots >= MOST_PARTS {
            return Some(TooDeep { span: key, message: format!("this key has more than {MOST_PARTS} parts") });
        }
        let levels = match self.in_header {
            true => HEADER_PART * (self.dots + 1),
            false => self.header + self.levels + self.dots,
        };
        let message = || format!("this is nested more than {MOST_LEVELS} levels deep");
        (levels > MOST_LEVELS).then(|| TooDeep { span: key, message: message() })
    }
}
