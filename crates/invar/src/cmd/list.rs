//! `invar list`.

use invar_core::wire;

use crate::args::{Common, List};
use crate::exit::{Code, Failure};
use crate::place::Place;
use crate::render;
use crate::terminal::{print, stdout};

/// Lists the stored runs.
pub async fn list(arguments: List, common: &Common) -> Result<Code, Failure> {
    let place = Place::find(common)?;
    let runs = match place.existing_store().await? {
        Some(store) => store.list(arguments.limit).await.map_err(|error| place.database(&error))?,
        None => Vec::new(),
    };
    print(&if arguments.json {
        wire::list::write(&runs)
    } else {
        render::list::list(&runs, stdout(common.color))
    })?;
    Ok(Code::Well)
}
