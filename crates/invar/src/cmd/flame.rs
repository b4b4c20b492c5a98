//! `invar flame`.

use std::path::{Path, PathBuf};

use invar_core::compare::Comparison;
use invar_core::profile::{Both, Difference};
use invar_core::run::Run;
use invar_core::wire::flame::{self, Heading, Tree};
use invar_store::Comparable;

use crate::args::{Common, Flame, Frames};
use crate::cmd::compare::unlike;
use crate::exit::{Code, Failure};
use crate::pick::{newest, pick};
use crate::place::Place;
use crate::profiles::{benchmark, machine, measure, need};
use crate::render::flame::{file_name, page};
use crate::sources::{self, Files};
use crate::terminal::{print, write};

/// Writes the page, and where it is.
pub async fn flame(arguments: Flame, common: &Common) -> Result<Code, Failure> {
    let place = Place::find(common)?;
    let store = place.existing_store().await?;
    let store = store.as_ref();
    let part = arguments.benchmark.as_deref().unwrap_or_default();
    let mut files = Files::new(&place.root);
    let (name, page) = match arguments.diff.as_deref() {
        Some([base, head]) => {
            let head = pick(head, &place, store, None).await?;
            let base = pick(base, &place, store, Some(&Comparable::with(&head))).await?;
            // Costs of unlike machines are never compared.
            Comparison::of(&base, &head, &place.config.policy).map_err(|error| unlike(&error))?;
            let name = benchmark(part, &[&head, &base])?;
            let base_profile = need(store, &base, &name, &place).await?;
            let head_profile = need(store, &head, &name, &place).await?;
            let difference = Difference::of(&base_profile, &head_profile);
            let tree = Tree::between(Both { base: &base_profile, head: &head_profile }, &difference);
            let sides = vec![base.title(), head.title()];
            let page = drawn(&name, &tree, sides, &head, &arguments, &mut files)?;
            (name, page)
        }
        _ => {
            let run = match arguments.run.as_deref() {
                Some(run) => pick(run, &place, store, None).await?,
                None => newest(&place, store).await?,
            };
            let name = benchmark(part, &[&run])?;
            let profile = need(store, &run, &name, &place).await?;
            let page = drawn(&name, &Tree::of(&profile), vec![run.title()], &run, &arguments, &mut files)?;
            (name, page)
        }
    };
    let path = arguments.output.unwrap_or_else(|| PathBuf::from(file_name(&name)));
    if path == Path::new("-") {
        return print(&page).map(|()| Code::Well);
    }
    write(Some(&path), &page)?;
    print(&format!("{}\n", path.display()))?;
    Ok(Code::Well)
}

fn drawn(
    name: &str,
    tree: &Tree<'_>,
    sides: Vec<String>,
    run: &Run,
    arguments: &Flame,
    files: &mut Files,
) -> Result<String, Failure> {
    let machine = machine(run, name);
    let heading = Heading {
        benchmark: name,
        sides,
        machine,
        measure: measure(&arguments.measure, machine)?.name(),
        view: match arguments.view {
            Frames::Mixed => "mixed",
            Frames::Python => "python",
            Frames::Native => "native",
        },
    };
    let sources = sources::of_tree(tree, files);
    Ok(page(name, &flame::write(tree, &heading, &sources)))
}
