//! What programs ask about what holds for a project: its settings, for how long it keeps runs, and its members.

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use invar_core::wire::config;
use invar_store::{By, Retention, Role, Store, Visibility};
use serde_json::{Value, json};

use super::Team;
use super::access::now;
use super::api::{ApiAnswer, Parts, administered, entered, gone, json_answer, json_of, query_of, small};
use super::people::sentence;
use super::problem::ApiProblem;
use super::retention::{Preview, preview};
use super::settings::SETTINGS_BYTES;
use super::token::Scope;
use crate::problem::Problem;

/// Who may read the project, and the text of an `invar.toml` that it is judged by.
pub async fn settings(State(team): State<Team>, Path(parts): Parts, headers: HeaderMap) -> ApiAnswer {
    let store = entered(&team, &parts, &headers, Scope::Admin).await?;
    settings_of(&store).await
}

async fn settings_of(store: &Store) -> ApiAnswer {
    let about = store.about().await?;
    Ok(json_answer(&json!({"visibility": about.visibility.name(), "text": about.settings})))
}

/// Changes them: `{"visibility": "public", "text": "[server]\n..."}`; what is missing stays.
pub async fn set_settings(
    State(team): State<Team>,
    Path(parts): Parts,
    headers: HeaderMap,
    body: Body,
) -> ApiAnswer {
    let (store, asker) = administered(&team, &parts, &headers).await?;
    // A character may be written as six.
    let wanted = json_of(&team, &headers, body, 6 * SETTINGS_BYTES).await?;
    let visibility = match &wanted["visibility"] {
        Value::Null => None,
        text => match [Visibility::Public, Visibility::Private].into_iter().find(|it| text == it.name()) {
            Some(visibility) => Some(visibility),
            None => return unusable("`visibility` is public or private."),
        },
    };
    let text = match &wanted["text"] {
        Value::Null => None,
        Value::String(text) if text.len() <= SETTINGS_BYTES => Some(text),
        _ => return unusable(format!("`text` is a text of {SETTINGS_BYTES} bytes at most.")),
    };
    if let Some(Err(error)) = text.map(|text| config::read(text)) {
        return Err(ApiProblem::Unusable(format!("Nothing was changed. {}", sentence(&error))));
    }
    let about = store.about().await?;
    let who = asker.who();
    let by = By { who: &who, at: now() };
    if let Some(visibility) = visibility.filter(|visibility| *visibility != about.visibility) {
        store.show_to(visibility, by).await?;
    }
    if let Some(text) = text.filter(|text| **text != about.settings) {
        store.set_settings(text, by).await?;
    }
    settings_of(&store).await
}

fn unusable<T>(why: impl Into<String>) -> Result<T, ApiProblem> {
    Err(ApiProblem::Unusable(why.into()))
}

/// For how long runs and profiles are kept, and what would go today; with `runs_days` or `profiles_days` behind the question
/// mark what would go if that held.
pub async fn retention(
    State(team): State<Team>,
    Path(parts): Parts,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> ApiAnswer {
    let store = entered(&team, &parts, &headers, Scope::Admin).await?;
    let query = query_of(query);
    let asked = |name: &str| query.get(name).map(|text| days(text.parse().ok())).transpose();
    let (runs_days, profiles_days) = (asked("runs_days")?, asked("profiles_days")?);
    let shown = match (runs_days, profiles_days) {
        (None, None) => store.retention().await?,
        (runs_days, profiles_days) => Retention { runs_days, profiles_days },
    };
    retention_of(&team, &store, shown).await
}

async fn retention_of(team: &Team, store: &Store, shown: Retention) -> ApiAnswer {
    let seen = preview(team, store, shown).await.map_err(|problem| match problem {
        Problem::Store(error) => ApiProblem::from(error),
        problem => ApiProblem::Inside(problem.for_the_log().unwrap_or_else(|| problem.to_string())),
    })?;
    let Preview { branch, would_go } = seen;
    Ok(json_answer(&json!({
        "runs_days": shown.runs_days, "profiles_days": shown.profiles_days, "branch": branch,
        "would_go": {"runs": would_go.runs, "profiles": would_go.profiles},
    })))
}

/// Days as they may be.
fn days(number: Option<u64>) -> Result<u32, ApiProblem> {
    match number.and_then(|number| u16::try_from(number).ok()) {
        Some(days) if days > 0 => Ok(days.into()),
        _ => unusable("Days are a whole number from 1 to 65535; without it something is kept for ever."),
    }
}

/// Keeps them so long: `{"runs_days": 90, "profiles_days": 30}`; what is missing is kept for ever. Nothing goes by that.
pub async fn set_retention(
    State(team): State<Team>,
    Path(parts): Parts,
    headers: HeaderMap,
    body: Body,
) -> ApiAnswer {
    let (store, asker) = administered(&team, &parts, &headers).await?;
    let wanted = small(&team, &headers, body).await?;
    if !wanted.is_object() {
        return unusable("The body is an object.");
    }
    let asked = |name: &str| match &wanted[name] {
        Value::Null => Ok(None),
        number => days(number.as_u64()).map(Some),
    };
    let kept = Retention { runs_days: asked("runs_days")?, profiles_days: asked("profiles_days")? };
    if kept != store.retention().await? {
        store.set_retention(kept, By { who: &asker.who(), at: now() }).await?;
    }
    retention_of(&team, &store, kept).await
}

/// The members, by name.
pub async fn members(State(team): State<Team>, Path(parts): Parts, headers: HeaderMap) -> ApiAnswer {
    let store = entered(&team, &parts, &headers, Scope::Admin).await?;
    let members: Vec<Value> = store
        .members()
        .await?
        .into_iter()
        .map(|member| json!({"name": member.name, "role": member.role.name()}))
        .collect();
    Ok(json_answer(&json!({"members": members})))
}

fn no_account() -> ApiProblem {
    ApiProblem::NotFound("There is no such account. Administrators of the server make accounts.".to_string())
}

/// Makes an account a member, or one as something else: `{"role": "writer"}`.
pub async fn set_member(
    State(team): State<Team>,
    Path(parts): Parts,
    headers: HeaderMap,
    body: Body,
) -> ApiAnswer {
    let (store, asker) = administered(&team, &parts, &headers).await?;
    let wanted = small(&team, &headers, body).await?;
    let Some(role) = wanted["role"].as_str().and_then(Role::from_name) else {
        return unusable("A `role` is reader, writer or admin.");
    };
    let (account, _) = team.store().account(&parts["account"]).await?.ok_or_else(no_account)?;
    store.set_member(&account, role, By { who: &asker.who(), at: now() }).await?;
    Ok(json_answer(&json!({"name": account.name, "role": role.name()})))
}

/// Takes an account out of the members.
pub async fn remove_member(State(team): State<Team>, Path(parts): Parts, headers: HeaderMap) -> ApiAnswer {
    let (store, asker) = administered(&team, &parts, &headers).await?;
    let Some((account, _)) = team.store().account(&parts["account"]).await? else { return Err(no_account()) };
    let is_gone = store.remove_member(&account, By { who: &asker.who(), at: now() }).await?;
    gone(is_gone, "This account is no member.")
}
