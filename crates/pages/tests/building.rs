//! The build of the pages: when it runs npm, when the build goes without pages, and what it embeds.
//!
//! The tests use the modules of the build script, with programs in place of Node and npm.

#![expect(clippy::unwrap_used, reason = "shared functions fail a test in the same way as the test itself")]

#[path = "../build/embed.rs"]
mod embed;
#[path = "../build/npm.rs"]
mod npm;
#[path = "../build/plan.rs"]
mod plan;
#[path = "../build/sources.rs"]
mod sources;

use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use self::{
    npm::Tools,
    plan::{Plan, Report, Wanted},
};
use tempfile::TempDir;

/// A program in place of npm. It logs its steps. The installation fails as `ui/fails` says; the build makes a page of each file
/// in `ui/pages`.
const NPM: &str = r#"#!/bin/sh
set -eu
case "$1" in
--version) echo 11.0.0 ;;
ci)
    echo ci >>"$LOG"
    if [ -e fails ]; then cat fails; exit 1; fi
    mkdir -p node_modules
    ;;
run)
    echo "$2" >>"$LOG"
    if [ -e broken ]; then echo "kitchen.ts: a defect"; exit 1; fi
    mkdir -p "$DABBA_UI_OUT/assets"
    cp pages/* "$DABBA_UI_OUT"
    cat ../docs/reference/openapi.json >"$DABBA_UI_OUT/assets/api-12345678.js"
    mkdir -p src/generated
    echo 'made by the build' >src/generated/api.ts
    ;;
esac
"#;

/// A repository with sources of pages, a target directory, and programs.
struct Workshop {
    directory: TempDir,
}

impl Workshop {
    fn open() -> Self {
        let workshop = Self { directory: TempDir::new().unwrap() };
        fs::create_dir_all(workshop.path("target/debug/build/dabba-pages-1/out")).unwrap();
        fs::create_dir_all(workshop.path("target/release/build/dabba-pages-2/out")).unwrap();
        workshop.write("docs/reference/openapi.json", "the description");
        workshop.write("ui/package.json", "{}");
        workshop.write("ui/package-lock.json", "{}");
        for page in embed::REQUIRED {
            workshop.write(&format!("ui/pages/{page}"), &format!("<title>{page}</title>{}", " ".repeat(100)));
        }
        workshop.program("npm", &NPM.replace("$LOG", workshop.path("log").to_str().unwrap()));
        workshop.program("node", "#!/bin/sh\necho v20.19.0\n");
        workshop
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    /// Writes a program. Another process writes the file: if this process did, a program that another test starts at the
    /// same moment could inherit the open file, and Linux starts no program whose file is open for writing.
    fn program(&self, name: &str, script: &str) {
        let mut writer = Command::new("sh")
            .args(["-c", r#"cat >"$0" && chmod 755 "$0""#])
            .arg(self.path(name))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        writer.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(writer.wait().unwrap().success());
    }

    fn plan(&self, wanted: Wanted) -> Plan {
        Plan {
            wanted,
            dist: None,
            repository: self.directory.path().to_owned(),
            out: self.path("target/debug/build/dabba-pages-1/out"),
            tools: Tools { node: self.path("node"), npm: self.path("npm") },
        }
    }

    fn build(&self) -> Result<Report, String> {
        self.plan(Wanted::Required).run()
    }

    /// Returns the steps of npm since the last call.
    fn steps(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        let _ = fs::remove_file(self.path("log"));
        log.lines().map(str::to_owned).collect()
    }

    fn table(&self) -> String {
        fs::read_to_string(self.path("target/debug/build/dabba-pages-1/out/pages.rs")).unwrap()
    }
}

/// Proves that npm runs only if something has changed on which its step depends, and that profiles share its results.
#[test]
fn npm_runs_only_after_changes() {
    let workshop = Workshop::open();
    workshop.build().unwrap();
    assert_eq!(workshop.steps(), ["ci", "build"]);
    let first = workshop.table();
    workshop.build().unwrap();
    let release = Plan {
        out: workshop.path("target/release/build/dabba-pages-2/out"),
        ..workshop.plan(Wanted::Optional)
    };
    release.run().unwrap();
    assert!(workshop.steps().is_empty(), "nothing has changed");

    workshop.write("ui/pages/kitchen.html", "another board");
    workshop.build().unwrap();
    assert_eq!(workshop.steps(), ["build"]);
    assert_ne!(workshop.table(), first);
    workshop.write("docs/reference/openapi.json", "another description");
    workshop.build().unwrap();
    assert_eq!(workshop.steps(), ["build"]);
    workshop.write("ui/package-lock.json", "{\"lockfileVersion\": 3}");
    workshop.build().unwrap();
    assert_eq!(workshop.steps(), ["ci", "build"]);
    workshop.program("node", "#!/bin/sh\necho v22.12.0\n");
    workshop.build().unwrap();
    assert_eq!(workshop.steps(), ["ci", "build"]);

    // What developers and tests write beside the sources does not count.
    for other in [
        "ui/node_modules/a.js",
        "ui/dist/a.js",
        "ui/src/generated/a.ts",
        "ui/tests/a.ts",
        "ui/pages/a.test.ts",
        "ui/.env.local",
    ] {
        workshop.write(other, "other");
    }
    workshop.build().unwrap();
    assert!(workshop.steps().is_empty());
}

/// Proves that the newer layout of Cargo's target directory and a cross build share the work of their builds as well, and that a
/// build in an unknown layout writes nothing outside its own directory.
#[test]
fn the_work_of_builds_is_below_the_target_directory() {
    for (out, work) in [
        ("target/debug/build/dabba-pages/1/out", "target"),
        (
            "target/aarch64-unknown-linux-gnu/debug/build/dabba-pages-1/out",
            "target/aarch64-unknown-linux-gnu",
        ),
        ("target/elsewhere/out", "target/elsewhere/out"),
        ("build/a/b/c/out", "build/a/b/c/out"),
    ] {
        let workshop = Workshop::open();
        let out = workshop.path(out);
        fs::create_dir_all(&out).unwrap();
        Plan { out, ..workshop.plan(Wanted::Required) }.run().unwrap();
        assert!(workshop.path(work).join("dabba-pages/dist").is_dir(), "{work}");
    }
}

/// Proves that a step that failed or was interrupted is repeated.
#[test]
fn failed_steps_are_repeated() {
    let workshop = Workshop::open();
    workshop.write("ui/broken", "");
    let text = workshop.build().unwrap_err();
    assert!(text.contains("npm run build failed") && text.contains("kitchen.ts: a defect"), "{text}");
    let text = workshop.plan(Wanted::Optional).run().unwrap_err();
    assert!(text.contains("a defect"), "a defect is no reason to go without pages: {text}");
    assert_eq!(workshop.steps(), ["ci", "build", "build"]);
    workshop.remove("ui/broken");
    workshop.build().unwrap();
    assert_eq!(workshop.steps(), ["build"]);
}

/// Proves that the build writes nothing into the checkout and needs no right to, and that files that were removed from the
/// sources do not stay in the copy.
#[test]
fn the_checkout_stays_as_it_is() {
    let workshop = Workshop::open();
    workshop.write("ui/pages/old.html", "old");
    let source = workshop.path("ui/pages/login.html");
    fs::set_permissions(&source, fs::Permissions::from_mode(0o444)).unwrap();
    workshop.build().unwrap();
    assert!(!workshop.path("ui/node_modules").exists() && !workshop.path("ui/src/generated").exists());
    assert!(workshop.table().contains("old.html"));
    workshop.remove("ui/pages/old.html");
    workshop.build().unwrap();
    assert!(!workshop.table().contains("old.html"));
    assert!(!workshop.path("target/dabba-pages/ui/pages/old.html").exists());
}

/// What makes a machine unable to build the pages, a part of the warning, and a part of the table.
type Absence = (fn(&Workshop), &'static str, &'static str);

/// Proves that a machine that cannot build the pages builds the server without them and warns, unless the pages are required.
/// The table states the reason.
#[test]
fn pages_may_be_missing_unless_they_are_required() {
    let absences: [Absence; 5] = [
        (|shop| shop.remove("npm"), "npm is missing", "Node or npm was missing"),
        (|shop| shop.remove("node"), "node is missing", "Node or npm was missing"),
        (
            |shop| shop.program("node", "#!/bin/sh\necho v18.20.4\n"),
            "this is Node v18.20.4",
            "Node was too old",
        ),
        (
            |shop| shop.write("ui/fails", "npm error code ENOTFOUND\nnpm error no registry\n"),
            "npm error no registry",
            "npm could not install",
        ),
        (
            |shop| shop.remove("ui/package-lock.json"),
            "ui/ with their sources is missing",
            "sources were missing",
        ),
    ];
    for (make_absent, warning, page) in absences {
        let workshop = Workshop::open();
        make_absent(&workshop);
        let report = workshop.plan(Wanted::Optional).run().unwrap();
        let text = report.warning.unwrap();
        assert!(text.contains(warning) && text.contains("DABBA_PAGES_BUILD=required"), "{text}");
        assert!(workshop.table().starts_with("Content::Missing(") && workshop.table().contains(page));
        let text = workshop.build().unwrap_err();
        assert!(text.contains(warning) && text.contains("DABBA_PAGES_BUILD is required"), "{text}");
    }
}

/// Proves that a lock file that does not match and a package with another content fail every build.
#[test]
fn defects_of_the_packages_are_errors() {
    for code in ["EUSAGE", "EINTEGRITY"] {
        let workshop = Workshop::open();
        workshop.write("ui/fails", &format!("npm error code {code}\n"));
        let text = workshop.plan(Wanted::Optional).run().unwrap_err();
        assert!(text.contains("npm ci failed") && text.contains(code), "{text}");
    }
}

/// Proves that a build without pages runs no npm and does not warn.
#[test]
fn pages_can_be_left_out() {
    let workshop = Workshop::open();
    let report = workshop.plan(Wanted::None).run().unwrap();
    assert!(report.warning.is_none() && report.watched.is_empty());
    assert!(workshop.steps().is_empty());
    assert!(workshop.table().contains("DABBA_PAGES_BUILD"));
}

#[test]
fn the_variable_has_three_values() {
    for (value, wanted) in [
        (None, Some(Wanted::Optional)),
        (Some(""), Some(Wanted::Optional)),
        (Some("optional"), Some(Wanted::Optional)),
        (Some("required"), Some(Wanted::Required)),
        (Some("none"), Some(Wanted::None)),
        (Some("true"), None),
    ] {
        let read = Wanted::read(value.map(OsStr::new));
        assert_eq!(read.clone().ok(), wanted, "{read:?}");
        assert!(wanted.is_some() || read.unwrap_err().contains("required, optional or none, not true"));
    }
}

/// Proves that a finished build takes the place of npm, and that a wrong directory is refused with the reason.
#[test]
fn packagers_bring_a_finished_build() {
    let workshop = Workshop::open();
    workshop.build().unwrap();
    workshop.steps();
    let built = workshop.table();
    let dist = workshop.path("target/dabba-pages/dist");
    let with = |dist: PathBuf| Plan { dist: Some(dist), ..workshop.plan(Wanted::Optional) };
    workshop.remove("npm");
    let report = with(dist.clone()).run().unwrap();
    assert_eq!((report.watched, workshop.table()), (vec![dist.clone()], built));
    assert!(workshop.steps().is_empty());

    for (dist, text) in [
        (PathBuf::from("ui/dist"), "absolute path of a directory, not ui/dist"),
        (workshop.path("nowhere"), "absolute path of a directory"),
        (workshop.path("docs"), "has no console.html, kitchen.html"),
    ] {
        let refusal = with(dist).run().unwrap_err();
        assert!(refusal.starts_with("DABBA_PAGES_DIST") && refusal.contains(text), "{refusal}");
    }
    for (file, text) in [
        ("assets/kitchen.js", "assets/kitchen.js has no hash in its name"),
        ("assets/a b-12345678.js", "letters, digits and -._ only"),
        ("notes.docx", "no content type"),
    ] {
        let path = dist.join(file);
        fs::write(&path, "x").unwrap();
        let refusal = with(dist.clone()).run().unwrap_err();
        assert!(refusal.contains(text), "{refusal}");
        fs::remove_file(&path).unwrap();
    }
    fs::File::create(dist.join("large.txt")).unwrap().set_len(17 * 1024 * 1024).unwrap();
    assert!(with(dist).run().unwrap_err().contains("so it is no build of the pages"));
}

/// Proves that the compressed form has the content of the file and is smaller, that a file which compression does not make
/// smaller has none, and that source maps are left out.
#[test]
fn files_are_compressed() {
    let workshop = Workshop::open();
    workshop.build().unwrap();
    let dist = workshop.path("target/dabba-pages/dist");
    let noise: Vec<u8> =
        (0..2_000_u32).map(|number| number.wrapping_mul(2_654_435_769).to_be_bytes()[0]).collect();
    fs::write(dist.join("icon.png"), &noise).unwrap();
    fs::write(dist.join("tiny.txt"), "a").unwrap();
    fs::write(dist.join("assets/api-12345678.js.map"), "{}").unwrap();
    let text = "let order = await client.orders.place(cart);\n".repeat(500);
    fs::write(dist.join("assets/api-12345678.js"), &text).unwrap();
    Plan { dist: Some(dist), ..workshop.plan(Wanted::Optional) }.run().unwrap();
    let table = workshop.table();
    let line = |path: &str| table.lines().find(|line| line.contains(&format!("\"{path}\""))).unwrap();
    assert!(line("icon.png").ends_with("brotli: None },") && line("tiny.txt").ends_with("brotli: None },"));
    assert!(!table.contains(".map"));
    let files = included(line("assets/api-12345678.js"));
    let [identity, compressed] = &*files else { panic!("{files:?}") };
    assert_eq!(fs::read_to_string(identity).unwrap(), text);
    let compressed = fs::read(compressed).unwrap();
    assert!(compressed.len() < text.len() / 50, "{}", compressed.len());
    let mut plain = Vec::new();
    brotli::BrotliDecompress(&mut &*compressed, &mut plain).unwrap();
    assert_eq!(plain, text.as_bytes());
}

/// Returns the paths that a line of the table includes.
fn included(line: &str) -> Vec<PathBuf> {
    let paths = line.split("include_bytes!(\"").skip(1);
    paths.map(|rest| PathBuf::from(rest.split('"').next().unwrap())).collect()
}

/// Proves that Cargo watches the sources and nothing that the build or a developer writes beside them, and no file that does
/// not exist.
#[test]
fn cargo_watches_the_sources_only() {
    let workshop = Workshop::open();
    for file in ["ui/node_modules/a.js", "ui/dist/a.js", "ui/src/generated/a.ts", "ui/tests/a.ts", "ui/.env"]
    {
        workshop.write(file, "other");
    }
    workshop.write("ui/src/lib/clock.ts", "");
    workshop.write("ui/src/app.ts", "");
    let report = workshop.build().unwrap();
    let root = workshop.directory.path();
    let watched: Vec<&Path> = report.watched.iter().map(|path| path.strip_prefix(root).unwrap()).collect();
    let expected = [
        "docs/reference/openapi.json",
        "ui/package-lock.json",
        "ui/package.json",
        "ui/pages",
        "ui/src/app.ts",
        "ui/src/lib",
    ];
    assert_eq!(watched, expected.map(Path::new));
}

#[test]
fn versions_of_node_are_those_of_vite() {
    for (version, is_supported) in [
        ("v20.19.0", true),
        ("v20.18.3", false),
        ("v18.20.4", false),
        ("v21.7.3", false),
        ("v22.11.0", false),
        ("v22.12.0", true),
        ("v24.0.0", true),
        ("nonsense", false),
    ] {
        assert_eq!(npm::is_supported(version), is_supported, "{version}");
    }
}

#[test]
fn assets_have_a_hash_in_their_names() {
    for (path, is_lasting) in [
        ("assets/kitchen-B4xqTz1a.js", true),
        ("assets/kitchen-B-x_Tz1a.js", true),
        ("assets/icons/bell-00000000.svg", true),
        ("assets/kitchen.js", false),
        ("assets/kitchen-v2.js", false),
        ("assets/kitchen-B4xqTz1.js", false),
        ("kitchen.html", true),
        ("sw.js", true),
    ] {
        assert_eq!(embed::is_name_lasting(path), is_lasting, "{path}");
    }
}
