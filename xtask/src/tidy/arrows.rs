//! Which crate may know which, and what may come into a measured process.

use serde_json::Value;

use super::Problem;

/// Each crate with the crates of the house that it may know. No arrow points up.
const ARROWS: &[(&str, &[&str])] = &[
    ("invar-core", &[]),
    ("invar-sim", &["invar-core"]),
    ("invar-engine", &["invar-core", "invar-sim"]),
    ("invar-placement", &[]),
    ("invar-store", &["invar-core"]),
    ("invar-runner", &["invar-core"]),
    ("invar-server", &["invar-core", "invar-store"]),
    ("invar", &["invar-core", "invar-store", "invar-runner", "invar-server"]),
    ("xtask", &["invar-core", "invar-runner", "invar-store"]),
];

fn packages(metadata: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    packages.iter().filter_map(|package| Some((package["name"].as_str()?, package)))
}

/// Packages that lie in this repository: they come from no registry.
fn of_the_house(metadata: &Value) -> impl Iterator<Item = (&str, &Value)> {
    packages(metadata).filter(|(_, package)| package["source"].is_null())
}

fn dependencies(package: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let dependencies = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    dependencies.iter().filter_map(|dependency| Some((dependency["name"].as_str()?, dependency)))
}

fn manifest_of(name: &str) -> String {
    if name == "xtask" { "xtask/Cargo.toml".into() } else { format!("crates/{name}/Cargo.toml") }
}

/// No arrow upward, no circles; the runner never links the engine.
pub fn arrows_point_down(metadata: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, package) in of_the_house(metadata) {
        let manifest = manifest_of(name);
        let Some((_, allowed)) = ARROWS.iter().find(|(crate_name, _)| *crate_name == name) else {
            let sentence =
                format!("`{name}` is in no drawing of the house: add it to ARCHITECTURE.md and ARROWS");
            problems.push(Problem::of_file(&manifest, sentence));
            continue;
        };
        for (other, dependency) in dependencies(package) {
            let of_the_house = !dependency["path"].is_null();
            if of_the_house && !allowed.contains(&other) {
                problems.push(Problem::of_file(&manifest, format!("`{name}` may not know `{other}`")));
            }
        }
    }
    problems
}

/// What goes into a measured process is built without `std`.
pub fn the_engine_needs_no_std(metadata: &Value) -> Vec<Problem> {
    const WITHOUT: [&str; 3] = ["invar-engine", "invar-placement", "invar-sim"];
    let mut problems = Vec::new();
    for (name, package) in of_the_house(metadata).filter(|(name, _)| WITHOUT.contains(name)) {
        for (other, dependency) in dependencies(package) {
            let in_tests = dependency["kind"].as_str() == Some("dev");
            // The simulator has no features, so it has none to turn off.
            if in_tests || other == "invar-sim" {
                continue;
            }
            let features = dependency["features"].as_array().map(Vec::as_slice).unwrap_or_default();
            let default = dependency["uses_default_features"].as_bool() == Some(true);
            if default || features.iter().any(|feature| feature == "std") {
                let sentence =
                    format!("`{name}` is loaded into measured processes; turn off `std` of `{other}`");
                problems.push(Problem::of_file(&manifest_of(name), sentence));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn metadata(name: &str, dependencies: Value) -> Value {
        json!({"packages": [{"name": name, "source": null, "dependencies": dependencies}]})
    }

    #[test]
    fn an_arrow_upward_is_found() {
        let up = json!([{"name": "invar-engine", "path": "crates/invar-engine", "kind": null}]);
        let found = arrows_point_down(&metadata("invar-runner", up));
        assert_eq!(
            found,
            [Problem::of_file(
                "crates/invar-runner/Cargo.toml",
                "`invar-runner` may not know `invar-engine`"
            )]
        );
        let down = json!([{"name": "invar-core", "path": "crates/invar-core", "kind": null},
                          {"name": "serde_json", "path": null, "kind": null}]);
        assert!(arrows_point_down(&metadata("invar-runner", down)).is_empty());
    }

    #[test]
    fn a_crate_that_nobody_has_drawn_is_found() {
        assert_eq!(arrows_point_down(&metadata("invar-extra", json!([]))).len(), 1);
    }

    #[test]
    fn a_dependency_with_std_is_found_in_the_engine_and_nowhere_else() {
        let std = json!([{"name": "a", "kind": null, "features": [], "uses_default_features": true},
                         {"name": "b", "kind": null, "features": ["std"], "uses_default_features": false},
                         {"name": "c", "kind": null, "features": [], "uses_default_features": false},
                         {"name": "d", "kind": "dev", "features": [], "uses_default_features": true}]);
        assert_eq!(the_engine_needs_no_std(&metadata("invar-engine", std.clone())).len(), 2);
        assert_eq!(the_engine_needs_no_std(&metadata("invar-store", std)).len(), 0);
    }
}
