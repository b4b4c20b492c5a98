//! Is the server there, and can it answer?

use axum::response::Response;

use crate::answer::{Answer, typed};
use crate::app::App;
use crate::asked::Asked;

/// It is there.
pub async fn alive() -> Response {
    typed("text/plain; charset=utf-8", "ok\n".to_string())
}

/// It can read its store.
pub async fn ready(app: App, _asked: Asked) -> Answer {
    app.store().ready().await?;
    Ok(typed("text/plain; charset=utf-8", "ready\n".to_string()))
}
