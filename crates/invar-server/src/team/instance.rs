//! What administrators of a server see of it: how much it keeps and in what, what it does from time to time, whether it is
//! well, and when it was last copied elsewhere. To everybody else it is not there.

use askama::Template;
use axum::extract::Request;
use axum::http::StatusCode;
use invar_core::number::count;
use invar_core::run::Timestamp;
use invar_store::{Connections, Duty, Storage};
use serde_json::{Value, json};

use super::Team;
use super::access::now;
use super::collector::{COLLECTION, RETENTION};
use super::visit::{Fields, Visit, field};
use crate::answer::{Answer, elsewhere, json_text, page};
use crate::asked::Form;
use crate::pages::frame::Frame;
use crate::problem::Problem;
use crate::words::{moment, rfc3339};

/// What is done when somebody does it.
pub const BACKUP: &str = "backup";

/// What is done from time to time: how the store calls it, how people do, and what it is.
const DUTIES: [(&str, &str, &str); 3] = [
    (RETENTION, "Retention", "removes what projects do not keep any longer"),
    (COLLECTION, "Collector", "removes blobs that no row names, and counts the others"),
    (BACKUP, "Backup", "copies everything elsewhere: invar admin backup"),
];

#[derive(Template)]
#[template(path = "instance.html")]
struct Page {
    frame: Frame,
    version: &'static str,
    who: String,
    storage: Storage,
    connections: Connections,
    /// Why runs cannot be kept now, if they cannot.
    unwell: Option<String>,
    duties: Vec<Row>,
    wrong: String,
}

/// What is done from time to time, as it was the last time.
struct Row {
    name: &'static str,
    title: &'static str,
    what: &'static str,
    state: State,
    who: String,
    /// When it began: for people, and for machines.
    began: Option<(String, String)>,
    said: String,
    next: String,
    /// May it be asked for?
    may_be_hastened: bool,
    duty: Option<Duty>,
}

/// How it is with a duty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Never,
    UnderWay,
    CutOff,
    Failed,
    Well,
}

impl State {
    fn of(duty: Option<&Duty>, now: Timestamp) -> State {
        match duty {
            Some(duty) if duty.began.is_none() => State::Never,
            Some(duty) if duty.ended.is_none() && duty.taken > now => State::UnderWay,
            Some(duty) if duty.ended.is_none() => State::CutOff,
            Some(duty) if duty.outcome.failed => State::Failed,
            Some(_) => State::Well,
            None => State::Never,
        }
    }

    /// As it is said on the page and in its twin.
    const fn name(self) -> &'static str {
        match self {
            State::Never => "not yet",
            State::UnderWay => "under way",
            State::CutOff => "cut off",
            State::Failed => "failed",
            State::Well => "done",
        }
    }
}

impl Row {
    fn of(known: (&'static str, &'static str, &'static str), duties: &[Duty], now: Timestamp) -> Row {
        let (name, title, what) = known;
        let duty = duties.iter().find(|duty| duty.name == name).cloned();
        let state = State::of(duty.as_ref(), now);
        let is_taken_in_turns = name != BACKUP;
        let next = match &duty {
            _ if !is_taken_in_turns => "when somebody does it".to_string(),
            _ if state == State::UnderWay => "now".to_string(),
            Some(duty) if duty.due > now => moment(duty.due),
            _ => "within ten minutes".to_string(),
        };
        Row {
            name,
            title,
            what,
            state,
            who: duty.as_ref().map(|duty| duty.who.clone()).unwrap_or_default(),
            began: duty.as_ref().and_then(|duty| duty.began).map(|at| (moment(at), rfc3339(at))),
            // While it is done, that is how it ended before.
            said: match state {
                State::Failed | State::Well => {
                    duty.as_ref().map(|duty| duty.outcome.said.clone()).unwrap_or_default()
                }
                State::CutOff => "Whoever did it was stopped. Another one does it again.".to_string(),
                State::Never | State::UnderWay => String::new(),
            },
            next,
            may_be_hastened: is_taken_in_turns && duty.is_some() && state != State::UnderWay,
            duty,
        }
    }

    fn data(&self) -> Value {
        let at = |at: Option<Timestamp>| at.map(|at| at.0);
        let duty = self.duty.as_ref();
        json!({
            "name": self.name,
            "state": self.state.name(),
            "who": self.who,
            "began_us": at(duty.and_then(|duty| duty.began)),
            "ended_us": at(duty.and_then(|duty| duty.ended)),
            "due_us": at(duty.map(|duty| duty.due).filter(|_| self.name != BACKUP)),
            "said": self.said,
        })
    }
}

impl Page {
    /// How much there is: of what, when it was counted if not now, and how much.
    fn figures(&self) -> Vec<(String, String, String)> {
        let rows =
            self.storage.rows.iter().map(|(what, figure)| (what.to_string(), String::new(), many(*figure)));
        let database = ("database, with its indices".to_string(), String::new(), bytes(self.storage.bytes));
        let shelves = self.storage.shelves.iter().map(|shelf| {
            let figure = format!("{}, {}", many(shelf.blobs), bytes(shelf.bytes));
            (format!("blobs in {}/", shelf.kind), moment(shelf.at), figure)
        });
        rows.chain([database]).chain(shelves).collect()
    }

    fn data(&self) -> Value {
        let rows: serde_json::Map<String, Value> =
            self.storage.rows.iter().map(|(what, many)| (what.replace(' ', "_"), (*many).into())).collect();
        let shelves: Vec<Value> = self
            .storage
            .shelves
            .iter()
            .map(|one| json!({"kind": one.kind, "blobs": one.blobs, "bytes": one.bytes, "counted_us": one.at.0}))
            .collect();
        json!({
            "version": self.version,
            "who": self.who,
            "ready": self.unwell.is_none(),
            "unwell": self.unwell,
            "connections": {
                "open": self.connections.open, "idle": self.connections.idle, "most": self.connections.most,
            },
            "database": {
                "engine": self.storage.engine, "schema": self.storage.schema, "bytes": self.storage.bytes,
                "place": self.storage.database, "rows": rows,
            },
            "blobs": {"place": self.storage.blobs, "kinds": shelves},
            "duties": self.duties.iter().map(Row::data).collect::<Vec<Value>>(),
        })
    }
}

/// The page, and its twin.
pub async fn server(team: Team, visit: Visit, _request: Request) -> Answer {
    visit.administrator()?;
    let page = seen(&team, &visit, String::new()).await?;
    shown(page, visit.asked.form)
}

fn shown(seen: Page, form: Form) -> Answer {
    match form {
        Form::Json => json_text(format!("{:#}\n", seen.data())),
        Form::Html | Form::Csv => page(&seen),
    }
}

async fn seen(team: &Team, visit: &Visit, wrong: String) -> Result<Page, Problem> {
    let store = team.store();
    // First, so that what it takes is not in the counts.
    let unwell = store.ready_to_take().await.err().map(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("{error}{cause}")
    });
    let (duties, at) = (store.duties().await?, now());
    let mut frame = Frame::of_server(&visit.asked, "Server", "/admin");
    frame.twins = vec![("JSON", visit.asked.twin(Form::Json))];
    Ok(Page {
        frame,
        version: env!("CARGO_PKG_VERSION"),
        who: team.who().to_string(),
        storage: store.storage().await?,
        connections: store.connections(),
        unwell,
        duties: DUTIES.into_iter().map(|known| Row::of(known, &duties, at)).collect(),
        wrong,
    })
}

/// Lets something be done now, by whoever comes first: this server is told, others ask every ten minutes.
pub async fn hastens(team: Team, visit: Visit, fields: Fields) -> Answer {
    visit.administrator()?;
    let name = field(&fields, "hasten");
    let known = DUTIES.into_iter().find(|(duty, ..)| *duty == name && name != BACKUP);
    let Some((duty, title, _)) = known else {
        return Err(Problem::Unusable("The form does not say what to do.".to_string()));
    };
    if team.store().hasten_duty(duty, visit.by()).await? {
        team.hastened().notify_one();
        return elsewhere(StatusCode::SEE_OTHER, "/admin/server");
    }
    let wrong = format!("{title}: somebody is doing it, or has not even begun.");
    let mut response = shown(seen(&team, &visit, wrong).await?, Form::Html)?;
    *response.status_mut() = StatusCode::CONFLICT;
    Ok(response)
}

/// Bytes, as people read them.
fn bytes(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];
    let (mut amount, mut unit) = (bytes as f64, 0);
    while amount >= 1000.0 && unit + 1 < UNITS.len() {
        (amount, unit) = (amount / 1000.0, unit + 1);
    }
    if unit == 0 { format!("{bytes} bytes") } else { format!("{amount:.1} {}", UNITS[unit]) }
}

/// A number that cannot be negative, as people read it.
fn many(number: i64) -> String {
    count(u64::try_from(number).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use invar_store::Outcome;

    #[test]
    fn bytes_have_the_unit_that_fits() {
        let shown = [0, 999, 1000, 1_234_567, 38_400_000_000, i64::MAX].map(bytes);
        assert_eq!(shown, ["0 bytes", "999 bytes", "1.0 kB", "1.2 MB", "38.4 GB", "9223372.0 TB"]);
    }

    #[test]
    fn a_duty_that_nobody_comes_back_from_was_cut_off() {
        let duty = |taken, ended, failed| Duty {
            name: COLLECTION.to_string(),
            due: Timestamp(0),
            taken: Timestamp(taken),
            who: "a".to_string(),
            began: Some(Timestamp(1)),
            ended,
            outcome: Outcome { failed, said: String::new() },
        };
        let now = Timestamp(10);
        let state = |duty: &Duty| State::of(Some(duty), now);
        assert_eq!(State::of(None, now), State::Never);
        assert_eq!(state(&duty(11, None, false)), State::UnderWay);
        assert_eq!(state(&duty(10, None, false)), State::CutOff);
        assert_eq!(state(&duty(0, Some(now), true)), State::Failed);
        assert_eq!(state(&duty(0, Some(now), false)), State::Well);
        assert_eq!(state(&Duty { began: None, ..duty(0, None, false) }), State::Never);
    }
}
