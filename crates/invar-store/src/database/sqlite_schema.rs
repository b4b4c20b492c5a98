//! The schema of the SQLite file, step by step.
//!
//! What is here is never changed: a step is added. Times are microseconds UTC; text is compared byte by byte.

/// The history of the schema. Each ends by saying how far it is; what is here is never changed.
pub(crate) const MIGRATIONS: [&str; 15] = [
    r"
    CREATE TABLE run (
        id TEXT PRIMARY KEY,
        started_us INTEGER NOT NULL,
        title TEXT NOT NULL,
        commit_id TEXT,
        branch TEXT,
        dirty INTEGER NOT NULL,
        message TEXT,
        machine TEXT NOT NULL,       -- by name, for people
        machine_text TEXT NOT NULL,  -- whole: runs are comparable where it is equal
        instrument TEXT NOT NULL,
        measured INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        incomplete TEXT,
        blob TEXT NOT NULL           -- SHA-256 of the run as JSON
    ) STRICT;
    CREATE INDEX run_started ON run (started_us);
    CREATE INDEX run_commit ON run (commit_id, started_us);
    CREATE INDEX run_branch ON run (branch, started_us);
    PRAGMA user_version = 1;
",
    r"
    CREATE TABLE run_2 (
        number INTEGER PRIMARY KEY,  -- names the run in millions of rows, where its id would be long; never leaves the file
        id TEXT NOT NULL UNIQUE,
        started_us INTEGER NOT NULL,
        title TEXT NOT NULL,
        commit_id TEXT,
        branch TEXT,
        dirty INTEGER NOT NULL,
        message TEXT,
        machine TEXT NOT NULL,
        machine_text TEXT NOT NULL,
        instrument TEXT NOT NULL,
        measured INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        incomplete TEXT,
        blob TEXT NOT NULL,
        indexed INTEGER NOT NULL     -- are its measurements in the table of that name?
    ) STRICT;
    INSERT INTO run_2 (id, started_us, title, commit_id, branch, dirty, message, machine, machine_text, instrument,
                       measured, failed, incomplete, blob, indexed)
        SELECT id, started_us, title, commit_id, branch, dirty, message, machine, machine_text, instrument,
               measured, failed, incomplete, blob, 0 FROM run ORDER BY started_us, id;
    DROP TABLE run;
    ALTER TABLE run_2 RENAME TO run;
    CREATE INDEX run_started ON run (started_us);
    CREATE INDEX run_commit ON run (commit_id, started_us);
    CREATE INDEX run_branch ON run (branch, started_us);
    CREATE INDEX run_not_indexed ON run (number) WHERE indexed = 0;
    CREATE TABLE series (
        number INTEGER PRIMARY KEY,
        benchmark TEXT NOT NULL,     -- by its full name
        machine_text TEXT NOT NULL,
        instrument TEXT NOT NULL,
        UNIQUE (benchmark, machine_text, instrument)
    ) STRICT;
    CREATE TABLE measurement (       -- warm passes; what they cost follows from the machine
        series INTEGER NOT NULL REFERENCES series (number),
        started_us INTEGER NOT NULL, -- as in run
        run INTEGER NOT NULL REFERENCES run (number),
        diagnostics INTEGER NOT NULL,
        instructions INTEGER NOT NULL,
        reads INTEGER NOT NULL,
        writes INTEGER NOT NULL,
        l1i_misses INTEGER NOT NULL,
        l1d_read_misses INTEGER NOT NULL,
        l1d_write_misses INTEGER NOT NULL,
        l2_misses INTEGER NOT NULL,
        l3_misses INTEGER NOT NULL,
        memory_accesses INTEGER NOT NULL,
        rep_bytes INTEGER NOT NULL,
        rep_iterations INTEGER NOT NULL,
        branches_taken INTEGER NOT NULL,
        system_calls INTEGER NOT NULL,
        PRIMARY KEY (series, started_us, run)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX measurement_run ON measurement (run);
    PRAGMA user_version = 2;
",
    r"
    CREATE TABLE profile (
        run INTEGER NOT NULL REFERENCES run (number),
        benchmark TEXT NOT NULL,     -- by its full name
        blob TEXT NOT NULL,          -- SHA-256 of the profile's bytes
        PRIMARY KEY (run, benchmark)
    ) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 3;
",
    r"
    CREATE TABLE project (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL,          -- `acme/demo`; empty: the one of a store that knows of no others
        public INTEGER NOT NULL,
        created_us INTEGER NOT NULL,
        settings TEXT NOT NULL       -- as in invar.toml
    ) STRICT;
    CREATE UNIQUE INDEX project_name ON project (lower(name));
    INSERT INTO project (number, name, public, created_us, settings) VALUES (1, '', 0, 0, '');
    -- Made anew, since SQLite can neither add a column that refers to a table nor change what is unique.
    CREATE TABLE run_4 (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        project INTEGER NOT NULL REFERENCES project (number),
        started_us INTEGER NOT NULL,
        title TEXT NOT NULL,
        commit_id TEXT,
        branch TEXT,
        dirty INTEGER NOT NULL,
        message TEXT,
        machine TEXT NOT NULL,
        machine_text TEXT NOT NULL,
        instrument TEXT NOT NULL,
        measured INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        incomplete TEXT,
        blob TEXT NOT NULL,
        indexed INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE series_4 (
        number INTEGER PRIMARY KEY,
        project INTEGER NOT NULL REFERENCES project (number),
        benchmark TEXT NOT NULL,
        machine_text TEXT NOT NULL,
        instrument TEXT NOT NULL,
        UNIQUE (project, benchmark, machine_text, instrument)
    ) STRICT;
    CREATE TABLE measurement_4 (
        series INTEGER NOT NULL REFERENCES series_4 (number),
        started_us INTEGER NOT NULL,
        run INTEGER NOT NULL REFERENCES run_4 (number),
        diagnostics INTEGER NOT NULL,
        instructions INTEGER NOT NULL,
        reads INTEGER NOT NULL,
        writes INTEGER NOT NULL,
        l1i_misses INTEGER NOT NULL,
        l1d_read_misses INTEGER NOT NULL,
        l1d_write_misses INTEGER NOT NULL,
        l2_misses INTEGER NOT NULL,
        l3_misses INTEGER NOT NULL,
        memory_accesses INTEGER NOT NULL,
        rep_bytes INTEGER NOT NULL,
        rep_iterations INTEGER NOT NULL,
        branches_taken INTEGER NOT NULL,
        system_calls INTEGER NOT NULL,
        PRIMARY KEY (series, started_us, run)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE profile_4 (
        run INTEGER NOT NULL REFERENCES run_4 (number),
        benchmark TEXT NOT NULL,
        blob TEXT NOT NULL,
        PRIMARY KEY (run, benchmark)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO run_4 (number, id, project, started_us, title, commit_id, branch, dirty, message, machine, machine_text,
                       instrument, measured, failed, incomplete, blob, indexed)
        SELECT number, id, 1, started_us, title, commit_id, branch, dirty, message, machine, machine_text,
               instrument, measured, failed, incomplete, blob, indexed FROM run;
    INSERT INTO series_4 SELECT number, 1, benchmark, machine_text, instrument FROM series;
    INSERT INTO measurement_4 SELECT * FROM measurement;
    INSERT INTO profile_4 SELECT * FROM profile;
    DROP TABLE profile;
    DROP TABLE measurement;
    DROP TABLE series;
    DROP TABLE run;
    ALTER TABLE run_4 RENAME TO run;
    ALTER TABLE series_4 RENAME TO series;
    ALTER TABLE measurement_4 RENAME TO measurement;
    ALTER TABLE profile_4 RENAME TO profile;
    CREATE INDEX run_started ON run (project, started_us, id);
    CREATE INDEX run_commit ON run (project, commit_id, started_us, id);
    CREATE INDEX run_branch ON run (project, branch, started_us, id);
    CREATE INDEX run_not_indexed ON run (number) WHERE indexed = 0;
    CREATE INDEX run_blob ON run (blob);
    CREATE INDEX measurement_run ON measurement (run);
    CREATE INDEX profile_blob ON profile (blob);
    PRAGMA user_version = 4;
",
    r"
    CREATE TABLE verification (
        id TEXT PRIMARY KEY,
        project INTEGER NOT NULL REFERENCES project (number),
        started_us INTEGER NOT NULL,
        suite TEXT NOT NULL,         -- the command, for people
        machine_text TEXT NOT NULL,
        instrument TEXT NOT NULL,
        benchmarks INTEGER NOT NULL,
        content TEXT NOT NULL        -- the verification as JSON
    ) STRICT;
    CREATE INDEX verification_way ON verification (project, machine_text, instrument, started_us, id);
    PRAGMA user_version = 5;
",
    r"
    CREATE TABLE token (
        number INTEGER PRIMARY KEY AUTOINCREMENT, -- never that of a token that is gone
        project INTEGER NOT NULL REFERENCES project (number),
        name TEXT NOT NULL,
        digest TEXT NOT NULL UNIQUE, -- SHA-256 of the token
        scopes TEXT NOT NULL,
        created_us INTEGER NOT NULL,
        expires_us INTEGER,
        used_us INTEGER
    ) STRICT;
    CREATE INDEX token_project ON token (project);
    PRAGMA user_version = 6;
",
    r"
    CREATE TABLE account (
        number INTEGER PRIMARY KEY AUTOINCREMENT, -- never that of an account that is gone
        name TEXT NOT NULL,
        password TEXT NOT NULL,      -- what its password is checked by; empty: nobody can sign in
        admin INTEGER NOT NULL,
        created_us INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX account_name ON account (lower(name));
    CREATE TABLE session (
        digest TEXT PRIMARY KEY,     -- SHA-256 of what the browser shows
        account INTEGER NOT NULL REFERENCES account (number),
        created_us INTEGER NOT NULL,
        expires_us INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX session_account ON session (account);
    CREATE TABLE link (
        digest TEXT PRIMARY KEY,     -- SHA-256 of the secret in the link
        account INTEGER REFERENCES account (number), -- whose password it sets; NULL: it makes the first account
        created_us INTEGER NOT NULL,
        expires_us INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE member (
        project INTEGER NOT NULL REFERENCES project (number),
        account INTEGER NOT NULL REFERENCES account (number),
        role TEXT NOT NULL,
        PRIMARY KEY (project, account)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX member_account ON member (account);
    CREATE TABLE acknowledgement (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        project INTEGER NOT NULL REFERENCES project (number),
        branch TEXT NOT NULL,
        benchmark TEXT NOT NULL,
        run TEXT NOT NULL,           -- the id of the run that was looked at
        cycles INTEGER NOT NULL,     -- what the benchmark cost in it
        reason TEXT NOT NULL,
        who TEXT NOT NULL,
        at_us INTEGER NOT NULL,
        undone_us INTEGER            -- NULL: it holds
    ) STRICT;
    CREATE INDEX acknowledgement_branch ON acknowledgement (project, branch, benchmark);
    CREATE TABLE audit (
        number INTEGER PRIMARY KEY,
        project INTEGER REFERENCES project (number), -- NULL: it is about no project
        at_us INTEGER NOT NULL,
        who TEXT NOT NULL,
        what TEXT NOT NULL
    ) STRICT;
    CREATE INDEX audit_project ON audit (project, number);
    PRAGMA user_version = 7;
",
    r"
    CREATE TABLE duty (
        name TEXT PRIMARY KEY,
        due_us INTEGER NOT NULL,     -- not before
        taken_us INTEGER NOT NULL    -- somebody has it until then
    ) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 8;
",
    r"
    CREATE TABLE publisher (
        number INTEGER PRIMARY KEY AUTOINCREMENT, -- never that of a publisher that is gone
        project INTEGER NOT NULL REFERENCES project (number),
        forge TEXT NOT NULL,         -- whose words its tokens use
        issuer TEXT NOT NULL,        -- who signs its tokens
        repository TEXT NOT NULL,
        repository_id TEXT,          -- NULL: not seen yet
        reference TEXT NOT NULL,     -- a pattern; empty: any
        environment TEXT NOT NULL,   -- empty: any, and none
        created_us INTEGER NOT NULL,
        used_us INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX publisher_what
        ON publisher (project, issuer, lower(repository), reference, environment);
    ALTER TABLE token ADD COLUMN publisher INTEGER REFERENCES publisher (number); -- NULL: made by somebody
    CREATE TABLE naming (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        project INTEGER NOT NULL REFERENCES project (number),
        benchmark TEXT NOT NULL,     -- by the full name that runs, or other namings, give it
        becomes TEXT,                -- its full name from now on; NULL: it is archived
        who TEXT NOT NULL,
        at_us INTEGER NOT NULL,
        undone_us INTEGER            -- NULL: it holds
    ) STRICT;
    CREATE INDEX naming_project ON naming (project, benchmark);
    CREATE TABLE retention (
        project INTEGER PRIMARY KEY REFERENCES project (number),
        runs_days INTEGER,           -- of branches that are not the default one; NULL: for ever
        profiles_days INTEGER        -- NULL: as long as their runs
    ) STRICT;
    CREATE TABLE attempt (           -- to sign in, that failed
        what TEXT PRIMARY KEY,       -- SHA-256 of who tried, and where
        failed INTEGER NOT NULL,
        since_us INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX attempt_since ON attempt (since_us);
    PRAGMA user_version = 9;
",
    r"
    CREATE TABLE gathering (         -- of the shards of one run
        number INTEGER PRIMARY KEY AUTOINCREMENT, -- never that of one that is gone
        project INTEGER NOT NULL REFERENCES project (number),
        shard_key TEXT NOT NULL,     -- what they have in common
        shards INTEGER NOT NULL,     -- how many there will be
        run INTEGER REFERENCES run (number), -- what is made of those that are there
        UNIQUE (project, shard_key)
    ) STRICT;
    CREATE INDEX gathering_run ON gathering (run);
    CREATE TABLE shard (
        gathering INTEGER NOT NULL REFERENCES gathering (number),
        number INTEGER NOT NULL,     -- from 1
        id TEXT NOT NULL,            -- as it was given by who measured it
        started_us INTEGER NOT NULL,
        blob TEXT NOT NULL,          -- SHA-256 of the shard as JSON
        PRIMARY KEY (gathering, number)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX shard_blob ON shard (blob);
    CREATE TABLE shard_profile (
        gathering INTEGER NOT NULL REFERENCES gathering (number),
        number INTEGER NOT NULL,     -- of the shard
        benchmark TEXT NOT NULL,
        blob TEXT NOT NULL,
        PRIMARY KEY (gathering, number, benchmark)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX shard_profile_blob ON shard_profile (blob);
    PRAGMA user_version = 10;
",
    r"
    CREATE TABLE revision (          -- how often the runs of a project changed
        project INTEGER PRIMARY KEY REFERENCES project (number),
        runs INTEGER NOT NULL
    ) STRICT;
    PRAGMA user_version = 11;
",
    r"
    CREATE TABLE upload (            -- that comes in parts
        id TEXT PRIMARY KEY,         -- drawn at random
        project INTEGER NOT NULL REFERENCES project (number),
        digest TEXT NOT NULL,        -- SHA-256 of the whole, by which it is found again; empty: not said
        bytes INTEGER NOT NULL,      -- how many there will be
        arrived INTEGER NOT NULL,    -- how many there are
        expires_us INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX upload_project ON upload (project, digest);
    CREATE INDEX upload_expires ON upload (expires_us);
    CREATE TABLE upload_part (
        upload TEXT NOT NULL REFERENCES upload (id) ON DELETE CASCADE,
        start INTEGER NOT NULL,      -- the first byte's place
        blob TEXT NOT NULL,
        PRIMARY KEY (upload, start)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX upload_part_blob ON upload_part (blob);
    PRAGMA user_version = 12;
",
    r"
    CREATE TABLE ignoring (          -- of a benchmark, which decides nothing
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        project INTEGER NOT NULL REFERENCES project (number),
        benchmark TEXT NOT NULL,     -- by its full name at that time
        reason TEXT NOT NULL,
        who TEXT NOT NULL,
        at_us INTEGER NOT NULL,
        undone_us INTEGER            -- NULL: it holds
    ) STRICT;
    CREATE INDEX ignoring_project ON ignoring (project, benchmark);
    PRAGMA user_version = 13;
",
    r"
    ALTER TABLE duty ADD COLUMN who TEXT NOT NULL DEFAULT ''; -- who took it the last time
    ALTER TABLE duty ADD COLUMN began_us INTEGER;             -- NULL: never, or by an older Invar
    ALTER TABLE duty ADD COLUMN ended_us INTEGER;             -- NULL: not yet, or it was cut off
    ALTER TABLE duty ADD COLUMN failed INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE duty ADD COLUMN said TEXT NOT NULL DEFAULT ''; -- how it ended
    CREATE TABLE shelf (             -- what the last collector left
        kind TEXT PRIMARY KEY,       -- the folder
        blobs INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        counted_us INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 14;
",
    r"
    CREATE TABLE identity (          -- of an account, at a forge
        forge TEXT NOT NULL,         -- its address
        subject TEXT NOT NULL,       -- the number by which it knows the person
        account INTEGER NOT NULL REFERENCES account (number),
        name TEXT NOT NULL,          -- what it called the person the last time
        organisation TEXT NOT NULL,  -- whose members may sign in so; empty: whoever it is
        created_us INTEGER NOT NULL,
        used_us INTEGER NOT NULL,
        PRIMARY KEY (forge, subject)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX identity_account ON identity (account);
    CREATE TABLE handshake (         -- with a forge, under way
        state TEXT PRIMARY KEY,      -- SHA-256 of what comes back
        browser TEXT NOT NULL,       -- SHA-256 of what the browser shows
        forge TEXT NOT NULL,
        account INTEGER REFERENCES account (number), -- what is to be linked; NULL: somebody signs in
        back TEXT NOT NULL,          -- where they go then
        expires_us INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX handshake_account ON handshake (account);
    PRAGMA user_version = 15;
",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_migration_says_how_far_it_is() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            let end = format!("PRAGMA user_version = {};", index + 1);
            assert!(migration.trim_end().ends_with(&end), "{migration}");
        }
    }
}
