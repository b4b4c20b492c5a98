//! The pages of all projects: each project's below its own address, and the list of them.
//!
//! A project's pages are those of [`crate::router`], which know nothing of accounts. What was read for them is kept as long
//! as the project's settings are as they were, for a few projects at a time.

use std::sync::{Mutex, PoisonError};

use askama::Template;
use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use invar_core::wire::config;
use invar_store::{Project, Store, Visibility};
use tower::ServiceExt;

use super::Team;
use super::problem::ApiProblem;
use super::visit::{NOWHERE, Right, Visit};
use crate::address::Links;
use crate::answer::{Answer, elsewhere, page};
use crate::app::{App, Site};
use crate::asked::Asked;
use crate::pages::frame::Frame;
use crate::pages::overview::{self, Newest};
use crate::pages::theme;
use crate::problem::Problem;
use crate::router::pages_router;

/// For how many projects it is kept what was read, and how much that may be of all of them together, in bytes.
const KEPT: usize = 64;
const KEPT_BYTES: usize = 1 << 30;
/// How often it is looked how much that is.
const LOOKED: usize = 32;
/// Of how many projects the list says how they do.
const JUDGED: usize = 50;

/// A project that is shown.
#[derive(Clone)]
pub struct Shown {
    about: Project,
    /// What its pages ask.
    pub app: App,
    router: Router,
}

impl Shown {
    /// Asks for something below the project's own address.
    pub async fn ask(self, request: Request) -> Response {
        let Ok(response) = self.router.oneshot(request).await;
        response
    }
}

/// The projects that were shown last, the last one at the end.
#[derive(Default)]
pub struct Apps(Mutex<Recent>);

#[derive(Default)]
struct Recent {
    shown: Vec<Shown>,
    /// How often a project was shown.
    times: usize,
}

impl Recent {
    /// This one, now the last; if it is kept, and still as it was.
    fn find(&mut self, about: &Project) -> Option<Shown> {
        let at = self.shown.iter().position(|shown| shown.about.name == about.name)?;
        let shown = self.shown.remove(at);
        if shown.about != *about {
            return None;
        }
        self.shown.push(shown.clone());
        Some(shown)
    }

    /// Lets go of those that were shown longest ago, as far as there are too many, or as they hold too much.
    fn forget(&mut self, most: usize) {
        let mut held = 0;
        let last = self.shown.iter().rev().take(KEPT);
        let fit = last.take_while(|shown| {
            held += shown.app.held();
            held <= most
        });
        // The last one is shown now, however much it holds.
        let fit = fit.count().max(1);
        self.shown.drain(..self.shown.len().saturating_sub(fit));
    }
}

impl Team {
    /// A project, to be shown.
    pub(super) fn shown(&self, store: &Store, about: &Project) -> Shown {
        let mut kept = self.apps().0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.times += 1;
        if kept.times.is_multiple_of(LOOKED) {
            kept.forget(KEPT_BYTES);
        }
        if let Some(shown) = kept.find(about) {
            return shown;
        }
        let config = config::read(&about.settings).unwrap_or_else(|error| {
            self.log(&format!("{}: the settings cannot be used: {error}", about.name));
            Default::default()
        });
        let app = App::new(Site {
            store: store.clone(),
            project: about.name.clone(),
            root: format!("/{}", about.name),
            policy: config.policy,
            default_branch: config.default_branch,
            log: self.logs_to(),
        });
        let router = pages_router().with_state(app.clone());
        let shown = Shown { about: about.clone(), app, router };
        kept.shown.push(shown.clone());
        kept.forget(KEPT_BYTES);
        shown
    }
}

/// `owner/name` of an address, and what follows.
pub fn project_of(path: &str) -> (String, &str) {
    let mut ends = path.match_indices('/').map(|(at, _)| at).skip(2);
    let end = ends.next().unwrap_or(path.len());
    (path[..end].trim_start_matches('/').to_string(), &path[end..])
}

/// A page of a project.
pub async fn project(team: Team, mut visit: Visit, mut request: Request) -> Answer {
    let sent = request.uri().path().to_string();
    if sent.starts_with("/api/") {
        return Ok(ApiProblem::NotFound(NOWHERE.to_string()).into_response());
    }
    let (name, rest) = project_of(&sent);
    let entered = visit.enter(&name, Right::Read, &team).await?;
    let shown = team.shown(&entered.store, &entered.about);
    let query = request.uri().query().map_or_else(String::new, |query| format!("?{query}"));
    if rest == "/" || entered.about.name != name {
        // One address for each page.
        let rest = if rest == "/" { "" } else { rest };
        return elsewhere(StatusCode::PERMANENT_REDIRECT, &format!("/{}{rest}{query}", entered.about.name));
    }
    let below = if rest.is_empty() { "/" } else { rest };
    *request.uri_mut() = format!("{below}{query}")
        .parse::<Uri>()
        .map_err(|_| Problem::Unusable("This address cannot be read.".to_string()))?;
    if let Some(visitor) = visit.asked.visitor {
        request.extensions_mut().insert(visitor);
    }
    Ok(shown.ask(request).await)
}

#[derive(Template)]
#[template(path = "projects.html")]
struct ProjectsPage {
    frame: Frame,
    rows: Vec<Row>,
    is_signed_in: bool,
    is_admin: bool,
    more: usize,
}

/// A project in the list.
struct Row {
    name: String,
    href: String,
    private: bool,
    newest: Option<Newest>,
}

/// The projects that may be seen, with how they do.
pub async fn projects(team: Team, visit: Visit, _request: Request) -> Answer {
    let projects = visit.projects(&team).await?;
    let mut rows = Vec::new();
    for about in projects.iter().take(JUDGED) {
        let Some(store) = team.store().project(&about.name).await? else { continue };
        let app = team.shown(&store, about).app;
        rows.push(Row {
            name: about.name.clone(),
            href: Links::below(&format!("/{}", about.name)).overview(),
            private: about.visibility == Visibility::Private,
            newest: overview::newest(&app).await?,
        });
    }
    page(&ProjectsPage {
        frame: Frame::of_server(&visit.asked, "Projects", "/"),
        more: projects.len() - rows.len(),
        rows,
        is_signed_in: visit.account().is_some(),
        is_admin: visit.account().is_some_and(|account| account.admin),
    })
}

/// Remembers a theme. It changes nothing but how this browser sees the site, so its form shows nothing secret.
pub async fn theme(asked: Asked, body: String) -> Response {
    theme::choose(asked, body).await
}

#[cfg(test)]
mod tests {
    use invar_core::run::Timestamp;
    use invar_store::{Location, Visibility};

    use super::*;
    use crate::answers::Kept;
    use crate::team::upload::Limits;

    #[tokio::test]
    async fn projects_shown_longest_ago_are_let_go_when_there_are_too_many_or_they_hold_too_much() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::connect(&Location::directory(folder.path())).await.unwrap();
        let team = Team::new(store.clone(), Limits::default(), |_| {});
        let about = |number: usize| Project {
            name: format!("acme/{number}"),
            visibility: Visibility::Public,
            created: Timestamp(0),
            settings: String::new(),
        };
        for number in 0..KEPT {
            team.shown(&store, &about(number));
        }
        // Shown anew, so it is not the one that goes.
        team.shown(&store, &about(0));
        team.shown(&store, &about(KEPT));
        let revision = store.revision().await.unwrap();
        let mut kept = team.apps().0.lock().unwrap();
        let names: Vec<String> = kept.shown.iter().map(|shown| shown.about.name.clone()).collect();
        assert_eq!(names.len(), KEPT);
        assert_eq!(names[KEPT - 2..], ["acme/0".to_string(), format!("acme/{KEPT}")]);
        assert!(!names.contains(&"acme/1".to_string()));
        let app = &kept.shown[0].app;
        let answer = Kept::new("text/csv", "x".repeat(1000));
        app.answers().keep("/a".to_string(), revision, answer);
        kept.forget(500);
        assert_eq!(kept.shown.len(), KEPT - 1, "the first one holds too much");
    }

    #[test]
    fn an_address_begins_with_its_project() {
        assert_eq!(project_of("/acme/demo"), ("acme/demo".to_string(), ""));
        assert_eq!(project_of("/acme/demo/"), ("acme/demo".to_string(), "/"));
        assert_eq!(project_of("/acme/demo/b/a/b.json"), ("acme/demo".to_string(), "/b/a/b.json"));
        assert_eq!(project_of("/acme"), ("acme".to_string(), ""));
    }
}
