//! A profile for profiler.firefox.com: its own "processed" format, version 60, which its every later version brings up to
//! date; `docs-developer/CHANGELOG-formats.md` and `src/types/profile.ts` of github.com/firefox-devtools/profiler describe it.
//!
//! A "thread" for cycles, instructions and each event that happened, over one table of call paths. A "sample" is a call path
//! and its weight what was done there, exactly. Its time is the simulated time at which it would stand if the paths were
//! executed one after the other, the same in all threads: it places a path and says nothing of when it was.
//!
//! Python functions are its "JavaScript": so its filter for implementations shows Python only, native only or both. Lost: how
//! often a function was called, lines but a function's first. Numbers past 2^53 are rounded, as JavaScript does.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{CREATOR, columns, objects, root_name};
use crate::cost::Hertz;
use crate::machine::Machine;
use crate::profile::{Kind, Profile};

const VERSION: u32 = 60;
/// Version of the format in which Firefox itself sends profiles; the reader wants one.
const GECKO_VERSION: u32 = 31;

/// Writes a profile.
pub fn write(profile: &Profile, machine: &Machine) -> String {
    let profile = &*profile.without_lines();
    let columns = columns(profile, machine);
    let mut strings = Strings::default();
    let shared = shared(profile, &mut strings);
    let milliseconds = |cycles: u64| cycles as f64 * 1000.0 / Hertz::of(machine).0.max(1) as f64;
    let mut cycles = 0;
    let times: Vec<f64> = columns[0]
        .costs
        .iter()
        .map(|own| {
            let start = milliseconds(cycles);
            cycles += own;
            start
        })
        .collect();
    let end = milliseconds(cycles);
    let threads = columns.iter().enumerate().map(|(index, column)| {
        let weighty: Vec<usize> = (0..column.costs.len()).filter(|&node| column.costs[node] > 0).collect();
        ThreadTwin {
            process_type: "default",
            process_name: root_name(profile),
            process_startup_time: 0.0,
            process_shutdown_time: Some(end),
            register_time: 0.0,
            unregister_time: Some(end),
            paused_ranges: [],
            name: column.name,
            is_main_thread: index == 0,
            pid: "1",
            tid: index + 1,
            samples: SamplesTwin {
                length: weighty.len(),
                time: weighty.iter().map(|&node| times[node]).collect(),
                weight: weighty.iter().map(|&node| column.costs[node]).collect(),
                weight_type: "samples",
                stack: weighty,
            },
            markers: MarkersTwin::default(),
        }
    });
    let objects = objects(profile);
    let file = FileTwin {
        meta: MetaTwin {
            interval: end / profile.nodes.len() as f64,
            start_time: 0.0,
            process_type: 0,
            product: root_name(profile),
            imported_from: CREATOR,
            stackwalk: 1,
            version: GECKO_VERSION,
            preprocessed_profile_version: VERSION,
            symbolicated: true,
            symbolication_not_supported: true,
            source_code_is_not_on_searchfox: true,
            keep_profile_thread_order: true,
            initial_selected_threads: [0],
            initial_visible_threads: (0..columns.len()).collect(),
            categories: CATEGORIES,
            marker_schema: [],
        },
        libs: objects.iter().map(|object| LibTwin::of(object)).collect(),
        shared: SharedTwin { string_array: strings.all, ..shared },
        threads: threads.collect(),
    };
    serde_json::to_string(&file).expect("twins hold nothing that JSON cannot")
}

/// By the number of the kind. The reader wants a grey one.
const CATEGORIES: [CategoryTwin; 3] = [
    CategoryTwin { name: "Native", color: "blue", subcategories: ["Other"] },
    CategoryTwin { name: "Interpreter", color: "grey", subcategories: ["Other"] },
    CategoryTwin { name: "Python", color: "yellow", subcategories: ["Other"] },
];

/// The tables: a function as it is, a frame for each function and depth of inlining, a stack for each node.
fn shared(profile: &Profile, strings: &mut Strings) -> SharedTwin {
    let objects = objects(profile);
    let mut shared = SharedTwin::default();
    for object in &objects {
        shared.resource_table.push(strings.index(object), shared.resource_table.length);
    }
    let mut sources = BTreeMap::new();
    for function in &profile.functions {
        let source = (!function.file.is_empty()).then(|| {
            *sources
                .entry(&function.file)
                .or_insert_with(|| shared.sources.push(strings.index(&function.file)))
        });
        let resource = objects.binary_search(&function.object.as_str()).map_or(-1, |at| at as i64);
        let table = &mut shared.func_table;
        table.length += 1;
        table.name.push(strings.index(&function.name));
        table.is_js.push(matches!(function.kind, Kind::Python | Kind::Line));
        table.relevant_for_js.push(false);
        table.resource.push(resource);
        table.source.push(source);
        table.line_number.push((function.line > 0).then_some(function.line));
        table.column_number.push(None);
    }
    let mut depths: Vec<u32> = Vec::new();
    let mut frames = BTreeMap::new();
    for (index, node) in profile.nodes.iter().enumerate() {
        let depth = if node.inlined && index > 0 { depths[node.parent as usize] + 1 } else { 0 };
        depths.push(depth);
        let frame = *frames.entry((node.function, depth)).or_insert_with(|| {
            let kind = profile.functions[node.function as usize].kind;
            shared.frame_table.push(node.function, depth, kind)
        });
        shared.stack_table.length += 1;
        shared.stack_table.frame.push(frame);
        shared.stack_table.prefix.push((index > 0).then_some(node.parent));
    }
    shared
}

/// The table of strings.
#[derive(Default)]
struct Strings {
    all: Vec<String>,
    by_text: BTreeMap<String, usize>,
}

impl Strings {
    fn index(&mut self, text: &str) -> usize {
        if let Some(&index) = self.by_text.get(text) {
            return index;
        }
        self.all.push(text.to_string());
        self.by_text.insert(text.to_string(), self.all.len() - 1);
        self.all.len() - 1
    }
}

/// What this writer has nothing to say of.
type Nothing = [(); 0];

#[derive(Serialize)]
struct FileTwin<'a> {
    meta: MetaTwin<'a>,
    libs: Vec<LibTwin<'a>>,
    shared: SharedTwin,
    threads: Vec<ThreadTwin<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MetaTwin<'a> {
    interval: f64,
    start_time: f64,
    process_type: u32,
    product: &'a str,
    imported_from: &'static str,
    stackwalk: u32,
    version: u32,
    preprocessed_profile_version: u32,
    symbolicated: bool,
    symbolication_not_supported: bool,
    source_code_is_not_on_searchfox: bool,
    keep_profile_thread_order: bool,
    initial_selected_threads: [usize; 1],
    initial_visible_threads: Vec<usize>,
    categories: [CategoryTwin; 3],
    marker_schema: Nothing,
}

#[derive(Serialize)]
struct CategoryTwin {
    name: &'static str,
    color: &'static str,
    subcategories: [&'static str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LibTwin<'a> {
    arch: &'static str,
    name: &'a str,
    path: &'a str,
    debug_name: &'a str,
    debug_path: &'a str,
    breakpad_id: &'static str,
    code_id: Option<&'static str>,
}

impl<'a> LibTwin<'a> {
    fn of(name: &'a str) -> LibTwin<'a> {
        LibTwin {
            arch: "x86_64",
            name,
            path: name,
            debug_name: name,
            debug_path: name,
            breakpad_id: "",
            code_id: None,
        }
    }
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct SharedTwin {
    string_array: Vec<String>,
    sources: SourcesTwin,
    stack_table: StackTableTwin,
    frame_table: FrameTableTwin,
    func_table: FuncTableTwin,
    resource_table: ResourceTableTwin,
    native_symbols: NativeSymbolsTwin,
}

#[derive(Default, Serialize)]
struct SourcesTwin {
    length: usize,
    uuid: Vec<Option<&'static str>>,
    filename: Vec<usize>,
}

impl SourcesTwin {
    fn push(&mut self, filename: usize) -> usize {
        self.uuid.push(None);
        self.filename.push(filename);
        self.length += 1;
        self.length - 1
    }
}

#[derive(Default, Serialize)]
struct StackTableTwin {
    length: usize,
    frame: Vec<usize>,
    prefix: Vec<Option<u32>>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct FrameTableTwin {
    length: usize,
    address: Vec<i64>,
    inline_depth: Vec<u32>,
    category: Vec<u32>,
    subcategory: Vec<u32>,
    func: Vec<u32>,
    native_symbol: Vec<Option<u32>>,
    #[serde(rename = "innerWindowID")]
    inner_window_id: Vec<Option<u32>>,
    line: Vec<Option<u32>>,
    column: Vec<Option<u32>>,
}

impl FrameTableTwin {
    fn push(&mut self, function: u32, inline_depth: u32, kind: Kind) -> usize {
        self.address.push(-1);
        self.inline_depth.push(inline_depth);
        self.category.push(kind as u32);
        self.subcategory.push(0);
        self.func.push(function);
        self.native_symbol.push(None);
        self.inner_window_id.push(None);
        self.line.push(None);
        self.column.push(None);
        self.length += 1;
        self.length - 1
    }
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct FuncTableTwin {
    length: usize,
    name: Vec<usize>,
    #[serde(rename = "isJS")]
    is_js: Vec<bool>,
    #[serde(rename = "relevantForJS")]
    relevant_for_js: Vec<bool>,
    resource: Vec<i64>,
    source: Vec<Option<usize>>,
    line_number: Vec<Option<u32>>,
    column_number: Vec<Option<u32>>,
}

#[derive(Default, Serialize)]
struct ResourceTableTwin {
    length: usize,
    lib: Vec<usize>,
    name: Vec<usize>,
    host: Vec<Option<usize>>,
    #[serde(rename = "type")]
    kind: Vec<u32>,
}

impl ResourceTableTwin {
    fn push(&mut self, name: usize, lib: usize) {
        const LIBRARY: u32 = 1;
        self.lib.push(lib);
        self.name.push(name);
        self.host.push(None);
        self.kind.push(LIBRARY);
        self.length += 1;
    }
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct NativeSymbolsTwin {
    length: usize,
    lib_index: Nothing,
    address: Nothing,
    name: Nothing,
    function_size: Nothing,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ThreadTwin<'a> {
    process_type: &'static str,
    process_name: &'a str,
    process_startup_time: f64,
    process_shutdown_time: Option<f64>,
    register_time: f64,
    unregister_time: Option<f64>,
    paused_ranges: Nothing,
    name: &'static str,
    is_main_thread: bool,
    pid: &'static str,
    tid: usize,
    samples: SamplesTwin,
    markers: MarkersTwin,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SamplesTwin {
    length: usize,
    stack: Vec<usize>,
    time: Vec<f64>,
    weight: Vec<u64>,
    weight_type: &'static str,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct MarkersTwin {
    length: usize,
    data: Nothing,
    name: Nothing,
    start_time: Nothing,
    end_time: Nothing,
    phase: Nothing,
    category: Nothing,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::profile;
    use super::*;

    fn written() -> Value {
        serde_json::from_str(&write(&profile(), &Machine::reference_1())).unwrap()
    }

    #[test]
    fn every_table_is_as_long_as_it_says() {
        fn check(value: &Value, path: &str) {
            let Value::Object(fields) = value else { return };
            if let Some(length) = fields.get("length").and_then(Value::as_u64) {
                let wrong = |(_, value): &(_, &Value)| {
                    value.as_array().is_some_and(|column| column.len() as u64 != length)
                };
                assert_eq!(fields.iter().find(wrong), None, "{path}");
            }
            fields.iter().for_each(|(name, value)| check(value, name));
        }
        let file = written();
        check(&file["shared"], "shared");
        file["threads"].as_array().unwrap().iter().for_each(|thread| check(thread, "thread"));
        assert_eq!(file["shared"]["stackTable"]["length"], profile().nodes.len());
    }

    #[test]
    fn a_thread_is_an_event_and_a_sample_a_path() {
        let file = written();
        let thread = &file["threads"][1];
        assert_eq!(thread["name"], "instructions");
        assert_eq!(thread["samples"]["weight"], json!([1, 10, 20, 400, 50, 7000]));
        let times: Vec<f64> =
            thread["samples"]["time"].as_array().unwrap().iter().map(|time| time.as_f64().unwrap()).collect();
        assert!(times.is_sorted());
        // Two cycles at two gigahertz.
        assert_eq!(times[..2], [0.0, 0.000_001]);
    }

    #[test]
    fn python_is_what_javascript_is_there() {
        let shared = &written()["shared"];
        let python: Vec<&Value> = shared["funcTable"]["isJS"]
            .as_array()
            .unwrap()
            .iter()
            .zip(shared["funcTable"]["name"].as_array().unwrap())
            .filter(|(is_js, _)| **is_js == json!(true))
            .map(|(_, name)| &shared["stringArray"][name.as_u64().unwrap() as usize])
            .collect();
        assert_eq!(python, ["Sum.of"]);
        assert_eq!(shared["frameTable"]["inlineDepth"].as_array().unwrap().last(), Some(&json!(1)));
    }
}
