//! `invar report`.

use invar_core::report::ReportOptions;
use invar_core::wire;

use crate::args::{Common, Format, Report};
use crate::cmd::compare;
use crate::exit::{Code, Failure};
use crate::place::Place;
use crate::render::markdown::{Marker, markdown};
use crate::render::{self, Colour, View};
use crate::terminal::{stdout, write};

/// Writes the report of a change.
pub async fn report(arguments: Report, common: &Common) -> Result<Code, Failure> {
    let place = Place::find(common)?;
    let (candidate, choice) = compare::sides(&arguments.sides, &place).await?;
    let options = ReportOptions { subject: arguments.subject, ..ReportOptions::default() };
    let policy = place.policy(&candidate, place.existing_store().await?.as_ref()).await?;
    let mut report = compare::report(&candidate, &choice, &policy, options)?;
    compare::explain(&mut report, &candidate, &choice, compare::Unknown::PassedOver, &place).await?;
    let view = stdout(common.color);
    let format = if arguments.json { Format::Json } else { arguments.format };
    let text = match format {
        Format::Markdown => markdown(&report, &Marker::default()),
        Format::Json => wire::report::write_pretty(&report),
        // A terminal's colours are of no use in a file.
        Format::Terminal if arguments.output.is_some() => {
            render::report::report(&report, View { colour: Colour::Plain, ..view })
        }
        Format::Terminal => render::report::report(&report, view),
    };
    write(arguments.output.as_deref(), &text)?;
    Ok(Code::Well)
}
