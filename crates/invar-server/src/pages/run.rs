//! One run: how it did, under which circumstances, and every result.

use std::collections::BTreeSet;

use askama::Template;
use axum::http::StatusCode;
use invar_core::compare::Reading;
use invar_core::cost::l1_hit_rate;
use invar_core::environment::{GROUPS, INFORMATIVE};
use invar_core::event::Event;
use invar_core::measurement::Measurement;
use invar_core::number;
use invar_core::report::Brief;
use invar_core::run::{Exit, Run, Summary};
use invar_core::wire::{csv, v1};

use super::flame;
use super::frame::Frame;
use crate::address::Links;
use crate::answer::{Answer, csv_text, elsewhere, json_text, page};
use crate::app::App;
use crate::asked::{Asked, Form};
use crate::baseline;
use crate::problem::Problem;
use crate::words::{self, moment, rfc3339};

#[derive(Template)]
#[template(path = "run.html")]
struct Page {
    frame: Frame,
    run: Summary,
    commit: Option<String>,
    author: String,
    moment: String,
    datetime: String,
    took: String,
    command: String,
    machine: String,
    exit: String,
    warnings: Vec<String>,
    failed: Vec<(String, String)>,
    judged: Option<Judged>,
    groups: Vec<Group>,
    rows: Vec<Row>,
}

/// How the run did against its baseline.
struct Judged {
    brief: Option<Brief>,
    headline: String,
    base: Summary,
    base_href: String,
    reason: String,
    href: String,
}

/// Facts of a group.
struct Group {
    name: String,
    informative: bool,
    facts: Vec<Fact>,
    differ: usize,
    open: bool,
}

struct Fact {
    name: String,
    value: String,
    /// What it was in the baseline, if it was something else.
    base: Option<String>,
}

struct Row {
    name: String,
    file: String,
    href: String,
    flame: Option<String>,
    time: String,
    cold: String,
    instructions: String,
    hits: String,
    memory: String,
    system_calls: String,
    diagnostics: Vec<&'static str>,
}

/// The page.
pub async fn run(app: App, asked: Asked) -> Answer {
    if let Some(answer) = flame::of_run(&app, &asked).await {
        return answer;
    }
    let links = app.links();
    let name = asked.after("/runs/");
    let run = match app.run(&name).await {
        Ok(run) => run,
        Err(Problem::NotFound(_)) => {
            let found = app.pick(&name, None).await?;
            let address = format!("{}{}", links.run(&found.id), asked.form.ending());
            return elsewhere(StatusCode::SEE_OTHER, &address);
        }
        Err(problem) => return Err(problem),
    };
    match asked.form {
        Form::Json => return json_text(v1::write_pretty(&run)),
        Form::Csv => return csv_text(csv::run(&run)),
        Form::Html => {}
    }
    let mut base_run = None;
    let judged = match baseline::choose(app.store(), &run).await? {
        None => None,
        Some((base, reason)) => {
            base_run = app.run_if_readable(&base.id).await?;
            let brief = app.judge(&base, &Summary::of(&run)).await?;
            let headline = brief.as_ref().map(|brief| words::plain(&brief.headline));
            Some(Judged {
                headline: headline.unwrap_or_else(|| "It cannot be compared with its baseline".to_string()),
                brief,
                base_href: links.run(&base.id),
                reason: words::plain(&reason.to_string()),
                href: links.compare(&base.id, &run.id),
                base,
            })
        }
    };
    let summary = Summary::of(&run);
    page(&Page {
        frame: Frame::new(&app, &asked, &format!("Run {}", summary.title), "/runs"),
        author: run.source.as_ref().and_then(|source| source.author.clone()).unwrap_or_default(),
        moment: moment(run.started),
        datetime: rfc3339(run.started),
        took: run
            .took_micros
            .map_or_else(String::new, |took| number::time(std::time::Duration::from_micros(took))),
        command: run.command.join(" "),
        machine: run.machine.text().replace(';', " "),
        exit: match run.exit {
            None => String::new(),
            Some(Exit::Status(status)) => format!("status {status}"),
            Some(Exit::Signal(signal)) => format!("signal {signal}"),
        },
        warnings: run.warnings.clone(),
        failed: run.failed.clone().into_iter().collect(),
        groups: groups(&run, base_run.as_deref()),
        rows: {
            let profiled = app.profiled(&run.id).await?;
            let row = |measurement: &Measurement| Row::of(measurement, &run.id, &profiled, links);
            run.measurements.iter().map(row).collect()
        },
        judged,
        commit: summary.commit.as_deref().filter(|_| !summary.dirty).map(|commit| links.commit(commit)),
        run: summary,
    })
}

impl Row {
    fn of(measurement: &Measurement, run: &str, profiled: &BTreeSet<String>, links: &Links) -> Row {
        let reading = Reading::of(measurement);
        let cost = reading.cost;
        let benchmark = &measurement.benchmark;
        let cold =
            measurement.cold.map(|cold| Reading::new(cold, &measurement.machine, measurement.diagnostics));
        Row {
            name: benchmark.short_name().to_string(),
            file: benchmark.file.clone().unwrap_or_default(),
            href: links.benchmark(&benchmark.id),
            flame: profiled.contains(&benchmark.id).then(|| links.flame(run, &benchmark.id)),
            time: number::time(reading.time),
            cold: cold.map_or_else(|| "–".to_string(), |cold| number::time(cold.time)),
            instructions: number::count(reading.events.get(Event::Instructions)),
            hits: number::percent(l1_hit_rate(&reading.events)),
            memory: number::share(cost.share(cost.memory)),
            system_calls: number::count(reading.events.get(Event::SystemCalls)),
            diagnostics: measurement
                .diagnostics
                .to_vec()
                .into_iter()
                .map(|diagnostic| diagnostic.sentence())
                .collect(),
        }
    }
}

/// The environment, group by group; those that everybody knows come first.
fn groups(run: &Run, base: Option<&Run>) -> Vec<Group> {
    let known = GROUPS.iter().map(ToString::to_string);
    let others = run.environment.0.keys().filter(|name| !GROUPS.contains(&name.as_str())).cloned();
    let differences = base.map(|base| base.environment.diff(&run.environment)).unwrap_or_default();
    let group = |name: String| {
        let facts = run.environment.0.get(&name)?;
        let was = |fact: &str| {
            let found =
                differences.iter().find(|difference| difference.group == name && difference.name == fact);
            found.map(|difference| difference.base.clone().unwrap_or_else(|| "not there".to_string()))
        };
        let facts: Vec<Fact> = facts
            .iter()
            .map(|(fact, value)| Fact { name: fact.clone(), value: value.clone(), base: was(fact) })
            .collect();
        let differ = differences.iter().filter(|difference| difference.group == name).count();
        let informative = INFORMATIVE.contains(&name.as_str());
        Some(Group { open: facts.len() <= 8 || differ > 0 && !informative, informative, facts, differ, name })
    };
    known.chain(others).filter_map(group).collect()
}
