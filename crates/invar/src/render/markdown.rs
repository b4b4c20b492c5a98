//! The report of a change as Markdown: the comment under a pull request, the summary of a job.
//!
//! GitHub's dialect. What comes from outside (names, messages) stands in code spans and cannot leave them.

use invar_core::compare::{Change, Judged, Reading, Verdict};
use invar_core::environment::Difference;
use invar_core::event::Event;
use invar_core::instrument::Instrument;
use invar_core::number::{change, percent, plural};
use invar_core::profile::Payer;
use invar_core::report::{Outcome, Paid, Report, Row, noise_floor};

use super::{figure, one_line};

/// Rows of the table; more are counted.
const MOST_ROWS: usize = 20;
/// Differences of the environment; more are counted.
const MOST_DIFFERENCES: usize = 20;
/// Benchmarks without a result; more are counted.
const MOST_FAILED: usize = 20;
/// Characters of a comment. GitHub refuses more than 65,536.
const MOST_CHARACTERS: usize = 65_000;

/// How a comment is found again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker(pub String);

impl Default for Marker {
    fn default() -> Marker {
        Marker("invar:report".to_string())
    }
}

/// The report. A report that would be too long for a comment is cut to its summary.
pub fn markdown(report: &Report, marker: &Marker) -> String {
    let full = [
        &*head(report, marker),
        &warning(report),
        &table(report),
        &payers(report),
        &details(report),
        &foot(report),
    ]
    .concat();
    if full.chars().count() <= MOST_CHARACTERS {
        return full;
    }
    let cut = "The table is left out: with it the report is too long for a comment.\n\n";
    [&*head(report, marker), &warning(report), cut, &foot(report)].concat()
}

fn head(report: &Report, Marker(marker): &Marker) -> String {
    let marker = marker.replace("--", "- -").replace('>', " ");
    let mut out = format!("<!-- {} -->\n## Invar performance report\n\n", marker.replace('\n', " "));
    out.push_str(&format!("**{}**\n\n", line(&report.headline)));
    if report.base.is_some() {
        for verdict in
            [Verdict::Improved, Verdict::Regressed, Verdict::Unchanged, Verdict::New, Verdict::Dropped]
        {
            let count = report.counts.of(verdict);
            out.push_str(&format!("- {} **{count}** {}\n", emoji(verdict), verdict.name()));
        }
        if report.counts.failed > 0 {
            out.push_str(&format!("- 💥 **{}** failed\n", report.counts.failed));
        }
        out.push('\n');
    }
    out
}

fn warning(report: &Report) -> String {
    let mut out = String::new();
    if report.blocks {
        let count = report.counts.blocking;
        let text =
            if count == 1 { "1 benchmark blocks".to_string() } else { format!("{count} benchmarks block") };
        out.push_str(&format!(
            "> [!WARNING]\n> {text} this merge. Two ways out: make it faster, or, if the cost is meant, raise the \
             benchmark's threshold in `invar.toml` in the same change.\n\n"
        ));
    }
    let matter = report.environment_that_matters();
    if !matter.is_empty() {
        let differences: Vec<String> =
            matter.iter().take(3).map(|difference| difference_code(difference)).collect();
        let more = matter.len().saturating_sub(3);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        out.push_str(&format!(
            "> [!NOTE]\n> The environments differ: {}{more}. What changed with them may not be the code's doing.\n\n",
            differences.join(", ")
        ));
    }
    for note in &report.notes {
        out.push_str(&format!("{}\n\n", line(note)));
    }
    out
}

fn table(report: &Report) -> String {
    let changed = report.changed();
    let mut out = String::new();
    if !changed.is_empty() {
        out.push_str(&format!(
            "| | Benchmark | {} | {} | Change | Why |\n|:-:|:--|--:|--:|--:|:--|\n",
            code(&report.base_name),
            code(&report.head_name)
        ));
        for row in changed.iter().take(MOST_ROWS) {
            out.push_str(&table_row(row, report.instrument));
        }
        if changed.len() > MOST_ROWS {
            out.push_str(&format!("| | … and {} more | | | | |\n", changed.len() - MOST_ROWS));
        }
        out.push('\n');
    }
    if !report.failed.is_empty() {
        out.push_str("| | Failed | Why |\n|:-:|:--|:--|\n");
        for (name, why) in report.failed.iter().take(MOST_FAILED) {
            let why: String = why.chars().take(200).collect();
            out.push_str(&format!("| 💥 | {} | {} |\n", code(name), code(&why)));
        }
        if report.failed.len() > MOST_FAILED {
            out.push_str(&format!("| | … and {} more | |\n", report.failed.len() - MOST_FAILED));
        }
        out.push('\n');
    }
    out
}

fn table_row(row: &Row, instrument: Instrument) -> String {
    let judged = &row.judged;
    let name = code(&judged.benchmark.id);
    let name = row.link.as_ref().map_or(name.clone(), |link| format!("[{name}]({})", address(link)));
    format!(
        "| {} | {name} | {} | {} | {} | {} |\n",
        emoji(judged.verdict),
        figure(judged.base, instrument),
        figure(judged.head, instrument),
        change_words(judged),
        line(&row.why).replace('|', "\\|"),
    )
}

/// `**11.2 % faster**`: by the factor, which has no sign to mistake.
fn change_words(judged: &Judged) -> String {
    let Some(change) = judged.change() else { return judged.verdict.name().to_string() };
    let by = percent(change.factor() - 1.0);
    match change.head.cmp(&change.base) {
        std::cmp::Ordering::Less => format!("**{by} faster**"),
        std::cmp::Ordering::Equal => "same".to_string(),
        std::cmp::Ordering::Greater => format!("**{by} slower**"),
    }
}

/// Who pays for the changes; nothing where nobody asked.
fn payers(report: &Report) -> String {
    let asked: Vec<&Row> = report.changed().iter().filter(|row| row.paid != Paid::Unasked).collect();
    if asked.is_empty() {
        return String::new();
    }
    let mut out = "<details><summary>Who pays</summary>\n\n".to_string();
    for row in asked.iter().take(MOST_ROWS) {
        out.push_str(&format!("{}\n\n", code(&row.judged.benchmark.id)));
        match &row.paid {
            Paid::Unasked => {}
            Paid::Unknown(reason) => out.push_str(&format!("- not known: {}\n", code(reason))),
            Paid::By(why) => {
                out.extend(why.layout_sentence().map(|sentence| format!("- {sentence}\n")));
                for (word, payers) in [("", &why.python), ("natively: ", &why.native)] {
                    let word = if why.python.is_empty() { "" } else { word };
                    out.extend(payers.iter().map(|payer| format!("- {word}{}\n", paying(payer))));
                }
            }
        }
        out.push('\n');
    }
    if asked.len() > MOST_ROWS {
        out.push_str(&format!("… and {} more\n\n", asked.len() - MOST_ROWS));
    }
    out + "</details>\n\n"
}

/// A function that pays: where it is comes from outside and stands in a code span, the rest is numbers and words of ours.
fn paying(payer: &Payer) -> String {
    let title = payer.title();
    let rest = payer.sentence().split_off(title.len());
    format!("{}{rest}", code(&title.replace('`', "")))
}

fn details(report: &Report) -> String {
    let Some(base) = &report.base else { return String::new() };
    let environments = match report.environment.len() {
        0 => "environments identical".to_string(),
        many => format!("{} of environment", plural(many, "difference")),
    };
    let mut out =
        format!("<details><summary>Details: machine {}, {environments}</summary>\n\n", line(&report.machine));
    let events: Vec<String> =
        report.changed().iter().take(MOST_ROWS).filter_map(|row| event_row(row, verified(report))).collect();
    if !events.is_empty() {
        let (title, rule) = if verified(report) { (" noise floor |", "--:|") } else { ("", "") };
        out.push_str(&format!(
            "| Benchmark | instructions | L1 misses | L3 misses |{title}\n|:--|--:|--:|--:|{rule}\n"
        ));
        out.push_str(&format!("{}\n", events.concat()));
    }
    if !report.environment.is_empty() {
        out.push_str("| Environment | Baseline | Candidate |\n|:--|:--|:--|\n");
        let value = |value: &Option<String>| value.as_deref().map_or("–".to_string(), code);
        for Difference { group, name, base, head } in report.environment.iter().take(MOST_DIFFERENCES) {
            out.push_str(&format!(
                "| {} | {} | {} |\n",
                code(&format!("{group}: {name}")),
                value(base),
                value(head)
            ));
        }
        if report.environment.len() > MOST_DIFFERENCES {
            out.push_str(&format!("| … and {} more | | |\n", report.environment.len() - MOST_DIFFERENCES));
        }
        out.push('\n');
    }
    out.push_str(&format!(
        "Baseline {}, candidate {}. Policy: {}.\n\n",
        code(&base.title),
        code(&report.head.title),
        line(&report.policy)
    ));
    out.push_str(
        "Times are simulated: they compare code with code and are not a promise of time on the wall.\n</details>\n\n",
    );
    out
}

/// Is the noise floor of any changed benchmark known?
fn verified(report: &Report) -> bool {
    report.changed().iter().any(|row| row.judged.noise.is_some())
}

fn event_row(row: &Row, verified: bool) -> Option<String> {
    let judged = &row.judged;
    let (base, head) = (judged.base?, judged.head?);
    let of = |moved: Change| if moved.base == moved.head { "=".to_string() } else { change(moved.ratio()) };
    let misses =
        |reading: &Reading| reading.events.get(Event::L1iMisses).saturating_add(reading.events.l1d_misses());
    let noise = judged.noise.map(noise_floor).unwrap_or_default();
    let noise = if verified { format!(" {noise} |") } else { String::new() };
    Some(format!(
        "| {} | {} | {} | {} |{noise}\n",
        code(&judged.benchmark.id),
        of(judged.event_change(Event::Instructions)?),
        of(Change { base: misses(&base), head: misses(&head) }),
        of(judged.event_change(Event::L3Misses)?),
    ))
}

fn foot(report: &Report) -> String {
    let mut parts = Vec::new();
    parts.extend(report.links.report.as_ref().map(|link| format!("[Full report]({})", address(link))));
    parts.extend(report.links.history.as_ref().map(|link| format!("[History]({})", address(link))));
    let commit = report.head.source.as_ref().filter(|source| source.commit.is_some());
    parts.push(match (commit, report.outcome) {
        (Some(source), _) => format!("updated for {}", source.short()),
        (None, Outcome::NothingMeasured) => "nothing measured".to_string(),
        (None, _) => format!("run {}", invar_core::run::short_id(&report.head.run)),
    });
    format!("{}\n", parts.join(" · "))
}

const fn emoji(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Improved => "🔥",
        Verdict::Regressed => "❌",
        Verdict::Unchanged => "✅",
        Verdict::New => "📄",
        Verdict::Dropped => "❓",
    }
}

fn difference_code(difference: &Difference) -> String {
    code(&difference.to_string())
}

/// A text as a code span that also holds within a table.
fn code(text: &str) -> String {
    let text = one_line(text).replace('|', "\\|");
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

/// A sentence of ours with names in backticks: nothing in it may start another block or a tag.
fn line(text: &str) -> String {
    one_line(text).replace('<', "&lt;")
}

fn address(link: &str) -> String {
    one_line(link).replace(' ', "%20").replace('(', "%28").replace(')', "%29").replace('|', "%7C")
}

#[cfg(test)]
mod tests {
    use invar_core::compare::Comparison;
    use invar_core::config::Policy;
    use invar_core::report::{Links, ReportOptions};

    use super::*;
    use crate::render::testing::{compared, explained, fibo, mixed, report, run};

    fn render(report: &Report) -> String {
        markdown(report, &Marker::default())
    }

    #[test]
    fn mixed_results_name_each_with_its_cause() {
        insta::assert_snapshot!(render(&mixed()), @r"
        <!-- invar:report -->
        ## Invar performance report

        **Merging `faster` will improve performance by 11.1 %**

        - 🔥 **1** improved
        - ❌ **1** regressed
        - ✅ **2** unchanged
        - 📄 **1** new
        - ❓ **0** dropped

        1 regression does not block, by policy: layout.

        | | Benchmark | `main` | `faster` | Change | Why |
        |:-:|:--|--:|--:|--:|:--|
        | ❌ | `tests/test_json.py::dump_big` | 4.06 ms | 4.33 ms | **6.8 % slower** | layout only: instructions equal, misses moved (not blocking) |
        | 🔥 | `tests/test_fibo.py::iterative_fibo_big` | 1.62 ms | 1.45 ms | **11.1 % faster** | code: instructions −10.0 % |
        | 📄 | `tests/test_json.py::load_big` | – | 2.67 ms | new |  |

        <details><summary>Details: machine reference-1, environments identical</summary>

        | Benchmark | instructions | L1 misses | L3 misses |
        |:--|--:|--:|--:|
        | `tests/test_json.py::dump_big` | = | +500.0 % | +500.0 % |
        | `tests/test_fibo.py::iterative_fibo_big` | −10.0 % | −10.0 % | −10.0 % |

        Baseline `main@8607178`, candidate `faster@487a918`. Policy: a benchmark regresses when its cost grows by more than 5.0 %; what blocks: code, environment.

        Times are simulated: they compare code with code and are not a promise of time on the wall.
        </details>

        updated for 487a918
        ");
    }

    #[test]
    fn who_pays_is_folded_away() {
        let text = render(&explained());
        let from = text.find("<details><summary>Who pays").unwrap();
        let to = from + text[from..].find("</details>").unwrap();
        insta::assert_snapshot!(&text[from..to], @r"
        <details><summary>Who pays</summary>

        `tests/test_json.py::dump_big`

        - not known: `the baseline has no profile`

        `tests/test_fibo.py::iterative_fibo_big`

        - `add (src/fibo.py:20)`: −321 k cycles, instructions −240 k, L1 −79.9 k, called as often, cheaper
        - natively: `long_add (Objects/longobject.c:100)`: −321 k cycles, instructions −240 k, L1 −79.9 k, called as often, cheaper
        ");
    }

    #[test]
    fn no_change_needs_no_table() {
        insta::assert_snapshot!(render(&report(&fibo(), &run("docs", &[
            ("tests/test_fibo.py::iterative_fibo_big", 1_200_000, 300),
        ]))), @r"
        <!-- invar:report -->
        ## Invar performance report

        **Merging `docs` will not change performance**

        - 🔥 **0** improved
        - ❌ **0** regressed
        - ✅ **1** unchanged
        - 📄 **0** new
        - ❓ **3** dropped

        | | Benchmark | `main` | `docs` | Change | Why |
        |:-:|:--|--:|--:|--:|:--|
        | ❓ | `tests/test_fibo.py::iterative_fibo_small` | 1.60 µs | – | dropped |  |
        | ❓ | `tests/test_fibo.py::recursive_fibo[10]` | 138.7 µs | – | dropped |  |
        | ❓ | `tests/test_json.py::dump_big` | 4.06 ms | – | dropped |  |

        <details><summary>Details: machine reference-1, environments identical</summary>

        Baseline `main@8607178`, candidate `docs@487a918`. Policy: a benchmark regresses when its cost grows by more than 5.0 %; what blocks: code, environment.

        Times are simulated: they compare code with code and are not a promise of time on the wall.
        </details>

        updated for 487a918
        ");
    }

    #[test]
    fn a_regression_that_blocks_says_the_ways_out() {
        let head = run("slower", &[("tests/test_fibo.py::recursive_fibo[10]", 110_240, 0)]);
        let policy = Policy::default();
        let comparison = Comparison::of(&fibo(), &head, &policy).unwrap();
        let link = |name: &str| Some(format!("https://invar.example/acme/demo/{name}"));
        let options = ReportOptions {
            subject: Some("#9".to_string()),
            links: Links { report: link("pull/9"), history: link("commits"), ..Links::default() },
            ..ReportOptions::default()
        };
        let marker = Marker("invar:report:acme/demo:pr-9".to_string());
        insta::assert_snapshot!(markdown(&Report::of(&comparison, &policy, options), &marker), @r"
        <!-- invar:report:acme/demo:pr-9 -->
        ## Invar performance report

        **Merging `#9` will degrade performance by 6.0 %**

        - 🔥 **0** improved
        - ❌ **1** regressed
        - ✅ **0** unchanged
        - 📄 **0** new
        - ❓ **3** dropped

        > [!WARNING]
        > 1 benchmark blocks this merge. Two ways out: make it faster, or, if the cost is meant, raise the benchmark's threshold in `invar.toml` in the same change.

        | | Benchmark | `main` | `#9` | Change | Why |
        |:-:|:--|--:|--:|--:|:--|
        | ❌ | `tests/test_fibo.py::recursive_fibo[10]` | 138.7 µs | 147.0 µs | **6.0 % slower** | code: instructions +6.0 % |
        | ❓ | `tests/test_fibo.py::iterative_fibo_big` | 1.62 ms | – | dropped |  |
        | ❓ | `tests/test_fibo.py::iterative_fibo_small` | 1.60 µs | – | dropped |  |
        | ❓ | `tests/test_json.py::dump_big` | 4.06 ms | – | dropped |  |

        <details><summary>Details: machine reference-1, environments identical</summary>

        | Benchmark | instructions | L1 misses | L3 misses |
        |:--|--:|--:|--:|
        | `tests/test_fibo.py::recursive_fibo[10]` | +6.0 % | = | = |

        Baseline `main@8607178`, candidate `slower@487a918`. Policy: a benchmark regresses when its cost grows by more than 5.0 %; what blocks: code, environment.

        Times are simulated: they compare code with code and are not a promise of time on the wall.
        </details>

        [Full report](https://invar.example/acme/demo/pull/9) · [History](https://invar.example/acme/demo/commits) · updated for 487a918
        ");
    }

    #[test]
    fn without_a_baseline_the_results_are_recorded() {
        let no_baseline = Some("No run of the merge base 8607178 is stored.".to_string());
        let options = ReportOptions { no_baseline, ..ReportOptions::default() };
        insta::assert_snapshot!(render(&Report::without_baseline(&fibo(), &Policy::default(), options)), @r"
        <!-- invar:report -->
        ## Invar performance report

        **No baseline for `main` yet: 4 benchmarks recorded**

        No run of the merge base 8607178 is stored.

        updated for 8607178
        ");
    }

    #[test]
    fn environments_that_differ_are_noted() {
        let (base, mut head, _) = compared();
        head.environment.set("runtime", "python", "3.14.0");
        head.environment.set("host", "kernel", "6.8");
        head.source.as_mut().unwrap().remote = Some("git@github.com:acme/demo.git".to_string());
        insta::assert_snapshot!(render(&report(&base, &head)), @r"
        <!-- invar:report -->
        ## Invar performance report

        **Merging `faster` will improve performance by 11.1 %**

        - 🔥 **1** improved
        - ❌ **1** regressed
        - ✅ **2** unchanged
        - 📄 **1** new
        - ❓ **0** dropped

        > [!NOTE]
        > The environments differ: `python 3.13.2 → 3.14.0`. What changed with them may not be the code's doing.

        1 regression does not block, by policy: layout.

        | | Benchmark | `main` | `faster` | Change | Why |
        |:-:|:--|--:|--:|--:|:--|
        | ❌ | [`tests/test_json.py::dump_big`](https://github.com/acme/demo/blob/487a918000000000000000000000000000000000/tests/test_json.py#L12) | 4.06 ms | 4.33 ms | **6.8 % slower** | layout only: instructions equal, misses moved (not blocking) |
        | 🔥 | [`tests/test_fibo.py::iterative_fibo_big`](https://github.com/acme/demo/blob/487a918000000000000000000000000000000000/tests/test_fibo.py#L12) | 1.62 ms | 1.45 ms | **11.1 % faster** | environment: python 3.13.2 → 3.14.0 |
        | 📄 | [`tests/test_json.py::load_big`](https://github.com/acme/demo/blob/487a918000000000000000000000000000000000/tests/test_json.py#L12) | – | 2.67 ms | new |  |

        <details><summary>Details: machine reference-1, 2 differences of environment</summary>

        | Benchmark | instructions | L1 misses | L3 misses |
        |:--|--:|--:|--:|
        | `tests/test_json.py::dump_big` | = | +500.0 % | +500.0 % |
        | `tests/test_fibo.py::iterative_fibo_big` | −10.0 % | −10.0 % | −10.0 % |

        | Environment | Baseline | Candidate |
        |:--|:--|:--|
        | `host: kernel` | – | `6.8` |
        | `runtime: python` | `3.13.2` | `3.14.0` |

        Baseline `main@8607178`, candidate `faster@487a918`. Policy: a benchmark regresses when its cost grows by more than 5.0 %; what blocks: code, environment.

        Times are simulated: they compare code with code and are not a promise of time on the wall.
        </details>

        updated for 487a918
        ");
    }

    #[test]
    fn what_failed_is_named() {
        let (base, mut head, _) = compared();
        head.failed.insert("t.py::a".to_string(), "ValueError: `|`\n</details>".to_string());
        head.incomplete = Some("the command was killed by signal 9".to_string());
        let text = render(&report(&base, &head));
        assert!(text.contains("- 💥 **1** failed\n"), "{text}");
        assert!(text.contains("| 💥 | `t.py::a` | `` ValueError: `\\|`\\n</details> `` |\n"), "{text}");
        assert!(
            text.contains("The candidate is incomplete: the command was killed by signal 9.\n"),
            "{text}"
        );
    }

    fn many(count: usize, long: usize) -> Report {
        let names: Vec<String> =
            (0..count).map(|index| format!("t.py::{index:03}{}", "x".repeat(long))).collect();
        let side = |branch, instructions| {
            run(branch, &names.iter().map(|name| (name.as_str(), instructions, 0)).collect::<Vec<_>>())
        };
        report(&side("main", 100), &side("slower", 200))
    }

    #[test]
    fn past_twenty_rows_the_rest_is_counted() {
        let text = render(&many(51, 0));
        assert_eq!(text.matches("| ❌ |").count(), 20);
        assert!(text.contains("| | … and 31 more | | | | |\n"), "{text}");
    }

    #[test]
    fn a_report_too_long_for_a_comment_is_cut_to_its_summary() {
        let text = render(&many(51, 3000));
        assert!(text.len() < 2000, "{}", text.len());
        assert!(text.contains("The table is left out"), "{text}");
        assert!(text.contains("51 benchmarks block this merge"), "{text}");
    }

    #[test]
    fn a_name_cannot_leave_its_code_span() {
        assert_eq!(code("a|b\n`c`"), "`` a\\|b\\n`c` ``");
        assert_eq!(line("<img>"), "&lt;img>");
    }
}
