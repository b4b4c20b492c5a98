//! The facts of a run's environment: what its numbers depend on, and where they were made.
//!
//! Values of variables that the user keeps are not recorded: they may be secret.

use std::collections::BTreeMap;

use invar_core::environment::Environment;
use invar_core::machine::Machine;

use crate::environment::{self, follows_the_host};
use crate::event::Process;
use crate::host;

/// What is known about a run besides its numbers.
pub(crate) struct Known<'a> {
    pub machine: &'a Machine,
    pub pass_env: &'a [String],
    pub shared_process: bool,
    pub engines: &'a [String],
    pub processes: Vec<&'a Process>,
    /// Who has placed their memory.
    pub placements: Vec<&'a str>,
}

/// Its facts, in the groups of [`invar_core::environment::GROUPS`].
pub(crate) fn environment(known: &Known<'_>) -> Environment {
    let mut facts = Environment::default();
    if !known.engines.is_empty() {
        facts.set("engine", "version", known.engines.join(", "));
    }
    facts.set("machine", "text", known.machine.text());
    processes(&mut facts, &known.processes);
    if let Some(libc) = host::libc() {
        facts.set("runtime", "libc", libc);
    }
    for pinned in environment::canonical(known.machine) {
        let group = if follows_the_host(&pinned.name) { "host" } else { "settings" };
        let value = if pinned.value.trim().is_empty() { "blank" } else { &pinned.value };
        facts.set(group, &pinned.name, value);
    }
    for name in known.pass_env {
        facts.set("settings", name, "kept");
    }
    let apart = if known.shared_process { "no" } else { "each benchmark in a process of its own" };
    facts.set("settings", "isolation", apart);
    let mut placements = known.placements.clone();
    placements.sort_unstable();
    placements.dedup();
    if !placements.is_empty() {
        facts.set("settings", "placement", placements.join(", "));
    }
    let cpu = host::Cpu::read().model;
    for (name, value) in [("cpu", cpu), ("kernel", host::kernel()), ("system", host::system())] {
        if let Some(value) = value {
            facts.set("host", name, value);
        }
    }
    facts
}

/// Runtimes by language, and packages; where processes differ, each of their values.
fn processes(facts: &mut Environment, processes: &[&Process]) {
    let mut values = BTreeMap::<(&str, &str), Vec<&str>>::new();
    let mut add = |group, name, value| {
        let values = values.entry((group, name)).or_default();
        if !values.contains(&value) {
            values.push(value);
        }
    };
    for process in processes {
        add("runtime", process.language.as_str(), process.runtime.as_str());
        for (name, version) in &process.packages {
            // The runtime is among its packages: its build.
            let group = if *name == process.language { "build" } else { "packages" };
            add(group, name, version);
        }
    }
    for ((group, name), mut values) in values {
        values.sort_unstable();
        match group {
            "build" => facts.set("runtime", &format!("{name} build"), values.join(", ")),
            _ => facts.set(group, name, values.join(", ")),
        }
    }
}

/// A warning where the benchmarks of one run come from unlike runtimes.
pub(crate) fn mixture(processes: &[&Process]) -> Option<String> {
    let mut runtimes: Vec<&str> = processes.iter().map(|process| process.runtime.as_str()).collect();
    runtimes.sort_unstable();
    runtimes.dedup();
    let runtimes = runtimes.join(" and ");
    (runtimes.contains(" and "))
        .then(|| format!("the command measured with {runtimes}; of benchmarks with one name the last counts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(runtime: &str, numpy: &str) -> Process {
        let packages = [("numpy", numpy), ("python", "3.11.7 (main; GCC 12.2.0)")];
        let packages = packages.map(|(name, version)| (name.to_string(), version.to_string())).into();
        Process { language: "python".to_string(), runtime: runtime.to_string(), packages }
    }

    fn known(processes: &[Process]) -> Environment {
        let (machine, engines) = (Machine::reference_1(), ["0.1.0".to_string()]);
        let pass_env = ["SECRET".to_string(), "HOME".to_string()];
        let processes = processes.iter().collect();
        let shared_process = false;
        environment(&Known {
            machine: &machine,
            pass_env: &pass_env,
            shared_process,
            engines: &engines,
            processes,
            placements: vec!["kernel", "invar", "invar"],
        })
    }

    #[test]
    fn facts_are_in_their_groups() {
        let facts = known(&[process("CPython 3.11.7", "2.1")]);
        assert_eq!(facts.get("engine", "version"), Some("0.1.0"));
        assert_eq!(facts.get("runtime", "python"), Some("CPython 3.11.7"));
        assert_eq!(facts.get("runtime", "python build"), Some("3.11.7 (main; GCC 12.2.0)"));
        assert_eq!(facts.get("packages", "numpy"), Some("2.1"));
        assert_eq!(facts.get("settings", "PYTHONHASHSEED"), Some("0"));
        assert_eq!(facts.get("settings", "placement"), Some("invar, kernel"));
        assert_eq!(facts.get("settings", "isolation"), Some("each benchmark in a process of its own"));
        assert!(facts.get("host", "kernel").is_some());
        for group in facts.0.keys() {
            assert!(invar_core::environment::GROUPS.contains(&group.as_str()), "{group}");
        }
    }

    #[test]
    fn a_kept_variable_is_named_without_its_value() {
        let facts = known(&[]);
        assert_eq!(facts.get("settings", "SECRET"), Some("kept"));
        assert_eq!(facts.get("settings", "HOME"), Some("kept"));
    }

    #[test]
    fn what_follows_the_host_is_no_setting() {
        let facts = known(&[]);
        assert_eq!(facts.get("settings", "NPY_DISABLE_CPU_FEATURES"), None);
        assert!(facts.get("host", "NPY_DISABLE_CPU_FEATURES").is_some());
    }

    #[test]
    fn processes_that_differ_are_all_named() {
        let processes = [process("CPython 3.9.1", "1.0"), process("CPython 3.11.7", "1.0")];
        let facts = known(&processes);
        assert_eq!(facts.get("runtime", "python"), Some("CPython 3.11.7, CPython 3.9.1"));
        assert_eq!(facts.get("packages", "numpy"), Some("1.0"));
        let [a, b] = &processes;
        assert!(mixture(&[a, b]).unwrap().contains("CPython 3.11.7 and CPython 3.9.1"));
        assert_eq!(mixture(&[a, a]), None);
    }
}
