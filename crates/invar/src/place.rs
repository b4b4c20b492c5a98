//! Where the command was called: the checkout around it, its `invar.toml`, its store.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use invar_core::config::{Config, Policy};
use invar_core::naming::Names;
use invar_core::run::Run;
use invar_core::wire::config;
use invar_runner::source;
use invar_store::{Comparable, Location, NotReadyError, OpenError, Store};

use crate::args::{Apart, Common};
use crate::exit::{Code, Failure};

const CONFIG: &str = "invar.toml";
const STORE: &str = ".invar";

/// Where the command was called.
pub struct Place {
    /// The directory.
    pub directory: PathBuf,
    /// What the project wishes.
    pub config: Config,
    /// Where its runs are kept.
    pub store: PathBuf,
    /// What paths of its sources are relative to: the root of the checkout, or else the directory.
    pub root: PathBuf,
}

impl Place {
    /// Looks around.
    ///
    /// `invar.toml` is the nearest one from here up to the root of the checkout. Runs are kept at the root of the
    /// checkout; outside of one, beside `invar.toml`; where there is none either, here.
    pub fn find(common: &Common) -> Result<Place, Failure> {
        let directory = std::env::current_dir().map_err(|error| {
            Failure::new(Code::Storage, "the current directory cannot be read").because(&error)
        })?;
        let checkout = source::toplevel(&directory);
        let config_path = nearest_config(&directory, checkout.as_deref());
        let config = config_path.as_deref().map(|path| read_config(path, &directory)).transpose()?;
        let config = config.unwrap_or_default();
        let sources = checkout.clone().unwrap_or_else(|| directory.clone());
        let root = checkout.or_else(|| Some(config_path?.parent()?.to_path_buf()));
        let store = match (&common.store, root) {
            (Some(store), _) => store.clone(),
            (None, Some(root)) => from_here(&directory, &root.join(STORE)),
            (None, None) => STORE.into(),
        };
        Ok(Place { directory, config, store, root: sources })
    }

    /// The store, made where it is missing.
    pub async fn store(&self) -> Result<Store, Failure> {
        Store::open(&self.store).await.map_err(|error| self.cannot_open(&error))
    }

    /// The store that was asked for: the one that is not in a directory, else the one here.
    pub async fn store_apart(&self, apart: &Apart) -> Result<Store, Failure> {
        let Some(database) = &apart.database else {
            if apart.blobs.is_some() {
                return Err(Failure::new(
                    Code::Usage,
                    "where blobs are is said, and not where the database is",
                )
                .help("say that, too: --database URL, or INVAR_DATABASE"));
            }
            return self.store().await;
        };
        let location = Location { database: database.clone(), blobs: apart.blobs.clone() };
        Store::connect(&location).await.map_err(|error| match &error {
            OpenError::Location { .. } => Failure::of(Code::Usage, &error),
            OpenError::Database(database) => {
                with_advice(Failure::of(Code::Storage, &error), database, &self.store)
            }
            _ => Failure::of(Code::Storage, &error),
        })
    }

    /// The store of a server: what keeps its rows and its blobs answers, and takes more.
    pub async fn store_of_a_server(&self, apart: &Apart) -> Result<Store, Failure> {
        let store = self.store_apart(apart).await?;
        match store.ready_to_take().await {
            Ok(()) => Ok(store),
            Err(NotReadyError::Database(error)) => Err(self.database(&error)),
            Err(error) => {
                let failure = Failure::of(Code::Storage, &error);
                Err(failure.help(
                    "is it there, and may it be written with this key? The place: --blobs or INVAR_BLOBS",
                ))
            }
        }
    }

    /// The store that a server is given, for a command that does something to it: `what` is what is not said where nobody says
    /// which, and `command` how it would be.
    pub async fn store_that_a_server_has(
        &mut self,
        data: Option<PathBuf>,
        apart: &Apart,
        what: &str,
        command: &str,
    ) -> Result<Store, Failure> {
        match data {
            Some(data) => self.store = data,
            None if apart.database.is_some() => {}
            None => {
                return Err(Failure::new(Code::Usage, what.to_string()).help(format!(
                    "the store that the server is given: {command} --data /var/lib/invar, or --database URL"
                )));
            }
        }
        self.store_of_a_server(apart).await
    }

    /// The store, if runs were ever kept here.
    pub async fn existing_store(&self) -> Result<Option<Store>, Failure> {
        Store::open_existing(&self.store).await.map_err(|error| self.cannot_open(&error))
    }

    /// The policy that runs measured as this one are judged by: the project's, with the noise floors that are known.
    pub async fn policy(&self, run: &Run, store: Option<&Store>) -> Result<Policy, Failure> {
        let Some(store) = store else { return Ok(self.config.policy.clone()) };
        let floors = store.floors(&Comparable::with(run)).await.map_err(|error| self.database(&error))?;
        Ok(self.config.policy.with_floors(floors.by(&self.names(Some(store)).await?)))
    }

    /// What benchmarks are called today, as the server that runs were pulled from has decided.
    pub async fn names(&self, store: Option<&Store>) -> Result<Names, Failure> {
        let Some(store) = store else { return Ok(Names::default()) };
        let namings = store.namings().await.map_err(|error| self.database(&error))?;
        Ok(invar_store::names(&namings))
    }

    fn cannot_open(&self, error: &OpenError) -> Failure {
        let failure = Failure::of(Code::Storage, error);
        match error {
            OpenError::Database(error) => with_advice(failure, error, &self.store),
            _ => failure.help("keep runs elsewhere with --store DIRECTORY or the variable INVAR_STORE"),
        }
    }

    /// A failure of the store's database, with what to do about it.
    pub fn database(&self, error: &invar_store::DatabaseError) -> Failure {
        with_advice(Failure::of(Code::Storage, error), error, &self.store)
    }
}

fn with_advice(failure: Failure, error: &invar_store::DatabaseError, store: &Path) -> Failure {
    use invar_store::DatabaseError;
    let store = store.display();
    match error {
        DatabaseError::Damaged { .. } => {
            failure.help(format!("move it away, and a new store is made: mv {store} {store}.damaged")).help(
                format!("the runs themselves are in its blobs: invar import {store}.damaged/blobs/*/*.zst"),
            )
        }
        DatabaseError::Unreachable { .. } => failure.help(
            "is it running, and may it be reached from here? The address: --database or INVAR_DATABASE",
        ),
        DatabaseError::TooNew { .. } => {
            failure.help("update Invar, or keep runs elsewhere with --store DIRECTORY")
        }
        DatabaseError::Full { .. } => {
            failure.help("make room, or keep runs elsewhere with --store DIRECTORY")
        }
        DatabaseError::ReadOnly { .. } => failure.help("keep runs elsewhere with --store DIRECTORY"),
        _ => failure,
    }
}

/// A path as short as it can be said: from here, if it is below.
fn from_here(directory: &Path, path: &Path) -> PathBuf {
    let real = directory.canonicalize();
    let below = [Some(directory), real.as_deref().ok()].into_iter().flatten();
    let below = below.filter_map(|directory| path.strip_prefix(directory).ok()).next();
    below.unwrap_or(path).to_path_buf()
}

fn nearest_config(directory: &Path, checkout: Option<&Path>) -> Option<PathBuf> {
    // git says where a checkout is by its real path, so that is what is walked up.
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_path_buf());
    for folder in directory.ancestors() {
        let path = folder.join(CONFIG);
        if path.is_file() {
            return Some(path);
        }
        if Some(folder) == checkout {
            return None;
        }
    }
    None
}

fn read_config(path: &Path, directory: &Path) -> Result<Config, Failure> {
    let cannot = || format!("cannot use {}", from_here(directory, path).display());
    let text = std::fs::read_to_string(path).map_err(|error| {
        let code = if error.kind() == ErrorKind::InvalidData { Code::Usage } else { Code::Storage };
        Failure::new(code, cannot()).because(&error)
    })?;
    config::read(&text).map_err(|error| Failure::new(Code::Usage, cannot()).because(&error))
}
