//! Who pays in a benchmark of a run, and who pays for its change between two: a picture, the same as a table, and the
//! formats of other tools.
//!
//! The picture is drawn by a script, which asks for the page's own `.json`; what everybody can read is the table. Of a
//! run only the profile of the one benchmark is read.

use askama::Template;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::IntoResponse;
use invar_core::benchmark::Benchmark;
use invar_core::compare::{Change, Comparison};
use invar_core::event::Event;
use invar_core::machine::Machine;
use invar_core::number;
use invar_core::profile::{
    Both, Difference, Function, FunctionChange, Kind, Measure, Order, Profile, beside,
};
use invar_core::report::Paid;
use invar_core::run::{Run, Summary};
use invar_core::wire::csv;
use invar_core::wire::flame::{self, Heading, Sources, Tree};
use invar_core::wire::profile_formats::{self, callgrind, firefox, folded, pprof, speedscope};

use super::compare::SideShown;
use super::frame::Frame;
use crate::address;
use crate::answer::{Answer, csv_text, elsewhere, json_text, page};
use crate::app::App;
use crate::asked::{Asked, Form};
use crate::assets;
use crate::baseline;
use crate::problem::Problem;
use crate::words::{self, Shown};

/// How many functions the table has without a script.
const FUNCTIONS: usize = 100;

#[derive(Template)]
#[template(path = "flame.html")]
struct Page {
    frame: Frame,
    css: String,
    script: String,
    /// What draws the picture asks here.
    data: String,
    name: String,
    file: String,
    sides: Vec<SideShown>,
    links: Vec<(&'static str, String)>,
    change: Option<Shown>,
    cost: String,
    payers: Vec<String>,
    exports: Vec<(&'static str, String)>,
    measure: &'static str,
    measures: Vec<(&'static str, String)>,
    action: String,
    picture: String,
    more: usize,
}

#[derive(Template)]
#[template(path = "functions.html")]
struct Rows {
    rows: Vec<Row>,
}

/// A function of the table.
struct Row {
    name: String,
    place: String,
    word: &'static str,
    cells: [Cell; 3],
}

struct Cell {
    text: String,
    class: &'static str,
}

/// A format of other tools.
struct Format {
    /// As in the address.
    name: &'static str,
    /// What people call it.
    title: &'static str,
    content_type: &'static str,
    /// How a file of it ends.
    ending: &'static str,
}

const FORMATS: [Format; 5] = [
    Format {
        name: "speedscope",
        title: "speedscope",
        content_type: "application/json",
        ending: ".speedscope.json",
    },
    Format {
        name: "firefox",
        title: "Firefox Profiler",
        content_type: "application/json",
        ending: ".firefox.json",
    },
    Format { name: "pprof", title: "pprof", content_type: "application/octet-stream", ending: ".pb" },
    Format {
        name: "callgrind",
        title: "callgrind",
        content_type: "text/plain; charset=utf-8",
        ending: ".callgrind.out",
    },
    Format {
        name: "folded",
        title: "folded stacks",
        content_type: "text/plain; charset=utf-8",
        ending: ".folded",
    },
];

/// What an address below a run asks for: the run, the benchmark and the format, if one is named. `None`: the run itself.
fn asked_for(sent: &str) -> Option<(String, String, Option<&'static Format>)> {
    let (run, rest) = sent.split_once("/b/")?;
    let (benchmark, format) = match rest.strip_suffix("/flame") {
        Some(benchmark) => (benchmark, None),
        None => {
            let (benchmark, name) = rest.rsplit_once("/flame/")?;
            (benchmark, Some(FORMATS.iter().find(|format| format.name == name)?))
        }
    };
    Some((address::name(run), address::name(benchmark), format))
}

/// The page of a benchmark of a run, if the address is that of one.
pub async fn of_run(app: &App, asked: &Asked) -> Option<Answer> {
    let (name, benchmark, format) = asked_for(asked.after_as_sent("/runs/"))?;
    Some(one(app, asked, &name, &benchmark, format).await)
}

async fn one(app: &App, asked: &Asked, name: &str, benchmark: &str, format: Option<&Format>) -> Answer {
    let links_of = app.links();
    let run = match app.run(name).await {
        Ok(run) => run,
        Err(Problem::NotFound(_)) => {
            let found = app.pick(name, None).await?;
            let place = match format {
                Some(format) => links_of.export(&found.id, benchmark, format.name),
                None => links_of.flame(&found.id, benchmark) + asked.form.ending(),
            };
            return elsewhere(StatusCode::SEE_OTHER, &place);
        }
        Err(problem) => return Err(problem),
    };
    let profile = need(app, &run, benchmark).await?;
    let machine = machine(&run, benchmark);
    let measure = measure(asked, machine);
    if let Some(format) = format {
        return download(format, &profile, machine, measure, benchmark);
    }
    match asked.form {
        Form::Json => {
            let heading = heading(benchmark, vec![run.title()], machine, measure);
            return json_text(flame::write(&Tree::of(&profile), &heading, &Sources::new()));
        }
        Form::Csv => return csv_text(csv::functions(&profile, measure)),
        Form::Html => {}
    }
    let profile = profile.without_lines();
    let costs = profile.by_function(measure, Order::Own);
    let rows = costs.iter().take(FUNCTIONS).map(|cost| {
        let function = &profile.functions[cost.function as usize];
        let cell = |number: u64| Cell { text: number::count(number), class: "" };
        Row::of(function, "", [cost.own_cost, cost.inclusive_cost, cost.calls].map(cell))
    });
    let mut links = vec![("Run", links_of.run(&run.id)), ("History", links_of.benchmark(benchmark))];
    if let Some((base, _)) = baseline::choose(app.store(), &run).await? {
        if app.profiled(&base.id).await?.contains(benchmark) {
            links.push((
                "Flame graph of the difference from the baseline",
                links_of.difference(&base.id, &run.id, benchmark),
            ));
        }
        links.push(("Comparison", links_of.compare(&base.id, &run.id)));
    }
    let summary = Summary::of(&run);
    let formats = FORMATS.iter();
    page(&Page {
        sides: vec![SideShown::of("Run", &summary, links_of)],
        links,
        cost: words_of(measure, measure.of(&profile.total())),
        exports: formats
            .map(|format| (format.title, links_of.export(&run.id, benchmark, format.name)))
            .collect(),
        more: costs.len().saturating_sub(FUNCTIONS),
        ..Page::of(app, asked, benchmark, (measure, machine), ["Own", "Total", "Calls"], rows.collect())?
    })
}

/// The page of the difference between two runs.
pub async fn difference(
    app: App,
    asked: Asked,
    (base_run, head_run): (&Run, &Run),
    benchmark: &str,
) -> Answer {
    // Costs of unlike machines are never compared.
    let comparison = Comparison::of(base_run, head_run, app.policy())?;
    let base = need(&app, base_run, benchmark).await?;
    let head = need(&app, head_run, benchmark).await?;
    let profiles = Both { base: &base, head: &head };
    let machine = machine(head_run, benchmark);
    let measure = measure(&asked, machine);
    if asked.form == Form::Json {
        let heading = heading(benchmark, vec![base_run.title(), head_run.title()], machine, measure);
        let difference = Difference::of(&base, &head);
        return json_text(flame::write(&Tree::between(profiles, &difference), &heading, &Sources::new()));
    }
    let changes = beside(profiles, measure);
    if asked.form == Form::Csv {
        return csv_text(csv::function_changes(&changes, measure));
    }
    let judged = comparison.benchmarks.iter().find(|judged| judged.benchmark.id == benchmark);
    let payers = match app.paid(base_run, head_run, benchmark).await? {
        Paid::By(why) if why.cycles.moved() != 0 => {
            let payers = if why.python.is_empty() { &why.native } else { &why.python };
            payers.iter().map(|payer| words::plain(&payer.sentence())).collect()
        }
        _ => Vec::new(),
    };
    let rows = changes.iter().take(FUNCTIONS).map(|change| {
        let word = match change.there {
            Both { base: false, head: true } => "new",
            Both { base: true, head: false } => "removed",
            _ => "",
        };
        let FunctionChange { own, inclusive, calls, .. } = change;
        Row::of(&change.function, word, [moved(own, true), moved(inclusive, true), moved(calls, false)])
    });
    let total = [&base, &head].map(|side| words_of(measure, measure.of(&side.total())));
    let [base_id, head_id] = [&base_run.id, &head_run.id];
    let links_of = app.links();
    let permalink = links_of.difference(base_id, head_id, benchmark);
    let mut links = vec![
        ("Comparison", links_of.compare(base_id, head_id)),
        ("Flame graph of the baseline", links_of.flame(base_id, benchmark)),
        ("Flame graph of the candidate", links_of.flame(head_id, benchmark)),
        ("History", links_of.benchmark(benchmark)),
        ("Swap the sides", links_of.difference(head_id, base_id, benchmark)),
    ];
    if asked.address() != permalink {
        links.push(("Permalink of these two runs", permalink));
    }
    let summaries = [base_run, head_run].map(Summary::of);
    page(&Page {
        sides: SideShown::both(&summaries[0], &summaries[1], links_of).into(),
        links,
        change: judged.and_then(|judged| words::change(judged.change(), Some(judged.verdict))),
        cost: format!("{} → {}", total[0], total[1]),
        payers,
        more: changes.len().saturating_sub(FUNCTIONS),
        ..Page::of(
            &app,
            &asked,
            benchmark,
            (measure, machine),
            ["Own Δ", "Total Δ", "Calls Δ"],
            rows.collect(),
        )?
    })
}

/// A number that moved: dearer or cheaper where it is a cost.
fn moved(change: &Change, cost: bool) -> Cell {
    let by = change.moved();
    Cell {
        text: if by == 0 { "=".to_string() } else { number::moved(by) },
        class: match by {
            by if cost && by > 0 => "worse",
            by if cost && by < 0 => "better",
            _ => "",
        },
    }
}

/// The profile of a benchmark, which must be there.
async fn need(app: &App, run: &Run, benchmark: &str) -> Result<Profile, Problem> {
    app.profile(run, benchmark).await?.ok_or_else(|| {
        Problem::NotFound(format!(
            "{} has no profile of `{benchmark}`: profiles are kept where a suite is measured; an imported run, and one \
             measured with --counts or --no-profile, have none.",
            run.title()
        ))
    })
}

/// The machine that a benchmark of a run was simulated on.
fn machine<'a>(run: &'a Run, benchmark: &str) -> &'a Machine {
    run.measurement(benchmark).map_or(&run.machine, |measurement| &measurement.machine)
}

/// What was asked to be looked at; what is none is cycles.
fn measure<'a>(asked: &Asked, machine: &'a Machine) -> Measure<'a> {
    let event = asked.value("measure").and_then(Event::from_name);
    event.map_or(Measure::Cycles(machine), Measure::Event)
}

fn words_of(measure: Measure<'_>, count: u64) -> String {
    format!("{} {}", number::count(count), measure.name().replace('_', " "))
}

fn heading<'a>(
    benchmark: &'a str,
    sides: Vec<String>,
    machine: &'a Machine,
    measure: Measure<'a>,
) -> Heading<'a> {
    Heading { benchmark, sides, machine, measure: measure.name(), view: "mixed" }
}

/// A file in the format of another tool.
fn download(
    format: &Format,
    profile: &Profile,
    machine: &Machine,
    measure: Measure<'_>,
    benchmark: &str,
) -> Answer {
    let bytes = match format.name {
        "speedscope" => speedscope::write(profile, machine).into_bytes(),
        "firefox" => firefox::write(profile, machine).into_bytes(),
        "pprof" => pprof::write(profile, machine),
        "callgrind" => callgrind::write(profile, machine).into_bytes(),
        _ => {
            let profile = profile.without_lines();
            let costs = match measure {
                Measure::Cycles(machine) => profile_formats::cycles(&profile, machine),
                Measure::Event(event) => profile_formats::counts(&profile, event),
            };
            folded::write(&profile, &costs).into_bytes()
        }
    };
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let stem: String = Benchmark::named(benchmark).short_name().chars().take(80).map(plain).collect();
    let name = format!("attachment; filename=\"invar-{}{}\"", stem.trim_matches('_'), format.ending);
    let name = HeaderValue::from_str(&name)
        .map_err(|_| Problem::Unusable("The name of the file cannot be written.".to_string()))?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(format.content_type)),
        (CONTENT_DISPOSITION, name),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    Ok((headers, bytes).into_response())
}

impl Row {
    fn of(function: &Function, word: &'static str, cells: [Cell; 3]) -> Row {
        let place = function.place();
        Row {
            name: function.name.clone(),
            place: match function.kind {
                Kind::Native => place,
                Kind::Interpreter => format!("interpreter · {place}"),
                Kind::Python | Kind::Line => format!("Python · {place}"),
            },
            word,
            cells,
        }
    }
}

impl Page {
    /// What both pages have in common.
    fn of(
        app: &App,
        asked: &Asked,
        benchmark: &str,
        (measure, machine): (Measure<'_>, &Machine),
        heads: [&str; 3],
        rows: Vec<Row>,
    ) -> Result<Page, Problem> {
        let named = Benchmark::named(benchmark);
        let head = |name: &str| format!("<th scope=\"col\" class=\"number\">{name}</th>");
        let heads = format!("<th scope=\"col\">Function</th>{}", heads.map(head).concat());
        let measures = std::iter::once(Measure::Cycles(machine)).chain(Event::ALL.map(Measure::Event));
        let section = if asked.path.contains("...") { "/compare" } else { "/runs" };
        Ok(Page {
            frame: Frame::new(app, asked, &format!("Flame graph of {}", named.short_name()), section),
            css: assets::FLAME_CSS.address(),
            script: assets::FLAME_SCRIPT.address(),
            data: asked.twin(Form::Json),
            file: named.file.clone().unwrap_or_default(),
            name: named.short_name().to_string(),
            sides: Vec::new(),
            links: Vec::new(),
            change: None,
            cost: String::new(),
            payers: Vec::new(),
            exports: Vec::new(),
            measure: measure.name(),
            measures: measures.map(|measure| (measure.name(), measure.name().replace('_', " "))).collect(),
            action: asked.address(),
            picture: crate::flame::markup(&heads, &Rows { rows }.render()?),
            more: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sent: &str, expected: Option<(&str, &str, Option<&str>)>) {
        let found = asked_for(sent);
        let found = found.as_ref().map(|(run, benchmark, format)| {
            (run.as_str(), benchmark.as_str(), format.map(|format| format.name))
        });
        assert_eq!(found, expected, "{sent}");
    }

    #[test]
    fn an_address_is_taken_apart_before_it_is_decoded() {
        check("r/b/t.py::a%5B1%5D/flame", Some(("r", "t.py::a[1]", None)));
        check("r/b/t.py::a/flame/pprof", Some(("r", "t.py::a", Some("pprof"))));
        check("r/b/x/flame/flame", Some(("r", "x/flame", None)));
        check("a%2Fb%2Fc/b/x/flame", Some(("a/b/c", "x", None)));
        check("r/b/x/flame/nothing", None);
        check("feature/x", None);
        let name = "a/b/flame/b/flame";
        check(
            address::Links::below("").flame(name, name).strip_prefix("/runs/").unwrap(),
            Some((name, name, None)),
        );
    }
}
