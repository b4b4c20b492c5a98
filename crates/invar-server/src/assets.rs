//! Style sheets, scripts and the icon, in the binary. Their addresses hold a digest of their content, so that a browser
//! keeps them for ever and never keeps an old one.
//!
//! What `cargo xtask web` makes of `web/` is there if it was made before this crate was built: see [`islands`].

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::flame;

// `ISLANDS`: script and style sheet, if they were made.
include!(concat!(env!("OUT_DIR"), "/islands.rs"));

/// A file that pages name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    content: &'static str,
    content_type: &'static str,
    ending: &'static str,
}

/// The style sheet of every page.
pub const CSS: Asset =
    Asset::css(concat!(include_str!("../assets/tokens.css"), include_str!("../assets/invar.css")));
/// The icon.
pub const ICON: Asset =
    Asset { content: include_str!("../assets/icon.svg"), content_type: "image/svg+xml", ending: "svg" };
/// The look of flame graphs.
pub const FLAME_CSS: Asset = Asset::css(flame::STYLE);
/// What draws them.
pub const FLAME_SCRIPT: Asset = Asset::script(flame::SCRIPT_OF_ASKED);

const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// What makes pages handier: the script and its style sheet. `None` in a build that was made without them.
pub fn islands() -> Option<(Asset, Asset)> {
    ISLANDS.map(|(script, css)| (Asset::script(script), Asset::css(css)))
}

/// Everything that pages name.
pub fn all() -> Vec<Asset> {
    let islands = islands().into_iter().flat_map(|(script, css)| [script, css]);
    [CSS, ICON, FLAME_CSS, FLAME_SCRIPT].into_iter().chain(islands).collect()
}

impl Asset {
    const fn css(content: &'static str) -> Asset {
        Asset { content, content_type: "text/css; charset=utf-8", ending: "css" }
    }

    const fn script(content: &'static str) -> Asset {
        Asset { content, content_type: "text/javascript; charset=utf-8", ending: "js" }
    }

    /// Where it is.
    pub fn address(self) -> String {
        format!("/assets/{:016x}.{}", digest(self.content.as_bytes()), self.ending)
    }

    /// The file.
    pub fn answer(self) -> Response {
        ([(CONTENT_TYPE, self.content_type), (CACHE_CONTROL, FOR_EVER)], self.content).into_response()
    }
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
