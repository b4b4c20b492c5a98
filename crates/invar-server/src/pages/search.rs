//! Everything that has a text in its name: benchmarks, commits, branches and parts of the site. As a page, and as JSON for
//! whoever types.

use askama::Template;
use invar_store::Trees;
use serde_json::json;

use super::frame::Frame;
use super::runs::BRANCHES;
use crate::answer::{Answer, json_text, page};
use crate::app::App;
use crate::asked::{Asked, Form};
use crate::problem::Problem;
use crate::words::short;

/// How many of each kind are found on a page, and while somebody types.
const ON_A_PAGE: u32 = 50;
const WHILE_TYPING: u32 = 6;

#[derive(Template)]
#[template(path = "search.html")]
struct Page {
    frame: Frame,
    query: String,
    kinds: Vec<(&'static str, Vec<Found>)>,
    nothing: bool,
}

/// Something that was found.
struct Found {
    name: String,
    about: String,
    href: String,
}

/// The page.
pub async fn search(app: App, asked: Asked) -> Answer {
    let query = asked.value("q").unwrap_or_default().to_string();
    let limit = if asked.form == Form::Html { ON_A_PAGE } else { WHILE_TYPING };
    let kinds = find(&app, &query, limit).await?;
    if asked.form == Form::Json {
        let found = kinds.iter().flat_map(|(kind, all)| {
            all.iter().map(move |found| {
                json!({"kind": kind, "name": found.name, "about": found.about, "href": found.href})
            })
        });
        let found: Vec<_> = found.collect();
        return json_text(format!("{}\n", json!({"invar_search": 1, "query": query, "found": found})));
    }
    let mut frame = Frame::new(&app, &asked, "Search", "");
    frame.twins.truncate(1);
    page(&Page { frame, nothing: kinds.iter().all(|(_, found)| found.is_empty()), query, kinds })
}

async fn find(app: &App, query: &str, limit: u32) -> Result<Vec<(&'static str, Vec<Found>)>, Problem> {
    let links = app.links();
    let names = app.names().await?;
    let mut benchmarks: Vec<Found> = Vec::new();
    for name in app.store().benchmarks_with(query, limit).await? {
        let today = names.today(&name);
        // By a name that it had, it is found as well.
        let about = if today == name { String::new() } else { format!("was {name}") };
        if !names.is_archived(today) && benchmarks.iter().all(|found| found.name != today) {
            benchmarks.push(Found { href: links.benchmark(today), about, name: today.to_string() });
        }
    }
    let commits = app.store().commits_with(query, Trees::Clean, limit).await?;
    let commits = commits.into_iter().filter_map(|run| {
        let commit = run.commit?;
        let href = links.commit(&commit);
        Some(Found { name: short(&commit).to_string(), about: run.message.unwrap_or_default(), href })
    });
    let lower = query.to_lowercase();
    let branches = app.store().branches(BRANCHES).await?.into_iter();
    let branches = branches.filter(|branch| branch.to_lowercase().contains(&lower)).take(limit as usize);
    let branches = branches.map(|name| Found { href: links.pull(&name), about: String::new(), name });
    Ok(vec![("benchmark", benchmarks), ("commit", commits.collect()), ("branch", branches.collect())])
}
