//! A feed of commits that changed a benchmark, for readers of feeds.

use askama::Template;
use invar_core::number::plural;
use invar_core::report::Judgement;
use invar_core::run::Timestamp;
use invar_store::Listing;

use crate::address::Links;
use crate::answer::{Answer, typed};
use crate::app::App;
use crate::asked::Asked;
use crate::words::{plain, rfc3339, short};

/// How far back it goes.
const COMMITS: u32 = 50;

#[derive(Template)]
#[template(path = "changes.xml")]
struct Feed {
    project: String,
    root: String,
    updated: String,
    entries: Vec<Entry>,
}

struct Entry {
    id: String,
    title: String,
    link: String,
    updated: String,
    text: String,
}

/// The feed.
pub async fn atom(app: App, asked: Asked) -> Answer {
    let listing = Listing { branch: app.branch().await?, limit: COMMITS + 1, ..Listing::default() };
    let commits = app.store().commits(&listing).await?;
    let judgements = app.judgements(&commits, None).await?;
    let root = match &asked.visitor {
        Some(visitor) => visitor.server.clone(),
        None => asked.host.as_ref().map_or_else(String::new, |host| format!("http://{host}")),
    };
    let entries: Vec<Entry> =
        judgements.iter().filter_map(|judgement| entry(judgement, &root, app.links())).collect();
    let updated = commits.first().map_or(Timestamp(0), |run| run.started);
    let root = format!("{root}{}", app.links().root());
    let feed = Feed { project: for_xml(app.project()), root, updated: rfc3339(updated), entries };
    Ok(typed("application/atom+xml; charset=utf-8", feed.render()?))
}

fn entry(judgement: &Judgement, root: &str, links: &Links) -> Option<Entry> {
    let (base, brief) = (judgement.base.as_ref()?, judgement.brief.as_ref()?);
    let counts = brief.counts;
    if counts.regressed + counts.improved == 0 {
        return None;
    }
    let commit = judgement.run.commit.as_deref().unwrap_or(&judgement.run.id);
    let message = judgement.run.message.as_deref().unwrap_or_default();
    Some(Entry {
        id: for_xml(&format!("tag:invar,2026:{}:{}", base.id, judgement.run.id)),
        title: for_xml(&format!(
            "{} improved, {} regressed: {} {message}",
            counts.improved,
            counts.regressed,
            short(commit)
        )),
        link: for_xml(&format!("{root}{}", links.compare(&base.id, &judgement.run.id))),
        updated: rfc3339(judgement.run.started),
        text: for_xml(&format!(
            "{}. Of {} {} improved and {} regressed against {}.",
            plain(&brief.headline),
            plural(judgement.run.measured, "benchmark"),
            counts.improved,
            counts.regressed,
            base.title
        )),
    })
}

/// XML has no way at all to write most control characters.
fn for_xml(text: &str) -> String {
    let allowed = |character: &char| !character.is_control() && !matches!(character, '\u{fffe}' | '\u{ffff}');
    text.chars().filter(allowed).collect()
}
