//! The projects of a store: what they are called, who may see them, how one is entered.
//!
//! A [`Store`] is always inside one project; what is here looks at all of them. A store has a project without a name from
//! its first day on: the one of a checkout, where nobody asks for projects.

use invar_core::run::Timestamp;

use crate::audit::{By, note};
use crate::database::{DatabaseError, Intent, Row};
use crate::statement::Statement;
use crate::store::Store;

/// The number of the project that has no name.
pub(crate) const NAMELESS: i64 = 1;

/// The longest name that is taken, in bytes.
const LONGEST: usize = 200;

/// Who may read a project without being one of its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// Everybody.
    Public,
    /// Nobody.
    Private,
}

impl Visibility {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Visibility::Public => "public",
            Visibility::Private => "private",
        }
    }
}

/// What a store says of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// `acme/demo`; empty: the project of a checkout.
    pub name: String,
    /// Who may read it.
    pub visibility: Visibility,
    /// When it was made; zero: with the store.
    pub created: Timestamp,
    /// Its settings, as in `invar.toml`. The store does not look into them.
    pub settings: String,
}

/// Why there is no such project now.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CreateProjectError {
    /// No name for a project.
    #[error(
        "`{name}` is no name for a project: write OWNER/NAME, both of letters, digits, `-`, `_` and `.`, starting \
         with a letter or a digit, in {LONGEST} characters at most"
    )]
    Name {
        /// What was asked for.
        name: String,
    },
    /// There is one already. Names that differ in capitals only are the same.
    #[error("a project {name} is there already")]
    Taken {
        /// What was asked for.
        name: String,
    },
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Is this `owner/name`?
fn is_a_name(name: &str) -> bool {
    let is_a_part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphanumeric())
            && part.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
    };
    name.len() <= LONGEST
        && name.split_once('/').is_some_and(|(owner, name)| is_a_part(owner) && is_a_part(name))
}

/// What [`project`] reads.
const SELECT: &str = "SELECT name, public, created_us, settings FROM project ";

impl Store {
    /// Every project of the store, by name. The one without a name is among them.
    pub async fn projects(&self) -> Result<Vec<Project>, DatabaseError> {
        self.database.all(&Statement::new(SELECT).push("ORDER BY lower(name)"), project).await
    }

    /// Makes a project and enters it.
    pub async fn create_project(
        &self,
        name: &str,
        visibility: Visibility,
        by: By<'_>,
    ) -> Result<Store, CreateProjectError> {
        if !is_a_name(name) {
            return Err(CreateProjectError::Name { name: name.to_string() });
        }
        let statement = Statement::new("INSERT INTO project (name, public, created_us, settings) VALUES (")
            .bind(name)
            .push(", ")
            .bind(visibility == Visibility::Public)
            .push(", ")
            .bind(by.at.0)
            .push(", '') ON CONFLICT DO NOTHING RETURNING number");
        let mut transaction = self.database.begin(Intent::Write).await?;
        let number = transaction.one(&statement, |row| row.number(0)).await?;
        if number.is_some() {
            let what = format!("made the project, which is {}", visibility.name());
            note(&mut transaction, number, by, &what).await?;
        }
        transaction.commit().await?;
        match number {
            Some(number) => Ok(self.within(number)),
            None => Err(CreateProjectError::Taken { name: name.to_string() }),
        }
    }

    /// The store within this project, if there is one of this name; how it is capitalised does not matter.
    pub async fn project(&self, name: &str) -> Result<Option<Store>, DatabaseError> {
        let statement =
            Statement::new("SELECT number FROM project WHERE lower(name) = ").bind(name.to_ascii_lowercase());
        let number = self.database.one(&statement, |row| row.number(0)).await?;
        Ok(number.map(|number| self.within(number)))
    }

    /// The project that this store is within.
    pub async fn about(&self) -> Result<Project, DatabaseError> {
        let statement = Statement::new(SELECT).push("WHERE number = ").bind(self.project);
        let found = self.database.one(&statement, project).await?;
        Ok(found.expect("a project is never removed"))
    }

    /// Says who may read the project from now on.
    pub async fn show_to(&self, visibility: Visibility, by: By<'_>) -> Result<(), DatabaseError> {
        let statement = Statement::new("UPDATE project SET public = ").bind(visibility == Visibility::Public);
        self.change(statement, by, &format!("made the project {}", visibility.name())).await
    }

    /// Keeps the project's settings instead of those it has.
    pub async fn set_settings(&self, settings: &str, by: By<'_>) -> Result<(), DatabaseError> {
        let statement = Statement::new("UPDATE project SET settings = ").bind(settings);
        self.change(statement, by, "changed the settings").await
    }

    async fn change(&self, statement: Statement, by: By<'_>, what: &str) -> Result<(), DatabaseError> {
        let mut transaction = self.database.begin(Intent::Write).await?;
        transaction.execute(&statement.push(" WHERE number = ").bind(self.project)).await?;
        note(&mut transaction, Some(self.project), by, what).await?;
        transaction.commit().await
    }
}

fn project(row: &Row) -> sqlx::Result<Project> {
    Ok(Project {
        name: row.text(0)?,
        visibility: if row.truth(1)? { Visibility::Public } else { Visibility::Private },
        created: Timestamp(row.number(2)?),
        settings: row.text(3)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_named_by_its_owner_and_itself() {
        for name in ["acme/demo", "a/b", "Acme-1/de_mo.rs"] {
            assert!(is_a_name(name), "{name}");
        }
        let long = format!("a/{}", "b".repeat(LONGEST));
        for name in
            ["", "demo", "/", "a/", "/b", "a/b/c", "../b", "a/..", "a/.b", "a b/c", "a/ü", "a/b\n", &long]
        {
            assert!(!is_a_name(name), "{name}");
        }
    }
}
