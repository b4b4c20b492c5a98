//! Profiles as a user looks at them: `flame`, `show` of a benchmark, and who pays in a comparison.

use invar_core::profile::{Builder, Function, Kind, Profile};

use crate::sandbox::{Sandbox, events};

const FIBO: &str = "tests/test_fibo.py::big";

fn function(name: &str, file: &str, line: u32, kind: Kind) -> Function {
    let object = if kind == Kind::Python { "" } else { "libpython3.13.so.1.0" };
    Function { name: name.to_string(), object: object.to_string(), file: file.to_string(), kind, line }
}

/// `big` calls `fibo` calls `add`, each run by the interpreter, and a tenth as costly itself; `add` costs so many
/// instructions.
fn profile(add: u64) -> Profile {
    let mut builder = Builder::new(FIBO);
    let eval =
        builder.function(function("_PyEval_EvalFrameDefault", "Python/ceval.c", 900, Kind::Interpreter));
    let mut above = Builder::ROOT;
    for (name, line, calls, instructions) in [("fibo", 1, 1, 40_000), ("add", 5, 1000, add)] {
        let python = builder.function(function(name, "fibo.py", line, Kind::Python));
        let node = builder.child(above, python, false);
        builder.add_calls(node, calls);
        let native = builder.child(node, eval, false);
        builder.add(native, &events(instructions));
        builder.add(node, &events(instructions / 10));
        builder.add_line(python, line + 1, &events(instructions / 10));
        above = node;
    }
    builder.finish()
}

/// A repository with two commits, each with a profiled run; the second is slower.
fn profiled() -> Sandbox {
    let sandbox = Sandbox::repository();
    sandbox.write("fibo.py", "def fibo(n):\n    return add(n, n)\n\n\ndef add(a, b):\n    return a + b\n");
    sandbox.commit("first");
    sandbox.keep(1, FIBO, Some(&profile(100_000)));
    sandbox.commit("second");
    sandbox.keep(2, FIBO, Some(&profile(220_000)));
    sandbox
}

#[test]
fn a_flame_graph_is_a_page_and_says_where_it_is() {
    let sandbox = profiled();
    let said = sandbox.invar(&["flame", "big"]);
    assert_eq!(said.whole(), "invar-flame-big.html\nexit status 0\n");
    let page = std::fs::read_to_string(sandbox.path().join("invar-flame-big.html")).unwrap();
    assert!(page.starts_with("<!doctype html>\n") && page.contains("_PyEval_EvalFrameDefault"));
    assert!(page.contains("    return a + b"), "source lines are in the page");
    let piped = sandbox.invar(&["flame", "HEAD", FIBO, "-o", "-"]);
    assert!(piped.raw_stdout == page, "the newest run is meant where none is named");
    let other = sandbox.invar(&["flame", "HEAD~1", "big", "--output", "-"]);
    assert!(other.raw_stdout != page);
}

#[test]
fn profiles_of_others_are_drawn_and_compared_from_their_files() {
    let sandbox = Sandbox::repository();
    sandbox.write("before.folded", "main;parse 70\nmain;parse;read 30\n");
    sandbox.write("after.folded", "main;parse 90\nmain;parse;read 30\n");
    assert_eq!(
        sandbox.invar(&["flame", "before.folded", "--format", "folded", "-o", "-"]).whole(),
        "\
before.folded;main;parse 70
before.folded;main;parse;read 30
exit status 0
"
    );
    let said = sandbox.invar(&["flame", "--diff", "before.folded", "after.folded", "-o", "difference.html"]);
    assert_eq!(said.whole(), "difference.html\nexit status 0\n");
    sandbox.write("bad.folded", "main;parse many\n");
    let said = sandbox.invar(&["flame", "bad.folded"]).whole();
    assert!(said.contains("error: cannot read bad.folded: line 1"), "{said}");
}

#[test]
fn a_difference_is_a_page_of_both_runs() {
    let sandbox = profiled();
    let said = sandbox.invar(&["flame", "big", "--diff", "HEAD~1", "HEAD", "-o", "diff.html"]);
    assert_eq!(said.whole(), "diff.html\nexit status 0\n");
    let page = std::fs::read_to_string(sandbox.path().join("diff.html")).unwrap();
    assert!(page.contains("\"sides\":[{\"title\":\"main@"), "both sides are named");
    insta::assert_snapshot!(
        sandbox.invar(&["flame", "big", "--diff", "HEAD~1", "HEAD", "--format", "pprof"]).whole()
    );
}

#[test]
fn a_profile_goes_to_other_tools() {
    let sandbox = profiled();
    for (format, name, begins) in [
        ("speedscope", "invar-big.speedscope.json", "{"),
        ("firefox", "invar-big.firefox.json", "{"),
        ("pprof", "invar-big.pb", ""),
        ("callgrind", "callgrind.out.big", "# callgrind format"),
        ("folded", "invar-big.folded", ""),
    ] {
        let said = sandbox.invar(&["flame", "big", "--format", format]);
        assert_eq!(said.whole(), format!("{name}\nexit status 0\n"));
        let bytes = std::fs::read(sandbox.path().join(name)).unwrap();
        assert!(!bytes.is_empty() && bytes.starts_with(begins.as_bytes()), "{format}");
    }
    let folded = sandbox.invar(&[
        "flame",
        "big",
        "--format",
        "folded",
        "--view",
        "python",
        "--measure",
        "instructions",
        "-o",
        "-",
    ]);
    insta::assert_snapshot!(folded.whole());
}

#[test]
fn a_benchmark_without_a_profile_is_said_to_have_none() {
    let sandbox = Sandbox::repository();
    sandbox.commit("first");
    sandbox.keep(1, FIBO, None);
    for arguments in [&["flame", "big"][..], &["flame", "nobody"], &["flame", "big", "--measure", "seconds"]]
    {
        insta::assert_snapshot!(sandbox.invar(arguments).whole());
    }
}

#[test]
fn a_benchmark_of_a_run_is_shown_with_who_pays() {
    let sandbox = profiled();
    insta::assert_snapshot!(sandbox.invar(&["show", "HEAD~1", "big"]).whole());
    insta::assert_snapshot!(sandbox.invar(&["show", "HEAD~1", "big", "--source", "add"]).whole());
    insta::assert_snapshot!(
        sandbox.invar(&["show", "HEAD", "big", "--source", "_PyEval_EvalFrameDefault"]).whole()
    );
    let json = sandbox.invar(&["show", "HEAD", "big", "--json"]).raw_stdout;
    assert!(json.starts_with("{\n  \"invar_functions\": 1,"), "{json}");
}

#[test]
fn a_comparison_says_who_pays_if_it_is_asked_and_a_report_always() {
    let sandbox = profiled();
    let plain = sandbox.invar(&["compare", "HEAD~1", "HEAD"]);
    assert!(!plain.stdout.contains("who pays"), "{}", plain.stdout);
    insta::assert_snapshot!(sandbox.invar(&["compare", "HEAD~1", "HEAD", "--why"]).whole());
    assert!(
        sandbox.invar(&["report", "HEAD~1", "HEAD"]).stdout.contains("who pays in tests/test_fibo.py::big")
    );
    let markdown = sandbox.invar(&["report", "HEAD~1", "HEAD", "--format", "markdown"]).stdout;
    assert!(
        markdown.contains("<summary>Who pays</summary>") && markdown.contains("`add (fibo.py:5)`"),
        "{markdown}"
    );
    let json = sandbox.invar(&["compare", "HEAD~1", "HEAD", "--why", "--json"]).stdout;
    assert!(json.contains("\"reason\": \"dearer\""), "{json}");
}

#[test]
fn a_change_without_a_profile_is_said_in_a_few_words() {
    let sandbox = Sandbox::repository();
    sandbox.commit("first");
    sandbox.keep(1, FIBO, None);
    sandbox.commit("second");
    sandbox.keep(2, FIBO, Some(&profile(220_000)));
    let said = sandbox.invar(&["compare", "HEAD~1", "HEAD", "--why"]);
    assert!(said.stdout.contains("Not known: the baseline has no profile."), "{}", said.whole());
}
