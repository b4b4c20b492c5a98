//! The style sheet and the icon, in the binary. Their addresses hold a digest of their content, so that a browser keeps
//! them for ever and never keeps an old one.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

/// The style sheet.
pub const CSS: &str = include_str!("../assets/invar.css");
/// The icon.
pub const ICON: &str = include_str!("../assets/icon.svg");

const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// Where the style sheet is.
pub fn css_address() -> String {
    format!("/assets/{:016x}.css", digest(CSS.as_bytes()))
}

/// Where the icon is.
pub fn icon_address() -> String {
    format!("/assets/{:016x}.svg", digest(ICON.as_bytes()))
}

/// The style sheet.
pub async fn css() -> Response {
    ([(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, FOR_EVER)], CSS).into_response()
}

/// The icon.
pub async fn icon() -> Response {
    ([(CONTENT_TYPE, "image/svg+xml"), (CACHE_CONTROL, FOR_EVER)], ICON).into_response()
}

/// FNV-1a: tells versions of a file apart, and is no protection against anybody.
const fn digest(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        index += 1;
    }
    hash
}
