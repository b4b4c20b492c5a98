//! `invar serve`.

use std::net::SocketAddr;
use std::path::Path;

use invar_server::Site;
use invar_server::edge::host::Hosts;
use invar_server::edge::watch::{self, Watched};
use invar_server::edge::{Access, Edge, Settings};
use invar_server::team::collector;
use invar_server::team::forges::Forges;
use invar_server::team::publish::Forge;
use invar_server::team::publish::issuers::{Issuer, Issuers};
use invar_server::team::upload::Limits;
use invar_server::team::{self, Cookies, Team, first_link};
use invar_store::Location;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::sign_in;
use crate::args::{Common, Serve};
use crate::exit::{Code, Failure};
use crate::place::Place;
use crate::render::one_line;
use crate::terminal::{print, say};

/// How often somebody may ask a team's server, where nobody says.
const REQUESTS_PER_MINUTE: u32 = 1200;

/// Shows the store until a signal says to stop.
pub async fn serve(arguments: Serve, common: &Common) -> Result<Code, Failure> {
    let mut place = Place::find(common)?;
    let settings = settings(&arguments)?;
    let issuers = issuers(&arguments.trusted_issuer)?;
    if arguments.team && arguments.of.data.is_none() && arguments.of.apart.database.is_none() {
        return Err(Failure::new(Code::Usage, "whose projects to serve is not said").help(
            "the store, in a directory or in a database: invar serve --team --data /var/lib/invar, or --database URL",
        ));
    }
    if let Some(data) = arguments.of.data {
        place.store = data;
    }
    let store = match arguments.team {
        true => place.store_of_a_server(&arguments.of.apart).await?,
        false => place.store_apart(&arguments.of.apart).await?,
    };
    let shown = match &arguments.of.apart.database {
        Some(database) => Location { database: database.clone(), blobs: arguments.of.apart.blobs }.shown(),
        None => place.store.display().to_string(),
    };
    let cannot = |address: SocketAddr, error: &std::io::Error| {
        let failure = Failure::new(Code::Usage, format!("cannot listen on {address}")).because(error);
        failure.help("listen elsewhere: invar serve --listen 127.0.0.1:0")
    };
    let listener =
        TcpListener::bind(arguments.listen).await.map_err(|error| cannot(arguments.listen, &error))?;
    let address = listener.local_addr().map_err(|error| cannot(arguments.listen, &error))?;
    let watch = match arguments.watch {
        None => None,
        Some(address) => {
            let listener = TcpListener::bind(address).await.map_err(|error| cannot(address, &error))?;
            let listens = listener.local_addr().map_err(|error| cannot(address, &error))?;
            say(&format!("Metrics at http://{listens}/metrics\n"));
            Some((listener, Settings::new(settings.hosts.clone(), log)))
        }
    };
    // Before anybody is told that the server is there: who is told may stop it at once.
    let stop =
        stop().map_err(|error| Failure::new(Code::Storage, "cannot wait for signals").because(&error))?;
    let by_tls = arguments.public_url.iter().any(|url| url.starts_with("https:"));
    // Whoever reaches it from elsewhere has a proxy in between, which does TLS.
    let cookies = if address.ip().is_loopback() && !by_tls { Cookies::Plain } else { Cookies::Secure };
    let public = arguments.public_url.first().map(|url| url.trim_end_matches('/').to_string());
    // What jobs of CI have their tokens made out to, and so do not show to anybody else.
    let audiences = match &arguments.public_url[..] {
        [] => vec![format!("http://{address}")],
        urls => urls.iter().map(|url| url.trim_end_matches('/').to_string()).collect(),
    };
    let own = public.clone().unwrap_or_else(|| format!("http://{address}"));
    let forges = if arguments.team { sign_in::forges(&arguments.sign_in, &own)? } else { Forges::default() };
    let team = arguments.team.then(|| {
        let team = Team::new(store.clone(), Limits::default(), log).called(process("invar serve"));
        team.with(cookies).trusting(Issuers::new(issuers, audiences)).known_by(forges)
    });
    let router = match &team {
        Some(team) => team::router(team.clone()),
        None => invar_server::router(Site {
            store: store.clone(),
            project: match &arguments.of.apart.database {
                Some(database) => project_at(database),
                None => project(&place.store),
            },
            root: String::new(),
            policy: place.config.policy.clone(),
            default_branch: place.config.default_branch.clone(),
            log,
        }),
    };
    let edge = Edge::new(settings);
    let collecting =
        team.clone().map(|team| tokio::spawn(collector::keep_collecting(team, collector::Pace::default())));
    let watched = watch.map(|(listener, settings)| {
        let router = watch::router(Watched { edge: edge.clone(), store: store.clone(), team });
        tokio::spawn(async move { Edge::new(settings).serve(listener, router, std::future::pending()).await })
    });
    print(format!("http://{address}/\n"))?;
    if arguments.team
        && let Some(link) = first_link(&store).await.map_err(|error| place.database(&error))?
    {
        say(&format!("Nobody can sign in yet. Make the first account, within a day: {own}{link}\n"));
    }
    say(&format!("Showing {shown}. Stop with Ctrl-C.\n"));
    let ended = edge.serve(listener, router, stop).await;
    if let Some(watched) = watched {
        watched.abort();
    }
    if let Some(collecting) = collecting {
        // What it has not removed, another one will.
        collecting.abort();
    }
    store.close().await;
    ended.map_err(|error| Failure::new(Code::Storage, "the server failed").because(&error))?;
    say("Stopped.\n");
    Ok(Code::Well)
}

/// Who is believed what a job of CI is.
fn issuers(asked: &[String]) -> Result<Vec<Issuer>, Failure> {
    let known = Forge::ALL.map(|forge| Issuer { forge, url: forge.issuer().to_string() });
    let mut issuers = known.to_vec();
    for text in asked {
        issuers.push(Issuer::read(text).ok_or_else(|| {
            Failure::new(Code::Usage, format!("`{}` is no issuer", one_line(text))).help(
                "the forge's kind and address, by TLS: --trusted-issuer gitlab=https://gitlab.example.org",
            )
        })?);
    }
    Ok(issuers)
}

/// How the server meets the network.
fn settings(arguments: &Serve) -> Result<Settings, Failure> {
    let mut names = Vec::new();
    for url in &arguments.public_url {
        let name = url.parse::<reqwest::Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let name = name.and_then(|url| url.host_str().map(str::to_string)).ok_or_else(|| {
            Failure::new(Code::Usage, format!("`{}` is no address of a server", one_line(url)))
                .help("as browsers ask for it: --public-url https://invar.example.org")
        })?;
        names.push(name);
    }
    let asked = arguments.requests_per_minute.or(arguments.team.then_some(REQUESTS_PER_MINUTE));
    Ok(Settings {
        requests_per_minute: asked.filter(|asked| *asked > 0),
        proxies: arguments.trusted_proxy.iter().map(|address| address.to_canonical()).collect(),
        access: arguments.access_log.then_some(tell),
        ..Settings::new(Hosts::of_this_machine().and(names), log)
    })
}

/// What this process is called where it says who did something: `invar work on build-1, process 4242`.
pub(super) fn process(command: &str) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => format!("{command}, process {}", std::process::id()),
        host => format!("{command} on {host}, process {}", std::process::id()),
    }
}

/// What went wrong on this side.
pub(super) fn log(line: &str) {
    say(&format!("invar: {line}\n"));
}

/// A request, as a line of JSON.
fn tell(access: &Access) {
    let line = serde_json::json!({
        "at": jiff::Timestamp::now().to_string(),
        "address": access.address.map(|address| address.to_string()),
        "method": access.method.as_str(),
        "path": access.path,
        "status": access.status.as_u16(),
        "ms": access.took.as_secs_f64() * 1000.0,
    });
    say(&format!("{line}\n"));
}

/// Ready at Ctrl-C, or when a service manager says to stop.
pub(super) fn stop() -> std::io::Result<impl Future<Output = ()>> {
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
