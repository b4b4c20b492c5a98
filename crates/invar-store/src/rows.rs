//! All rows of a database into another one, whichever engines they are: what a backup of PostgreSQL is, and how any backup
//! comes back.
//!
//! Which tables and columns there are is asked of the SQLite schema, which is the same column by column; nothing here has to
//! be told of a new one. What is read is as it was at one moment, and what is written is there whole or not at all.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;

use crate::database::{Database, DatabaseError, Intent, Row, Transaction};
use crate::statement::{Statement, Value};

/// How many values one statement binds at most. SQLite takes 32,766.
const VALUES: usize = 15_000;

/// What is not copied: uploads that are under way, whose parts are in no backup.
const LEFT_OUT: [&str; 2] = ["upload", "upload_part"];

/// A table with its columns, and the tables that its rows name rows of.
#[derive(Debug, Clone)]
struct Table {
    name: String,
    columns: Vec<Column>,
    /// Rows are numbered by the database.
    is_numbered: bool,
}

#[derive(Debug, Clone)]
struct Column {
    name: String,
    is_text: bool,
}

/// Copies all rows. What is in `to` goes: who calls it has seen to it that this is nothing. One of the two is SQLite.
pub(crate) async fn copy(from: &Database, to: &Database) -> Result<u64, DatabaseError> {
    let tables = match from.is_sqlite() {
        true => tables(from).await?,
        false => tables(to).await?,
    };
    let mut reading = from.begin_at_one_moment().await?;
    // Nobody removes blobs that are named by rows which are only coming.
    let mut writing = to.begin(Intent::NameBlobs).await?;
    for table in tables.iter().rev() {
        writing.execute(&Statement::new(format!("DELETE FROM {}", table.name))).await?;
    }
    let mut copied = 0;
    for table in tables.iter().filter(|table| !LEFT_OUT.contains(&table.name.as_str())) {
        copied += copy_table(table, &mut reading, &mut writing).await?;
        if table.is_numbered {
            // A number that was ever given is not given again.
            let last = reading.last_number(&table.name).await?;
            writing.set_last_number(&table.name, last).await?;
        }
    }
    writing.commit().await?;
    Ok(copied)
}

async fn copy_table(
    table: &Table,
    reading: &mut Transaction,
    writing: &mut Transaction,
) -> Result<u64, DatabaseError> {
    let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    let names = names.join(", ");
    let select = Statement::new(format!("SELECT {names} FROM {}", table.name));
    let read = |row: &Row| {
        let values = table.columns.iter().enumerate().map(|(at, column)| match column.is_text {
            true => row.text_or_none(at).map(|text| text.map(Value::from)),
            false => row.number_or_none(at).map(|number| number.map(Value::from)),
        });
        values.collect::<sqlx::Result<Vec<Option<Value>>>>()
    };
    let insert = format!("INSERT INTO {} ({names}) VALUES ", table.name);
    let mut chunks = reading.each(&select, read).try_chunks(VALUES / table.columns.len().max(1));
    let mut copied = 0;
    while let Some(rows) = chunks.try_next().await.map_err(|error| error.1)? {
        copied += rows.len() as u64;
        let mut statement = Statement::new(insert.clone());
        for (index, row) in rows.into_iter().enumerate() {
            statement = statement.push(if index == 0 { "(" } else { ", (" });
            for (column, value) in row.into_iter().enumerate() {
                statement = if column == 0 { statement } else { statement.push(", ") };
                // An unknown that is bound has a kind, and might be of another one than the column.
                statement = match value {
                    Some(value) => statement.bind(value),
                    None => statement.push("NULL"),
                };
            }
            statement = statement.push(")");
        }
        writing.execute(&statement).await?;
    }
    Ok(copied)
}

/// The tables of a SQLite file, each behind those whose rows it names.
async fn tables(sqlite: &Database) -> Result<Vec<Table>, DatabaseError> {
    let names = Statement::new(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY name",
    );
    let names = sqlite.all(&names, |row| Ok((row.text(0)?, row.text(1)?))).await?;
    let mut left = BTreeMap::new();
    for (name, sql) in names {
        let columns = Statement::new("SELECT name, type FROM pragma_table_info(").bind(&name);
        let column = |row: &Row| Ok(Column { name: row.text(0)?, is_text: row.text(1)? == "TEXT" });
        let columns = sqlite.all(&columns.push(") ORDER BY cid"), column).await?;
        let named = Statement::new("SELECT DISTINCT \"table\" FROM pragma_foreign_key_list(").bind(&name);
        let named = sqlite.all(&named.push(")"), |row| row.text(0)).await?;
        let is_numbered = sql.contains("number INTEGER PRIMARY KEY");
        left.insert(name.clone(), (Table { name, columns, is_numbered }, named));
    }
    let mut sorted: Vec<Table> = Vec::new();
    while !left.is_empty() {
        let is_free = |(name, (_, named)): (&String, &(Table, Vec<String>))| {
            named.iter().all(|other| other == name || !left.contains_key(other)).then(|| name.clone())
        };
        let next = left.iter().find_map(is_free).expect("rows of two tables do not name each other's");
        sorted.extend(left.remove(&next).map(|(table, _)| table));
    }
    Ok(sorted)
}
