//! What programs say about a project: settings, retention, members; and what they are shown of it.

use invar_core::run::Timestamp;
use invar_store::{NewAccount, Role};
use serde_json::{Value, json};

use crate::fixture::{Asking, BY, PRIVATE, Said, run};

/// An address of the private project, asked by who administers it.
async fn ask(asking: &Asking, method: &str, address: &str, body: &Value) -> Said {
    let token = asking.token(PRIVATE, "read admin", None).await;
    let address = format!("/api/v1/projects/{PRIVATE}{address}");
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    asking.with(method, &address, Some(&token), body).await
}

#[tokio::test]
async fn settings_are_changed_and_what_cannot_be_used_is_refused() {
    let asking = Asking::new().await;
    let text = "default_branch = \"trunk\"\n";
    let said = ask(&asking, "PUT", "/settings", &json!({"text": text})).await;
    assert_eq!(said.json(), json!({"visibility": "private", "text": text}), "{}", said.text());
    let said = ask(&asking, "PUT", "/settings", &json!({"visibility": "public"})).await;
    assert_eq!(said.json(), json!({"visibility": "public", "text": text}));
    for wrong in [
        json!({"text": "nonsense = 1"}),
        json!({"text": 5}),
        json!({"text": " ".repeat(33 << 10)}),
        json!({"visibility": "secret"}),
    ] {
        let said = ask(&asking, "PUT", "/settings", &wrong).await;
        assert_eq!(said.status, 400, "{wrong}: {}", said.text());
    }
    assert_eq!(ask(&asking, "GET", "/settings", &Value::Null).await.json()["text"], text);
}

#[tokio::test]
async fn a_preview_says_what_would_go_and_nothing_goes_by_it() {
    let asking = Asking::new().await;
    let within = asking.store.project(PRIVATE).await.unwrap().unwrap();
    let mut old = run(1);
    old.started = Timestamp(1);
    old.source.as_mut().unwrap().branch = Some("old".to_string());
    within.put(&old).await.unwrap();
    within.put(&run(2)).await.unwrap();
    let said = ask(&asking, "GET", "/retention", &Value::Null).await.json();
    let forever = json!({"runs_days": null, "profiles_days": null, "branch": "main", "would_go": {"runs": 0, "profiles": 0}});
    assert_eq!(said, forever);
    let preview = ask(&asking, "GET", "/retention?runs_days=30", &Value::Null).await.json();
    assert_eq!((&preview["runs_days"], &preview["would_go"]["runs"]), (&json!(30), &json!(1)));
    assert_eq!(ask(&asking, "GET", "/retention", &Value::Null).await.json(), forever);
    let said = ask(&asking, "PUT", "/retention", &json!({"runs_days": 30})).await.json();
    assert_eq!(said, preview);
    assert_eq!(ask(&asking, "GET", "/retention", &Value::Null).await.json(), preview);
    assert_eq!(asking.kept(PRIVATE).await, 2);
    for wrong in
        [json!({"runs_days": 0}), json!({"runs_days": "x"}), json!({"profiles_days": 70000}), json!([])]
    {
        assert_eq!(ask(&asking, "PUT", "/retention", &wrong).await.status, 400, "{wrong}");
    }
    for wrong in ["runs_days=0", "profiles_days=-1", "runs_days=x"] {
        let said = ask(&asking, "GET", &format!("/retention?{wrong}"), &Value::Null).await;
        assert_eq!(said.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn an_account_is_made_a_member_and_taken_out() {
    let asking = Asking::new().await;
    let new = NewAccount { name: "ada", password: "", admin: false };
    asking.store.create_account(new, BY).await.unwrap();
    for role in Role::ALL {
        let said = ask(&asking, "PUT", "/members/ada", &json!({"role": role.name()})).await;
        assert_eq!(said.json(), json!({"name": "ada", "role": role.name()}));
    }
    let members = ask(&asking, "GET", "/members", &Value::Null).await.json();
    assert_eq!(members, json!({"members": [{"name": "ada", "role": "admin"}]}));
    assert_eq!(ask(&asking, "PUT", "/members/ada", &json!({"role": "owner"})).await.status, 400);
    assert_eq!(ask(&asking, "PUT", "/members/bob", &json!({"role": "reader"})).await.status, 404);
    assert_eq!(ask(&asking, "DELETE", "/members/ada", &Value::Null).await.status, 204);
    assert_eq!(ask(&asking, "DELETE", "/members/ada", &Value::Null).await.status, 404);
}

#[tokio::test]
async fn programs_are_shown_what_pages_show() {
    let asking = Asking::new().await;
    let within = asking.store.project(PRIVATE).await.unwrap().unwrap();
    for number in [1, 2] {
        within.put(&run(number)).await.unwrap();
    }
    let [base, head] = [1, 2].map(|number| run(number).id);
    for (address, twin) in [
        ("/overview".to_string(), "/overview.json".to_string()),
        ("/commits?branch=main".to_string(), "/commits.json?branch=main".to_string()),
        ("/benchmarks?q=t.py".to_string(), "/benchmarks.json?q=t.py".to_string()),
        ("/series?benchmark=t.py%3A%3Aa&points=1".to_string(), "/b/t.py::a.json?points=1".to_string()),
        (format!("/comparison?base={base}&head={head}"), format!("/compare/{base}...{head}.json")),
    ] {
        let said = ask(&asking, "GET", &address, &Value::Null).await;
        let token = asking.token(PRIVATE, "read", None).await;
        let other = asking.with("GET", &format!("/{PRIVATE}{twin}"), Some(&token), Vec::new()).await;
        assert_eq!(
            (said.status.as_u16(), said.content_type.as_str()),
            (200, "application/json"),
            "{address}"
        );
        assert_eq!(said.json(), other.json(), "{address}");
    }
    for (address, expected) in [
        ("/series", 400),
        ("/series?benchmark=nobody", 404),
        ("/series?benchmark=..%2F..%2Fx", 404),
        ("/comparison?base=x", 400),
        ("/comparison?base=x&head=y", 404),
    ] {
        let said = ask(&asking, "GET", address, &Value::Null).await;
        assert_eq!(said.status, expected, "{address}: {}", said.text());
        assert_eq!(said.content_type, "application/problem+json", "{address}");
    }
}
