//! Lets a regression on a branch pass, with a reason, and takes that back.

use axum::http::StatusCode;
use invar_core::compare::Verdict;
use invar_core::report::ReportOptions;
use invar_store::NewAcknowledgement;

use super::Team;
use super::site::project_of;
use super::visit::{Fields, Right, Visit, field};
use crate::answer::{Answer, elsewhere};
use crate::pages::theme::is_here;
use crate::problem::Problem;

/// The longest reason, in bytes.
const REASON_BYTES: usize = 2000;

/// What a form beside a regression sends.
pub async fn acknowledge(team: Team, mut visit: Visit, fields: Fields) -> Answer {
    let (project, _) = project_of(&visit.asked.path);
    let entered = visit.enter(&project, Right::Acknowledge, &team).await?;
    visit.person()?;
    let back = field(&fields, "back");
    let back = if is_here(back) { back.to_string() } else { format!("/{}", entered.about.name) };
    if let Some(number) = fields.get("undo") {
        // One that was taken back meanwhile is as it should be.
        if let Ok(number) = number.parse() {
            entered.store.undo_acknowledgement(number, visit.by()).await?;
        }
        return elsewhere(StatusCode::SEE_OTHER, &back);
    }
    let reason = field(&fields, "reason");
    if reason.is_empty() || reason.len() > REASON_BYTES {
        let why = format!("A regression is acknowledged with a reason, of {REASON_BYTES} bytes at most.");
        return Err(Problem::Unusable(why));
    }
    let app = team.shown(&entered.store, &entered.about).app;
    let base = app.run(field(&fields, "base")).await?;
    let head = app.run(field(&fields, "run")).await?;
    let Some(branch) = app.acknowledgeable(&head).await? else {
        let why = "Regressions are acknowledged on a branch that is to be merged, and this run is of none.";
        return Err(Problem::Unusable(why.to_string()));
    };
    let benchmark = field(&fields, "benchmark");
    let report = app.report(&base, &head, ReportOptions::default()).await?;
    let row = report.rows.iter().find(|row| row.judged.benchmark.id == benchmark);
    let blocks = row.filter(|row| row.judged.verdict == Verdict::Regressed && row.judged.blocking);
    let Some(reading) = blocks.and_then(|row| row.judged.head) else {
        return Err(Problem::Unusable(format!("`{benchmark}` has no regression here that blocks.")));
    };
    let new = NewAcknowledgement {
        branch: &branch,
        benchmark,
        run: &head.id,
        cycles: reading.cost.total().0,
        reason,
    };
    entered.store.acknowledge(new, visit.by()).await?;
    elsewhere(StatusCode::SEE_OTHER, &back)
}
