//! `invar show`.

use invar_core::run::Run;
use invar_core::wire::v1;

use crate::args::{Common, Show};
use crate::exit::{Code, Failure};
use crate::pick::{newest, pick};
use crate::place::Place;
use crate::render;
use crate::terminal::{print, stdout};

/// Shows a run in full.
pub async fn show(arguments: Show, common: &Common) -> Result<Code, Failure> {
    let run = named_or_newest(arguments.run.as_deref(), common).await?;
    print(&if arguments.json {
        v1::write_pretty(&run)
    } else {
        render::show::show(&run, stdout(common.color))
    })?;
    Ok(Code::Well)
}

/// The run of that name; the newest where there is none.
pub async fn named_or_newest(name: Option<&str>, common: &Common) -> Result<Run, Failure> {
    let place = Place::find(common)?;
    let store = place.existing_store().await?;
    match name {
        Some(name) => pick(name, &place, store.as_ref(), None).await,
        None => newest(&place, store.as_ref()).await,
    }
}
