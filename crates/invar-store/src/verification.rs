//! What `invar verify` found, kept: a row by which the verifications are found that runs can be judged by, with all of it.

use invar_core::noise::{Floors, Verification};
use invar_core::wire::noise;

use crate::database::{DatabaseError, Intent};
use crate::statement::{Statement, Value};
use crate::store::{Comparable, Store};

/// How many verifications of one way to measure are looked at, the newest. More would only slow down every comparison.
const LOOKED_AT: i64 = 32;

impl Store {
    /// Keeps a verification. One that is there already stays as it is.
    pub async fn put_verification(&self, verification: &Verification) -> Result<(), DatabaseError> {
        let statement = Statement::new(
            "INSERT INTO verification (id, project, started_us, suite, machine_text, instrument, benchmarks, content)
             VALUES ",
        )
        .bind_list([
            Value::from(&verification.id),
            Value::from(self.project),
            Value::from(verification.started.0),
            Value::from(verification.command.join(" ")),
            Value::from(verification.machine.text()),
            Value::from(verification.instrument.name()),
            Value::from(verification.benchmarks.len() as i64),
            Value::from(noise::write(verification)),
        ])
        .push(" ON CONFLICT (id) DO NOTHING");
        let mut transaction = self.database.begin(Intent::Write).await?;
        transaction.execute(&statement).await?;
        transaction.commit().await
    }

    /// The newest verifications of one way to measure, newest first. Those of another version are passed over: without them
    /// less is known, and nothing is wrong.
    pub async fn verifications(&self, way: &Comparable) -> Result<Vec<Verification>, DatabaseError> {
        let statement = Statement::new("SELECT content FROM verification WHERE project = ")
            .bind(self.project)
            .push(" AND machine_text = ")
            .bind(&way.machine)
            .push(" AND instrument = ")
            .bind(way.instrument.name())
            .push(" ORDER BY started_us DESC, id DESC LIMIT ")
            .bind(LOOKED_AT);
        let contents = self.database.all(&statement, |row| row.text(0)).await?;
        Ok(contents.iter().filter_map(|content| noise::read(content.as_bytes()).ok()).collect())
    }

    /// Takes what another store has for the project that it is within.
    pub(crate) async fn copy_verifications(&self, from: &Store) -> Result<(), DatabaseError> {
        let statement =
            Statement::new("SELECT content FROM verification WHERE project = ").bind(from.project);
        for content in from.database.all(&statement, |row| row.text(0)).await? {
            if let Ok(verification) = noise::read(content.as_bytes()) {
                self.put_verification(&verification).await?;
            }
        }
        Ok(())
    }

    /// The noise floors that are known for one way to measure.
    pub async fn floors(&self, way: &Comparable) -> Result<Floors, DatabaseError> {
        self.verifications(way).await.map(|verifications| Floors::of(&verifications))
    }

    /// How many verifications were kept: what is derived from floors is as good as new while this stays.
    pub async fn verified(&self) -> Result<i64, DatabaseError> {
        let statement =
            Statement::new("SELECT count(*) FROM verification WHERE project = ").bind(self.project);
        Ok(self.database.one(&statement, |row| row.number(0)).await?.unwrap_or(0))
    }
}
