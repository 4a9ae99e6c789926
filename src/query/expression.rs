//! What `--match` looks for: words and "phrases" with AND, OR, NOT and parentheses, into the form that `queries/logs.sql`
//! reads, which has no parentheses: groups of `"..."` and `NOT "..."` with OR between them.

/// The most groups, and the most words in all of them, that an expression may come to.
const MOST: (usize, usize) = (256, 2048);
/// How deep parentheses may stand in each other.
const DEEPEST: usize = 50;
/// The longest word or phrase, in bytes. SQLite refuses longer patterns than 50,000.
const LONGEST: usize = 10_000;

/// A word, or that it must not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    text: String,
    negated: bool,
}

/// Terms that must all hold.
type Group = Vec<Term>;

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

/// The expression as the query reads it; empty where all lines are meant.
///
/// # Errors
/// What is wrong with it.
pub fn normal(expression: &str) -> Result<String, String> {
    let tokens = tokens(expression)?;
    if tokens.is_empty() {
        return Ok(String::new());
    }
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
    };
    let groups = parser.any_of(false, 0)?;
    if parser.peek().is_some() {
        return Err("a ) without its (; to look for one, put it in quotes".into());
    }
    let term = |t: &Term| {
        let not = if t.negated { "NOT " } else { "" };
        format!("{not}\"{}\"", t.text.replace('"', "\"\""))
    };
    let group = |g: &Group| g.iter().map(term).collect::<Vec<_>>().join(" ");
    Ok(groups.iter().map(group).collect::<Vec<_>>().join(" OR "))
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

    /// Alternatives between ORs, or what is not so.
    fn any_of(&mut self, negated: bool, depth: usize) -> Result<Vec<Group>, String> {
        let mut all = self.all_of(negated, depth)?;
        while self.next_if(&Token::Or) {
            let next = self.all_of(negated, depth)?;
            all = combine(all, next, negated)?;
        }
        Ok(all)
    }

    /// What stands beside each other, or has AND between.
    fn all_of(&mut self, negated: bool, depth: usize) -> Result<Vec<Group>, String> {
        let mut all = self.one(negated, depth)?;
        while self
            .peek()
            .is_some_and(|t| !matches!(t, Token::Or | Token::Close))
        {
            self.next_if(&Token::And);
            let next = self.one(negated, depth)?;
            all = combine(all, next, !negated)?;
        }
        Ok(all)
    }

    /// A word, a phrase or what is in parentheses, NOTs before it.
    fn one(&mut self, mut negated: bool, depth: usize) -> Result<Vec<Group>, String> {
        let mut before = self.at.checked_sub(1);
        while self.next_if(&Token::Not) {
            negated = !negated;
            before = Some(self.at - 1);
        }
        let token = self.peek();
        self.at += 1;
        match token {
            Some(Token::Text(text)) => {
                let text = text.clone();
                Ok(vec![vec![Term { text, negated }]])
            }
            Some(Token::Open) if depth == DEEPEST => {
                Err(format!("more than {DEEPEST} parentheses in each other"))
            }
            Some(Token::Open) => {
                let inner = self.any_of(negated, depth + 1)?;
                if self.next_if(&Token::Close) {
                    Ok(inner)
                } else {
                    Err("a ( without its ); to look for one, put it in quotes".into())
                }
            }
            Some(Token::Close) if before.is_none() => {
                Err("a ) without its (; to look for one, put it in quotes".into())
            }
            other => {
                let other = other.map_or("the end", Token::shown);
                let place = match before.map(|i| self.tokens[i].shown()) {
                    Some(before) => format!("between {before} and {other}"),
                    None => format!("before {other}"),
                };
                Err(format!(
                    "nothing to look for {place}; to look for one of these, put it in quotes"
                ))
            }
        }
    }
}

/// Groups of which either holds, or (`both`) that of the one and of the other must.
fn combine(a: Vec<Group>, b: Vec<Group>, both: bool) -> Result<Vec<Group>, String> {
    let mut all = if both { Vec::new() } else { a.clone() };
    if both {
        if a.len() * b.len() > MOST.0 {
            return Err(too_many());
        }
        for (x, y) in a.iter().flat_map(|x| b.iter().map(move |y| (x, y))) {
            let mut group = x.clone();
            group.extend(y.iter().filter(|t| !x.contains(t)).cloned());
            if !all.contains(&group) {
                all.push(group);
            }
        }
    } else {
        all.extend(b.into_iter().filter(|g| !a.contains(g)));
    }
    if all.len() > MOST.0 || all.iter().map(Vec::len).sum::<usize>() > MOST.1 {
        return Err(too_many());
    }
    Ok(all)
}

fn too_many() -> String {
    format!(
        "too much at once: written without parentheses it would be more than {} groups or {} words",
        MOST.0, MOST.1
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn into_groups() {
        for (given, want) in [
            ("", ""),
            (" \t\n", ""),
            ("xmrig", r#""xmrig""#),
            ("a b AND c", r#""a" "b" "c""#),
            ("a OR b c", r#""a" OR "b" "c""#),
            ("a NOT b OR c", r#""a" NOT "b" OR "c""#),
            ("NOT NOT a", r#""a""#),
            ("(a OR b) c", r#""a" "c" OR "b" "c""#),
            ("NOT (a OR b c)", r#"NOT "a" NOT "b" OR NOT "a" NOT "c""#),
            ("NOT(a b)", r#"NOT "a" OR NOT "b""#),
            ("a AND NOT (NOT b)", r#""a" "b""#),
            ("((a))", r#""a""#),
            ("a OR a a", r#""a""#),
            ("(a OR b) (a OR a b)", r#""a" OR "a" "b" OR "b" "a""#),
            ("*php* or", r#""php" "or""#),
            (r#""say ""hi""" "(x) OR""#, r#""say ""hi""" "(x) OR""#),
            (r#""""""#, r#""""""#),
            ("- 100% a_b c\\d", r#""-" "100%" "a_b" "c\d""#),
        ] {
            assert_eq!(normal(given).as_deref(), Ok(want), "{given}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let deep = "(".repeat(DEEPEST + 1);
        let wide: String = (0..9).map(|i| format!("(a{i} OR b{i}) ")).collect();
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
            let said = normal(given).expect_err(given);
            assert!(said.contains(says), "{given}: {said}");
        }
    }

    /// Expressions, their text and whether a line of these letters is found, worked out without groups.
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
        fn groups_mean_what_the_expression_means((text, found) in tree()) {
            let Ok(normal) = normal(&text) else {
                return Ok(()); // too much at once
            };
            let holds = |line: u16| normal.split(" OR ").any(|group| {
                let mut terms = group.split(' ');
                let mut all = true;
                while let Some(term) = terms.next() {
                    let negated = term == "NOT";
                    let term = if negated { terms.next().unwrap() } else { term };
                    let bit = "abcd".find(term.trim_matches('"')).unwrap();
                    all &= (line >> bit & 1 == 1) != negated;
                }
                all
            });
            for line in 0..16 {
                prop_assert_eq!(holds(line), found >> line & 1 == 1, "{} as {}: line {}", text, normal, line);
            }
        }

        #[test]
        fn any_text(s in "[ab()\"*\\- ORNTAD\u{e4}]{0,40}") {
            if let Ok(once) = normal(&s) {
                prop_assert_eq!(normal(&once), Ok(once.clone()));
            }
        }
    }
}
