//! A project's settings: who may read it, when a change counts, tokens, members, and what was done.

use askama::Template;
use axum::extract::Request;
use axum::http::StatusCode;
use invar_core::compare::Cause;
use invar_core::config::{Config, DEFAULT_THRESHOLD, Threshold};
use invar_core::history::Series;
use invar_core::number;
use invar_core::run::Timestamp;
use invar_core::wire::config;
use invar_store::{
    Entry, Expired, IgnoredBenchmark, Member, NameError, Naming, NewPublisher, NewToken, Publisher,
    Retention, Role, Visibility,
};

use super::Team;
use super::access::now;
use super::ignore;
use super::people::{sentence, unkept};
use super::publish;
use super::publish::issuers::Issuer;
use super::retention::{Preview, preview};
use super::site::project_of;
use super::token::{Scope, Secret};
use super::upload;
use super::visit::{Entered, Fields, NOWHERE, Right, Visit, field, no_randomness};
use crate::answer::{Answer, elsewhere, page};
use crate::app::App;
use crate::pages::benchmarks::COMMITS;
use crate::pages::frame::Frame;
use crate::problem::Problem;
use crate::words::{moment, rfc3339};

/// The longest text of settings, and the longest name of a token, in bytes.
pub(super) const SETTINGS_BYTES: usize = 32 << 10;
const TOKEN_NAME_BYTES: usize = 200;
/// How much of what was done is shown.
const ENTRIES: u32 = 200;
const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// A part of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    General,
    Policy,
    Benchmarks,
    Tokens,
    Publishers,
    Members,
    Retention,
    Log,
}

impl Section {
    const ALL: [Section; 8] = [
        Section::General,
        Section::Policy,
        Section::Benchmarks,
        Section::Tokens,
        Section::Publishers,
        Section::Members,
        Section::Retention,
        Section::Log,
    ];

    /// As in the address.
    const fn name(self) -> &'static str {
        match self {
            Section::General => "general",
            Section::Policy => "policy",
            Section::Benchmarks => "benchmarks",
            Section::Tokens => "tokens",
            Section::Publishers => "publishers",
            Section::Members => "members",
            Section::Retention => "retention",
            Section::Log => "log",
        }
    }

    /// As people read it.
    const fn title(self) -> &'static str {
        match self {
            Section::General => "General",
            Section::Policy => "Policy",
            Section::Benchmarks => "Benchmarks",
            Section::Tokens => "Tokens",
            Section::Publishers => "Publishers",
            Section::Members => "Members",
            Section::Retention => "Retention",
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
    /// For how long what is measured would be kept, to see what that means.
    retention: Option<Retention>,
}

#[derive(Template)]
#[template(path = "settings.html")]
struct Page {
    frame: Frame,
    section: Section,
    sections: [Section; 8],
    said: Said,
    project: String,
    public: bool,
    settings: String,
    meaning: Vec<(String, String)>,
    tokens: Vec<TokenRow>,
    benchmarks: Benchmarks,
    scopes: [Scope; 3],
    publishers: Vec<PublisherRow>,
    issuers: Vec<Issuer>,
    members: Vec<Member>,
    roles: [Role; 3],
    accounts: Vec<String>,
    retention: Kept,
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

/// What is decided about the names of benchmarks, and may be.
#[derive(Default)]
struct Benchmarks {
    /// The one that is asked about; empty: none.
    asked: String,
    /// Those that are in the newest commits, to choose from.
    known: Vec<String>,
    /// Those of them that are not in the newest one, and when they were measured last.
    missing: Vec<(String, String)>,
    decided: Vec<NamingRow>,
    ignored: Vec<IgnoredRow>,
}

/// A benchmark that is ignored.
struct IgnoredRow {
    number: i64,
    benchmark: String,
    reason: String,
    who: String,
    when: String,
}

/// A decision.
struct NamingRow {
    number: i64,
    benchmark: String,
    becomes: Option<String>,
    who: String,
    when: String,
}

/// For how long what is measured is kept, and what that means today.
#[derive(Default)]
struct Kept {
    runs_days: String,
    profiles_days: String,
    /// Is it so, or is it only looked at?
    is_saved: bool,
    /// The branch whose runs stay; empty: nobody knows.
    branch: String,
    would: Expired,
}

/// A publisher that is trusted.
struct PublisherRow {
    number: i64,
    repository: String,
    /// How its forge calls its CI, or who signs for it if that is nobody whom this server trusts.
    forge: String,
    reference: String,
    environment: String,
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
    let proposed = said.retention;
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
        benchmarks: match section {
            Section::Benchmarks => benchmarks(visit, entered, &app).await?,
            _ => Benchmarks::default(),
        },
        scopes: Scope::ALL,
        publishers: match section {
            Section::Publishers => publishers(team, entered).await?,
            _ => Vec::new(),
        },
        issuers: team.issuers().all().to_vec(),
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
        retention: match section {
            Section::Retention => kept(team, entered, proposed).await?,
            _ => Kept::default(),
        },
        log: match section {
            Section::Log => entered.store.audit(ENTRIES).await?.into_iter().map(LogRow::of).collect(),
            _ => Vec::new(),
        },
    })?;
    Ok(if secret { unkept(shown) } else { shown })
}

fn never(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "never".to_string(), moment)
}

async fn kept(team: &Team, entered: &Entered, proposed: Option<Retention>) -> Result<Kept, Problem> {
    let saved = entered.store.retention().await?;
    let shown = proposed.unwrap_or(saved);
    let Preview { branch, would_go } = preview(team, &entered.store, shown).await?;
    let days = |days: Option<u32>| days.map_or_else(String::new, |days| days.to_string());
    Ok(Kept {
        runs_days: days(shown.runs_days),
        profiles_days: days(shown.profiles_days),
        is_saved: shown == saved,
        would: would_go,
        branch: branch.unwrap_or_default(),
    })
}

async fn benchmarks(visit: &Visit, entered: &Entered, app: &App) -> Result<Benchmarks, Problem> {
    let branch = app.branch().await?;
    let recent = app.recent(branch.as_deref(), COMMITS).await?;
    let series = match &recent {
        Some(recent) => app.histories(recent).await?,
        None => Default::default(),
    };
    let newest = recent.as_ref().and_then(|recent| recent.runs.last()).map(|run| run.id.as_str());
    let last =
        |series: &Series| series.newest().map(|point| (point.run.id.clone(), moment(point.run.started)));
    let row = |one: Naming| NamingRow {
        number: one.number,
        benchmark: one.benchmark,
        becomes: one.becomes,
        who: one.who,
        when: moment(one.at),
    };
    let ignored = |one: IgnoredBenchmark| IgnoredRow {
        number: one.number,
        benchmark: one.benchmark,
        reason: one.reason,
        who: one.who,
        when: moment(one.at),
    };
    Ok(Benchmarks {
        asked: visit.asked.value("benchmark").unwrap_or_default().to_string(),
        missing: series
            .iter()
            .filter_map(|series| Some((series.benchmark.clone(), last(series)?)))
            .filter(|(_, (run, _))| Some(run.as_str()) != newest)
            .map(|(benchmark, (_, when))| (benchmark, when))
            .collect(),
        known: series.iter().map(|series| series.benchmark.clone()).collect(),
        decided: entered.store.namings().await?.into_iter().map(row).collect(),
        ignored: entered.store.ignored().await?.into_iter().map(ignored).collect(),
    })
}

async fn publishers(team: &Team, entered: &Entered) -> Result<Vec<PublisherRow>, Problem> {
    let row = |one: Publisher| PublisherRow {
        number: one.number,
        forge: match team.issuers().all().iter().find(|issuer| issuer.url == one.issuer) {
            Some(issuer) if issuer.url == issuer.forge.issuer() => issuer.forge.title().to_string(),
            Some(issuer) => format!("{}, {}", issuer.forge.title(), issuer.url),
            None => format!("{}, which this server does not trust", one.issuer),
        },
        repository: one.repository,
        reference: one.reference,
        environment: one.environment,
        used: never(one.used),
    };
    Ok(entered.store.publishers().await?.into_iter().map(row).collect())
}

async fn tokens(entered: &Entered) -> Result<Vec<TokenRow>, Problem> {
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
        Section::Benchmarks => benchmark(&visit, &entered, &fields).await?,
        Section::Tokens => token(&visit, &entered, &fields).await?,
        Section::Publishers => publisher(&team, &visit, &entered, &fields).await?,
        Section::Members => member(&team, &visit, &entered, &fields).await?,
        Section::Retention => retention(&visit, &entered, &fields).await?,
        Section::Log => return Err(Problem::Method),
    };
    if said.wrong.is_empty() && said.token.is_none() && said.retention.is_none() {
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

async fn retention(visit: &Visit, entered: &Entered, fields: &Fields) -> Result<Said, Problem> {
    let days = |name| match field(fields, name) {
        "" => Some(None),
        text => text.parse::<u16>().ok().filter(|days| *days > 0).map(|days| Some(u32::from(days))),
    };
    let (Some(runs_days), Some(profiles_days)) = (days("runs"), days("profiles")) else {
        return wrong("The days are a whole number, from 1 to 65535; nothing is for ever.");
    };
    let wanted = Retention { runs_days, profiles_days };
    if field(fields, "act") != "save" {
        return Ok(Said { retention: Some(wanted), ..Said::default() });
    }
    if wanted != entered.store.retention().await? {
        entered.store.set_retention(wanted, visit.by()).await?;
    }
    Ok(Said::default())
}

async fn benchmark(visit: &Visit, entered: &Entered, fields: &Fields) -> Result<Said, Problem> {
    if let Some(number) = fields.get("undo") {
        let undone = match number.parse::<i64>() {
            Ok(number) => entered.store.undo_naming(number, visit.by()).await?,
            Err(_) => false,
        };
        return if undone { Ok(Said::default()) } else { wrong("That was taken back before.") };
    }
    if let Some(number) = fields.get("regard") {
        let undone = match number.parse::<i64>() {
            Ok(number) => entered.store.undo_ignoring(number, visit.by()).await?,
            Err(_) => false,
        };
        return if undone { Ok(Said::default()) } else { wrong("That was taken back before.") };
    }
    if let Some(benchmark) = fields.get("ignore").map(|name| name.trim()) {
        let reason = field(fields, "reason");
        if let Err(refused) = upload::name("The name of a benchmark", benchmark) {
            return wrong(sentence(&refused));
        }
        if let Some(why) = ignore::refusal(reason) {
            return wrong(why);
        }
        if entered.store.ways(benchmark).await?.is_empty() {
            return wrong(format!("No run calls a benchmark “{benchmark}”."));
        }
        entered.store.ignore_benchmark(benchmark, reason, visit.by()).await?;
        return Ok(Said::default());
    }
    let archived = fields.get("archive").map(|name| name.trim());
    let (benchmark, becomes) =
        (archived.unwrap_or_else(|| field(fields, "benchmark")), field(fields, "becomes"));
    for name in std::iter::once(benchmark).chain(archived.is_none().then_some(becomes)) {
        if let Err(refused) = upload::name("The name of a benchmark", name) {
            return wrong(sentence(&refused));
        }
    }
    // What was mistyped would be kept, and change nothing.
    if entered.store.ways(benchmark).await?.is_empty() {
        return wrong(format!("No run calls a benchmark “{benchmark}”."));
    }
    let decided = match archived {
        Some(benchmark) => entered.store.archive_benchmark(benchmark, visit.by()).await,
        None => entered.store.rename_benchmark(benchmark, becomes, visit.by()).await,
    };
    match decided {
        Ok(_) => Ok(Said::default()),
        Err(NameError::Database(error)) => Err(error.into()),
        Err(error) => wrong(format!("“{benchmark}” stays as it is: {error}.")),
    }
}

async fn publisher(team: &Team, visit: &Visit, entered: &Entered, fields: &Fields) -> Result<Said, Problem> {
    if let Some(number) = fields.get("remove") {
        let gone = match number.parse::<i64>() {
            Ok(number) => entered.store.remove_publisher(number, visit.by()).await?,
            Err(_) => false,
        };
        return if gone { Ok(Said::default()) } else { wrong("This publisher was removed before.") };
    }
    let asked = field(fields, "issuer");
    let Some(issuer) = team.issuers().all().iter().find(|issuer| issuer.url == asked) else {
        return wrong("This server does not trust this issuer.");
    };
    let new = NewPublisher {
        forge: issuer.forge.name(),
        issuer: &issuer.url,
        repository: field(fields, "repository"),
        reference: field(fields, "ref"),
        environment: field(fields, "environment"),
    };
    if let Some(refusal) = publish::refusal(new) {
        return wrong(refusal);
    }
    match entered.store.create_publisher(new, visit.by()).await? {
        Some(_) => Ok(Said::default()),
        None => wrong("This publisher is trusted already."),
    }
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
