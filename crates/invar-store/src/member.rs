//! Who belongs to a project, and as what.

use std::collections::BTreeMap;

use crate::account::Account;
use crate::audit::{By, note};
use crate::database::{DatabaseError, Intent, Row};
use crate::statement::Statement;
use crate::store::Store;

/// What a member may do. Each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Read.
    Reader,
    /// Acknowledge regressions.
    Writer,
    /// Change settings, members and tokens.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 3] = [Role::Reader, Role::Writer, Role::Admin];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Reader => "reader",
            Role::Writer => "writer",
            Role::Admin => "admin",
        }
    }

    /// The role called `name`.
    pub fn from_name(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// A member of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The account's number.
    pub account: i64,
    /// Its name.
    pub name: String,
    /// As what it belongs to the project.
    pub role: Role,
}

/// A role as it is kept; one of a newer Invar permits to read.
fn role(row: &Row, column: usize) -> sqlx::Result<Role> {
    Ok(Role::from_name(&row.text(column)?).unwrap_or(Role::Reader))
}

impl Store {
    /// The members of this project, by name.
    pub async fn members(&self) -> Result<Vec<Member>, DatabaseError> {
        let statement = Statement::new(
            "SELECT account.number, account.name, member.role
             FROM member JOIN account ON account.number = member.account WHERE member.project = ",
        );
        let statement = statement.bind(self.project).push(" ORDER BY lower(account.name)");
        let read =
            |row: &Row| Ok(Member { account: row.number(0)?, name: row.text(1)?, role: role(row, 2)? });
        self.database.all(&statement, read).await
    }

    /// As what an account belongs to this project, if it does.
    pub async fn role_of(&self, account: &Account) -> Result<Option<Role>, DatabaseError> {
        let statement = Statement::new("SELECT role FROM member WHERE project = ").bind(self.project);
        let statement = statement.push(" AND account = ").bind(account.number);
        self.database.one(&statement, |row| role(row, 0)).await
    }

    /// As what an account belongs to which projects, by name of the project.
    pub async fn roles_of(&self, account: &Account) -> Result<BTreeMap<String, Role>, DatabaseError> {
        let statement = Statement::new(
            "SELECT project.name, member.role FROM member JOIN project ON project.number = member.project
             WHERE member.account = ",
        );
        let read = |row: &Row| Ok((row.text(0)?, role(row, 1)?));
        Ok(self.database.all(&statement.bind(account.number), read).await?.into_iter().collect())
    }

    /// Makes an account a member of this project, or one as something else.
    pub async fn set_member(&self, account: &Account, role: Role, by: By<'_>) -> Result<(), DatabaseError> {
        let statement = Statement::new("INSERT INTO member (project, account, role) VALUES (")
            .bind(self.project)
            .push(", ")
            .bind(account.number)
            .push(", ")
            .bind(role.name())
            .push(") ON CONFLICT (project, account) DO UPDATE SET role = excluded.role");
        let mut transaction = self.database.begin(Intent::Write).await?;
        transaction.execute(&statement).await?;
        let what = format!("made {} a member: {}", account.name, role.name());
        note(&mut transaction, Some(self.project), by, &what).await?;
        transaction.commit().await
    }

    /// Takes an account out of this project, and says whether it was a member.
    pub async fn remove_member(&self, account: &Account, by: By<'_>) -> Result<bool, DatabaseError> {
        let statement = Statement::new("DELETE FROM member WHERE project = ").bind(self.project);
        let statement = statement.push(" AND account = ").bind(account.number).push(" RETURNING account");
        let mut transaction = self.database.begin(Intent::Write).await?;
        let gone = transaction.one(&statement, |row| row.number(0)).await?.is_some();
        if gone {
            let what = format!("took {} out of the members", account.name);
            note(&mut transaction, Some(self.project), by, &what).await?;
        }
        transaction.commit().await?;
        Ok(gone)
    }
}
