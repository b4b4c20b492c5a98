//! Somebody with a browser: keeps cookies, sends forms as they were made.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use invar_server::team::password;
use invar_store::{NewAccount, Role};

use crate::fixture::{Asking, BY, Said};

/// The password of everybody here.
pub const PASSWORD: &str = "correct horse";

/// A browser.
#[derive(Default, Clone)]
pub struct Browser {
    /// What it shows.
    pub cookie: Option<String>,
}

impl Asking {
    /// An account, which is a member of a project or of none.
    pub async fn account(&self, name: &str, admin: bool, role: Option<(&str, Role)>) {
        // One hash is as good as another, and each takes long.
        static HASH: std::sync::LazyLock<String> =
            std::sync::LazyLock::new(|| password::hash(PASSWORD).unwrap());
        let new = NewAccount { name, password: &HASH, admin };
        self.store.create_account(new, BY).await.unwrap();
        if let Some((project, role)) = role {
            let account = self.store.account(name).await.unwrap().unwrap().0;
            let project = self.store.project(project).await.unwrap().unwrap();
            project.set_member(&account, role, BY).await.unwrap();
        }
    }
}

impl Browser {
    /// Looks at a page.
    pub async fn get(&mut self, asking: &Asking, address: &str) -> Said {
        self.ask(asking, "GET", address, &[], &[]).await
    }

    /// Sends a form of a page, with these fields filled in.
    pub async fn send(&mut self, asking: &Asking, page: &str, action: &str, fields: &[(&str, &str)]) -> Said {
        let csrf = csrf(&self.get(asking, page).await.text());
        self.post(asking, action, &[&[("csrf", csrf.as_str())], fields].concat()).await
    }

    /// Sends fields.
    pub async fn post(&mut self, asking: &Asking, action: &str, fields: &[(&str, &str)]) -> Said {
        self.ask(asking, "POST", action, fields, &[]).await
    }

    /// Asks, with further headers.
    pub async fn ask(
        &mut self,
        asking: &Asking,
        method: &str,
        address: &str,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Said {
        let mut request = Request::builder().method(method).uri(address).header("host", "invar.test");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let said = asking.ask(request.body(Body::from(body)).unwrap()).await;
        if let Some(cookie) = said.cookies.last() {
            let pair = cookie.split(';').next().unwrap();
            self.cookie = (!pair.ends_with('=')).then(|| pair.to_string());
        }
        said
    }

    /// Signs in.
    pub async fn signed_in(asking: &Asking, name: &str) -> Browser {
        let mut browser = Browser::default();
        let fields = [("name", name), ("password", PASSWORD)];
        let said = browser.send(asking, "/sign-in", "/sign-in", &fields).await;
        assert_eq!(said.status, StatusCode::SEE_OTHER, "{}", said.text());
        browser
    }
}

/// What the forms of a page show.
pub fn csrf(page: &str) -> String {
    let start =
        page.split("name=\"csrf\" value=\"").nth(1).unwrap_or_else(|| panic!("there is a form: {page}"));
    start.split('"').next().unwrap().to_string()
}
