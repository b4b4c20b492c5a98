//! The description of the interface for programs says what is there.

use std::collections::BTreeSet;

use invar_server::team::{OPENAPI, addresses};

#[test]
fn every_address_is_described_and_nothing_else_is() {
    let document: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
    let described: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
            methods.map(move |method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    let there: BTreeSet<(String, String)> =
        addresses().into_iter().map(|(method, path)| (method.to_string(), path.to_string())).collect();
    assert_eq!(described, there);
}
