//! A statement with its values, which both engines read alike.
//!
//! Text comes from the program and values are bound: there is no way to push a value as text. Conditions that do not
//! matter are left out, so that what is there can use an index.

use std::borrow::Cow;
use std::fmt::Write;

/// What is bound. Everything that the tables hold is a number or a text; a truth is 0 or 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Number(i64),
    /// Made by [`storable`].
    Text(Option<String>),
}

/// A text as it is stored. PostgreSQL's cannot hold the character NUL, so another stands for it, on SQLite, too. What has
/// to come back as it was is in a blob.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// SQL and what is bound to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Statement {
    pub(crate) sql: String,
    pub(crate) values: Vec<Value>,
}

impl Statement {
    /// A statement that starts like this.
    pub(crate) fn new(sql: impl Into<Cow<'static, str>>) -> Statement {
        Statement { sql: sql.into().into_owned(), values: Vec::new() }
    }

    /// Goes on.
    pub(crate) fn push(mut self, sql: impl Into<Cow<'static, str>>) -> Statement {
        self.sql.push_str(&sql.into());
        self
    }

    /// Goes on with a value.
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Statement {
        self.values.push(value.into());
        let number = self.values.len();
        // Writing to a string does not fail.
        write!(self.sql, "${number}").expect("a string takes what is written");
        self
    }

    /// The SQL with `?` for each value, for SQLite. To it `$7` is a name, which it looks for among all that it has met: the
    /// 8,500 values of a statement that writes five hundred measurements took it longer than the writing did.
    pub(crate) fn positional(&self) -> String {
        // Values are bound in the order of their numbers, and nothing else is written with a `$`.
        let mut parts = self.sql.split('$');
        let mut sql = parts.next().unwrap_or_default().to_string();
        for part in parts {
            sql.push('?');
            sql.push_str(part.trim_start_matches(|digit: char| digit.is_ascii_digit()));
        }
        sql
    }

    /// Goes on like this where there is a value.
    pub(crate) fn bind_some<T: Into<Value>>(self, sql: &'static str, value: Option<T>) -> Statement {
        match value {
            Some(value) => self.push(sql).bind(value),
            None => self,
        }
    }

    /// Goes on with values in brackets. At least one: SQL has no empty list.
    pub(crate) fn bind_list<T: Into<Value>>(self, values: impl IntoIterator<Item = T>) -> Statement {
        let mut statement = self.push("(");
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                statement = statement.push(", ");
            }
            statement = statement.bind(value);
        }
        statement.push(")")
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Number(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value::Number(i64::from(truth))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(Some(storable(text)))
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Value {
        Value::Text(Some(storable(text)))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(Some(storable(&text)))
    }
}

impl From<&Option<String>> for Value {
    fn from(text: &Option<String>) -> Value {
        Value::Text(text.as_deref().map(storable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbered_in_their_order() {
        let statement = Statement::new("WHERE a = ")
            .bind(7)
            .bind_some(" AND b = ", Some("x"))
            .bind_some(" AND c = ", None::<i64>)
            .push(" AND d IN ")
            .bind_list(["y", "z"]);
        assert_eq!(statement.sql, "WHERE a = $1 AND b = $2 AND d IN ($3, $4)");
        assert_eq!(statement.positional(), "WHERE a = ? AND b = ? AND d IN (?, ?)");
        assert_eq!(statement.values, [Value::Number(7), "x".into(), "y".into(), "z".into()]);
    }
}
