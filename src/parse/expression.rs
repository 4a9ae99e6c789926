//! What `--match` looks for in a line: words and "phrases" with AND, OR, NOT and parentheses.
//!
//! A word is found anywhere, within longer ones too, ASCII letters in either case, in the line as it stands or in what a terminal
//! shows of it (`expression/terminal.rs`). NOT means in neither.

mod terminal;

use regex::bytes::{Regex, RegexBuilder};

/// The most words of an expression: each takes some KiB.
const MOST: usize = 2048;
/// How deep parentheses may stand in each other.
const DEEPEST: usize = 50;
/// The longest word or phrase, in bytes.
const LONGEST: usize = 10_000;

/// An expression, ready to be held against lines.
#[derive(Debug)]
pub struct Expression {
    /// `None` where nothing is asked for: all lines are meant.
    wanted: Option<Node>,
}

#[derive(Debug)]
enum Node {
    Word(Regex),
    Not(Box<Node>),
    All(Vec<Node>),
    Any(Vec<Node>),
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        let tokens = tokens(text)?;
        if tokens.is_empty() {
            return Ok(Expression { wanted: None });
        }
        let mut parser = Parser {
            tokens: &tokens,
            at: 0,
        };
        let wanted = parser.any_of(0)?;
        if parser.peek().is_some() {
            return Err("a ) without its (; to look for one, put it in quotes".into());
        }
        Ok(Expression {
            wanted: Some(wanted),
        })
    }

    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_none()
    }

    /// Whether a line is what it looks for.
    pub fn finds(&self, line: &[u8]) -> bool {
        let mut line = Line { line, shown: None };
        self.wanted
            .as_ref()
            .is_none_or(|node| node.holds(&mut line))
    }
}

impl Node {
    fn holds(&self, line: &mut Line<'_>) -> bool {
        match self {
            Node::Word(word) => line.has(word),
            Node::Not(node) => !node.holds(line),
            Node::All(nodes) => nodes.iter().all(|node| node.holds(line)),
            Node::Any(nodes) => nodes.iter().any(|node| node.holds(line)),
        }
    }
}

/// A line, and once it is needed what a terminal shows of it, where that is something else.
struct Line<'l> {
    line: &'l [u8],
    shown: Option<Option<Vec<u8>>>,
}

impl Line<'_> {
    fn has(&mut self, word: &Regex) -> bool {
        if word.is_match(self.line) {
            return true;
        }
        let shown = self.shown.get_or_insert_with(|| terminal::shown(self.line));
        shown.as_ref().is_some_and(|shown| word.is_match(shown))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Text(String),
    And,
    Or,
    Not,
    Open,
    Close,
}

impl Token {
    fn shown(&self) -> &str {
        match self {
            Token::Text(text) => text,
            Token::And => "AND",
            Token::Or => "OR",
            Token::Not => "NOT",
            Token::Open => "(",
            Token::Close => ")",
        }
    }
}

/// Words beside others that would be operators in capitals: they are looked for, as any other.
pub fn lower_case(expression: &str) -> Vec<&str> {
    if !tokens(expression).is_ok_and(|all| all.len() > 1) {
        return Vec::new();
    }
    let plain = expression.split('"').step_by(2);
    let words = plain.flat_map(|text| text.split(|c: char| c.is_whitespace() || "()".contains(c)));
    let mut found: Vec<&str> = Vec::new();
    for word in words {
        let upper = word.to_ascii_uppercase();
        if upper != word && matches!(upper.as_str(), "AND" | "OR" | "NOT") && !found.contains(&word)
        {
            found.push(word);
        }
    }
    found
}

fn tokens(expression: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut words = 0;
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        let token = match first {
            '(' | ')' => {
                rest = &rest[1..];
                if first == '(' {
                    Token::Open
                } else {
                    Token::Close
                }
            }
            '"' => {
                let (text, after) = phrase(&rest[1..])?;
                rest = after;
                Token::Text(text)
            }
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || "()\"".contains(c));
                let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
                rest = after;
                if after.starts_with('"') {
                    return Err(format!(
                        "{word} and a quote behind it: put a blank between them, or all of it in quotes, where \"\" is one quote"
                    ));
                }
                self::word(word)?
            }
        };
        if token.shown().len() > LONGEST {
            return Err(format!("a word longer than {LONGEST} bytes"));
        }
        tokens.push(token);
        words += usize::from(matches!(tokens.last(), Some(Token::Text(_))));
        if words > MOST {
            return Err(format!("too much at once: more than {MOST} words"));
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

/// What stands in quotes, and what comes behind them.
fn phrase(rest: &str) -> Result<(String, &str), String> {
    let mut text = String::new();
    let mut chars = rest.char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        if c == '"' && chars.next_if(|(_, next)| *next == '"').is_none() {
            let after = &rest[i + 1..];
            if text.is_empty() {
                return Err("there is nothing between \"\"".into());
            }
            if after.starts_with(|c: char| !c.is_whitespace() && !"()".contains(c)) {
                return Err(format!(
                    "\"{text}\" and more behind it: put a blank between them, or all of it in quotes, where \"\" is one quote"
                ));
            }
            return Ok((text, after));
        }
        text.push(c);
    }
    Err("a quote that does not end; \"\" within quotes is one quote".into())
}

fn word(word: &str) -> Result<Token, String> {
    match word {
        "AND" => return Ok(Token::And),
        "OR" => return Ok(Token::Or),
        "NOT" => return Ok(Token::Not),
        _ => {}
    }
    if let Some(text) = word.strip_prefix('-').filter(|t| !t.is_empty()) {
        return Err(format!(
            "{word}: write NOT {text}, or \"{word}\" for the text itself"
        ));
    }
    // Words are found within longer ones anyway.
    let text = word.trim_matches('*');
    if text.is_empty() || text.contains('*') {
        return Err(format!(
            "{word}: a * stands for nothing here; put it in quotes to look for one"
        ));
    }
    Ok(Token::Text(text.into()))
}

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<&'t Token> {
        self.tokens.get(self.at)
    }

    /// Takes the next token when it is this one.
    fn next_if(&mut self, token: &Token) -> bool {
        let is = self.peek() == Some(token);
        self.at += usize::from(is);
        is
    }

    /// Alternatives between ORs.
    fn any_of(&mut self, depth: usize) -> Result<Node, String> {
        let mut all = vec![self.all_of(depth)?];
        while self.next_if(&Token::Or) {
            all.push(self.all_of(depth)?);
        }
        Ok(one_or(all, Node::Any))
    }

    /// What stands beside each other, or has AND between.
    fn all_of(&mut self, depth: usize) -> Result<Node, String> {
        let mut all = vec![self.one(depth)?];
        while self
            .peek()
            .is_some_and(|t| !matches!(t, Token::Or | Token::Close))
        {
            self.next_if(&Token::And);
            all.push(self.one(depth)?);
        }
        Ok(one_or(all, Node::All))
    }

    /// A word, a phrase or what is in parentheses, NOTs before it.
    fn one(&mut self, depth: usize) -> Result<Node, String> {
        let mut negated = false;
        let mut before = self.at.checked_sub(1);
        while self.next_if(&Token::Not) {
            negated = !negated;
            before = Some(self.at - 1);
        }
        let token = self.peek();
        self.at += 1;
        let node = match token {
            Some(Token::Text(text)) => Node::Word(finder(text)?),
            Some(Token::Open) if depth == DEEPEST => {
                return Err(format!("more than {DEEPEST} parentheses in each other"));
            }
            Some(Token::Open) => {
                let inner = self.any_of(depth + 1)?;
                if !self.next_if(&Token::Close) {
                    return Err("a ( without its ); to look for one, put it in quotes".into());
                }
                inner
            }
            Some(Token::Close) if before.is_none() => {
                return Err("a ) without its (; to look for one, put it in quotes".into());
            }
            other => {
                let other = other.map_or("the end", Token::shown);
                let place = match before.map(|i| self.tokens[i].shown()) {
                    Some(before) => format!("between {before} and {other}"),
                    None => format!("before {other}"),
                };
                return Err(format!(
                    "nothing to look for {place}; to look for one of these, put it in quotes"
                ));
            }
        };
        Ok(match negated {
            true => Node::Not(Box::new(node)),
            false => node,
        })
    }
}

/// The only one, or all of them together.
fn one_or(mut nodes: Vec<Node>, together: fn(Vec<Node>) -> Node) -> Node {
    match nodes.len() {
        1 => nodes.remove(0),
        _ => together(nodes),
    }
}

/// What finds a word: its bytes, ASCII letters in either case.
fn finder(word: &str) -> Result<Regex, String> {
    RegexBuilder::new(&regex::escape(word))
        .unicode(false)
        .case_insensitive(true)
        .build()
        .map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Which of some lines an expression finds.
    fn found<'l>(expression: &str, lines: &[&'l str]) -> Vec<&'l str> {
        let expression = Expression::new(expression).unwrap();
        let is_found = |line: &&&str| expression.finds(line.as_bytes());
        lines.iter().filter(is_found).copied().collect()
    }

    #[test]
    fn what_expressions_mean() {
        let lines = ["", "a", "b", "a b", "a c", "b c", "a b c"];
        for (given, want) in [
            ("", &lines[..]),
            (" \t\n", &lines),
            ("a b AND c", &["a b c"]),
            ("a OR b c", &["a", "a b", "a c", "b c", "a b c"]),
            ("a NOT b OR c", &["a", "a c", "b c", "a b c"]),
            ("NOT NOT a", &["a", "a b", "a c", "a b c"]),
            ("(a OR b) c", &["a c", "b c", "a b c"]),
            ("NOT (a OR b c)", &["", "b"]),
            ("NOT(a b)", &["", "a", "b", "a c", "b c"]),
            ("a AND NOT (NOT b)", &["a b", "a b c"]),
            ("((a))c", &["a c", "a b c"]),
        ] {
            assert_eq!(found(given, &lines), want, "{given}");
        }
    }

    #[test]
    fn words_are_text() {
        for (word, has, has_not) in [
            ("*php* or", "INFORM.Php", "php"),
            (r#""say ""hi""""#, r#"I SAY "hi" x"#, "say hi"),
            (r#""(x) OR""#, "f(X) or", "x or"),
            (r#""""""#, r#"""#, "'"),
            ("- 100% a_b c\\d", "- 100% A_B c\\D", "- 100% aXb c\\d"),
            ("a.b", "a.b", "axb"),
            ("\u{c4}rger", "\u{c4}RGER", "\u{e4}rger"),
            ("xmrig", "xm\x1b[1mrig", "xm rig"),
            ("NOT rig", "r\x1b", "r\x1b[mig"),
            ("NOT 1mr", "xmrig", "xm\x1b[1mrig"),
        ] {
            assert_eq!(found(word, &[has, has_not]), [has], "{word}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let deep = "(".repeat(DEEPEST + 1);
        let wide = "a ".repeat(MOST + 1);
        let long = "x".repeat(LONGEST + 1);
        for (given, says) in [
            ("\"unclosed", "a quote that does not end"),
            ("a \"", "a quote that does not end"),
            ("\"\"", "nothing between \"\""),
            ("-test", "NOT test"),
            ("a OR", "between OR and the end"),
            ("OR", "before OR"),
            ("AND a", "before AND"),
            ("a AND OR b", "between AND and OR"),
            ("a AND AND b", "between AND and AND"),
            ("NOT", "between NOT and the end"),
            ("(", "between ( and the end"),
            ("(a", "a ( without its )"),
            ("a)", "a ) without its ("),
            (")", "a ) without its ("),
            ("()", "between ( and )"),
            ("main()", "between ( and )"),
            ("wp-*.php", "a * stands for nothing"),
            ("*", "a * stands for nothing"),
            ("level:\"x\"", "a quote behind it"),
            ("\"x\"y", "more behind it"),
            (deep.as_str(), "parentheses in each other"),
            (wide.as_str(), "too much at once"),
            (long.as_str(), "longer than"),
        ] {
            let said = Expression::new(given).expect_err(given);
            assert!(said.contains(says), "{given}: {said}");
        }
    }

    /// Expressions, their text and whether a line of these letters is found, worked out by hand of bits.
    fn tree() -> impl Strategy<Value = (String, u16)> {
        // A bit for each of the 16 lines that the words a, b, c, d may stand in.
        let word = (0usize..4).prop_map(|i| {
            let lines = (0..16).filter(|line| line >> i & 1 == 1);
            let found = lines.fold(0, |all, line| all | 1 << line);
            (["a", "b", "c", "d"][i].to_owned(), found)
        });
        word.prop_recursive(4, 10, 2, |inner| {
            let (a, b) = (inner.clone(), inner.clone());
            prop_oneof![
                (a, b, prop::sample::select(vec![" ", " AND "]))
                    .prop_map(|((x, p), (y, q), and)| (format!("({x}){and}({y})"), p & q)),
                (inner.clone(), inner.clone())
                    .prop_map(|((x, p), (y, q))| (format!("({x} OR {y})"), p | q)),
                inner.prop_map(|(x, p)| (format!("NOT ({x})"), !p)),
            ]
        })
    }

    proptest! {
        #[test]
        fn trees_of_words((text, found) in tree()) {
            let expression = Expression::new(&text).unwrap();
            for line in 0..16 {
                let words = (0..4).filter(|i| line >> i & 1 == 1).map(|i| ["a", "b", "c", "d"][i]);
                let is = expression.finds(words.collect::<String>().as_bytes());
                prop_assert_eq!(is, found >> line & 1 == 1, "{}: line {}", text, line);
            }
        }

        #[test]
        fn any_text(s in "[ab()\"*\\- ORNTAD\u{e4}]{0,40}", line in "[ab() \u{e4}\x1b\\[]{0,9}") {
            let opposite = Expression::new(&format!("NOT ({s})"));
            if let (Ok(this), Ok(not)) = (Expression::new(&s), opposite) {
                prop_assert_ne!(this.finds(line.as_bytes()), not.finds(line.as_bytes()));
            }
        }
    }
}
