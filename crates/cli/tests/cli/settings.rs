//! The precedence of the sources of settings, and the messages about wrong values.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt as _};

use dabba_testkit::{WITH_SECRET, eventually_blocking};

use super::support::{dabba, failure, stdout};

/// Returns which of the three addresses a server tries to listen on. All are in use, so the message names the address.
fn address_tried(flag: bool, variable: bool, file: bool) -> String {
    let directory = tempfile::tempdir().unwrap();
    let sockets = [(); 3].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = sockets.each_ref().map(|socket| socket.local_addr().unwrap().to_string());
    let mut command = dabba(directory.path(), &["serve"]);
    command.env_remove("DABBA_LISTEN");
    if flag {
        command.args(["--listen", &addresses[0]]);
    }
    if variable {
        command.env("DABBA_LISTEN", &addresses[1]);
    }
    if file {
        fs::write(directory.path().join("dabba.toml"), format!("listen = \"{}\"\n", addresses[2])).unwrap();
    }
    let text = String::from_utf8(command.output().unwrap().stderr).unwrap();
    let tried = addresses.iter().position(|address| text.contains(address.as_str()));
    ["flag", "variable", "file"][tried.unwrap_or_else(|| panic!("{text}"))].to_owned()
}

#[test]
fn flags_take_precedence_over_variables_and_variables_over_the_file() {
    assert_eq!(address_tried(true, true, true), "flag");
    assert_eq!(address_tried(false, true, true), "variable");
    assert_eq!(address_tried(false, false, true), "file");
}

#[test]
fn a_wrong_flag_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let text = failure(directory.path(), &["serve", "--commit-batch-limit", "0"]);
    assert!(text.contains("--commit-batch-limit") && text.contains("from 1 to 10000, not 0"), "{text}");
    let text = failure(directory.path(), &["serve", "--log-format", "xml"]);
    assert!(text.contains("--log-format") && text.contains("text or json"), "{text}");
}

#[test]
fn a_wrong_variable_is_named() {
    let directory = tempfile::tempdir().unwrap();
    for (name, value, reason) in [
        ("DABBA_LISTEN", "localhost", "must be HOST:PORT"),
        ("DABBA_REQUEST_TIMEOUT_SECONDS", "0", "must be a whole number from 1 to 600, not 0"),
        ("DABBA_REQUEST_TIMEOUT_SECONDS", "soon", "must be a whole number from 1 to 600, not soon"),
        ("DABBA_MIGRATE", "perhaps", "must be true or false, not \"perhaps\""),
        ("DABBA_LOG", "warning", "must be a level"),
    ] {
        let output = dabba(directory.path(), &["serve"]).env(name, value).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(name) && text.contains(reason), "{name}={value}: {text}");
    }
}

#[test]
fn a_wrong_file_is_named_with_the_setting_in_it() {
    let directory = tempfile::tempdir().unwrap();
    for (file, setting, reason) in [
        ("listn = \"127.0.0.1:1\"", "listn", "line 1: there is no setting \"listn\"; did you mean listen?"),
        (
            "shutdown_grace_seconds = 0",
            "shutdown_grace_seconds",
            "must be a whole number from 1 to 600, not 0",
        ),
        ("migrate = \"perhaps\"", "migrate", "migrate must be true or false, not \"perhaps\""),
        ("listen = ", "listen", "line 1"),
    ] {
        fs::write(directory.path().join("dabba.toml"), file).unwrap();
        let text = failure(directory.path(), &["serve"]);
        assert!(
            text.contains("dabba.toml") && text.contains(setting) && text.contains(reason),
            "{file}: {text}"
        );
    }
    fs::remove_file(directory.path().join("dabba.toml")).unwrap();
    let text = failure(directory.path(), &["serve", "--config", "absent.toml"]);
    assert!(text.contains("absent.toml"), "{text}");
}

/// Proves that all wrong values are listed at once with their places and the setting's message, and that `settings --check` does
/// so without changing anything.
#[test]
fn every_wrong_value_is_listed_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = "work = \"true\"\npool_size = \"many\"\n\nlistn = 1\ncors_origins = [\"*\"]\nhsts_seconds = -1\n\
                application_name = 5\nlog_format = \"xml\"\n";
    fs::write(directory.path().join("wrong.toml"), file).unwrap();
    for arguments in
        [&["settings", "--check", "--config", "wrong.toml"][..], &["migrate", "--config", "wrong.toml"]]
    {
        let output = dabba(directory.path(), arguments)
            .envs([
                ("DABBA_LISTEN", "u:hush@h:80"),
                ("DABBA_DATABASE", "u:hush"),
                ("DABBA_COMMITTERS", "none"),
            ])
            .envs([("DABBA_WORK", "YES"), ("DABBA_HSTS_SECONDS", " 5 ")])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        let lines = [
            "wrong.toml: line 1: work must be written without quotes, not \"true\"",
            "wrong.toml: line 2: pool_size must be a whole number from 1 to 1000, not many",
            "wrong.toml: line 4: there is no setting \"listn\"; did you mean listen?",
            "wrong.toml: line 5: cors_origins ",
            "wrong.toml: line 6: hsts_seconds must be a whole number from 0 to 63072000, not -1",
            "wrong.toml: line 7: application_name must be written as one text in quotes, not \"5\"",
            "wrong.toml: line 8: log_format must be text or json, not \"xml\"",
            "DABBA_LISTEN must be HOST:PORT, ",
            "DABBA_DATABASE must be a URL that begins with postgresql://, ",
            "DABBA_COMMITTERS must be a whole number from 1 to 64, not none",
        ];
        let found: Vec<&str> = text.lines().skip(1).map(str::trim).collect();
        assert_eq!(found.len(), lines.len(), "{text}");
        assert!(found.iter().zip(lines).all(|(found, line)| found.starts_with(line)), "{text}");
        for word in ["hush", "u64", "Settings::", "deserialize", "invalid type"] {
            assert!(!text.contains(word), "{word}: {text}");
        }
    }
    let names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["wrong.toml"]);
    let text = stdout(directory.path(), &["settings", "--check"]);
    assert!(text.contains("are valid"), "{text}");
    assert!(!directory.path().join("dabba-data").exists());
    let output = dabba(directory.path(), &["settings", "--check"])
        .env("DABBA_SHARDS", "absent.toml")
        .output()
        .unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("absent.toml"));
    let not_text = OsStr::from_bytes(&[0xff]);
    let output =
        dabba(directory.path(), &["settings", "--check"]).env("DABBA_DATA", not_text).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("wrong settings: DABBA_DATA must be text in UTF-8"), "{text}");
}

/// Proves that `settings --check` reports at once everything that commands refuse later: unusable files, URLs that the store
/// refuses, two listeners on one port, empty values and misspelt variables; and that it connects to nothing.
#[test]
fn a_check_refuses_what_a_command_refuses() {
    let directory = tempfile::tempdir().unwrap();
    let check = |file: &str, variables: &[(&str, &str)]| {
        fs::write(directory.path().join("dabba.toml"), file).unwrap();
        let mut command = dabba(directory.path(), &["settings", "--check"]);
        let output = command.env("DABBA_LOG", "error").envs(variables.iter().copied()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout) + &text(output.stderr))
    };
    let refused = |file: &str, variables: &[(&str, &str)], parts: &[&str]| {
        let (is_usable, text) = check(file, variables);
        assert!(!is_usable && !text.contains("hush"), "{file} {variables:?}: {text}");
        for part in parts {
            assert!(text.contains(part), "{part} is missing in: {text}");
        }
    };
    for (url, part) in [
        ("postgresql://u:hush@h/d?sslmode=verify-ca", "sslmode"),
        ("postgresql://u:hush@h/d?sslmod=require", "sslmod"),
        ("postgresql://u:hush@h:notaport/d", "must have the form"),
        ("postgresql://u:hush@h/d?sslmode=verify-full&sslrootcert=/absent.pem", "/absent.pem"),
    ] {
        refused(&format!("database = \"{url}\""), &[], &["dabba.toml: line 1: database ", part]);
        fs::write(directory.path().join("url"), url).unwrap();
        refused("", &[("DABBA_DATABASE", "file:url")], &["DABBA_DATABASE ", "the file url", part]);
        let shards = format!("[[shard]]\nname = \"a\"\nurl = \"{url}\"\nbuckets = \"0-4095\"\n");
        fs::write(directory.path().join("shards.toml"), shards).unwrap();
        refused("shards = \"shards.toml\"", &[], &["shards.toml", "url ", part]);
    }
    refused(
        "signing_key_file = \"absent.key\"\n\npayment_key_file = \"absent.sk\"\npayment_webhook_secret_file = \"url\"",
        &[("DABBA_SHARDS", "absent.toml")],
        &[
            "dabba.toml: line 1: signing_key_file: ",
            "absent.key cannot be read: it does not exist",
            "dabba.toml: line 3: payment_key_file: ",
            "absent.sk cannot be read: it does not exist",
            "DABBA_SHARDS: ",
            "absent.toml cannot be read: it does not exist",
        ],
    );
    refused("admin_listen = \"localhost:8080\"", &[], &["admin_listen (localhost:8080)", "another port"]);
    refused("replica_database = \"postgresql://h/d\"", &[], &["replica_database needs database"]);
    refused(
        "log = \"\"\nsigning_key_file = \" \"",
        &[("DABBA_DATABASE", ""), ("DABBA_LISTEN", "")],
        &[
            "line 1: log must not be empty",
            "line 2: signing_key_file must not be empty",
            "DABBA_DATABASE must not be empty: unset it",
            "DABBA_LISTEN must not be empty: unset it",
        ],
    );
    refused("", &[("DABBA_DATABSE", "x")], &["DABBA_DATABSE is not a setting; did you mean DABBA_DATABASE?"]);
    let (is_usable, text) = check("cors_origins = \"\"", &[("DABBA_SERVICE_HOST", "10.0.0.1")]);
    assert!(is_usable && text.contains("DABBA_SERVICE_HOST is not a setting"), "{text}");
    // No process listens at that address.
    let (is_usable, text) = check("database = \"postgresql://127.0.0.1:1/d\"", &[]);
    assert!(is_usable, "{text}");
}

/// Proves that a URL can come from a FIFO, which can be read only once.
#[test]
fn a_url_is_read_from_a_fifo() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    fs::write(directory.path().join("dabba.toml"), "database = \"file:fifo\"").unwrap();
    let writer = std::thread::spawn(move || fs::write(fifo, "postgresql://127.0.0.1:1/d\n"));
    let text = stdout(directory.path(), &["settings", "--check"]);
    assert!(text.contains("are valid"), "{text}");
    eventually_blocking("the FIFO is read", || writer.is_finished().then_some(()).ok_or("the writer waits"));
    writer.join().unwrap().unwrap();
}

/// Proves that no setting repeats a secret given as its value, in the environment or in the file.
#[test]
fn no_wrong_setting_repeats_a_secret() {
    let directory = tempfile::tempdir().unwrap();
    let template = stdout(directory.path(), &["settings"]);
    let names =
        template.lines().filter_map(|line| line.strip_prefix('#')?.split_once(" =").map(|(name, _)| name));
    let names: Vec<&str> = names.filter(|name| !name.contains(' ')).collect();
    assert!(names.len() > 40, "{names:?}");
    for secret in WITH_SECRET {
        let lines: Vec<String> = names.iter().map(|name| format!("{name} = \"{secret}\"\n")).collect();
        let file = lines.concat();
        fs::write(directory.path().join("all.toml"), file).unwrap();
        let variables = names.iter().map(|name| (format!("DABBA_{}", name.to_uppercase()), secret));
        let output = dabba(directory.path(), &["settings", "--check", "--config", "all.toml"])
            .envs(variables)
            .output();
        let output = output.unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && !text.contains("hush"), "{text}");
        for named in
            ["pool_size", "listen", "cors_origins", "allowed_hosts", "trusted_proxies", "admin_listen"]
        {
            assert!(text.contains(&format!(": {named} ")), "{named} with {secret}: {text}");
            assert!(
                text.contains(&format!("DABBA_{} ", named.to_uppercase())),
                "{named} with {secret}: {text}"
            );
        }
    }
}

#[test]
fn the_printed_template_is_a_valid_settings_file() {
    let directory = tempfile::tempdir().unwrap();
    let template = stdout(directory.path(), &["settings"]);
    let active: String = template
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if rest.contains(" = ") && !rest.starts_with(' ') => rest.to_owned() + "\n",
            _ => line.to_owned() + "\n",
        })
        .collect();
    fs::write(directory.path().join("dabba.toml"), &active).unwrap();
    let migrated = stdout(directory.path(), &["migrate"]);
    assert!(migrated.contains("dabba-data"), "with every default written out: {active}");
}

/// Proves that all unknown names in the file are listed at once, and that every command that loads the settings reports a
/// misspelt variable, each with a suggestion.
#[test]
fn unknown_names_come_with_a_suggestion() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dabba.toml");
    fs::write(&file, "listn = \"127.0.0.1:1\"\nwork = true\nshutdown_grace = 1\nfoo = 2\n").unwrap();
    let text = failure(directory.path(), &["migrate"]);
    for part in [
        "line 1: ",
        "did you mean listen?",
        "line 3: ",
        "did you mean shutdown_grace_seconds?",
        "line 4: there is no setting \"foo\"",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    fs::remove_file(file).unwrap();
    for arguments in [&["migrate"][..], &["audit"], &["token", "--role", "admin"]] {
        let output = dabba(directory.path(), arguments).env("DABBA_DATABSE", "x").output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("DABBA_DATABSE") && text.contains("did you mean DABBA_DATABASE?"), "{text}");
    }
    let others =
        [("DABBA_WRITE_DOCS", "1"), ("DABBA_COMMIT", "1"), ("DABBA_CONFIG", "a.toml"), ("DABBA_QUEUE", "1")];
    let output = dabba(directory.path(), &["migrate"]).envs(others).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!text.contains("did you mean") && !text.contains("DABBA_COMMIT"), "{text}");
    assert!(text.contains("the option --config names the settings file"), "{text}");
}

/// Proves that a message about a wrong file does not repeat the password in its line.
#[test]
fn a_message_about_a_wrong_file_contains_no_password() {
    let directory = tempfile::tempdir().unwrap();
    for file in [
        "database = \"postgresql://u:secret@host/db",
        "database = \"mysql://u:secret@host/db\"",
        "database = postgresql://u:secret@host/db",
        "database = [\"postgresql://u:secret@host/db\"]",
        "pool_size = \"postgresql://u:secret@host/db\"",
    ] {
        fs::write(directory.path().join("dabba.toml"), file).unwrap();
        let text = failure(directory.path(), &["migrate"]);
        assert!(text.contains("dabba.toml: line 1: ") && !text.contains("secret"), "{file}: {text}");
    }
    fs::remove_file(directory.path().join("dabba.toml")).unwrap();
    for value in ["mysql://u:secret@host/db", "host=h password=secret", "postgresql://u:secret@host:port/db"]
    {
        let output = dabba(directory.path(), &["migrate"]).env("DABBA_DATABASE", value).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && !text.contains("secret"), "{value}: {text}");
        let text = failure(directory.path(), &["migrate", "--database", value]);
        assert!(text.contains("postgresql://") && !text.contains("secret"), "{value}: {text}");
    }
}
