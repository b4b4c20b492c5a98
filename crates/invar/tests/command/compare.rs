//! `invar compare` and `invar report`.

use invar_core::machine::Machine;

use crate::sandbox::{Benchmark, Manner, SUITE, Sandbox};

const FASTER: [Benchmark<'static>; 3] = [("tests/test_fibo.py::big", 1_080_000), SUITE[1], SUITE[2]];
const SLOWER: [Benchmark<'static>; 3] = [SUITE[0], SUITE[1], ("tests/test_json.py::dump", 3_600_000)];

/// `main` with three commits of which the first was measured, and a branch from the last of them that was.
fn branched(suite: &[Benchmark<'_>]) -> Sandbox {
    let sandbox = Sandbox::repository();
    sandbox.commit("first");
    sandbox.run(&[], &SUITE);
    sandbox.commit("second");
    sandbox.commit("third");
    sandbox.git(&["switch", "--quiet", "--create", "faster"]);
    sandbox.commit("Make it faster");
    sandbox.run(&[], suite);
    sandbox
}

#[test]
fn the_latest_run_is_compared_with_the_nearest_measured_ancestor_of_the_merge_base() {
    let sandbox = branched(&FASTER);
    insta::assert_snapshot!(sandbox.invar(&["compare"]).whole());
}

#[test]
fn the_merge_base_goes_first_once_it_is_measured() {
    let sandbox = branched(&FASTER);
    sandbox.git(&["switch", "--quiet", "main"]);
    sandbox.run(&[], &SUITE);
    sandbox.git(&["switch", "--quiet", "faster"]);
    sandbox.run(&[], &FASTER);
    let said = sandbox.invar(&["compare", "--all"]);
    assert!(said.stdout.contains("The baseline is the merge base with `main`."), "{}", said.stdout);
    assert!(said.stdout.contains("tests/test_fibo.py::small"), "{}", said.stdout);
}

#[test]
fn a_regression_past_its_threshold_ends_with_status_1() {
    let sandbox = branched(&SLOWER);
    insta::assert_snapshot!(sandbox.invar(&["compare"]).whole());
    let report = sandbox.invar(&["report"]);
    assert_eq!(report.status, 0, "the gate is compare's");
    assert!(report.stdout.ends_with("  ✗ 1 benchmark blocks the merge.\n"), "{}", report.stdout);
}

#[test]
fn thresholds_and_what_blocks_are_the_projects() {
    let sandbox = branched(&SLOWER);
    sandbox.write("invar.toml", "[threshold]\ncycles = \"30%\"\n");
    assert_eq!(sandbox.invar(&["compare"]).status, 0);
    sandbox.write("invar.toml", "[threshold]\ncycles = \"5%\"\n[gate]\nblock = []\n");
    let said = sandbox.invar(&["compare"]);
    assert_eq!(said.status, 0, "{}", said.whole());
    assert!(said.stdout.contains("1 regression does not block, by policy: code."), "{}", said.stdout);
}

#[test]
fn a_side_can_be_named_in_every_way() {
    let sandbox = branched(&FASTER);
    sandbox.git(&["tag", "v1", "main~2"]);
    let base = sandbox.git(&["rev-parse", "main~2"]);
    let list = sandbox.invar(&["list", "--json"]).raw_stdout;
    let ids: Vec<&str> =
        list.lines().filter_map(|line| line.trim().strip_prefix("\"id\": \"")?.strip_suffix("\",")).collect();
    let (id, short) = (ids[1], &ids[1][ids[1].len() - 6..]);
    sandbox.invar(&["export", short, "-o", "base.json"]);
    let expected = sandbox.invar(&["compare", "main~2", "faster"]).stdout;
    assert!(expected.contains("Merging `faster` will improve performance by"), "{expected}");
    for name in ["HEAD~3", "v1", &base, &base[..8], id, short, "base.json", "./base.json"] {
        let said = sandbox.invar(&["compare", name]);
        assert_eq!((said.stdout.as_str(), said.status), (expected.as_str(), 0), "{name}: {}", said.stderr);
    }
    assert_eq!(sandbox.invar(&["compare", short, "worktree"]).stdout, expected);
}

#[test]
fn the_worktree_is_the_tree_as_it_is() {
    let sandbox = branched(&FASTER);
    sandbox.write("source.py", "changed");
    insta::assert_snapshot!(sandbox.invar(&["compare", "main~2", "worktree"]).whole());
    sandbox.run(&[], &SLOWER);
    let said = sandbox.invar(&["compare", "HEAD", "worktree"]);
    assert_eq!(said.status, 1, "{}", said.whole());
    assert!(said.stdout.contains("+dirty (run [RUN])"), "{}", said.stdout);
}

#[test]
fn names_that_mean_nothing_are_refused() {
    let sandbox = branched(&FASTER);
    insta::assert_snapshot!(sandbox.invar(&["compare", "mian"]).whole());
    insta::assert_snapshot!(sandbox.invar(&["compare", "main"]).whole());
    let ambiguous = sandbox.invar(&["compare", "0000", "faster"]);
    assert_eq!(ambiguous.status, 2, "{}", ambiguous.whole());
}

#[test]
fn unlike_machines_and_instruments_are_refused() {
    let sandbox = branched(&FASTER);
    let manner = Manner { machine: Some(Machine::callgrind()), ..Manner::default() };
    sandbox.run_so(&["--machine", "callgrind"], &SUITE, &manner);
    insta::assert_snapshot!(sandbox.invar(&["compare", "main~2"]).whole());
    sandbox.run_so(&["--counts"], &SUITE, &Manner { counts: true, ..Manner::default() });
    insta::assert_snapshot!(sandbox.invar(&["compare", "main~2"]).whole());
}

#[test]
fn without_a_baseline_nothing_blocks_and_it_is_said() {
    let sandbox = Sandbox::repository();
    sandbox.commit("first");
    sandbox.run(&[], &SUITE);
    insta::assert_snapshot!(sandbox.invar(&["compare"]).whole());
}

#[test]
fn without_a_run_there_is_nothing_to_compare() {
    let sandbox = Sandbox::repository();
    insta::assert_snapshot!(sandbox.invar(&["compare"]).whole());
    insta::assert_snapshot!(sandbox.invar(&["compare", "main"]).whole());
}

#[test]
fn a_run_that_measured_nothing_is_not_waved_through() {
    let sandbox = branched(&FASTER);
    sandbox.run_so(&[], &[], &Manner { ends_with: "exit 1", ..Manner::default() });
    let said = sandbox.invar(&["compare"]);
    assert_eq!(said.status, 3, "{}", said.whole());
    assert!(said.stdout.contains("no benchmark was measured"), "{}", said.stdout);
}

#[test]
fn a_report_can_be_read_by_people_forges_and_scripts() {
    let sandbox = branched(&FASTER);
    insta::assert_snapshot!(sandbox.invar(&["report"]).whole());
    insta::assert_snapshot!(sandbox.invar(&["report", "--format", "markdown", "--subject", "#4"]).whole());
    let json = sandbox.invar(&["report", "--format", "json"]).stdout;
    assert!(json.contains(r#""outcome": "improves""#), "{json}");
    assert_eq!(json, sandbox.invar(&["report", "--json"]).stdout);
    assert_eq!(json, sandbox.invar(&["compare", "--json"]).stdout);
}

#[test]
fn a_report_can_go_into_a_file() {
    let sandbox = branched(&FASTER);
    let said = sandbox.invar(&["--color", "always", "report", "--output", "report.txt"]);
    assert_eq!((said.stdout.as_str(), said.status), ("", 0));
    let text = std::fs::read_to_string(sandbox.path().join("report.txt")).unwrap();
    assert!(text.starts_with("  Merging `faster`"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    let said = sandbox.invar(&["report", "--output", "no/such/folder/report.txt"]);
    assert_eq!(said.status, 4, "{}", said.whole());
}

#[test]
fn a_comparison_as_csv_has_a_record_for_each_benchmark() {
    let sandbox = branched(&FASTER);
    let csv = sandbox.invar(&["compare", "--csv"]).stdout;
    assert_eq!(csv.lines().count(), 4, "{csv}");
    assert!(csv.contains("tests/test_fibo.py::big,improved,code,false,"), "{csv}");
}
