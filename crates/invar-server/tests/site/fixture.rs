//! A store with a small history, and a way to ask its site.

use std::path::Path;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use invar_core::benchmark::Benchmark;
use invar_core::config::Policy;
use invar_core::diagnostic::Diagnostics;
use invar_core::event::{Event, Events};
use invar_core::instrument::Instrument;
use invar_core::machine::Machine;
use invar_core::measurement::Measurement;
use invar_core::profile::{Builder, Function, Kind, Profile};
use invar_core::run::{Run, Timestamp};
use invar_core::source::Source;
use invar_server::{Site, router};
use invar_store::{Profiles, Store};
use tower::ServiceExt;

/// A site and its store.
pub struct Asking {
    /// The store, to put more into it.
    pub store: Store,
    /// Where it lies, if nobody else holds that.
    folder: Option<tempfile::TempDir>,
    router: Router,
}

/// An answer.
pub struct Said {
    /// The status.
    pub status: StatusCode,
    /// The headers, by lower-case name.
    pub headers: Vec<(String, String)>,
    /// The body; what is no text in it is replaced.
    pub body: String,
}

impl Asking {
    /// A site of these runs.
    pub async fn of(runs: &[Run]) -> Asking {
        Asking::telling(runs, |_| ()).await
    }

    /// A site of these runs that tells somebody what goes wrong.
    pub async fn telling(runs: &[Run], log: fn(&str)) -> Asking {
        let runs: Vec<(Run, Profiles)> = runs.iter().map(|run| (run.clone(), Profiles::new())).collect();
        Asking::with_profiles(&runs, log).await
    }

    /// A site of these runs and their profiles.
    pub async fn with_profiles(runs: &[(Run, Profiles)], log: fn(&str)) -> Asking {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        for (run, profiles) in runs {
            store.put_with(run, profiles).await.unwrap();
        }
        let router = serving(&store, log);
        Asking { store, folder: Some(folder), router }
    }

    /// Another site of the same store, which has read nothing yet.
    pub fn restarted(&self) -> Asking {
        Asking { store: self.store.clone(), folder: None, router: serving(&self.store, |_| ()) }
    }

    /// Where its store lies.
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().expect("it has made its store itself").path()
    }

    /// Asks for an address.
    pub async fn get(&self, uri: &str) -> Said {
        self.ask(Request::get(uri).header("host", "127.0.0.1:8700").body(Body::empty()).unwrap()).await
    }

    /// Asks for an address that must be there.
    #[track_caller]
    pub fn page(&self, uri: &str) -> impl Future<Output = String> {
        let uri = uri.to_string();
        let asked = std::panic::Location::caller();
        async move {
            let said = self.get(&uri).await;
            assert_eq!(said.status, StatusCode::OK, "{uri}, asked at {asked}: {}", said.body);
            said.body
        }
    }

    /// Asks in some other way.
    pub async fn ask(&self, request: Request<Body>) -> Said {
        Said::of(self.router.clone().oneshot(request).await.unwrap()).await
    }
}

fn serving(store: &Store, log: fn(&str)) -> Router {
    router(Site {
        store: store.clone(),
        project: "demo".to_string(),
        root: String::new(),
        policy: Policy::default(),
        default_branch: None,
        log,
    })
}

impl Said {
    async fn of(response: Response<Body>) -> Said {
        let text = |value: &axum::http::HeaderValue| value.to_str().unwrap().to_string();
        let headers =
            response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        Said { status, headers, body: String::from_utf8_lossy(&body).into_owned() }
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

/// A run on a clean tree of this branch; its number is in its id, its commit and its time, an hour each.
pub fn run(number: u32, branch: &str, measurements: &[(&str, u64)]) -> Run {
    let id = format!("0190f3c2-7b1e-7cc3-9a54-0000{number:08x}");
    let started = Timestamp(1_721_908_800_000_000 + i64::from(number) * 3_600_000_000);
    let mut run = Run::started(&id, started, Machine::reference_1());
    run.command = vec!["pytest".to_string()];
    run.source = Some(Source {
        commit: Some(commit(number)),
        parents: if number > 1 { vec![commit(number - 1)] } else { Vec::new() },
        branch: Some(branch.to_string()),
        default_branch: Some("main".to_string()),
        message: Some(format!("Change number {number}")),
        author: Some("art049".to_string()),
        remote: Some("git@github.com:acme/demo.git".to_string()),
        ..Source::default()
    });
    run.environment.set("runtime", "python", "3.13.2");
    run.measurements = measurements.iter().map(|&(name, cycles)| measurement(name, cycles)).collect();
    run.sort();
    run
}

/// The commit of that number.
pub fn commit(number: u32) -> String {
    format!("{:0<40}", format!("{number:02}c0ffee"))
}

/// A measurement that costs so many cycles, all of them for instructions.
pub fn measurement(name: &str, cycles: u64) -> Measurement {
    let mut warm = Events::default();
    // An instruction that the first level answers costs two cycles.
    warm.add(Event::Instructions, cycles / 2);
    Measurement {
        benchmark: Benchmark::named(name),
        instrument: Instrument::Simulation,
        machine: Machine::reference_1(),
        cold: None,
        warm,
        diagnostics: Diagnostics::default(),
    }
}

/// Three commits of `main`, of which the second made `big` slower and the third measures `dump` too, and one of `faster`.
pub fn history() -> Vec<Run> {
    let big = "tests/test_fibo.py::big";
    let small = "tests/test_fibo.py::small";
    let dump = "tests/test_json.py::dump";
    let mut faster = run(4, "faster", &[(big, 1_800_000), (small, 2400), (dump, 4_000_000)]);
    faster.source.as_mut().unwrap().merge_base = Some(commit(3));
    vec![
        run(1, "main", &[(big, 2_000_000), (small, 2400)]),
        run(2, "main", &[(big, 2_400_000), (small, 2400)]),
        run(3, "main", &[(big, 2_400_000), (small, 2400), (dump, 4_000_000)]),
        faster,
    ]
}

/// [`history`], with a profile of every benchmark: all of its cost is a function `work` that it calls once, and of `big`
/// a Python function `fib` between them has the half.
pub fn profiled() -> Vec<(Run, Profiles)> {
    let profiles = |run: &Run| {
        let of = run.measurements.iter().map(|measurement| {
            let id = &measurement.benchmark.id;
            (id.clone(), profile(id, measurement.warm.get(Event::Instructions)))
        });
        of.collect()
    };
    history().into_iter().map(|run| (run.clone(), profiles(&run))).collect()
}

/// A profile of so many instructions.
pub fn profile(benchmark: &str, instructions: u64) -> Profile {
    let mut builder = Builder::new(benchmark);
    let mut function = |name: &str, file: &str, kind| {
        let object = if kind == Kind::Native { "libwork.so" } else { "" };
        builder.function(Function {
            name: name.to_string(),
            object: object.to_string(),
            file: file.to_string(),
            kind,
            line: 12,
        })
    };
    let fib = function("fib", "fibo.py", Kind::Python);
    let work = function("work<T>", "", Kind::Native);
    let mut caller = Builder::ROOT;
    let mut left = instructions;
    if benchmark.ends_with("big") {
        caller = builder.child(caller, fib, false);
        let mut own = Events::default();
        own.add(Event::Instructions, instructions / 2);
        builder.add_calls(caller, 1);
        builder.add(caller, &own);
        left -= instructions / 2;
    }
    let node = builder.child(caller, work, false);
    let mut own = Events::default();
    own.add(Event::Instructions, left);
    builder.add_calls(node, 1);
    builder.add(node, &own);
    builder.finish()
}

/// What a page reads like: its main part without tags, a line where a block ends.
pub fn words(html: &str) -> String {
    let start = html.find("<main").expect("a page has a main part");
    let end = html.find("</main>").expect("a page has a main part");
    let mut text = String::new();
    let mut rest = &html[start..end];
    while let Some(open) = rest.find('<') {
        text.push_str(&rest[..open].replace('\n', " "));
        let close = rest[open..].find('>').expect("a tag ends") + open;
        let tag = rest[open + 1..close].trim_start_matches('/');
        let name: String = tag.chars().take_while(char::is_ascii_alphanumeric).collect();
        if ["p", "h1", "h2", "li", "tr", "section", "form", "table", "ul", "div", "summary"]
            .contains(&name.as_str())
        {
            text.push('\n');
        } else if ["td", "th", "option", "dt", "dd", "text", "title", "a"].contains(&name.as_str()) {
            text.push(' ');
        }
        rest = &rest[close + 1..];
    }
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}
