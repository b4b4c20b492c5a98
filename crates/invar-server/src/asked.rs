//! What a request asks for: a path, the form of the answer, and what stands behind the question mark.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use invar_store::Role;

use crate::address::{self, Links};

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Html,
    /// For scripts.
    Json,
    /// For spreadsheets.
    Csv,
}

impl Form {
    /// The ending of an address that asks for it.
    pub const fn ending(self) -> &'static str {
        match self {
            Form::Html => "",
            Form::Json => ".json",
            Form::Csv => ".csv",
        }
    }
}

/// Light or dark; what the system says where neither was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// As the system says.
    Auto,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

impl Theme {
    /// Every theme.
    pub const ALL: [Theme; 3] = [Theme::Auto, Theme::Light, Theme::Dark];

    /// The name, as in the cookie and on the page.
    pub const fn name(self) -> &'static str {
        match self {
            Theme::Auto => "auto",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }

    /// The theme called `name`.
    pub fn from_name(name: &str) -> Option<Theme> {
        Theme::ALL.into_iter().find(|theme| theme.name() == name)
    }
}

/// Who looks, as far as pages show it. There is none where there are no accounts.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// What people call them; `None`: nobody has signed in.
    pub name: Option<String>,
    /// May they do everything?
    pub admin: bool,
    /// What they may do in the project that is looked at.
    pub role: Option<Role>,
    /// What their forms show, so that no other site can send them.
    pub csrf: String,
    /// The server's own address, as they call it: `https://invar.example.org`.
    pub server: String,
}

/// What may be asked for more than once: what is laid over a chart. Its values are kept as lines.
pub const OVER: &str = "over";

/// The cookie that remembers the theme.
pub const THEME_COOKIE: &str = "invar_theme";

/// A request, as far as pages care.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The form of the answer.
    pub form: Form,
    /// The path of the project that is asked about; empty where there is one only.
    pub root: String,
    /// The path below it as it was sent, without the ending that names a form.
    pub path: String,
    /// What stands behind the question mark; of two with one name the last, but for [`OVER`].
    pub query: BTreeMap<String, String>,
    /// Light or dark.
    pub theme: Theme,
    /// The tags of what is there already, `If-None-Match`.
    pub has: Option<String>,
    /// The name that the server was called by, if it is one.
    pub host: Option<String>,
    /// Who looks, where there are accounts.
    pub visitor: Option<Visitor>,
}

impl Asked {
    /// What was asked for under this name; what is empty was not.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Everything that was asked for under this name.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.value(name).unwrap_or_default().lines().filter(|value| !value.is_empty())
    }

    /// What follows `start` in the path, decoded.
    pub fn after(&self, start: &str) -> String {
        address::name(self.after_as_sent(start))
    }

    /// The same as it was sent, to be taken apart before it is decoded.
    pub fn after_as_sent(&self, start: &str) -> &str {
        self.path.strip_prefix(start).unwrap_or_default()
    }

    /// This address in another form.
    pub fn twin(&self, form: Form) -> String {
        let path = if self.path == "/" { "/overview" } else { &self.path };
        format!("{}{path}{}{}", self.root, form.ending(), query_text(&self.query))
    }

    /// This page, with a value changed, or taken away where it is empty.
    pub fn with(&self, name: &str, value: &str) -> String {
        let mut query = self.query.clone();
        query.remove("after");
        if value.is_empty() {
            query.remove(name);
        } else {
            query.insert(name.to_string(), value.to_string());
        }
        format!("{}{}", self.address(), query_text(&query))
    }

    /// The same request without a value.
    pub fn without(&self, name: &str) -> Asked {
        let mut asked = self.clone();
        asked.query.remove(name);
        asked
    }

    /// The same request, of the project whose pages are there.
    #[must_use]
    pub fn of(self, links: &Links) -> Asked {
        Asked { root: links.root().to_string(), ..self }
    }

    /// The path of this page.
    pub fn address(&self) -> String {
        if self.path == "/" && !self.root.is_empty() {
            self.root.clone()
        } else {
            format!("{}{}", self.root, self.path)
        }
    }

    /// This page as it is.
    pub fn here(&self) -> String {
        format!("{}{}", self.address(), query_text(&self.query))
    }
}

fn query_text(query: &BTreeMap<String, String>) -> String {
    if query.is_empty() {
        return String::new();
    }
    let mut text = form_urlencoded::Serializer::new(String::from("?"));
    for (name, value) in query {
        if name == OVER {
            value.lines().for_each(|value| {
                text.append_pair(name, value);
            });
        } else {
            text.append_pair(name, value);
        }
    }
    // The serializer puts `&` between pairs, and after a question mark too.
    text.finish().replacen("?&", "?", 1)
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Asked, Infallible> {
        let whole = parts.uri.path();
        let form = [Form::Json, Form::Csv].into_iter().find(|form| whole.ends_with(form.ending()));
        let form = form.unwrap_or(Form::Html);
        let path = whole[..whole.len() - form.ending().len()].to_string();
        let mut query = BTreeMap::<String, String>::new();
        for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            match query.get_mut(name.as_ref()) {
                Some(lines) if name == OVER => lines.extend(["\n", &value]),
                _ => drop(query.insert(name.into_owned(), value.into_owned())),
            }
        }
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let cookies = text(header::COOKIE).unwrap_or_default().split(';');
        let theme =
            cookies.filter_map(|cookie| cookie.trim().strip_prefix(THEME_COOKIE)?.strip_prefix('=')).next();
        let is_host = |host: &&str| {
            host.chars()
                .all(|part| part.is_ascii_alphanumeric() || matches!(part, '.' | '-' | ':' | '[' | ']'))
        };
        Ok(Asked {
            form,
            root: String::new(),
            path,
            query,
            theme: theme.and_then(Theme::from_name).unwrap_or(Theme::Auto),
            has: text(header::IF_NONE_MATCH).map(str::to_string),
            host: text(header::HOST).filter(is_host).map(str::to_string),
            visitor: parts.extensions.get::<Visitor>().cloned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    async fn asked(uri: &str, cookie: &str) -> Asked {
        let request = Request::builder().uri(uri).header("cookie", cookie).body(()).unwrap();
        Asked::from_request_parts(&mut request.into_parts().0, &()).await.unwrap()
    }

    #[tokio::test]
    async fn the_ending_of_an_address_names_the_form() {
        assert_eq!(asked("/runs", "").await.form, Form::Html);
        let json = asked("/b/a%2Fb.json?q=1&branch=x+y", "").await;
        assert_eq!(
            (json.form, json.after("/b/").as_str(), json.value("branch")),
            (Form::Json, "a/b", Some("x y"))
        );
        assert_eq!(json.twin(Form::Csv), "/b/a%2Fb.csv?branch=x+y&q=1");
        assert_eq!(asked("/", "").await.twin(Form::Json), "/overview.json");
        assert_eq!(asked("/b/x%2Ejson", "").await.form, Form::Html);
    }

    #[tokio::test]
    async fn a_link_changes_one_value_and_starts_a_list_anew() {
        let asked = asked("/runs?after=1-a&branch=main", "").await;
        assert_eq!(asked.with("q", "a&b"), "/runs?branch=main&q=a%26b");
        assert_eq!(asked.with("branch", ""), "/runs");
    }

    #[tokio::test]
    async fn what_is_laid_over_a_chart_may_be_several_things() {
        let asked = asked("/b/x?over=branch%3Aa%26b&q=1&q=2&over=&over=b%3Ax%5B5%5D", "").await;
        assert_eq!(asked.values(OVER).collect::<Vec<_>>(), ["branch:a&b", "b:x[5]"]);
        assert_eq!(asked.value("q"), Some("2"));
        assert_eq!(asked.with("q", ""), "/b/x?over=branch%3Aa%26b&over=&over=b%3Ax%5B5%5D");
        assert_eq!(asked.with(OVER, "branch:c"), "/b/x?over=branch%3Ac&q=2");
    }

    #[tokio::test]
    async fn a_cookie_names_the_theme() {
        assert_eq!(asked("/", "a=b; invar_theme=dark").await.theme, Theme::Dark);
        assert_eq!(asked("/", "invar_theme=\"><script>").await.theme, Theme::Auto);
    }
}
