//! A project's settings: who may read it, when a change counts, tokens, members, and what was done.

use askama::Template;
use axum::extract::Request;
use axum::http::StatusCode;
use invar_core::compare::Cause;
use invar_core::config::{Config, DEFAULT_THRESHOLD, Threshold};
use invar_core::number;
use invar_core::run::Timestamp;
use invar_core::wire::config;
use invar_store::{Entry, Member, NewToken, Role, Visibility};

use super::Team;
use super::access::now;
use super::people::{sentence, unkept};
use super::site::project_of;
use super::token::{Scope, Secret};
use super::visit::{Entered, Fields, NOWHERE, Right, Visit, field, no_randomness};
use crate::answer::{Answer, elsewhere, page};
use crate::pages::frame::Frame;
use crate::problem::Problem;
use crate::words::{moment, rfc3339};

/// The longest text of settings, and the longest name of a token, in bytes.
const SETTINGS_BYTES: usize = 32 << 10;
const TOKEN_NAME_BYTES: usize = 200;
/// How much of what was done is shown.
const ENTRIES: u32 = 200;
const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// A part of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    General,
    Policy,
    Tokens,
    Members,
    Log,
}

impl Section {
    const ALL: [Section; 5] =
        [Section::General, Section::Policy, Section::Tokens, Section::Members, Section::Log];

    /// As in the address.
    const fn name(self) -> &'static str {
        match self {
            Section::General => "general",
            Section::Policy => "policy",
            Section::Tokens => "tokens",
            Section::Members => "members",
            Section::Log => "log",
        }
    }

    /// As people read it.
    const fn title(self) -> &'static str {
        match self {
            Section::General => "General",
            Section::Policy => "Policy",
            Section::Tokens => "Tokens",
            Section::Members => "Members",
            Section::Log => "Log",
        }
    }

    fn from_name(name: &str) -> Option<Section> {
        Section::ALL.into_iter().find(|section| section.name() == name)
    }
}

/// What became of a form.
#[derive(Default)]
struct Said {
    /// What is wrong with it.
    wrong: String,
    /// What is well.
    well: String,
    /// A token that was made, to be shown this once.
    token: Option<String>,
    /// The settings as they were written, if they cannot be used.
    written: Option<String>,
}

#[derive(Template)]
#[template(path = "settings.html")]
struct Page {
    frame: Frame,
    section: Section,
    sections: [Section; 5],
    said: Said,
    project: String,
    public: bool,
    settings: String,
    meaning: Vec<(String, String)>,
    tokens: Vec<TokenRow>,
    scopes: [Scope; 3],
    members: Vec<Member>,
    roles: [Role; 3],
    accounts: Vec<String>,
    log: Vec<LogRow>,
}

struct TokenRow {
    number: i64,
    name: String,
    scopes: String,
    created: String,
    expires: String,
    used: String,
}

/// Something that was done.
pub struct LogRow {
    /// When, for people.
    pub moment: String,
    /// The same for machines.
    pub datetime: String,
    /// By whom.
    pub who: String,
    /// What.
    pub what: String,
    /// To which project.
    pub project: String,
}

impl LogRow {
    /// The row of an entry.
    pub fn of(entry: Entry) -> LogRow {
        LogRow {
            moment: moment(entry.at),
            datetime: rfc3339(entry.at),
            who: entry.who,
            what: entry.what,
            project: entry.project.unwrap_or_default(),
        }
    }
}

/// The part that an address names.
fn section_of(path: &str) -> Option<(String, Section)> {
    let (project, rest) = project_of(path);
    let name = rest.strip_prefix("/settings")?;
    let section =
        if name.is_empty() { Section::General } else { Section::from_name(name.strip_prefix('/')?)? };
    Some((project, section))
}

fn nowhere() -> Problem {
    Problem::NotFound(NOWHERE.to_string())
}

/// The page.
pub async fn settings(team: Team, mut visit: Visit, _request: Request) -> Answer {
    let (project, section) = section_of(&visit.asked.path).ok_or_else(nowhere)?;
    // Whoever may not even read it is told nothing, and whoever may reads on when they have signed in.
    visit.enter(&project, Right::Read, &team).await?;
    if visit.account().is_none() {
        return visit.sign_in();
    }
    let entered = visit.enter(&project, Right::Administer, &team).await?;
    shown(&team, &visit, &entered, section, Said::default()).await
}

async fn shown(team: &Team, visit: &Visit, entered: &Entered, section: Section, said: Said) -> Answer {
    let about = entered.store.about().await?;
    let app = team.shown(&entered.store, &about).app;
    let settings = said.written.clone().unwrap_or_else(|| about.settings.clone());
    let secret = said.token.is_some();
    let shown = page(&Page {
        frame: Frame::new(&app, &visit.asked, section.title(), "/settings").without_twins(),
        section,
        sections: Section::ALL,
        said,
        project: about.name.clone(),
        public: about.visibility == Visibility::Public,
        meaning: config::read(&settings).map(|config| meaning(&config)).unwrap_or_default(),
        settings,
        tokens: match section {
            Section::Tokens => tokens(entered).await?,
            _ => Vec::new(),
        },
        scopes: Scope::ALL,
        members: match section {
            Section::Members => entered.store.members().await?,
            _ => Vec::new(),
        },
        roles: Role::ALL,
        accounts: match section {
            // Who administers a project sees the names that they can invite; nothing else of them.
            Section::Members => team.store().accounts().await?.into_iter().map(|it| it.name).collect(),
            _ => Vec::new(),
        },
        log: match section {
            Section::Log => entered.store.audit(ENTRIES).await?.into_iter().map(LogRow::of).collect(),
            _ => Vec::new(),
        },
    })?;
    Ok(if secret { unkept(shown) } else { shown })
}

async fn tokens(entered: &Entered) -> Result<Vec<TokenRow>, Problem> {
    let never = |at: Option<Timestamp>| at.map_or_else(|| "never".to_string(), moment);
    let row = |token: invar_store::Token| TokenRow {
        number: token.number,
        name: token.name,
        scopes: token.scopes.replace(' ', ", "),
        created: moment(token.created),
        expires: never(token.expires),
        used: never(token.used),
    };
    Ok(entered.store.tokens().await?.into_iter().map(row).collect())
}

/// What settings mean, in a table beside their text.
fn meaning(config: &Config) -> Vec<(String, String)> {
    let percent = |Threshold(ratio): Threshold| number::percent(ratio);
    let branch = config.default_branch.clone().unwrap_or_else(|| "as the newest run says".to_string());
    let mut rows = vec![("Default branch".to_string(), branch)];
    let policy = &config.policy;
    let cycles = policy.thresholds.cycles.unwrap_or(DEFAULT_THRESHOLD);
    rows.push(("Cost may grow by".to_string(), percent(cycles)));
    for (event, threshold) in &policy.thresholds.events {
        rows.push((format!("{} may grow by", event.name().replace('_', " ")), percent(*threshold)));
    }
    for rule in &policy.benchmarks {
        let cycles = rule.thresholds.cycles.map(|threshold| format!("cost {}", percent(threshold)));
        let events = rule.thresholds.events.iter();
        let events = events.map(|(event, threshold)| format!("{} {}", event.name(), percent(*threshold)));
        let all: Vec<String> = cycles.into_iter().chain(events).collect();
        rows.push((format!("Where the name matches {}", rule.matches.text()), all.join(", ")));
    }
    for cause in Cause::ALL {
        let blocks = if policy.gate.causes.contains(&cause) { "blocks" } else { "does not block" };
        rows.push((format!("A regression by {}", cause.name()), blocks.to_string()));
    }
    let dropped = if policy.gate.dropped { "blocks" } else { "does not block" };
    rows.push(("A dropped benchmark".to_string(), dropped.to_string()));
    rows
}

/// Changes something.
pub async fn changes(team: Team, mut visit: Visit, fields: Fields) -> Answer {
    let (project, section) = section_of(&visit.asked.path).ok_or_else(nowhere)?;
    let entered = visit.enter(&project, Right::Administer, &team).await?;
    visit.person()?;
    let said = match section {
        Section::General => general(&visit, &entered, &fields).await?,
        Section::Policy => policy(&visit, &entered, &fields).await?,
        Section::Tokens => token(&visit, &entered, &fields).await?,
        Section::Members => member(&team, &visit, &entered, &fields).await?,
        Section::Log => return Err(Problem::Method),
    };
    if said.wrong.is_empty() && said.token.is_none() {
        // Who took their own role away is not shown what they may see no more.
        let address = format!("/{}/settings/{}", entered.about.name, section.name());
        return elsewhere(StatusCode::SEE_OTHER, &address);
    }
    let is_wrong = !said.wrong.is_empty();
    let mut response = shown(&team, &visit, &entered, section, said).await?;
    if is_wrong {
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    }
    Ok(response)
}

fn wrong(text: impl Into<String>) -> Result<Said, Problem> {
    Ok(Said { wrong: text.into(), ..Said::default() })
}

async fn general(visit: &Visit, entered: &Entered, fields: &Fields) -> Result<Said, Problem> {
    let visibility = match field(fields, "visibility") {
        "public" => Visibility::Public,
        "private" => Visibility::Private,
        _ => return wrong("A project is public or private."),
    };
    if visibility != entered.about.visibility {
        entered.store.show_to(visibility, visit.by()).await?;
    }
    Ok(Said::default())
}

async fn policy(visit: &Visit, entered: &Entered, fields: &Fields) -> Result<Said, Problem> {
    // As browsers send it.
    let text = fields.get("settings").map(|text| text.replace("\r\n", "\n")).unwrap_or_default();
    let refused = |why: String| Ok(Said { wrong: why, written: Some(text.clone()), ..Said::default() });
    if text.len() > SETTINGS_BYTES {
        return refused(format!("Settings have {SETTINGS_BYTES} bytes at most."));
    }
    if let Err(error) = config::read(&text) {
        return refused(format!("Nothing was changed. {}", sentence(&error)));
    }
    if text != entered.about.settings {
        entered.store.set_settings(&text, visit.by()).await?;
    }
    Ok(Said::default())
}

async fn token(visit: &Visit, entered: &Entered, fields: &Fields) -> Result<Said, Problem> {
    if let Some(number) = fields.get("revoke") {
        let number = number.parse::<i64>().ok();
        let gone = match number {
            Some(number) => entered.store.revoke_token(number, visit.by()).await?,
            None => false,
        };
        return if gone { Ok(Said::default()) } else { wrong("This token was revoked before.") };
    }
    let name = field(fields, "name");
    if name.is_empty() || name.len() > TOKEN_NAME_BYTES || name.chars().any(char::is_control) {
        return wrong(format!("A token has a name, of {TOKEN_NAME_BYTES} bytes at most."));
    }
    let scopes: Vec<Scope> =
        Scope::ALL.into_iter().filter(|scope| fields.contains_key(scope.name())).collect();
    if scopes.is_empty() {
        return wrong("A token permits something: choose a scope.");
    }
    let expires = match field(fields, "days") {
        "" => None,
        days => match days.parse::<u16>().ok().filter(|days| *days > 0) {
            Some(days) => Some(Timestamp(now().0 + i64::from(days) * DAY_US)),
            None => return wrong("The days are a whole number, from 1 to 65535."),
        },
    };
    let secret = Secret::draw().ok_or_else(no_randomness)?;
    let token = NewToken { name, digest: &secret.digest(), scopes: &Scope::text(&scopes), expires };
    entered.store.create_token(&token, visit.by()).await?;
    let well = format!("The token “{name}” was made. It is shown this once: copy it now.");
    Ok(Said { well, token: Some(secret.text().to_string()), ..Said::default() })
}

async fn member(team: &Team, visit: &Visit, entered: &Entered, fields: &Fields) -> Result<Said, Problem> {
    let name = fields.get("remove").map_or_else(|| field(fields, "name"), String::as_str);
    let Some((account, _)) = team.store().account(name).await? else {
        return wrong(format!("There is no account “{name}”. Administrators of the server make accounts."));
    };
    if fields.contains_key("remove") {
        let gone = entered.store.remove_member(&account, visit.by()).await?;
        return if gone { Ok(Said::default()) } else { wrong(format!("{name} was no member.")) };
    }
    let Some(role) = Role::from_name(field(fields, "role")) else {
        return wrong("A role is reader, writer or admin.");
    };
    entered.store.set_member(&account, role, visit.by()).await?;
    Ok(Said::default())
}
