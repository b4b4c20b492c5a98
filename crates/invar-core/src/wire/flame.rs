//! What a page needs to draw a profile, or two in one tree, as JSON: written, never read back.
//!
//! `{"invar_flame": 1, ...}`. Every number of the page is here as it was counted, and the cycles as they were charged; the page
//! adds them up. Texts are interned, trees are columns, and columns in which most is zero are written as how many zeros
//! there are before each other number, so that a page of a large profile stays small. The text may stand in a `script`
//! element: it has no `<`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::event::{Event, Events};
use crate::machine::Machine;
use crate::profile::{Both, Difference, DifferenceNode, Function, Kind, Measure, Profile, SourceLine};

/// The version this build writes.
pub const VERSION: u32 = 1;

/// A tree of one side, or of base and head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree<'a> {
    /// Every function.
    pub functions: Cow<'a, [Function]>,
    /// Nodes, callers before callees; the first is the root.
    pub nodes: Vec<TreeNode>,
    /// What was done at lines of source.
    pub lines: Vec<TreeLine>,
}

/// A node, with a count for each side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeNode {
    /// Index of its caller's node; its own for the root.
    pub parent: u32,
    /// Index of its function.
    pub function: u32,
    /// The compiler has put it into its caller.
    pub inlined: bool,
    /// How often it was called.
    pub calls: [u64; 2],
    /// What it did itself.
    pub own: [Events; 2],
}

/// A line, with a count for each side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeLine {
    /// Index of the function.
    pub function: u32,
    /// The line.
    pub line: u32,
    /// What was done there.
    pub own: [Events; 2],
    /// Of a Python function's: the same with what was called there; of others it is not known.
    pub total: [Events; 2],
    /// Of a Python function's: how often it was come to.
    pub entered: [u64; 2],
}

/// What is said above the picture, and what is chosen at first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heading<'a> {
    /// The full name of the benchmark.
    pub benchmark: &'a str,
    /// What each side is called: one, or base and head.
    pub sides: Vec<String>,
    /// On which machine.
    pub machine: &'a Machine,
    /// What is measured at first, by name.
    pub measure: &'a str,
    /// Whose frames are shown at first: `mixed`, `python` or `native`.
    pub view: &'static str,
}

/// Lines of the source of functions, by index: the number of the first one, and their text.
pub type Sources = BTreeMap<u32, (u32, Vec<String>)>;

impl<'a> Tree<'a> {
    /// The tree of one profile.
    pub fn of(profile: &'a Profile) -> Tree<'a> {
        let one = |own: Events| [own, Events::default()];
        let python = python_lines(profile);
        let profile = profile.without_lines();
        let nodes = profile.nodes.iter().map(|node| TreeNode {
            parent: node.parent,
            function: node.function,
            inlined: node.inlined,
            calls: [node.calls, 0],
            own: one(node.own),
        });
        let lines = profile.lines.iter().map(|line| TreeLine {
            function: line.function,
            line: line.line,
            own: one(line.own),
            total: Default::default(),
            entered: [0; 2],
        });
        let index = |function| profile.functions.binary_search(function).unwrap_or_default() as u32;
        let of_python = python.iter().flat_map(|(function, lines)| {
            lines.iter().map(move |line| TreeLine {
                function: index(function),
                line: line.line,
                own: one(line.own),
                total: one(line.inclusive),
                entered: [line.entered, 0],
            })
        });
        let mut lines: Vec<TreeLine> = lines.chain(of_python).collect();
        lines.sort_by_key(|line| (line.function, line.line));
        let nodes = nodes.collect();
        let functions = match profile {
            Cow::Borrowed(profile) => Cow::Borrowed(&profile.functions[..]),
            Cow::Owned(profile) => Cow::Owned(profile.functions),
        };
        Tree { functions, nodes, lines }
    }

    /// The tree of two profiles, of which this is the difference.
    ///
    /// Code moves up and down its file without a change, so the baseline's lines are moved along with the first line of their
    /// function, where both are known.
    pub fn between(profiles: Both<&Profile>, difference: &'a Difference) -> Tree<'a> {
        let spent = |node: &DifferenceNode| node.spent.map(Option::unwrap_or_default);
        let nodes = difference.nodes.iter().map(|node| {
            let Both { base, head } = spent(node);
            TreeNode {
                parent: node.parent,
                function: node.function,
                inlined: false,
                calls: [base.calls, head.calls],
                own: [base.own, head.own],
            }
        });
        let functions = difference.functions.iter().enumerate();
        let indices: BTreeMap<Identity<'_>, usize> =
            functions.map(|(index, function)| (identity(function), index)).collect();
        let mut lines = BTreeMap::<(u32, u32), TreeLine>::new();
        for (side, profile) in [profiles.base, profiles.head].into_iter().enumerate() {
            let place = |function: &Function, line| {
                let &index = indices.get(&identity(function))?;
                Some((index as u32, moved(line, function.line, difference.functions[index].line)))
            };
            for line in &profile.lines {
                let place = place(&profile.functions[line.function as usize], line.line);
                let Some(place) = place else { continue };
                lines.entry(place).or_insert_with(|| TreeLine::at(place)).own[side] += line.own;
            }
            for (function, of_python) in python_lines(profile) {
                for line in of_python {
                    let Some(place) = place(&function, line.line) else { continue };
                    let known = lines.entry(place).or_insert_with(|| TreeLine::at(place));
                    known.own[side] += line.own;
                    known.total[side] += line.inclusive;
                    known.entered[side] += line.entered;
                }
            }
        }
        let functions = Cow::Borrowed(&difference.functions[..]);
        Tree { functions, nodes: nodes.collect(), lines: lines.into_values().collect() }
    }
}

impl TreeLine {
    fn at((function, line): (u32, u32)) -> TreeLine {
        TreeLine { function, line, own: Default::default(), total: Default::default(), entered: [0; 2] }
    }
}

/// The lines of Python functions. Their events; what they cost, the page's measures say.
fn python_lines(profile: &Profile) -> BTreeMap<Function, Vec<SourceLine>> {
    profile.python_lines(Measure::Event(Event::Instructions))
}

type Identity<'a> = (&'a str, &'a str, &'a str, Kind);

/// What makes a function the same in two profiles: all but its line.
fn identity(function: &Function) -> Identity<'_> {
    (&function.name, &function.object, &function.file, function.kind)
}

/// Where a line is if its function begins at `to` instead of `from`.
fn moved(line: u32, from: u32, to: u32) -> u32 {
    let known = line > 0 && from > 0 && to > 0;
    if known { (line + to).saturating_sub(from) } else { line }
}

/// Writes a tree.
pub fn write(tree: &Tree<'_>, heading: &Heading<'_>, sources: &Sources) -> String {
    let mut strings = Strings::default();
    let functions = FunctionColumns {
        name: strings.column(&tree.functions, |function| &function.name),
        object: strings.column(&tree.functions, |function| &function.object),
        file: strings.column(&tree.functions, |function| &function.file),
        line: tree.functions.iter().map(|function| function.line).collect(),
        kind: tree.functions.iter().map(|function| function.kind as u8).collect(),
    };
    let sides = heading.sides.len();
    let measures = measures(tree, heading.machine);
    let nodes = NodeColumns {
        parent: tree.nodes.iter().map(|node| node.parent).collect(),
        function: tree.nodes.iter().map(|node| node.function).collect(),
        inlined: (0..tree.nodes.len()).filter(|&index| tree.nodes[index].inlined).collect(),
        calls: (0..sides).map(|side| sparse(tree.nodes.iter().map(|node| node.calls[side]))).collect(),
        own: costs(&measures, sides, || tree.nodes.iter().map(|node| &node.own)),
    };
    let lines = LineColumns {
        function: tree.lines.iter().map(|line| line.function).collect(),
        line: tree.lines.iter().map(|line| line.line).collect(),
        own: costs(&measures, sides, || tree.lines.iter().map(|line| &line.own)),
        total: costs(&measures, sides, || tree.lines.iter().map(|line| &line.total)),
        entered: (0..sides).map(|side| sparse(tree.lines.iter().map(|line| line.entered[side]))).collect(),
    };
    let shown = measures.iter().position(|measure| measure.name() == heading.measure).unwrap_or_default();
    let page = Page {
        invar_flame: VERSION,
        benchmark: heading.benchmark,
        sides: heading.sides.iter().map(|title| Side { title }).collect(),
        machine: &heading.machine.name,
        measures: measures
            .iter()
            .map(|measure| Named { name: measure.name(), label: label(*measure) })
            .collect(),
        shown: Shown { measure: shown, view: heading.view },
        functions,
        nodes,
        lines,
        sources: sources.iter().map(|(&function, (first, text))| (function, *first, &text[..])).collect(),
        strings: strings.texts,
    };
    let json = serde_json::to_string(&page).expect("twins hold nothing that JSON cannot");
    // Only texts have such characters, and there an escape says the same.
    json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// Cycles, and every event that happened.
fn measures<'a>(tree: &Tree<'_>, machine: &'a Machine) -> Vec<Measure<'a>> {
    let happened =
        |event: &Event| tree.nodes.iter().any(|node| node.own.iter().any(|events| events.get(*event) > 0));
    let events = Event::ALL.into_iter().filter(happened).map(Measure::Event);
    std::iter::once(Measure::Cycles(machine)).chain(events).collect()
}

/// What people call a measure.
fn label(measure: Measure<'_>) -> String {
    let Measure::Event(event) = measure else { return "cycles".to_string() };
    match event {
        Event::L1iMisses => "L1 instruction misses".to_string(),
        Event::L1dReadMisses => "L1 read misses".to_string(),
        Event::L1dWriteMisses => "L1 write misses".to_string(),
        Event::L2Misses => "L2 misses".to_string(),
        Event::L3Misses => "L3 misses".to_string(),
        other => other.name().replace('_', " "),
    }
}

/// A column for each measure and side.
fn costs<'a, I: Iterator<Item = &'a [Events; 2]>>(
    measures: &[Measure<'_>],
    sides: usize,
    rows: impl Fn() -> I,
) -> Vec<Vec<Vec<u64>>> {
    let column =
        |measure: Measure<'_>, side: usize| sparse(measure.costs(rows().map(|own| &own[side])).into_iter());
    measures.iter().map(|&measure| (0..sides).map(|side| column(measure, side)).collect()).collect()
}

/// Numbers of which most are zero: how many zeros, a number, how many zeros, a number.
fn sparse(numbers: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut out = Vec::new();
    let mut zeros = 0;
    for number in numbers {
        if number == 0 {
            zeros += 1;
        } else {
            out.extend([std::mem::take(&mut zeros), number]);
        }
    }
    out
}

/// Texts, each once.
#[derive(Default)]
struct Strings<'a> {
    texts: Vec<&'a str>,
    indices: BTreeMap<&'a str, u32>,
}

impl<'a> Strings<'a> {
    fn index(&mut self, text: &'a str) -> u32 {
        let texts = &mut self.texts;
        *self.indices.entry(text).or_insert_with(|| {
            texts.push(text);
            texts.len() as u32 - 1
        })
    }

    fn column(&mut self, functions: &'a [Function], text: impl Fn(&'a Function) -> &'a str) -> Vec<u32> {
        functions.iter().map(|function| self.index(text(function))).collect()
    }
}

#[derive(Serialize)]
struct Page<'a> {
    invar_flame: u32,
    benchmark: &'a str,
    sides: Vec<Side<'a>>,
    machine: &'a str,
    measures: Vec<Named>,
    shown: Shown,
    functions: FunctionColumns,
    nodes: NodeColumns,
    lines: LineColumns,
    sources: Vec<(u32, u32, &'a [String])>,
    strings: Vec<&'a str>,
}

#[derive(Serialize)]
struct Side<'a> {
    title: &'a str,
}

#[derive(Serialize)]
struct Named {
    name: &'static str,
    label: String,
}

#[derive(Serialize)]
struct Shown {
    measure: usize,
    view: &'static str,
}

#[derive(Serialize)]
struct FunctionColumns {
    name: Vec<u32>,
    object: Vec<u32>,
    file: Vec<u32>,
    line: Vec<u32>,
    kind: Vec<u8>,
}

#[derive(Serialize)]
struct NodeColumns {
    parent: Vec<u32>,
    function: Vec<u32>,
    inlined: Vec<usize>,
    calls: Vec<Vec<u64>>,
    own: Vec<Vec<Vec<u64>>>,
}

#[derive(Serialize)]
struct LineColumns {
    function: Vec<u32>,
    line: Vec<u32>,
    own: Vec<Vec<Vec<u64>>>,
    total: Vec<Vec<Vec<u64>>>,
    entered: Vec<Vec<u64>>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::profile::{Builder, Kind};

    fn profile(name: &str) -> Profile {
        profile_at(name, 7, 10)
    }

    fn profile_at(name: &str, line: u32, instructions: u64) -> Profile {
        let mut builder = Builder::new("t.py::a");
        let function = builder.function(Function {
            name: name.to_string(),
            object: "libm.so".to_string(),
            file: String::new(),
            kind: Kind::Native,
            line,
        });
        let node = builder.child(Builder::ROOT, function, true);
        let mut own = Events::default();
        own.add(Event::Instructions, instructions);
        builder.add(node, &own);
        builder.add_calls(node, 3);
        builder.add_line(function, line + 1, &own);
        builder.finish()
    }

    #[test]
    fn two_profiles_are_one_tree_and_lines_move_with_their_function() {
        let (base, head) = (profile_at("f", 7, 10), profile_at("f", 20, 12));
        let difference = Difference::of(&base, &head);
        let tree = Tree::between(Both { base: &base, head: &head }, &difference);
        let counts = |own: &[Events; 2]| own.map(|events| events.get(Event::Instructions));
        assert_eq!(tree.nodes.iter().map(|node| counts(&node.own)).collect::<Vec<_>>(), [[0, 0], [10, 12]]);
        let lines: Vec<_> = tree.lines.iter().map(|line| (line.line, counts(&line.own))).collect();
        assert_eq!(lines, [(21, [10, 12])]);
    }

    fn written(profile: &Profile) -> String {
        let machine = Machine::reference_1();
        let heading = Heading {
            benchmark: "t.py::a",
            sides: vec!["main".to_string()],
            machine: &machine,
            measure: "instructions",
            view: "mixed",
        };
        write(&Tree::of(profile), &heading, &Sources::from([(0, (7, vec!["int f() {".to_string()]))]))
    }

    #[test]
    fn a_page_gets_every_count() {
        let json: Value = serde_json::from_str(&written(&profile("f"))).unwrap();
        assert_eq!(json["measures"][1], json!({"name": "instructions", "label": "instructions"}));
        assert_eq!(json["measures"].as_array().unwrap().len(), 2);
        assert_eq!(json["shown"], json!({"measure": 1, "view": "mixed"}));
        assert_eq!(json["nodes"]["parent"], json!([0, 0]));
        assert_eq!(json["nodes"]["inlined"], json!([1]));
        assert_eq!(json["nodes"]["calls"], json!([[0, 1, 0, 3]]));
        // Two cycles for each instruction that hits, and no cost of the root.
        assert_eq!(json["nodes"]["own"], json!([[[1, 20]], [[1, 10]]]));
        assert_eq!(json["lines"]["own"], json!([[[0, 20]], [[0, 10]]]));
        assert_eq!(json["sources"], json!([[0, 7, ["int f() {"]]]));
    }

    #[test]
    fn a_name_cannot_end_the_script_that_it_stands_in() {
        let hostile = "</script><script>alert(1)</script>\u{2028}<!--\u{1b}[2J\"\\";
        let text = written(&profile(hostile));
        assert!(!text.contains('<') && !text.contains('\u{2028}') && !text.contains('\u{1b}'), "{text}");
        let json: Value = serde_json::from_str(&text).unwrap();
        assert!(json["strings"].as_array().unwrap().contains(&json!(hostile)));
    }
}
