//! What is around every page: title, navigation, theme, twins.

use invar_store::Role;

use crate::app::App;
use crate::asked::{Asked, Form, Theme, Visitor};
use crate::assets;

/// The frame of a page.
pub struct Frame {
    /// What the page is about.
    pub title: String,
    /// The project; empty: the page is of none.
    pub project: String,
    /// The path that the project's pages are below.
    pub root: String,
    /// Who looks, where there are accounts.
    pub visitor: Option<Visitor>,
    /// The theme.
    pub theme: Theme,
    /// Where the style sheet is.
    pub css: String,
    /// Where the icon is.
    pub icon: String,
    /// Where the script and the style sheet of what makes pages handier are, if this build has them.
    pub islands: Option<(String, String)>,
    /// Which part of the site it belongs to, by its path.
    pub section: &'static str,
    /// This address.
    pub here: String,
    /// The same as data: name and address.
    pub twins: Vec<(&'static str, String)>,
}

/// A part of the site: path and name.
const SECTIONS: [(&str, &str); 6] = [
    ("/", "Overview"),
    ("/commits", "Commits"),
    ("/pulls", "Pull requests"),
    ("/benchmarks", "Benchmarks"),
    ("/runs", "Runs"),
    ("/compare", "Compare"),
];

impl Frame {
    /// The frame of a page.
    pub fn new(app: &App, asked: &Asked, title: &str, section: &'static str) -> Frame {
        Frame {
            project: app.project().to_string(),
            root: app.links().root().to_string(),
            twins: vec![("JSON", asked.twin(Form::Json)), ("CSV", asked.twin(Form::Csv))],
            ..Frame::of_server(asked, title, section)
        }
    }

    /// The frame of a page that is of no project.
    pub fn of_server(asked: &Asked, title: &str, section: &'static str) -> Frame {
        Frame {
            title: title.to_string(),
            project: String::new(),
            root: String::new(),
            visitor: asked.visitor.clone(),
            theme: asked.theme,
            css: assets::CSS.address(),
            icon: assets::ICON.address(),
            islands: assets::islands().map(|(script, css)| (script.address(), css.address())),
            section,
            here: asked.here(),
            twins: Vec::new(),
        }
    }

    /// A part of the site.
    pub fn at(&self, path: &str) -> String {
        if path == "/" && !self.root.is_empty() { self.root.clone() } else { format!("{}{path}", self.root) }
    }

    /// Where to sign in, and then come back.
    pub fn sign_in(&self) -> String {
        let back: String = form_urlencoded::byte_serialize(self.here.as_bytes()).collect();
        format!("/sign-in?back={back}")
    }

    /// What a form shows, so that no other site can send it; empty where there are no accounts.
    pub fn csrf(&self) -> &str {
        self.visitor.as_ref().map_or("", |visitor| &visitor.csrf)
    }

    /// The frame of a page that is no data.
    pub fn without_twins(self) -> Frame {
        Frame { twins: Vec::new(), ..self }
    }

    /// May who looks change the project's settings?
    pub fn is_admin(&self) -> bool {
        self.visitor.as_ref().is_some_and(|visitor| visitor.role >= Some(Role::Admin))
    }

    /// The parts of the project that who looks may open.
    pub fn sections(&self) -> Vec<(&'static str, &'static str)> {
        if self.project.is_empty() {
            return Vec::new();
        }
        SECTIONS.into_iter().chain(self.is_admin().then_some(("/settings", "Settings"))).collect()
    }

    /// The themes.
    pub fn themes(&self) -> [Theme; 3] {
        Theme::ALL
    }
}
