//! What Invar says about itself and about the machine it is on, as JSON for scripts: written, never read back.
//!
//! `{"invar_doctor": 1, "checks": [...]}` and `{"invar_environment": 1, "variables": [...], "other": [...]}`.

use serde::Serialize;

/// The version this build writes.
pub const VERSION: u32 = 1;

/// A check of this machine.
#[derive(Serialize)]
pub struct Check<'a> {
    /// What was looked at.
    pub name: &'a str,
    /// `ok`, `note` or `problem`.
    pub state: &'a str,
    /// What was found.
    pub found: &'a str,
    /// What to do about it.
    pub advice: Option<&'a str>,
}

/// A variable of the measured process's environment.
#[derive(Serialize)]
pub struct Variable<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value.
    pub value: &'a str,
    /// Why it has that value.
    pub why: &'a str,
}

/// Writes the checks of this machine as indented JSON.
pub fn doctor(checks: &[Check<'_>]) -> String {
    #[derive(Serialize)]
    struct Doctor<'a> {
        invar_doctor: u32,
        checks: &'a [Check<'a>],
    }
    write(&Doctor { invar_doctor: VERSION, checks })
}

/// Writes what a measured process finds around it as indented JSON; `other` is a sentence each.
pub fn environment(variables: &[Variable<'_>], other: &[&str]) -> String {
    #[derive(Serialize)]
    struct Environment<'a> {
        invar_environment: u32,
        variables: &'a [Variable<'a>],
        other: &'a [&'a str],
    }
    write(&Environment { invar_environment: VERSION, variables, other })
}

fn write(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("twins hold nothing that JSON cannot");
    format!("{text}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_and_variables_keep_their_order() {
        let check = |name| Check { name, state: "ok", found: "f", advice: None };
        let json: serde_json::Value = serde_json::from_str(&doctor(&[check("b"), check("a")])).unwrap();
        assert_eq!(json["invar_doctor"], 1);
        assert_eq!(json["checks"][0]["name"], "b");
        assert_eq!(json["checks"][1]["advice"], serde_json::Value::Null);
        let variables = [Variable { name: "TZ", value: "UTC", why: "w" }];
        let json: serde_json::Value = serde_json::from_str(&environment(&variables, &["o"])).unwrap();
        assert_eq!(json["variables"][0]["value"], "UTC");
        assert_eq!(json["other"][0], "o");
    }
}
