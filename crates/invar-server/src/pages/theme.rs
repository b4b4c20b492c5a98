//! Light or dark, remembered in a cookie.

use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::frame::Frame;
use crate::answer;
use crate::asked::{Asked, THEME_COOKIE, Theme};
use crate::problem::Problem;

/// Remembers the choice and goes back to the page where it was made.
pub async fn choose(asked: Asked, body: String) -> Response {
    let mut theme = None;
    let mut back = None;
    for (name, value) in form_urlencoded::parse(body.as_bytes()) {
        match &*name {
            "theme" => theme = Theme::from_name(&value),
            "back" => back = Some(value.into_owned()),
            _ => {}
        }
    }
    let Some(theme) = theme else {
        let problem = Problem::Unusable("A theme is `auto`, `light` or `dark`.".to_string());
        let frame = Frame::of_server(&asked, problem.title(), "");
        return answer::problem_in(frame, &asked, &problem);
    };
    let back = back.filter(|back| is_here(back)).and_then(|back| HeaderValue::from_str(&back).ok());
    let location = back.unwrap_or_else(|| HeaderValue::from_static("/"));
    let cookie = format!("{THEME_COOKIE}={}; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly", theme.name());
    (StatusCode::SEE_OTHER, [(LOCATION, location)], [(SET_COOKIE, cookie)]).into_response()
}

/// Is it an address of this server? `//other.example` and `/\other.example` are not.
pub(crate) fn is_here(address: &str) -> bool {
    let mut characters = address.chars();
    characters.next() == Some('/') && !matches!(characters.next(), Some('/' | '\\'))
}

#[cfg(test)]
mod tests {
    use super::is_here;

    #[test]
    fn the_way_back_stays_on_this_server() {
        assert!(is_here("/") && is_here("/runs?branch=a"));
        for elsewhere in ["", "//evil.example", "/\\evil.example", "https://evil.example", "runs"] {
            assert!(!is_here(elsewhere), "{elsewhere}");
        }
    }
}
