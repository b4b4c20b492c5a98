//! `invar flame`.

use std::path::{Path, PathBuf};

use invar_core::compare::Comparison;
use invar_core::machine::Machine;
use invar_core::profile::{self, Both, Difference, Lines, Measure, Profile, View};
use invar_core::wire::flame::{self, Heading, Tree};
use invar_core::wire::profile_formats::{self, callgrind, firefox, folded, pprof, speedscope};
use invar_store::{Comparable, Store};

use crate::args::{Common, Flame, Frames, ProfileFormat};
use crate::cmd::compare::unlike;
use crate::exit::{Code, Failure};
use crate::imported::{self, Imported};
use crate::pick::{named_or_newest, pick};
use crate::place::Place;
use crate::profiles::{benchmark, machine, measure, need};
use crate::render::flame::{file_stem, page};
use crate::sources::{self, Files};
use crate::terminal::{print, write};

/// Writes a profile, or the difference of two, and says where it is.
pub async fn flame(arguments: Flame, common: &Common) -> Result<Code, Failure> {
    let place = Place::find(common)?;
    if let Some((name, text)) = of_files(&arguments, &place)? {
        return finish(arguments, &name, &text);
    }
    let store = place.existing_store().await?;
    let (name, text) = match arguments.diff.as_deref() {
        Some([base, head]) => difference(base, head, &arguments, &place, store.as_ref()).await?,
        _ => one(&arguments, &place, store.as_ref()).await?,
    };
    finish(arguments, &name, &text)
}

/// Writes what was made, and says where it is.
fn finish(arguments: Flame, name: &str, text: &[u8]) -> Result<Code, Failure> {
    let path = arguments.output.unwrap_or_else(|| file_name(name, arguments.format));
    if path == Path::new("-") {
        return print(text).map(|()| Code::Well);
    }
    write(Some(&path), text)?;
    print(format!("{}\n", path.display()))?;
    Ok(Code::Well)
}

/// The same for profiles of others, if files are named: one, or two to compare.
fn of_files(arguments: &Flame, place: &Place) -> Result<Option<(String, Vec<u8>)>, Failure> {
    if let Some([base, head]) = arguments.diff.as_deref() {
        let (Some(base), Some(head)) = (imported::find(base)?, imported::find(head)?) else {
            return Ok(None);
        };
        if base.measure != head.measure {
            return Err(Failure::new(
                Code::Usage,
                "the two files are of unlike kinds, so their costs are, too",
            ));
        }
        only_html(arguments.format)?;
        let name = arguments.benchmark.clone().unwrap_or_else(|| head.name.clone());
        let heading = of_imported(&name, vec![base.name.clone(), head.name.clone()], &head);
        let difference = Difference::of(&base.profile, &head.profile);
        let tree = Tree::between(Both { base: &base.profile, head: &head.profile }, &difference);
        return Ok(Some((name.clone(), drawn(&tree, &heading, place).into_bytes())));
    }
    if arguments.run.is_some() {
        return Ok(None);
    }
    let Some(found) = imported::find(arguments.benchmark.as_deref().unwrap_or_default())? else {
        return Ok(None);
    };
    let measure = measure(found.measure, &found.machine)?;
    let heading = of_imported(&found.name, vec![found.name.clone()], &found);
    let tree = || drawn(&Tree::of(&found.profile), &heading, place);
    let text = written(&found.profile, &found.machine, measure, arguments.format, tree);
    Ok(Some((found.name.clone(), text)))
}

fn of_imported<'a>(name: &'a str, sides: Vec<String>, found: &'a Imported) -> Heading<'a> {
    let Imported { machine, measure, .. } = found;
    Heading { benchmark: name, sides, machine, measure, view: "mixed" }
}

/// A profile in the format that was asked for; `page` draws it.
fn written(
    profile: &Profile,
    machine: &Machine,
    measure: Measure<'_>,
    format: ProfileFormat,
    page: impl FnOnce() -> String,
) -> Vec<u8> {
    let text = match format {
        ProfileFormat::Html => page(),
        ProfileFormat::Speedscope => speedscope::write(profile, machine),
        ProfileFormat::Firefox => firefox::write(profile, machine),
        ProfileFormat::Callgrind => callgrind::write(profile, machine),
        ProfileFormat::Folded => stacks(profile, measure),
        ProfileFormat::Pprof => return pprof::write(profile, machine),
    };
    text.into_bytes()
}

fn only_html(format: ProfileFormat) -> Result<(), Failure> {
    if format == ProfileFormat::Html {
        return Ok(());
    }
    Err(Failure::new(Code::Usage, "a difference is drawn as html only")
        .help("its sides one by one: invar flame RUN BENCHMARK --format FORMAT"))
}

/// The name of the benchmark that is meant, and its profile as text.
async fn one(arguments: &Flame, place: &Place, store: Option<&Store>) -> Result<(String, Vec<u8>), Failure> {
    let run = named_or_newest(arguments.run.as_deref(), place, store).await?;
    let name = benchmark(arguments.benchmark.as_deref().unwrap_or_default(), &[&run])?;
    let machine = machine(&run, &name);
    let measure = measure(&arguments.measure, machine)?;
    let profile = need(store, &run, &name, place).await?;
    let lines = match arguments.format {
        ProfileFormat::Pprof | ProfileFormat::Callgrind => Lines::Kept,
        _ => Lines::Folded,
    };
    let view = View { frames: frames(arguments.view), lines, ..View::default() };
    let heading = heading(&name, vec![run.title()], arguments, machine)?;
    let page = || drawn(&Tree::of(&profile), &heading, place);
    let text = written(&profile.viewed(view), machine, measure, arguments.format, page);
    Ok((name, text))
}

/// The name of the benchmark that is meant, and the page of what changed in it.
async fn difference(
    base: &str,
    head: &str,
    arguments: &Flame,
    place: &Place,
    store: Option<&Store>,
) -> Result<(String, Vec<u8>), Failure> {
    only_html(arguments.format)?;
    let head = pick(head, place, store, None).await?;
    let base = pick(base, place, store, Some(&Comparable::with(&head))).await?;
    // Costs of unlike machines are never compared.
    Comparison::of(&base, &head, &place.config.policy).map_err(|error| unlike(&error))?;
    let name = benchmark(arguments.benchmark.as_deref().unwrap_or_default(), &[&head, &base])?;
    let heading = heading(&name, vec![base.title(), head.title()], arguments, machine(&head, &name))?;
    let base = need(store, &base, &name, place).await?;
    let head = need(store, &head, &name, place).await?;
    let difference = Difference::of(&base, &head);
    let page = drawn(&Tree::between(Both { base: &base, head: &head }, &difference), &heading, place);
    Ok((name, page.into_bytes()))
}

fn heading<'a>(
    name: &'a str,
    sides: Vec<String>,
    arguments: &Flame,
    machine: &'a Machine,
) -> Result<Heading<'a>, Failure> {
    let view = match arguments.view {
        Frames::Mixed => "mixed",
        Frames::Python => "python",
        Frames::Native => "native",
    };
    let measure = measure(&arguments.measure, machine)?.name();
    Ok(Heading { benchmark: name, sides, machine, measure, view })
}

fn drawn(tree: &Tree<'_>, heading: &Heading<'_>, place: &Place) -> String {
    let sources = sources::of_tree(tree, &mut Files::new(&place.root));
    page(heading.benchmark, &flame::write(tree, heading, &sources))
}

fn stacks(profile: &Profile, measure: Measure<'_>) -> String {
    let costs = match measure {
        Measure::Cycles(machine) => profile_formats::cycles(profile, machine),
        Measure::Event(event) => profile_formats::counts(profile, event),
    };
    folded::write(profile, &costs)
}

const fn frames(frames: Frames) -> profile::Frames {
    match frames {
        Frames::Mixed => profile::Frames::Mixed,
        Frames::Python => profile::Frames::Python,
        Frames::Native => profile::Frames::Native,
    }
}

/// Where it is written if nobody says: as the readers of its format look for it.
fn file_name(benchmark: &str, format: ProfileFormat) -> PathBuf {
    let stem = file_stem(benchmark);
    PathBuf::from(match format {
        ProfileFormat::Html => format!("invar-flame-{stem}.html"),
        ProfileFormat::Speedscope => format!("invar-{stem}.speedscope.json"),
        ProfileFormat::Firefox => format!("invar-{stem}.firefox.json"),
        ProfileFormat::Pprof => format!("invar-{stem}.pb"),
        ProfileFormat::Callgrind => format!("callgrind.out.{stem}"),
        ProfileFormat::Folded => format!("invar-{stem}.folded"),
    })
}
