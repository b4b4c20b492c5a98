//! What is around every page: title, navigation, theme, twins.

use crate::app::App;
use crate::asked::{Asked, Form, Theme};
use crate::assets;

/// The frame of a page.
pub struct Frame {
    /// What the page is about.
    pub title: String,
    /// The project.
    pub project: String,
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
            title: title.to_string(),
            project: app.project().to_string(),
            theme: asked.theme,
            css: assets::CSS.address(),
            icon: assets::ICON.address(),
            islands: assets::islands().map(|(script, css)| (script.address(), css.address())),
            section,
            here: asked.here(),
            twins: vec![("JSON", asked.twin(Form::Json)), ("CSV", asked.twin(Form::Csv))],
        }
    }

    /// The frame of a page that is no data.
    pub fn without_twins(self) -> Frame {
        Frame { twins: Vec::new(), ..self }
    }

    /// The parts of the site.
    pub fn sections(&self) -> [(&'static str, &'static str); 6] {
        SECTIONS
    }

    /// The themes.
    pub fn themes(&self) -> [Theme; 3] {
        Theme::ALL
    }
}
