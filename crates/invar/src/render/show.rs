//! A run in full: where it comes from, under which circumstances, what it found.

use std::time::Duration;

use invar_core::noise::{Floor, Floors};
use invar_core::number::{plural, time};
use invar_core::report::noise_floor;
use invar_core::run::{Exit, Run};

use super::list::moment;
use super::table::Paint;
use super::{View, one_line, wrap};

/// The run.
pub fn show(run: &Run, view: View) -> String {
    let mut lines = vec![("run", run.id.clone()), ("started", moment(run.started))];
    lines.extend(run.took_micros.map(|micros| ("took", time(Duration::from_micros(micros)))));
    let words: Vec<String> = run.command.iter().map(|word| quoted(word)).collect();
    lines.push(("command", words.join(" ")));
    lines.extend(run.exit.map(|exit| {
        let text = match exit {
            Exit::Status(status) => format!("exit status {status}"),
            Exit::Signal(signal) => format!("killed by signal {signal}"),
        };
        ("ended", text)
    }));
    match &run.source {
        None => lines.push(("source", "not in a git repository".to_string())),
        Some(source) => {
            lines.push(("source", run.title()));
            lines.extend(source.message.clone().map(|message| ("message", message)));
            lines.extend(source.author.clone().map(|author| ("author", author)));
            lines.extend(source.committed.map(|committed| ("committed", moment(committed))));
            lines.extend(source.merge_base.clone().map(|commit| ("merge base", commit)));
            lines.extend(source.remote.clone().map(|remote| ("remote", remote)));
        }
    }
    lines.push(("machine", run.machine.text()));
    let mut out = String::new();
    for (word, text) in &lines {
        out.push_str(&format!("  {}  {}\n", view.paint(&format!("{word:10}"), Paint::Dim), one_line(text)));
    }
    out.push('\n');
    out.push_str(&super::run::run(run, None, view));
    if !run.environment.0.is_empty() {
        out.push_str(&format!("\n  {}\n", view.paint("environment", Paint::Bold)));
    }
    for (group, facts) in &run.environment.0 {
        for (name, value) in facts {
            let fact = format!("{group}: {name} = {value}");
            out.push_str(&wrap(&one_line(&fact), "  ", view.width));
        }
    }
    out
}

/// A word as a shell would take it.
fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./=:,@%+[]".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// How far the run's benchmarks move by themselves, where it was verified; those that do not move are counted.
pub fn floors(run: &Run, floors: &Floors, view: View) -> String {
    let names = run.measurements.iter().map(|measurement| measurement.benchmark.id.as_str());
    let known: Vec<(&str, &Floor)> = names.filter_map(|name| Some((name, floors.get(name)?))).collect();
    if known.is_empty() {
        return String::new();
    }
    let mut out = format!("\n  {}\n", view.paint("noise floors, by invar verify", Paint::Bold));
    let (still, moving): (Vec<_>, Vec<_>) = known.into_iter().partition(|(_, floor)| floor.cycles() == 0.0);
    for (name, floor) in moving {
        let cause = floor.cause.as_ref().map(|cause| format!(" ({cause})")).unwrap_or_default();
        let line = format!("{name}: {}{cause}", noise_floor(floor.cycles()));
        out.push_str(&wrap(&one_line(&line), "  ", view.width));
    }
    if !still.is_empty() {
        let still = plural(still.len(), "benchmark");
        out.push_str(&wrap(&format!("{still}: none"), "  ", view.width));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing::{fibo, wide};

    #[test]
    fn a_run_is_shown_with_its_circumstances() {
        let mut run = fibo();
        run.took_micros = Some(16_400_000);
        run.exit = Some(Exit::Signal(9));
        insta::assert_snapshot!(show(&run, wide()), @r"
        run         0190f3c2-7b1e-7cc3-9a54-3f1a0c6de001
        started     2024-07-25 12:00 UTC
        took        16.40 s
        command     pytest 'my benchmarks/'
        ended       killed by signal 9
        source      main@8607178
        message     Improve iterative fibo
        author      art049
        machine     reference-1;l1i=65536/8/bit-plru;l1d=65536/8/bit-plru;l2=262144/8/lru;l3=16777216/16/lru;latency=2/5/22/90;mhz=2000

        tests/test_fibo.py           time  instructions  L1 hits  cache  memory
        ├─ iterative_fibo_big     1.62 ms        1.20 M   99.9 %   <1 %     1 %
        ├─ iterative_fibo_small   1.60 µs          1200  100.0 %      –       –
        ╰─ recursive_fibo[10]    138.7 µs         104 k  100.0 %      –       –

        tests/test_json.py
        ╰─ dump_big               4.06 ms        3.00 M   99.9 %   <1 %     1 %

        4 benchmarks simulated on machine reference-1

        environment
        runtime: python = 3.13.2
        ");
    }

    #[test]
    fn a_command_can_be_copied() {
        assert_eq!(["a-b", "a b", "it's", ""].map(quoted), ["a-b", "'a b'", r"'it'\''s'", "''"]);
    }
}
