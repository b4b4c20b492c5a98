//! `invar serve`.

use std::path::Path;

use invar_server::Site;
use invar_server::team::upload::Limits;
use invar_server::team::{self, Cookies, Team, first_link};
use invar_store::Location;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Common, Serve};
use crate::exit::{Code, Failure};
use crate::place::Place;
use crate::terminal::{print, say};

/// Shows the store until a signal says to stop.
pub async fn serve(arguments: Serve, common: &Common) -> Result<Code, Failure> {
    let mut place = Place::find(common)?;
    if let Some(data) = arguments.data {
        place.store = data;
    }
    let store = place.store_apart(&arguments.apart).await?;
    let shown = match &arguments.apart.database {
        Some(database) => Location { database: database.clone(), blobs: arguments.apart.blobs }.shown(),
        None => place.store.display().to_string(),
    };
    let cannot = |error: &std::io::Error| {
        let failure =
            Failure::new(Code::Usage, format!("cannot listen on {}", arguments.listen)).because(error);
        failure.help("listen elsewhere: invar serve --listen 127.0.0.1:0")
    };
    let listener = TcpListener::bind(arguments.listen).await.map_err(|error| cannot(&error))?;
    let address = listener.local_addr().map_err(|error| cannot(&error))?;
    // Before anybody is told that the server is there: who is told may stop it at once.
    let stop =
        stop().map_err(|error| Failure::new(Code::Storage, "cannot wait for signals").because(&error))?;
    // Whoever reaches it from elsewhere has a proxy in between, which does TLS.
    let cookies = if address.ip().is_loopback() { Cookies::Plain } else { Cookies::Secure };
    let log = |line: &str| say(&format!("invar: {line}\n"));
    let router = if arguments.team {
        team::router(Team::new(store.clone(), Limits::default(), log).with(cookies))
    } else {
        invar_server::router(Site {
            store: store.clone(),
            project: match &arguments.apart.database {
                Some(database) => project_at(database),
                None => project(&place.store),
            },
            root: String::new(),
            policy: place.config.policy.clone(),
            default_branch: place.config.default_branch.clone(),
            log,
        })
    };
    print(format!("http://{address}/\n"))?;
    if arguments.team
        && let Some(link) = first_link(&store).await.map_err(|error| place.database(&error))?
    {
        say(&format!(
            "Nobody can sign in yet. Make the first account, within a day: http://{address}{link}\n"
        ));
    }
    say(&format!("Showing {shown}. Stop with Ctrl-C.\n"));
    let ended = invar_server::serve(listener, router, stop).await;
    store.close().await;
    ended.map_err(|error| Failure::new(Code::Storage, "the server failed").because(&error))?;
    say("Stopped.\n");
    Ok(Code::Well)
}

/// Ready at Ctrl-C, or when a service manager says to stop.
fn stop() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    })
}

/// What to call the project of a store that is not in a checkout: as its database.
fn project_at(database: &str) -> String {
    match database.split_once("://") {
        None => project(Path::new(database)),
        Some((_, address)) => {
            let path = address.split(['?', '#']).next().unwrap_or_default();
            let name = path.split('/').skip(1).last().filter(|name| !name.is_empty());
            name.unwrap_or("project").to_string()
        }
    }
}

/// What to call the project: its checkout's directory, which holds the store.
fn project(store: &Path) -> String {
    let real = store.canonicalize().unwrap_or_else(|_| store.to_path_buf());
    let named = if real.file_name().is_some_and(|name| name == ".invar") {
        real.parent()
    } else {
        Some(real.as_path())
    };
    let name = named.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "project".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_called_as_its_database_and_never_as_its_password() {
        assert_eq!(project_at("postgres://invar:secret@db:5432/acme?sslmode=require"), "acme");
        assert_eq!(project_at("postgres://invar:secret@db"), "project");
        assert_eq!(project_at("/nowhere/invar"), "invar");
    }
}
