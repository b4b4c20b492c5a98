//! Two projects, a private one and a public one, with tokens of every kind.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use invar_core::benchmark::Benchmark;
use invar_core::diagnostic::Diagnostics;
use invar_core::instrument::Instrument;
use invar_core::machine::Machine;
use invar_core::measurement::Measurement;
use invar_core::profile::Builder;
use invar_core::run::{Run, Timestamp};
use invar_core::source::Source;
use invar_core::wire::parcel;
use invar_server::team::token::Secret;
use invar_server::team::upload::Limits;
use invar_server::team::{Team, router};
use invar_store::{By, NewToken, Profiles, Store, Visibility};
use tower::ServiceExt;

/// The private project.
pub const PRIVATE: &str = "acme/secret";
/// The public project.
pub const PUBLIC: &str = "acme/open";

/// Who makes what is there from the start.
pub const BY: By<'static> = By { who: "test", at: Timestamp(1) };

/// A server and its store.
pub struct Asking {
    /// The store.
    pub store: Store,
    /// Where it lies.
    pub folder: tempfile::TempDir,
    /// What answers.
    pub router: Router,
}

/// An answer.
#[derive(Debug)]
pub struct Said {
    /// The status.
    pub status: StatusCode,
    /// Its content type.
    pub content_type: String,
    /// Where else to look.
    pub location: String,
    /// How much of an upload in parts is there.
    pub offset: String,
    /// The cookies that a browser is told to keep.
    pub cookies: Vec<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Said {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

impl Asking {
    /// A server that takes little.
    pub async fn new() -> Asking {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        store.create_project(PRIVATE, Visibility::Private, BY).await.unwrap();
        store.create_project(PUBLIC, Visibility::Public, BY).await.unwrap();
        let limits = Limits {
            body_bytes: 64 << 10,
            unpacked_bytes: 1 << 20,
            benchmarks: 100,
            memory_bytes: 8 << 20,
            arrives: Duration::from_secs(1),
            part_bytes: 16 << 10,
            uploads: 4,
            upload_lasts: Duration::from_secs(3600),
        };
        let router = router(Team::new(store.clone(), limits, |_| ()));
        Asking { store, folder, router }
    }

    /// A token for a project.
    pub async fn token(&self, project: &str, scopes: &str, expires: Option<Timestamp>) -> String {
        let secret = Secret::draw().unwrap();
        let project = self.store.project(project).await.unwrap().unwrap();
        let token = NewToken { name: "t", digest: &secret.digest(), scopes, expires };
        project.create_token(&token, BY).await.unwrap();
        secret.text().to_string()
    }

    /// Asks.
    pub async fn ask(&self, request: Request<Body>) -> Said {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let header = |name: &str| {
            response.headers().get(name).map(|value| value.to_str().unwrap().to_string()).unwrap_or_default()
        };
        let (content_type, location) = (header("content-type"), header("location"));
        let offset = header("upload-offset");
        assert_eq!(header("x-content-type-options"), "nosniff");
        let cookies = response.headers().get_all("set-cookie").iter();
        let cookies = cookies.map(|cookie| cookie.to_str().unwrap().to_string()).collect();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec();
        Said { status, content_type, location, offset, cookies, body }
    }

    /// Asks with a token.
    pub async fn with(&self, method: &str, address: &str, token: Option<&str>, body: Vec<u8>) -> Said {
        self.saying(method, address, token, &[], body).await
    }

    /// The same with further headers.
    pub async fn saying(
        &self,
        method: &str,
        address: &str,
        token: Option<&str>,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Said {
        let mut request = Request::builder().method(method).uri(address).header("host", "invar.test");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.ask(request.body(Body::from(body)).unwrap()).await
    }

    /// How many runs there are in a project.
    pub async fn kept(&self, project: &str) -> usize {
        self.store.project(project).await.unwrap().unwrap().list(100).await.unwrap().len()
    }
}

/// A run of this number.
pub fn run(number: u32) -> Run {
    let id = format!("0190f3c2-7b1e-7cc3-9a54-0000{number:08x}");
    let mut run = Run::started(&id, Timestamp(1_721_908_800_000_000), Machine::reference_1());
    run.source = Some(Source {
        commit: Some(format!("{number:040x}")),
        branch: Some("main".to_string()),
        ..Source::default()
    });
    run.measurements.push(Measurement {
        benchmark: Benchmark::named("t.py::a"),
        instrument: Instrument::Simulation,
        machine: Machine::reference_1(),
        cold: None,
        warm: Builder::new("t.py::a").finish().total(),
        diagnostics: Diagnostics::default(),
    });
    run
}

/// The run with the profile of its benchmark, as it is sent.
pub fn sent(number: u32) -> Vec<u8> {
    let profiles = Profiles::from([("t.py::a".to_string(), Builder::new("t.py::a").finish())]);
    parcel::write(&run(number), &profiles)
}

/// Where runs of a project are.
pub fn runs(project: &str) -> String {
    format!("/api/v1/projects/{project}/runs")
}
