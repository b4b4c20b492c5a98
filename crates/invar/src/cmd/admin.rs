//! `invar admin`: projects, tokens and accounts, by who has the server's data.

use std::path::Path;
use std::time::Duration;

use invar_core::number::plural;
use invar_core::run::Timestamp;
use invar_server::team::publish::{self, Forge};
use invar_server::team::retention::{self, Preview};
use invar_server::team::token::{Scope, Secret};
use invar_server::team::upload::Limits;
use invar_server::team::{BACKUP, Team, is_reserved, password};
use invar_store::{
    By, NameError, NewAccount, NewPublisher, NewToken, Outcome, RestoreError, Retention, Role, Store,
    Visibility,
};

use super::login::read_secret;
use super::serve::process;
use crate::args::{Admin, AdminAct, Common};
use crate::exit::{Code, Failure};
use crate::place::Place;
use crate::render::one_line;
use crate::terminal::{print, say};

const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// Does what was asked to the data of a server.
pub async fn admin(arguments: Admin, common: &Common) -> Result<Code, Failure> {
    let mut place = Place::find(common)?;
    let data = arguments.of.data.or_else(|| common.store.clone());
    let whose = "whose projects is not said";
    let store = place.store_that_a_server_has(data, &arguments.of.apart, whose, "invar admin").await?;
    match arguments.act {
        AdminAct::Projects => {
            let projects = store.projects().await.map_err(|error| place.database(&error))?;
            for project in projects.iter().filter(|project| !project.name.is_empty()) {
                print(format!("  {}  {}\n", project.visibility.name(), project.name))?;
            }
        }
        AdminAct::Project { name, public } => {
            let visibility = if public { Visibility::Public } else { Visibility::Private };
            make(&name, visibility, &store, &place).await?;
        }
        AdminAct::Users => {
            for account in store.accounts().await.map_err(|error| place.database(&error))? {
                let kind = if account.admin { "  administrator" } else { "" };
                print(format!("  {}{kind}\n", account.name))?;
            }
        }
        AdminAct::User { name, admin } => user(&name, admin, &store, &place).await?,
        AdminAct::Member { project, name, role } => member(&project, &name, &role, &store, &place).await?,
        AdminAct::Publisher { project, repository, forge, issuer, reference, environment, remove } => {
            let Some(forge) = Forge::from_name(&forge) else {
                return Err(Failure::new(Code::Usage, format!("`{}` is no forge", one_line(&forge)))
                    .help("forges are github and gitlab"));
            };
            let issuer = issuer.as_deref().unwrap_or(forge.issuer()).trim_end_matches('/');
            let new = NewPublisher {
                forge: forge.name(),
                issuer,
                repository: &repository,
                reference: &reference,
                environment: &environment,
            };
            publisher(&project, new, remove, &store, &place).await?;
        }
        AdminAct::Publishers { project } => {
            let within = entered(&project, &store, &place).await?;
            for one in within.publishers().await.map_err(|error| place.database(&error))? {
                print(format!("  {}\n", one.shown()))?;
            }
        }
        AdminAct::Benchmark { project, name, rename, archive, undo: _ } => {
            let within = entered(&project, &store, &place).await?;
            benchmark(&within, &name, rename.as_deref(), archive, &place).await?;
        }
        AdminAct::Retention { project, runs_days, profiles_days, forever, preview } => {
            let within = entered(&project, &store, &place).await?;
            let mut kept = within.retention().await.map_err(|error| place.database(&error))?;
            if forever || runs_days.is_some() || profiles_days.is_some() {
                kept = Retention {
                    runs_days: runs_days.or(kept.runs_days).filter(|_| !forever),
                    profiles_days: profiles_days.or(kept.profiles_days).filter(|_| !forever),
                };
                if !preview {
                    let done = within.set_retention(kept, by(now())).await;
                    done.map_err(|error| place.database(&error))?;
                }
            }
            if preview {
                would_go(&project, kept, &store, &within).await?;
            } else {
                print(format!("  {project} keeps {}.\n", kept.shown()))?;
            }
        }
        AdminAct::Collect { older_than_hours } => {
            let collected = store.collect(Duration::from_secs(older_than_hours * 3600)).await;
            let collected = collected.map_err(|error| Failure::of(Code::Storage, &error))?;
            print(format!(
                "  Removed {} that nothing named, of {} bytes.\n",
                plural(collected.removed as usize, "blob"),
                collected.bytes
            ))?;
        }
        AdminAct::Backup { directory } => {
            let began = now();
            let done = store.backup(&directory).await.map_err(|error| Failure::of(Code::Storage, &error));
            let said = match &done {
                Ok(done) => {
                    let blobs = plural(done.blobs as usize, "blob");
                    format!("Copied all rows and {blobs}; {} were there already.", done.already_there)
                }
                Err(failure) => failure.sentence(),
            };
            let outcome = Outcome { failed: done.is_err(), said };
            let noted = store.note_duty(BACKUP, &process("invar admin"), (began, now()), &outcome).await;
            done?;
            noted.map_err(|error| place.database(&error))?;
            print(format!("  {}\n", outcome.said))?;
        }
        AdminAct::Restore { directory } => restore(&directory, &store).await?,
        AdminAct::Token { project, scopes, name, days } => {
            let within = entered(&project, &store, &place).await?;
            let Some(scopes) = Scope::read(&scopes.join(" ")) else {
                return Err(Failure::new(Code::Usage, "these are no scopes")
                    .help("scopes are read, upload and admin"));
            };
            let secret = Secret::draw()
                .ok_or_else(|| Failure::new(Code::Storage, "the system has no randomness to give"))?;
            let created = now();
            let expires = days.map(|days| Timestamp(created.0 + i64::from(days) * DAY_US));
            let scopes = Scope::text(&scopes);
            let token = NewToken { name: &name, digest: &secret.digest(), scopes: &scopes, expires };
            within.create_token(&token, by(created)).await.map_err(|error| place.database(&error))?;
            print(format!("{}\n", secret.text()))?;
            say(&format!("A token for {project} that permits {scopes}. It is not shown again.\n"));
        }
    }
    store.close().await;
    Ok(Code::Well)
}

/// Brings a backup back.
async fn restore(directory: &Path, store: &Store) -> Result<(), Failure> {
    let restored = store.restore(directory).await.map_err(|error| {
        let failure = Failure::of(Code::Storage, &error);
        match error {
            RestoreError::NotEmpty { .. } => failure.help(
                "nothing was changed; bring it back into a new directory, or a new database: --data, or --database and --blobs",
            ),
            RestoreError::NoBackup { .. } => failure.help("name the directory that invar admin backup was given"),
            _ => failure,
        }
    })?;
    let (rows, blobs) = (plural(restored.rows as usize, "row"), plural(restored.blobs as usize, "blob"));
    print(format!("  Restored {rows} and {blobs}; {} were there already.\n", restored.already_there))?;
    if restored.missing == 0 && restored.damaged.is_empty() {
        return print("  Every blob that a row names is there, and is what its name says.\n");
    }
    let missing = plural(restored.missing as usize, "blob");
    let mut failure = Failure::new(Code::Storage, format!("{missing} that rows name cannot be restored"));
    for place in &restored.damaged {
        failure = failure.since(format!("{} is damaged", one_line(place)));
    }
    Err(failure.help("everything else is there; their runs say that their results are lost"))
}

/// Says what would go today if a project kept things so long.
async fn would_go(project: &str, kept: Retention, store: &Store, within: &Store) -> Result<(), Failure> {
    let team = Team::new(store.clone(), Limits::default(), super::serve::log);
    let seen = retention::would_go(&team, within, kept).await;
    let Preview { branch, would_go } = seen.map_err(|why| Failure::new(Code::Storage, why))?;
    let Some(branch) = branch else {
        return print(format!(
            "  Nothing would go: nobody says which branch of {project} is the default one.\n"
        ));
    };
    print(format!(
        "  If {project} kept {}, {} and the profiles of {} would go today; runs of `{}` stay.\n",
        kept.shown(),
        plural(would_go.runs as usize, "run"),
        plural(would_go.profiles as usize, "run"),
        one_line(&branch)
    ))
}

/// The store within a project.
async fn entered(project: &str, store: &Store, place: &Place) -> Result<Store, Failure> {
    let found = store.project(project).await.map_err(|error| place.database(&error))?;
    found.ok_or_else(|| {
        Failure::new(Code::Usage, format!("there is no project `{}`", one_line(project)))
            .help("make it: invar admin project OWNER/NAME")
    })
}

/// Renames a benchmark, archives it, or takes that back.
async fn benchmark(
    within: &Store,
    name: &str,
    rename: Option<&str>,
    archive: bool,
    place: &Place,
) -> Result<(), Failure> {
    let shown = one_line(name);
    let refused = |error: NameError| Failure::of(Code::Usage, &error);
    if let Some(to) = rename {
        within.rename_benchmark(name, to, by(now())).await.map_err(refused)?;
        return print(format!("  {shown} is {}.\n", one_line(to)));
    }
    if archive {
        within.archive_benchmark(name, by(now())).await.map_err(refused)?;
        return print(format!("  {shown} is archived.\n"));
    }
    let held = within.namings().await.map_err(|error| place.database(&error))?;
    let Some(found) = held.into_iter().rfind(|one| one.benchmark == name) else {
        return Err(Failure::new(Code::Usage, format!("{shown} was neither renamed nor archived")));
    };
    within.undo_naming(found.number, by(now())).await.map_err(|error| place.database(&error))?;
    print(format!("  {shown} is called so, and is not archived.\n"))
}

/// Trusts a publisher, or trusts it no more.
async fn publisher(
    project: &str,
    new: NewPublisher<'_>,
    remove: bool,
    store: &Store,
    place: &Place,
) -> Result<(), Failure> {
    let within = entered(project, store, place).await?;
    if let Some(refusal) = publish::refusal(new) {
        return Err(Failure::new(Code::Usage, refusal.trim_end_matches('.')));
    }
    let shown = new.shown();
    if !remove {
        let made = within.create_publisher(new, by(now())).await.map_err(|error| place.database(&error))?;
        let how = if made.is_some() { "trusts" } else { "has trusted before" };
        return print(format!("  {project} {how} {shown}.\n"));
    }
    let publishers = within.publishers().await.map_err(|error| place.database(&error))?;
    let Some(found) = publishers.into_iter().find(|one| one.shown() == shown) else {
        return Err(Failure::new(Code::Usage, format!("{project} does not trust {shown}"))
            .help(format!("list whom it trusts: invar admin publishers {project}")));
    };
    within.remove_publisher(found.number, by(now())).await.map_err(|error| place.database(&error))?;
    print(format!("  {project} trusts {shown} no more.\n"))
}

/// Makes an account, or chooses the password of one that is there.
async fn user(name: &str, admin: bool, store: &Store, place: &Place) -> Result<(), Failure> {
    let read = read_secret("Password: ");
    let line = read.map_err(|error| Failure::new(Code::Usage, "no password can be read").because(&error))?;
    let text = line.trim_end_matches(['\r', '\n']);
    if let Some(refusal) = password::refusal(text, name) {
        return Err(Failure::new(Code::Usage, refusal.trim_end_matches('.')));
    }
    let hash = password::hash(text)
        .ok_or_else(|| Failure::new(Code::Storage, "the system has no randomness to give"))?;
    match store.account(name).await.map_err(|error| place.database(&error))? {
        Some((account, _)) => {
            let done = store.set_password(&account, &hash, by(now())).await;
            done.map_err(|error| place.database(&error))?;
            if admin && !account.admin {
                let done = store.set_admin(&account, true, by(now())).await;
                done.map_err(|error| place.database(&error))?;
            }
            print(format!("  Changed the password of {}, who is signed out everywhere.\n", account.name))
        }
        None => {
            let new = NewAccount { name, password: &hash, admin };
            let made = store.create_account(new, by(now())).await;
            made.map_err(|error| Failure::of(Code::Usage, &error))?;
            print(format!("  Made the account {name}.\n"))
        }
    }
}

/// Says what an account may do in a project.
async fn member(project: &str, name: &str, role: &str, store: &Store, place: &Place) -> Result<(), Failure> {
    let within = store.project(project).await.map_err(|error| place.database(&error))?;
    let account = store.account(name).await.map_err(|error| place.database(&error))?;
    let (Some(within), Some((account, _))) = (within, account) else {
        let error =
            format!("there is no project `{}`, or no account `{}`", one_line(project), one_line(name));
        return Err(
            Failure::new(Code::Usage, error).help("list them: invar admin projects, invar admin users")
        );
    };
    if role == "none" {
        within.remove_member(&account, by(now())).await.map_err(|error| place.database(&error))?;
        return print(format!("  {} is no member of {project}.\n", account.name));
    }
    let Some(role) = Role::from_name(role) else {
        return Err(Failure::new(Code::Usage, format!("`{}` is no role", one_line(role)))
            .help("roles are reader, writer and admin; none takes the account out"));
    };
    within.set_member(&account, role, by(now())).await.map_err(|error| place.database(&error))?;
    print(format!("  {} is {} of {project}.\n", account.name, role.name()))
}

async fn make(name: &str, visibility: Visibility, store: &Store, place: &Place) -> Result<(), Failure> {
    if is_reserved(name) {
        let error = format!("`{}` cannot be a project: its address is the server's own", one_line(name));
        return Err(Failure::new(Code::Usage, error).help("name another owner"));
    }
    let there = store.project(name).await.map_err(|error| place.database(&error))?;
    let done = match there {
        Some(project) => {
            project.show_to(visibility, by(now())).await.map_err(|error| place.database(&error))?;
            "Changed"
        }
        None => {
            let made = store.create_project(name, visibility, by(now())).await;
            made.map_err(|error| Failure::of(Code::Usage, &error))?;
            "Made"
        }
    };
    print(format!("  {done} {name}, which is {}.\n", visibility.name()))
}

/// Who does it: whoever may read and write the server's data.
const fn by(at: Timestamp) -> By<'static> {
    By { who: "invar admin", at }
}

fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_microsecond())
}
