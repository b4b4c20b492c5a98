//! Under which circumstances a run was made: named facts in groups.
//!
//! A fact is recorded, not interpreted. Facts of the groups in [`INFORMATIVE`] cannot change a simulated number,
//! so a difference in them is shown and is never the cause of a change.

use std::collections::BTreeMap;

/// Groups whose facts cannot change a simulated number: the host's hardware and kernel, and the measured source,
/// which is what a comparison is about.
pub const INFORMATIVE: [&str; 2] = ["host", "source"];

/// The groups in use: `engine` (version), `machine` (digest), `runtime` (python, libc), `packages`, `settings`
/// (what was pinned), and the informative ones.
pub const GROUPS: [&str; 7] = ["engine", "machine", "runtime", "packages", "settings", "host", "source"];

/// Facts by group and name. Any group may be used; [`GROUPS`] are those in use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(pub BTreeMap<String, BTreeMap<String, String>>);

/// A fact that is not the same in two environments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its group.
    pub group: String,
    /// Its name.
    pub name: String,
    /// Its value in the baseline, if it is there.
    pub base: Option<String>,
    /// Its value in the candidate, if it is there.
    pub head: Option<String>,
}

impl Environment {
    /// Records a fact, in place of an earlier one of that name.
    pub fn set(&mut self, group: &str, name: &str, value: impl Into<String>) {
        self.0.entry(group.to_string()).or_default().insert(name.to_string(), value.into());
    }

    /// The value of a fact.
    pub fn get(&self, group: &str, name: &str) -> Option<&str> {
        self.0.get(group)?.get(name).map(String::as_str)
    }

    /// Every fact that differs from `self`, the baseline, to `head`; in the order of groups and names.
    pub fn diff(&self, head: &Environment) -> Vec<Difference> {
        let names = |environment: &Environment| -> Vec<(String, String)> {
            let facts = environment.0.iter();
            facts.flat_map(|(group, facts)| facts.keys().map(|name| (group.clone(), name.clone()))).collect()
        };
        let mut all = [names(self), names(head)].concat();
        all.sort();
        all.dedup();
        let differences = all.into_iter().filter_map(|(group, name)| {
            let [base, head] = [self, head].map(|environment| environment.get(&group, &name));
            let [base, head] = [base, head].map(|value| value.map(str::to_string));
            (base != head).then_some(Difference { group, name, base, head })
        });
        differences.collect()
    }
}

impl Difference {
    /// Can it change a simulated number?
    pub fn matters(&self) -> bool {
        !INFORMATIVE.contains(&self.group.as_str())
    }
}

/// Reads `python 3.11.7 → 3.13.2`, `numpy 2.1 added`, `engine version 0.1.0 → 0.2.0`. Long values are cut.
impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const LONGEST: usize = 60;
        // A package or a runtime is known by its own name, other facts only with their group.
        if !["runtime", "packages"].contains(&self.group.as_str()) {
            write!(f, "{} ", self.group)?;
        }
        let cut = |value: &String| match value.char_indices().nth(LONGEST) {
            None => value.clone(),
            Some((end, _)) => format!("{}…", &value[..end]),
        };
        match (self.base.as_ref().map(cut), self.head.as_ref().map(cut)) {
            (Some(base), Some(head)) => write!(f, "{} {base} → {head}", self.name),
            (None, Some(head)) => write!(f, "{} {head} added", self.name),
            (Some(base), None) => write!(f, "{} {base} removed", self.name),
            (None, None) => write!(f, "{}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(facts: &[(&str, &str, &str)]) -> Environment {
        let mut environment = Environment::default();
        for &(group, name, value) in facts {
            environment.set(group, name, value);
        }
        environment
    }

    #[test]
    fn a_difference_names_what_came_went_and_changed() {
        let base = environment(&[("runtime", "python", "3.11.7"), ("packages", "numpy", "2.1")]);
        let head = environment(&[("runtime", "python", "3.13.2"), ("packages", "scipy", "1.0")]);
        let lines: Vec<String> = base.diff(&head).iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["numpy 2.1 removed", "scipy 1.0 added", "python 3.11.7 → 3.13.2"]);
    }

    #[test]
    fn a_fact_that_is_no_package_is_named_with_its_group() {
        let base = environment(&[("engine", "version", "0.1.0")]);
        let head = environment(&[("engine", "version", &"9".repeat(70))]);
        let expected = format!("engine version 0.1.0 → {}…", "9".repeat(60));
        assert_eq!(base.diff(&head)[0].to_string(), expected);
    }

    #[test]
    fn equal_environments_do_not_differ() {
        let facts = environment(&[("runtime", "python", "3.11.7")]);
        assert_eq!(facts.diff(&facts.clone()), []);
    }

    #[test]
    fn another_host_does_not_matter() {
        let base = environment(&[("host", "cpu", "EPYC")]);
        let head = environment(&[("host", "cpu", "Xeon"), ("engine", "version", "2")]);
        let matters: Vec<bool> = base.diff(&head).iter().map(Difference::matters).collect();
        assert_eq!(matters, [true, false]);
    }
}
