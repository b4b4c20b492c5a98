//! Backups, and the way back.

use std::collections::BTreeMap;
use std::path::Path;

use invar_core::profile::Builder;
use invar_core::run::Timestamp;
use invar_store::{
    By, Identity, NewAccount, NewPublisher, NewSecret, NewToken, Profiles, RestoreError, Role, Store,
    Visibility,
};
use sqlx::{Connection, Row, SqliteConnection};

const BY: By<'static> = By { who: "test", at: Timestamp(1) };

/// Everything that a file's tables hold, and the numbers that were given.
async fn dump(file: &Path) -> BTreeMap<String, Vec<String>> {
    let mut connection = SqliteConnection::connect(&file.to_string_lossy()).await.unwrap();
    let tables =
        sqlx::query("SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'sqlite_stat1'");
    let tables: Vec<String> =
        tables.fetch_all(&mut connection).await.unwrap().iter().map(|row| row.get(0)).collect();
    let mut dump = BTreeMap::new();
    for table in tables {
        let columns = sqlx::query("SELECT name FROM pragma_table_info($1)").bind(table.clone());
        let columns = columns.fetch_all(&mut connection).await.unwrap();
        let columns: Vec<String> =
            columns.iter().map(|row| format!("quote({})", row.get::<String, _>(0))).collect();
        let sql = format!("SELECT {} FROM {table} ORDER BY 1", columns.join(" || ' ' || "));
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
        dump.insert(table, rows.iter().map(|row| row.get(0)).collect());
    }
    dump
}

/// Some of everything.
async fn fill(store: &Store) -> Store {
    let project = store.create_project("acme/fib", Visibility::Private, BY).await.unwrap();
    project.set_settings("default_branch = \"main\"\n# \u{e9} '\"\n", BY).await.unwrap();
    let profile = Builder::new("t.py::a").finish();
    for number in 1..=3 {
        let run = crate::run(number);
        let profiles: Profiles = [("t.py::a".to_string(), profile.clone())].into_iter().collect();
        project.put_with(&run, &profiles).await.unwrap();
    }
    let new = |name, admin| NewAccount { name, password: "$argon2id$", admin };
    for (name, admin) in [("ada", true), ("bob", false)] {
        store.create_account(new(name, admin), BY).await.unwrap();
    }
    let (ada, bob) =
        (store.account("ada").await.unwrap().unwrap().0, store.account("bob").await.unwrap().unwrap().0);
    project.set_member(&ada, Role::Writer, BY).await.unwrap();
    let secret = NewSecret { digest: "d", created: Timestamp(1), expires: Timestamp(i64::MAX) };
    store.create_session(&ada, secret).await.unwrap();
    let identity = Identity {
        forge: "https://github.com".to_string(),
        subject: "7".to_string(),
        name: "ada-l".to_string(),
        organisation: String::new(),
    };
    assert!(store.link_identity(&ada, &identity, BY).await.unwrap());
    let publisher = NewPublisher {
        forge: "github",
        issuer: "https://token.example",
        repository: "acme/fib",
        reference: "",
        environment: "",
    };
    project.create_publisher(publisher, BY).await.unwrap().unwrap();
    let token = NewToken { name: "ci", digest: "t1", scopes: "read", expires: None };
    project.create_token(&token, BY).await.unwrap();
    // Numbers that were given and are not to be given again.
    assert!(store.remove_account(&bob, BY).await.unwrap());
    let gone = project.create_token(&NewToken { digest: "t2", ..token }, BY).await.unwrap();
    project.revoke_token(gone, BY).await.unwrap();
    project.archive_benchmark("t.py::old", BY).await.unwrap();
    assert!(store.take_duty("collection", BY, std::time::Duration::from_secs(1)).await.unwrap());
    project
}

pub async fn a_backup_of_any_store_comes_back_into_any_other_whole(store: Store) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let first = Store::open(&at("first")).await.unwrap();
    let project = fill(&first).await;
    let run = crate::run(2);
    let profile = project.profile(&run.id, "t.py::a").await.unwrap().unwrap();
    first.backup(&at("backup")).await.unwrap();
    let before = dump(&at("backup").join("invar.sqlite")).await;
    assert!(before["run"].len() == 3 && before["token"].len() == 1 && !before["sqlite_sequence"].is_empty());

    let restored = store.restore(&at("backup")).await.unwrap();
    let blobs = 3 + 1;
    assert_eq!((restored.blobs, restored.already_there), (blobs, 0));
    assert_eq!((restored.damaged.len(), restored.missing), (0, 0));
    assert_eq!(
        restored.rows as usize,
        before
            .iter()
            .filter(|(table, _)| *table != "sqlite_sequence")
            .map(|(_, rows)| rows.len())
            .sum::<usize>()
    );
    assert_eq!(dump(&at("backup").join("invar.sqlite")).await, before, "the backup stays as it is");
    let there = store.project("acme/fib").await.unwrap().unwrap();
    assert_eq!(there.get(&run.id).await.unwrap(), run);
    assert_eq!(there.profile(&run.id, "t.py::a").await.unwrap().unwrap(), profile);
    assert_eq!(store.session("d", Timestamp(5)).await.unwrap().unwrap().name, "ada");
    // And from here again, whatever this is kept in.
    store.backup(&at("again")).await.unwrap();
    let again = dump(&at("again").join("invar.sqlite")).await;
    for (table, rows) in &before {
        assert_eq!(again[table], *rows, "{table}");
    }
    assert_eq!(again.len(), before.len());
    assert!(!at("again").join("invar.sqlite-wal").exists());

    // Numbers go on behind all that were ever given.
    let token = NewToken { name: "ci", digest: "t3", scopes: "read", expires: None };
    assert_eq!(there.create_token(&token, BY).await.unwrap(), 3);
    assert_eq!(
        store.create_account(NewAccount { name: "eve", password: "", admin: false }, BY).await.unwrap(),
        3
    );
    there.put(&crate::run(9)).await.unwrap();

    // Into what is not empty it does not come back, nor from nowhere.
    let refused = store.restore(&at("backup")).await.unwrap_err();
    assert!(matches!(refused, RestoreError::NotEmpty { .. }), "{refused}");
    let refused = Store::open(&at("other")).await.unwrap().restore(&at("nowhere")).await.unwrap_err();
    assert!(matches!(refused, RestoreError::NoBackup { .. }), "{refused}");
}

pub async fn a_damaged_blob_of_a_backup_is_left_out_and_said(store: Store) {
    let folder = tempfile::tempdir().unwrap();
    let first = Store::open(&folder.path().join("first")).await.unwrap();
    for number in [1, 2] {
        first.put(&crate::run(number)).await.unwrap();
    }
    let backup = folder.path().join("backup");
    first.backup(&backup).await.unwrap();
    let mut files = Vec::new();
    for shard in std::fs::read_dir(backup.join("blobs")).unwrap() {
        files.extend(std::fs::read_dir(shard.unwrap().path()).unwrap().map(|file| file.unwrap().path()));
    }
    std::fs::write(&files[0], "not what it was").unwrap();
    let restored = store.restore(&backup).await.unwrap();
    assert_eq!((restored.blobs, restored.missing), (1, 1));
    assert_eq!(restored.damaged, [files[0].display().to_string()]);
    let found = [store.get(&crate::run(1).id).await.is_ok(), store.get(&crate::run(2).id).await.is_ok()];
    assert_eq!(found.iter().filter(|found| **found).count(), 1, "the other one is there");
}
