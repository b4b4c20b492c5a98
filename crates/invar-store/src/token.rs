//! Tokens: what a program shows to be let into a project.
//!
//! The store keeps digests and never the tokens, so that who reads the database cannot use them. What a token looks like and
//! what it permits is the server's business: scopes are a text here.

use invar_core::run::Timestamp;

use crate::audit::{By, note};
use crate::database::{DatabaseError, Intent, Row};
use crate::statement::Statement;
use crate::store::Store;

/// How exactly the last use is kept: a token that is used all the time is not written all the time.
const USED_US: i64 = 60_000_000;

/// What is kept of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Names it where it is not shown: in lists, and to revoke it.
    pub number: i64,
    /// What it is for, as who made it called it.
    pub name: String,
    /// What it permits.
    pub scopes: String,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is worth nothing; `None`: never.
    pub expires: Option<Timestamp>,
    /// When it was last used, to a minute.
    pub used: Option<Timestamp>,
}

/// A token that is to be.
#[derive(Debug, Clone)]
pub struct NewToken<'a> {
    /// What it is for.
    pub name: &'a str,
    /// SHA-256 of it, as hexadecimal digits.
    pub digest: &'a str,
    /// What it permits.
    pub scopes: &'a str,
    /// From when on it is worth nothing.
    pub expires: Option<Timestamp>,
}

const SELECT: &str = "SELECT number, name, scopes, created_us, expires_us, used_us FROM token ";

impl Store {
    /// Makes a token for this project, and says its number.
    pub async fn create_token(&self, token: &NewToken<'_>, by: By<'_>) -> Result<i64, DatabaseError> {
        let mut transaction = self.database.begin(Intent::Write).await?;
        let number = transaction.one(&self.token_sql(token, None, by.at), |row| row.number(0)).await?;
        let what = format!("made the token {}, which permits {}", token.name, token.scopes);
        note(&mut transaction, Some(self.project), by, &what).await?;
        transaction.commit().await?;
        Ok(number.expect("a row that was inserted has a number"))
    }

    /// Makes a token, and says its number. One that is a publisher's is made by nobody, and in no list.
    pub(crate) fn token_sql(&self, token: &NewToken<'_>, publisher: Option<i64>, at: Timestamp) -> Statement {
        let or_null = |statement: Statement, value: Option<i64>| match value {
            Some(value) => statement.bind(value),
            None => statement.push("NULL"),
        };
        let statement = Statement::new(
            "INSERT INTO token (project, name, digest, scopes, created_us, expires_us, publisher) VALUES (",
        )
        .bind(self.project)
        .push(", ")
        .bind(token.name)
        .push(", ")
        .bind(token.digest)
        .push(", ")
        .bind(token.scopes)
        .push(", ")
        .bind(at.0)
        .push(", ");
        let statement = or_null(statement, token.expires.map(|at| at.0)).push(", ");
        or_null(statement, publisher).push(") RETURNING number")
    }

    /// The tokens of this project that somebody made, the newest first.
    pub async fn tokens(&self) -> Result<Vec<Token>, DatabaseError> {
        let statement = Statement::new(SELECT).push("WHERE publisher IS NULL AND project = ");
        let statement = statement.bind(self.project);
        self.database.all(&statement.push(" ORDER BY number DESC"), token).await
    }

    /// Makes a token worth nothing, and says whether there was one.
    pub async fn revoke_token(&self, number: i64, by: By<'_>) -> Result<bool, DatabaseError> {
        let statement = Statement::new("DELETE FROM token WHERE number = ").bind(number);
        let statement = statement.push(" AND project = ").bind(self.project).push(" RETURNING name");
        let mut transaction = self.database.begin(Intent::Write).await?;
        let gone = transaction.one(&statement, |row| row.text(0)).await?;
        if let Some(name) = &gone {
            note(&mut transaction, Some(self.project), by, &format!("revoked the token {name}")).await?;
        }
        transaction.commit().await?;
        Ok(gone.is_some())
    }

    /// The token with this digest that is worth something now, and the project that it is for. Its use is noted.
    pub async fn use_token(
        &self,
        digest: &str,
        now: Timestamp,
    ) -> Result<Option<(Store, Token)>, DatabaseError> {
        let statement = Statement::new(
            "SELECT number, name, scopes, created_us, expires_us, used_us, project FROM token WHERE digest = ",
        )
        .bind(digest)
        .push(" AND (expires_us IS NULL OR expires_us > ")
        .bind(now.0)
        .push(")");
        let read = |row: &Row| Ok((token(row)?, row.number(6)?));
        let Some((token, project)) = self.database.one(&statement, read).await? else { return Ok(None) };
        // A clock that was set back shall not keep the use from being noted.
        if token.used.is_none_or(|used| (now.0 - used.0).abs() >= USED_US) {
            let used = Statement::new("UPDATE token SET used_us = ").bind(now.0);
            self.database.execute(&used.push(" WHERE number = ").bind(token.number)).await?;
        }
        Ok(Some((self.within(project), token)))
    }
}

fn token(row: &Row) -> sqlx::Result<Token> {
    Ok(Token {
        number: row.number(0)?,
        name: row.text(1)?,
        scopes: row.text(2)?,
        created: Timestamp(row.number(3)?),
        expires: row.number_or_none(4)?.map(Timestamp),
        used: row.number_or_none(5)?.map(Timestamp),
    })
}
