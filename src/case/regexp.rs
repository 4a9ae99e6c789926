//! The patterns of `X REGEXP Y`: as in the `sqlite3` shell, but for what the crate regex knows beyond its patterns, and that `\w`,
//! `\d`, `\s` and `\b` know all of Unicode.
//!
//! A match takes time linear in the text; a pattern that would need more memory than [`MOST`] is refused.

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::{Error as Wrong, ParserBuilder, ast};

/// Bytes that a pattern may take compiled, and as many again while it is looked for.
const MOST: usize = 4 << 20;

/// Reads a pattern.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(pattern)
        .size_limit(MOST)
        .dfa_size_limit(MOST)
        .build();
    built.map_err(|error| {
        place(pattern).unwrap_or_else(|| match error {
            regex::Error::CompiledTooBig(_) => {
                format!("needs more than {} MiB; repeat less", MOST >> 20)
            }
            error => error.to_string(),
        })
    })
}

/// What is wrong with a pattern, and where.
fn place(pattern: &str) -> Option<String> {
    let parsed = ParserBuilder::new().utf8(false).build().parse(pattern);
    let (what, span): (String, &ast::Span) = match parsed.as_ref().err()? {
        Wrong::Parse(e) => (e.kind().to_string(), e.span()),
        Wrong::Translate(e) => (e.kind().to_string(), e.span()),
        _ => return None,
    };
    let before = pattern.get(..span.start.offset)?.chars().count();
    Some(format!("{what}, at character {}", before + 1))
}

#[cfg(test)]
mod tests {
    use super::super::is_wrong_pattern;
    use rusqlite::Connection;

    fn asked(sql: &str) -> rusqlite::Result<Option<bool>> {
        let db = Connection::open_in_memory()?;
        super::super::connection::guard(&db)?;
        db.execute_batch("CREATE VIEW own AS SELECT 'abc' REGEXP 'B|c' AS matched")?;
        db.query_row(sql, [], |r| r.get(0))
    }

    #[test]
    fn any_value_is_text_and_null_is_not_known() {
        for (sql, want) in [
            ("SELECT 'abc' REGEXP '^a.c$'", Some(true)),
            ("SELECT 'abc' REGEXP 'B'", Some(false)),
            ("SELECT 'abc' REGEXP '(?i)B'", Some(true)),
            ("SELECT regexp('b', 'abc')", Some(true)),
            ("SELECT 15 REGEXP '^1'", Some(true)),
            ("SELECT 1.5 REGEXP '^1[.]5$'", Some(true)),
            ("SELECT x'ff61' REGEXP 'a'", Some(true)),
            ("SELECT x'ff61' REGEXP '(?-u)\\xff'", Some(true)),
            ("SELECT NULL REGEXP 'a'", None),
            ("SELECT 'a' REGEXP NULL", None),
            ("SELECT NULL REGEXP '('", None),
            ("SELECT matched FROM own", Some(true)),
        ] {
            assert_eq!(asked(sql).unwrap(), want, "{sql}");
        }
    }

    #[test]
    fn a_wrong_pattern_is_said() {
        for (pattern, want) in [
            ("ä(", "REGEXP 'ä(': unclosed group, at character 2"),
            ("a**{", "REGEXP 'a**{': "),
            (
                "[z-a]",
                "REGEXP '[z-a]': invalid character class range, the start must be <= the end, at character 2",
            ),
            (
                "\\w{9}{9}{9}{9}",
                "REGEXP '\\w{9}{9}{9}{9}': needs more than 4 MiB; repeat less",
            ),
        ] {
            let e = asked(&format!("SELECT 'a' REGEXP '{pattern}'")).unwrap_err();
            assert!(is_wrong_pattern(&e), "{e:?}");
            assert!(e.to_string().starts_with(want), "{e}");
        }
        let other = asked("SELECT json('{')").unwrap_err();
        assert!(!is_wrong_pattern(&other), "{other:?}");
    }
}
