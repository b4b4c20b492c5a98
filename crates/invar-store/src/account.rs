//! Accounts of people, and what lets them in: passwords, sessions of browsers, links that work once.
//!
//! The store keeps what passwords are checked by, and digests of what browsers and links show, so that who reads the
//! database can use none of them. How a password is checked is the server's business: it is a text here.

use invar_core::run::Timestamp;

use crate::audit::{By, note};
use crate::database::{DatabaseError, Intent, Row, Transaction};
use crate::statement::Statement;
use crate::store::Store;

/// The longest name that is taken, in bytes.
const LONGEST: usize = 60;

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Names it in other tables.
    pub number: i64,
    /// What people call it.
    pub name: String,
    /// May it do everything, to every project and every account?
    pub admin: bool,
    /// When it was made.
    pub created: Timestamp,
}

/// An account that is to be.
#[derive(Debug, Clone, Copy)]
pub struct NewAccount<'a> {
    /// What people call it.
    pub name: &'a str,
    /// What its password is checked by; empty: nobody can sign in before a password is chosen.
    pub password: &'a str,
    /// May it do everything?
    pub admin: bool,
}

/// Why there is no such account now.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CreateAccountError {
    /// No name for an account.
    #[error(
        "`{name}` is no name for an account: write letters, digits, `-`, `_`, `.` and `@`, starting with a letter or a \
         digit, in {LONGEST} characters at most"
    )]
    Name {
        /// What was asked for.
        name: String,
    },
    /// There is one already. Names that differ in capitals only are the same.
    #[error("an account {name} is there already")]
    Taken {
        /// What was asked for.
        name: String,
    },
    /// The link does not work: it was used, is too old, or there are accounts already.
    #[error("this link does not work any more")]
    Link,
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Something secret that is to let somebody in.
#[derive(Debug, Clone, Copy)]
pub struct NewSecret<'a> {
    /// SHA-256 of it, as hexadecimal digits.
    pub digest: &'a str,
    /// When it is made.
    pub created: Timestamp,
    /// From when on it is worth nothing.
    pub expires: Timestamp,
}

/// What a link is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// To make the first account.
    First,
    /// To choose the password of this account.
    Password(Account),
}

/// Is this a name? Nothing that is taken for something else, in a list or on a command line.
fn is_a_name(name: &str) -> bool {
    name.len() <= LONGEST
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.@".contains(letter))
}

/// What [`account`] reads.
const COLUMNS: &str = "account.number, account.name, account.admin, account.created_us";

pub(crate) fn account(row: &Row) -> sqlx::Result<Account> {
    Ok(Account {
        number: row.number(0)?,
        name: row.text(1)?,
        admin: row.truth(2)?,
        created: Timestamp(row.number(3)?),
    })
}

pub(crate) fn select(rest: &str) -> Statement {
    Statement::new(format!("SELECT {COLUMNS} FROM account {rest}"))
}

impl Store {
    /// Every account, by name.
    pub async fn accounts(&self) -> Result<Vec<Account>, DatabaseError> {
        self.database.all(&select("ORDER BY lower(name)"), account).await
    }

    /// The account of this name, however it is capitalised, with what its password is checked by.
    pub async fn account(&self, name: &str) -> Result<Option<(Account, String)>, DatabaseError> {
        let statement =
            Statement::new(format!("SELECT {COLUMNS}, password FROM account WHERE lower(name) = "));
        let statement = statement.bind(name.to_ascii_lowercase());
        self.database.one(&statement, |row| Ok((account(row)?, row.text(4)?))).await
    }

    /// Makes an account, and says its number.
    pub async fn create_account(&self, new: NewAccount<'_>, by: By<'_>) -> Result<i64, CreateAccountError> {
        let mut transaction = self.database.begin(Intent::Write).await?;
        let number = insert(&mut transaction, new, by).await?;
        transaction.commit().await?;
        Ok(number)
    }

    /// Makes the first account, by a link that is for this; every such link has worked then.
    pub async fn create_first_account(
        &self,
        digest: &str,
        new: NewAccount<'_>,
        by: By<'_>,
    ) -> Result<i64, CreateAccountError> {
        let mut transaction = self.database.begin(Intent::Write).await?;
        // All of them in one statement: of two who use two links at once, one finds none.
        let links = Statement::new("DELETE FROM link WHERE account IS NULL RETURNING digest, expires_us");
        let links = transaction.all(&links, |row| Ok((row.text(0)?, row.number(1)?))).await?;
        let works = links.iter().any(|(known, expires)| known == digest && *expires > by.at.0);
        let others = Statement::new("SELECT number FROM account LIMIT 1");
        if !works || transaction.one(&others, |row| row.number(0)).await?.is_some() {
            return Err(CreateAccountError::Link);
        }
        let number = insert(&mut transaction, new, by).await?;
        transaction.commit().await?;
        Ok(number)
    }

    /// Chooses the password of an account, whose sessions and links are worth nothing from then on.
    pub async fn set_password(&self, of: &Account, password: &str, by: By<'_>) -> Result<(), DatabaseError> {
        let mut transaction = self.database.begin(Intent::Write).await?;
        set_password(&mut transaction, of, password, by).await?;
        transaction.commit().await
    }

    /// Says whether an account may do everything. `false`: it is the only one that may, or is not there, and stays so.
    pub async fn set_admin(&self, of: &Account, admin: bool, by: By<'_>) -> Result<bool, DatabaseError> {
        let mut transaction = self.database.begin(Intent::Write).await?;
        if !admin && !another_admin(&mut transaction, of).await? {
            return Ok(false);
        }
        let statement = Statement::new("UPDATE account SET admin = ").bind(admin);
        let statement = statement.push(" WHERE number = ").bind(of.number).push(" RETURNING number");
        let done = transaction.one(&statement, |row| row.number(0)).await?.is_some();
        if done {
            let what =
                if admin { "made an administrator of" } else { "took the rights of an administrator from" };
            note(&mut transaction, None, by, &format!("{what} {}", of.name)).await?;
        }
        transaction.commit().await?;
        Ok(done)
    }

    /// Removes an account with its sessions and memberships. `false`: it is the only administrator, or is not there.
    pub async fn remove_account(&self, of: &Account, by: By<'_>) -> Result<bool, DatabaseError> {
        let mut transaction = self.database.begin(Intent::Write).await?;
        if !another_admin(&mut transaction, of).await? {
            return Ok(false);
        }
        for table in ["session", "link", "member", "identity", "handshake"] {
            let statement = Statement::new(format!("DELETE FROM {table} WHERE account = "));
            transaction.execute(&statement.bind(of.number)).await?;
        }
        let statement = Statement::new("DELETE FROM account WHERE number = ").bind(of.number);
        let gone = transaction.one(&statement.push(" RETURNING number"), |row| row.number(0)).await?;
        if gone.is_some() {
            note(&mut transaction, None, by, &format!("removed the account {}", of.name)).await?;
        }
        transaction.commit().await?;
        Ok(gone.is_some())
    }

    /// Begins a session. Sessions and links whose time is over are removed.
    pub async fn create_session(&self, of: &Account, secret: NewSecret<'_>) -> Result<(), DatabaseError> {
        let mut transaction = self.database.begin(Intent::Write).await?;
        for table in ["session", "link"] {
            let over =
                Statement::new(format!("DELETE FROM {table} WHERE expires_us <= ")).bind(secret.created.0);
            transaction.execute(&over).await?;
        }
        transaction.execute(&insert_secret("session", Some(of.number), secret)).await?;
        let by = By { who: &of.name, at: secret.created };
        note(&mut transaction, None, by, "signed in").await?;
        transaction.commit().await
    }

    /// Who has the session with this digest, if it is worth something now.
    pub async fn session(&self, digest: &str, now: Timestamp) -> Result<Option<Account>, DatabaseError> {
        self.database.one(&session_sql(digest, now), account).await
    }

    /// Ends a session.
    pub async fn end_session(&self, digest: &str) -> Result<(), DatabaseError> {
        self.database.execute(&Statement::new("DELETE FROM session WHERE digest = ").bind(digest)).await
    }

    /// Makes a link: for an account, to choose its password, which makes its other links worth nothing; for none, to make
    /// the first account.
    pub async fn create_link(
        &self,
        of: Option<&Account>,
        secret: NewSecret<'_>,
        by: By<'_>,
    ) -> Result<(), DatabaseError> {
        let mut transaction = self.database.begin(Intent::Write).await?;
        if let Some(of) = of {
            let others = Statement::new("DELETE FROM link WHERE account = ").bind(of.number);
            transaction.execute(&others).await?;
            let what = format!("made a link to choose the password of {}", of.name);
            note(&mut transaction, None, by, &what).await?;
        }
        transaction.execute(&insert_secret("link", of.map(|of| of.number), secret)).await?;
        transaction.commit().await
    }

    /// What the link with this digest is for, if it works now.
    pub async fn link(&self, digest: &str, now: Timestamp) -> Result<Option<Link>, DatabaseError> {
        let accounts = Statement::new("SELECT number FROM account LIMIT 1");
        let empty = self.database.one(&accounts, |row| row.number(0)).await?.is_none();
        let statement = Statement::new(
            "SELECT coalesce(account.number, 0), coalesce(account.name, ''), coalesce(account.admin, 0),
                    coalesce(account.created_us, 0)
             FROM link LEFT JOIN account ON account.number = link.account WHERE digest = ",
        );
        let statement = statement.bind(digest).push(" AND expires_us > ").bind(now.0);
        Ok(match self.database.one(&statement, account).await? {
            Some(account) if account.number == 0 => empty.then_some(Link::First),
            Some(account) => Some(Link::Password(account)),
            None => None,
        })
    }

    /// Chooses the password of the account that a link is for; the link has worked then.
    pub async fn use_link(
        &self,
        digest: &str,
        password: &str,
        now: Timestamp,
    ) -> Result<Option<Account>, DatabaseError> {
        let mut transaction = self.database.begin(Intent::Write).await?;
        let used = Statement::new("DELETE FROM link WHERE account IS NOT NULL AND digest = ").bind(digest);
        let used = used.push(" AND expires_us > ").bind(now.0).push(" RETURNING account");
        let Some(number) = transaction.one(&used, |row| row.number(0)).await? else { return Ok(None) };
        let found = transaction.one(&select("WHERE number = ").bind(number), account).await?;
        let Some(of) = found else { return Ok(None) };
        set_password(&mut transaction, &of, password, By { who: &of.name, at: now }).await?;
        transaction.commit().await?;
        Ok(Some(of))
    }
}

pub(crate) fn session_sql(digest: &str, now: Timestamp) -> Statement {
    select("JOIN session ON session.account = account.number WHERE session.digest = ")
        .bind(digest)
        .push(" AND session.expires_us > ")
        .bind(now.0)
}

pub(crate) async fn insert(
    transaction: &mut Transaction,
    new: NewAccount<'_>,
    by: By<'_>,
) -> Result<i64, CreateAccountError> {
    if !is_a_name(new.name) {
        return Err(CreateAccountError::Name { name: new.name.to_string() });
    }
    let statement = Statement::new("INSERT INTO account (name, password, admin, created_us) VALUES (")
        .bind(new.name)
        .push(", ")
        .bind(new.password)
        .push(", ")
        .bind(new.admin)
        .push(", ")
        .bind(by.at.0)
        .push(") ON CONFLICT DO NOTHING RETURNING number");
    let number = transaction.one(&statement, |row| row.number(0)).await?;
    let Some(number) = number else { return Err(CreateAccountError::Taken { name: new.name.to_string() }) };
    let kind = if new.admin { "the administrator" } else { "the account" };
    note(transaction, None, by, &format!("made {kind} {}", new.name)).await?;
    Ok(number)
}

async fn set_password(
    transaction: &mut Transaction,
    of: &Account,
    password: &str,
    by: By<'_>,
) -> Result<(), DatabaseError> {
    let statement = Statement::new("UPDATE account SET password = ").bind(password);
    transaction.execute(&statement.push(" WHERE number = ").bind(of.number)).await?;
    for table in ["session", "link"] {
        let statement = Statement::new(format!("DELETE FROM {table} WHERE account = "));
        transaction.execute(&statement.bind(of.number)).await?;
    }
    note(transaction, None, by, &format!("chose a password for {}", of.name)).await
}

/// Is there an administrator beside this account? Who asks goes on to take one away, so the rows are kept from others.
async fn another_admin(transaction: &mut Transaction, of: &Account) -> Result<bool, DatabaseError> {
    // An update that changes nothing: of two who take the last two away at once, the second waits and then sees one.
    let locked = Statement::new("UPDATE account SET admin = 1 WHERE admin = 1 RETURNING number");
    let admins = transaction.all(&locked, |row| row.number(0)).await?;
    Ok(admins.iter().any(|number| *number != of.number))
}

fn insert_secret(table: &str, account: Option<i64>, secret: NewSecret<'_>) -> Statement {
    let statement =
        Statement::new(format!("INSERT INTO {table} (account, digest, created_us, expires_us) VALUES ("));
    let statement = match account {
        Some(account) => statement.bind(account),
        None => statement.push("NULL"),
    };
    let rest = statement.push(", ").bind(secret.digest).push(", ").bind(secret.created.0);
    rest.push(", ").bind(secret.expires.0).push(")")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_named_by_what_a_command_line_takes() {
        for name in ["art049", "Ada.L-1_x", "ada@example.org"] {
            assert!(is_a_name(name), "{name}");
        }
        for name in ["", "-x", ".x", "a b", "a/b", "ü", "a\n", &"a".repeat(LONGEST + 1)] {
            assert!(!is_a_name(name), "{name}");
        }
    }
}
