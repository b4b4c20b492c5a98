//! Whom accounts belong to at forges, and handshakes with these that are under way.
//!
//! A person is known by the number that the forge gives them and never by a name, which others may have later. Of a
//! handshake the store knows digests only: who reads the database can end none.

use invar_core::run::Timestamp;

use crate::account::{Account, CreateAccountError, NewAccount, account, insert, select};
use crate::audit::{By, note};
use crate::database::{DatabaseError, Intent, Row, Transaction};
use crate::statement::Statement;
use crate::store::Store;

/// How many names are tried for an account whose name is somebody else's.
const NAMES: u32 = 20;

/// A person, as a forge knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The forge's address.
    pub forge: String,
    /// The number by which it knows them.
    pub subject: String,
    /// What it called them the last time.
    pub name: String,
    /// Whose member they have to be to sign in so; empty: they need not be any.
    pub organisation: String,
}

/// A handshake that is to be.
#[derive(Debug, Clone, Copy)]
pub struct NewHandshake<'a> {
    /// SHA-256 of what comes back.
    pub state: &'a str,
    /// SHA-256 of what the browser shows.
    pub browser: &'a str,
    /// The forge's address.
    pub forge: &'a str,
    /// The account that is to be linked; `None`: somebody signs in.
    pub account: Option<&'a Account>,
    /// Where they go then.
    pub back: &'a str,
    /// From when on it is worth nothing.
    pub expires: Timestamp,
}

/// A handshake that came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// The number of the account that is to be linked; `None`: somebody signs in.
    pub account: Option<i64>,
    /// Where they go then.
    pub back: String,
}

fn identity(row: &Row, from: usize) -> sqlx::Result<Identity> {
    Ok(Identity {
        forge: row.text(from)?,
        subject: row.text(from + 1)?,
        name: row.text(from + 2)?,
        organisation: row.text(from + 3)?,
    })
}

/// What [`identity`] reads.
const COLUMNS: &str = "identity.forge, identity.subject, identity.name, identity.organisation";

impl Store {
    /// Begins a handshake. Those whose time is over are removed.
    pub async fn begin_handshake(&self, new: NewHandshake<'_>, now: Timestamp) -> Result<(), DatabaseError> {
        let mut transaction = self.database.begin(Intent::Write).await?;
        let over = Statement::new("DELETE FROM handshake WHERE expires_us <= ").bind(now.0);
        transaction.execute(&over).await?;
        let statement = Statement::new(
            "INSERT INTO handshake (state, browser, forge, back, expires_us, account) VALUES (",
        );
        let statement = statement.bind(new.state).push(", ").bind(new.browser).push(", ").bind(new.forge);
        let statement = statement.push(", ").bind(new.back).push(", ").bind(new.expires.0).push(", ");
        let statement = match new.account {
            Some(account) => statement.bind(account.number),
            None => statement.push("NULL"),
        };
        transaction.execute(&statement.push(")")).await?;
        transaction.commit().await
    }

    /// Ends a handshake, once. `None`: there is none of this state, begun by this browser with this forge, that is worth
    /// something now.
    pub async fn end_handshake(
        &self,
        state: &str,
        browser: &str,
        forge: &str,
        now: Timestamp,
    ) -> Result<Option<Handshake>, DatabaseError> {
        let mut transaction = self.database.begin(Intent::Write).await?;
        let statement = Statement::new("DELETE FROM handshake WHERE state = ").bind(state);
        let statement = statement.push(" AND browser = ").bind(browser).push(" AND forge = ").bind(forge);
        let statement = statement.push(" AND expires_us > ").bind(now.0).push(" RETURNING account, back");
        let read = |row: &Row| Ok(Handshake { account: row.number_or_none(0)?, back: row.text(1)? });
        let found = transaction.one(&statement, read).await?;
        transaction.commit().await?;
        Ok(found)
    }

    /// The account of a person, and how they are known.
    pub async fn identified(
        &self,
        forge: &str,
        subject: &str,
    ) -> Result<Option<(Account, Identity)>, DatabaseError> {
        let columns = "account.number, account.name, account.admin, account.created_us";
        let statement = Statement::new(format!(
            "SELECT {columns}, {COLUMNS} FROM identity JOIN account ON account.number = identity.account
             WHERE identity.forge = "
        ));
        let statement = statement.bind(forge).push(" AND identity.subject = ").bind(subject);
        self.database.one(&statement, |row| Ok((account(row)?, identity(row, 4)?))).await
    }

    /// How an account is known at forges.
    pub async fn identities(&self, of: &Account) -> Result<Vec<Identity>, DatabaseError> {
        let statement = Statement::new(format!("SELECT {COLUMNS} FROM identity WHERE account = "));
        let statement = statement.bind(of.number).push(" ORDER BY forge, subject");
        self.database.all(&statement, |row| identity(row, 0)).await
    }

    /// Links an account to a person of a forge. `false`: that is another account's.
    pub async fn link_identity(
        &self,
        of: &Account,
        new: &Identity,
        by: By<'_>,
    ) -> Result<bool, DatabaseError> {
        let mut transaction = self.database.begin(Intent::Write).await?;
        if !insert_identity(&mut transaction, of.number, new, by).await? {
            let whose = Statement::new("SELECT account FROM identity WHERE forge = ").bind(&new.forge);
            let whose = whose.push(" AND subject = ").bind(&new.subject);
            return Ok(transaction.one(&whose, |row| row.number(0)).await? == Some(of.number));
        }
        let what = format!("linked {} to {} of {}", of.name, new.name, new.forge);
        note(&mut transaction, None, by, &what).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Remembers that somebody signed in so, and what they are called now.
    pub async fn identity_was_used(&self, seen: &Identity, now: Timestamp) -> Result<(), DatabaseError> {
        let statement = Statement::new("UPDATE identity SET name = ").bind(&seen.name);
        let statement = statement.push(", used_us = ").bind(now.0).push(" WHERE forge = ").bind(&seen.forge);
        self.database.execute(&statement.push(" AND subject = ").bind(&seen.subject)).await
    }

    /// Takes a link away. `false`: the account has none so, or nobody could sign in to it then.
    pub async fn unlink_identity(
        &self,
        of: &Account,
        forge: &str,
        subject: &str,
        by: By<'_>,
    ) -> Result<bool, DatabaseError> {
        let mut transaction = self.database.begin(Intent::Write).await?;
        // An update that changes nothing: of two who take the last two links away at once, the second waits and sees one.
        let locked = Statement::new("UPDATE account SET admin = admin WHERE number = ").bind(of.number);
        let password = transaction.one(&locked.push(" RETURNING password"), |row| row.text(0)).await?;
        let password = password.unwrap_or_default();
        let count = Statement::new("SELECT count(*) FROM identity WHERE account = ").bind(of.number);
        let links = transaction.one(&count, |row| row.number(0)).await?.unwrap_or_default();
        if password.is_empty() && links < 2 {
            return Ok(false);
        }
        let statement = Statement::new("DELETE FROM identity WHERE account = ").bind(of.number);
        let statement = statement.push(" AND forge = ").bind(forge).push(" AND subject = ").bind(subject);
        let gone = transaction.one(&statement.push(" RETURNING name"), |row| row.text(0)).await?;
        if let Some(name) = &gone {
            note(&mut transaction, None, by, &format!("unlinked {} from {name} of {forge}", of.name)).await?;
        }
        transaction.commit().await?;
        Ok(gone.is_some())
    }

    /// Makes an account for a person of a forge, called as there, or much like it where that is somebody else's name. It
    /// administers nothing, and is never the first one.
    pub async fn create_account_for(
        &self,
        new: &Identity,
        by: By<'_>,
    ) -> Result<Account, CreateAccountError> {
        for number in 1..=NAMES {
            let name = if number == 1 { new.name.clone() } else { format!("{}-{number}", new.name) };
            let mut transaction = self.database.begin(Intent::Write).await?;
            let others = Statement::new("SELECT number FROM account LIMIT 1");
            if transaction.one(&others, |row| row.number(0)).await?.is_none() {
                return Err(CreateAccountError::Link);
            }
            let account = NewAccount { name: &name, password: "", admin: false };
            let made = match insert(&mut transaction, account, by).await {
                Err(CreateAccountError::Taken { .. }) => continue,
                made => made?,
            };
            if !insert_identity(&mut transaction, made, new, by).await? {
                // Somebody was quicker: themselves, in another window.
                return Err(CreateAccountError::Taken { name });
            }
            let found =
                transaction.one(&select("WHERE number = ").bind(made), crate::account::account).await?;
            transaction.commit().await?;
            return found.ok_or(CreateAccountError::Taken { name });
        }
        Err(CreateAccountError::Taken { name: new.name.clone() })
    }
}

/// `false`: it is some account's already.
async fn insert_identity(
    transaction: &mut Transaction,
    account: i64,
    new: &Identity,
    by: By<'_>,
) -> Result<bool, DatabaseError> {
    let statement = Statement::new(
        "INSERT INTO identity (forge, subject, account, name, organisation, created_us, used_us) VALUES (",
    );
    let statement = statement.bind(&new.forge).push(", ").bind(&new.subject).push(", ").bind(account);
    let statement = statement.push(", ").bind(&new.name).push(", ").bind(&new.organisation);
    let statement = statement.push(", ").bind(by.at.0).push(", ").bind(by.at.0);
    let statement = statement.push(") ON CONFLICT (forge, subject) DO NOTHING RETURNING account");
    Ok(transaction.one(&statement, |row| row.number(0)).await?.is_some())
}
