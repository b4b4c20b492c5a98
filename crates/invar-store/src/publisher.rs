//! Trusted publishers: jobs of a forge's CI that may upload to a project by the forge's word, without a secret.
//!
//! What a forge says of a job, and whether to believe it, is the server's business. Here is what was agreed on, and the
//! tokens that were made of it: they are worth something for a short time, and nothing once their publisher is gone.

use invar_core::run::Timestamp;

use crate::audit::{By, note};
use crate::database::{DatabaseError, Intent, Row};
use crate::statement::Statement;
use crate::store::Store;
use crate::token::NewToken;

/// Whose jobs may upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publisher {
    /// Names it in lists, and to remove it.
    pub number: i64,
    /// Whose words are used: a name that the server knows.
    pub forge: String,
    /// Who signs what is said of a job: an address.
    pub issuer: String,
    /// The repository, as its forge calls it.
    pub repository: String,
    /// What its forge numbers it by, once that was seen. Another repository may come by the same name, and never by this.
    pub repository_id: Option<String>,
    /// For which branches and tags: a pattern; empty: for all.
    pub reference: String,
    /// In which environment; empty: in any, and in none.
    pub environment: String,
    /// When it was agreed on.
    pub created: Timestamp,
    /// When a job was last let in.
    pub used: Option<Timestamp>,
}

/// Whose jobs are to be let in.
#[derive(Debug, Clone, Copy)]
pub struct NewPublisher<'a> {
    /// Whose words are used.
    pub forge: &'a str,
    /// Who signs what is said of a job.
    pub issuer: &'a str,
    /// The repository.
    pub repository: &'a str,
    /// For which branches and tags.
    pub reference: &'a str,
    /// In which environment.
    pub environment: &'a str,
}

impl Publisher {
    /// For people.
    pub fn shown(&self) -> String {
        let Publisher { forge, issuer, repository, reference, environment, .. } = self;
        NewPublisher { forge, issuer, repository, reference, environment }.shown()
    }
}

impl NewPublisher<'_> {
    /// For people: `acme/fib at refs/heads/* (https://gitlab.com)`.
    pub fn shown(&self) -> String {
        let reference =
            if self.reference.is_empty() { String::new() } else { format!(" at {}", self.reference) };
        let environment = match self.environment {
            "" => String::new(),
            environment => format!(" in the environment {environment}"),
        };
        format!("{}{reference}{environment} ({})", self.repository, self.issuer)
    }
}

const SELECT: &str =
    "SELECT number, forge, issuer, repository, repository_id, reference, environment, created_us, used_us
                      FROM publisher WHERE project = ";

impl Store {
    /// Lets the jobs of a publisher in from now on. `None`: that is agreed on already.
    pub async fn create_publisher(
        &self,
        new: NewPublisher<'_>,
        by: By<'_>,
    ) -> Result<Option<i64>, DatabaseError> {
        let statement = Statement::new(
            "INSERT INTO publisher (project, forge, issuer, repository, reference, environment, created_us) VALUES (",
        )
        .bind(self.project)
        .push(", ")
        .bind(new.forge)
        .push(", ")
        .bind(new.issuer)
        .push(", ")
        .bind(new.repository)
        .push(", ")
        .bind(new.reference)
        .push(", ")
        .bind(new.environment)
        .push(", ")
        .bind(by.at.0)
        .push(") ON CONFLICT DO NOTHING RETURNING number");
        let mut transaction = self.database.begin(Intent::Write).await?;
        let number = transaction.one(&statement, |row| row.number(0)).await?;
        if number.is_some() {
            let what = format!("trusts the publisher {}", new.shown());
            note(&mut transaction, Some(self.project), by, &what).await?;
        }
        transaction.commit().await?;
        Ok(number)
    }

    /// The publishers of this project, the oldest first.
    pub async fn publishers(&self) -> Result<Vec<Publisher>, DatabaseError> {
        self.database.all(&self.publishers_sql(), publisher).await
    }

    pub(crate) fn publishers_sql(&self) -> Statement {
        Statement::new(SELECT).bind(self.project).push(" ORDER BY number")
    }

    /// Lets a publisher's jobs in no more: its tokens are worth nothing either. Says whether it was there.
    pub async fn remove_publisher(&self, number: i64, by: By<'_>) -> Result<bool, DatabaseError> {
        let mut transaction = self.database.begin(Intent::Write).await?;
        let tokens = Statement::new("DELETE FROM token WHERE publisher = ").bind(number);
        let tokens = tokens.push(" AND project = ").bind(self.project);
        transaction.execute(&tokens).await?;
        let statement = Statement::new("DELETE FROM publisher WHERE number = ").bind(number);
        let statement = statement.push(" AND project = ").bind(self.project);
        let statement = statement.push(" RETURNING issuer, repository, reference, environment");
        let read = |row: &Row| Ok([row.text(0)?, row.text(1)?, row.text(2)?, row.text(3)?]);
        let gone = transaction.one(&statement, read).await?;
        if let Some([issuer, repository, reference, environment]) = &gone {
            let gone = NewPublisher { forge: "", issuer, repository, reference, environment };
            let what = format!("trusts the publisher {} no more", gone.shown());
            note(&mut transaction, Some(self.project), by, &what).await?;
        }
        transaction.commit().await?;
        Ok(gone.is_some())
    }

    /// Makes a token for a job that a publisher of this project has sent, and says its number; those that have expired are
    /// removed. `None`: the publisher is gone, or is known to be another repository than this id names.
    pub async fn create_token_of(
        &self,
        publisher: &Publisher,
        repository_id: &str,
        token: &NewToken<'_>,
        by: By<'_>,
    ) -> Result<Option<i64>, DatabaseError> {
        let mut transaction = self.database.begin(Intent::Write).await?;
        let used = Statement::new("UPDATE publisher SET used_us = ").bind(by.at.0);
        let used = used.push(", repository_id = ").bind(repository_id).push(" WHERE number = ");
        let used = used.bind(publisher.number).push(" AND project = ").bind(self.project);
        let used = used.push(" AND (repository_id IS NULL OR repository_id = ").bind(repository_id);
        if transaction.one(&used.push(") RETURNING number"), |row| row.number(0)).await?.is_none() {
            return Ok(None);
        }
        let over = Statement::new("DELETE FROM token WHERE publisher = ").bind(publisher.number);
        transaction.execute(&over.push(" AND expires_us <= ").bind(by.at.0)).await?;
        let token_sql = self.token_sql(token, Some(publisher.number), by.at);
        let number = transaction.one(&token_sql, |row| row.number(0)).await?;
        let what = format!("was let in as {}, to {}", token.name, token.scopes.replace(' ', " and "));
        note(&mut transaction, Some(self.project), by, &what).await?;
        transaction.commit().await?;
        Ok(number)
    }
}

fn publisher(row: &Row) -> sqlx::Result<Publisher> {
    Ok(Publisher {
        number: row.number(0)?,
        forge: row.text(1)?,
        issuer: row.text(2)?,
        repository: row.text(3)?,
        repository_id: row.text_or_none(4)?,
        reference: row.text(5)?,
        environment: row.text(6)?,
        created: Timestamp(row.number(7)?),
        used: row.number_or_none(8)?.map(Timestamp),
    })
}
