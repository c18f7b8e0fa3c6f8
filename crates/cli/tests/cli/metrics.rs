//! Metrics of servers and workers, and the page that describes them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use dabba_pg_cluster::{Cluster, ClusterOptions, StopMode};
use dabba_testkit::{Exposition, MetricFamily, TlsIdentity, equal, eventually_blocking, http_client};
use saphyr::{LoadableYamlNode as _, Yaml};
use serde_json::{Value, json};

use super::{
    postgres::write_shards,
    receiver::Receiver,
    support::{Server, Working, block_on, stdout},
    tls::TlsFiles,
};

/// Returns status and body of a response.
async fn ask(url: &str, accept: &str) -> (u16, String) {
    let answer = http_client().get(url).header("accept", accept).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Returns the metrics at an address, parsed strictly in both formats.
fn measured(address: &str) -> Vec<MetricFamily> {
    let page = |accept: &str| {
        let (status, text) = block_on(ask(&format!("{address}/metrics"), accept));
        assert_eq!(status, 200, "{text}");
        text
    };
    Exposition::OpenMetrics.read(&page("application/openmetrics-text")).unwrap();
    let text = page("text/plain");
    Exposition::Prometheus.read(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Returns the value of a series that has these labels, among others.
fn value(families: &[MetricFamily], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let mut samples = families.iter().flat_map(|family| &family.samples);
    let has = |sample: &dabba_testkit::MetricSample, (label, value): &(&str, &str)| {
        sample.labels.get(*label).is_some_and(|found| found == value)
    };
    let found =
        samples.find(|sample| sample.name == name && labels.iter().all(|label| has(sample, label)))?;
    Some(found.value)
}

/// Waits until a metric has this value.
fn wait_for_value(address: &str, name: &str, labels: &[(&str, &str)], expected: f64) {
    let what = format!("{name} {labels:?} is {expected}");
    eventually_blocking(&what, || equal(value(&measured(address), name, labels), &Some(expected)));
}

/// Row of the page for a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Described {
    kind: String,
    labels: BTreeSet<String>,
    help: String,
}

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/metrics.md")
}

/// Beginning and end of the table of all metrics on the page.
const MARKS: [&str; 2] = ["<!-- all measurements -->\n", "<!-- end of all measurements -->\n"];

/// Returns the rows of the table on the page.
fn described() -> BTreeMap<String, Described> {
    let text = fs::read_to_string(page()).unwrap_or_default();
    let Some((_, table)) = text.split_once(MARKS[0]) else { return BTreeMap::new() };
    let (table, _) = table.split_once(MARKS[1]).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, kind, labels, help] = cells[..] else { panic!("{row}") };
        let labels = labels.split(", ").map(|label| label.trim_matches('`').to_owned());
        let labels = labels.filter(|label| label != "–").collect();
        let described = Described { kind: kind.to_owned(), labels, help: help.to_owned() };
        (name.trim_matches('`').to_owned(), described)
    })
    .collect()
}

fn table(described: &BTreeMap<String, Described>) -> String {
    let mut table = String::from("| name | type | labels | meaning |\n|---|---|---|---|\n");
    for (name, Described { kind, labels, help }) in described {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "–".to_owned() } else { labels.join(", ") };
        writeln!(table, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
    table
}

/// Returns all metrics of servers and workers, on PostgreSQL and on the embedded store.
fn everything() -> Vec<MetricFamily> {
    let cluster = Cluster::shared().unwrap();
    let urls = [(); 3].map(|()| cluster.url(&cluster.create_database().unwrap()));
    let data = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let file = data[0].path().join("shards.toml");
    write_shards(&file, urls.each_ref().map(String::as_str));
    let shards = ["--shards", file.to_str().unwrap()];
    let servers = [Server::start(data[0].path(), &shards), Server::start(data[1].path(), &[])];
    let worker = Working::start(data[0].path(), &[&shards[..], &["--admin-listen", "127.0.0.1:0"]].concat());
    // The gauges of a shard exist only while a session reports them.
    let receiver = Receiver::start();
    let endpoint =
        servers[1].client("admin").post("/v1/webhook-endpoints").json(&json!({"url": receiver.url()}));
    assert_eq!(block_on(endpoint.send()).unwrap().status, 201);
    for server in &servers {
        block_on(server.place("1"));
    }
    eventually_blocking("an attempt is counted, and a session reports", || {
        let families = measured(&servers[1].announced_text("/address"));
        let delivered = value(&families, "dabba_webhook_attempts_total", &[("outcome", "delivered")]);
        let is_reported = value(&families, "dabba_webhook_lag_seconds", &[]).is_some();
        (is_reported && delivered.is_some_and(|count| count > 0.0)).then_some(()).ok_or("no attempt")
    });
    // Only a server with TLS has an expiry of its certificate. The metrics are on its listener for operators.
    let (data, files) = (tempfile::tempdir().unwrap(), TlsFiles::new(&TlsIdentity::new("127.0.0.1")));
    let arguments = files.arguments();
    let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    arguments.extend(["--admin-listen", "127.0.0.1:0"]);
    let encrypted = Server::start(data.path(), &arguments);
    let addresses = [
        encrypted.announced_text("/admin_address"),
        servers[0].announced_text("/address"),
        servers[1].announced_text("/address"),
        worker.address().to_owned(),
    ];
    addresses.iter().flat_map(|address| measured(address)).collect()
}

/// Proves that the page lists exactly the existing metrics, with type, labels and meaning, and that its alert rules are valid
/// YAML for Prometheus on existing series.
#[test]
fn the_page_lists_every_metric() {
    let families = everything();
    let known = described();
    let mut found = BTreeMap::<String, Described>::new();
    for family in &families {
        let entry = found.entry(family.name.clone()).or_default();
        (entry.kind, entry.help) = (family.kind.clone(), family.help.clone());
        let labels = family.samples.iter().flat_map(|sample| sample.labels.keys());
        entry.labels.extend(labels.filter(|label| *label != "le").cloned());
    }
    // A series without samples has no labels to compare.
    for (name, entry) in &mut found {
        if families.iter().filter(|family| family.name == *name).all(|family| family.samples.is_empty()) {
            entry.labels = known.get(name).map(|known| known.labels.clone()).unwrap_or_default();
        }
    }
    if std::env::var_os("DABBA_WRITE_DOCS").is_some() {
        let text = fs::read_to_string(page()).unwrap();
        let (before, rest) = text.split_once(MARKS[0]).unwrap();
        let (_, behind) = rest.split_once(MARKS[1]).unwrap();
        let text = format!("{before}{}\n{}\n{}{behind}", MARKS[0], table(&found), MARKS[1]);
        fs::write(page(), text).unwrap();
    }
    assert_eq!(
        table(&described()),
        table(&found),
        "run: DABBA_WRITE_DOCS=1 cargo test --workspace --test cli the_page_lists_every_metric"
    );
    let names = families.iter().flat_map(|family| {
        let suffixes: &[&str] =
            if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        suffixes.iter().map(move |suffix| format!("{}{suffix}", family.name))
    });
    let names = names.collect();
    check_rules(&names);
    check_mentions(&names);
}

/// Database users that pages mention.
const NO_MEASUREMENTS: [&str; 3] = ["dabba_owner", "dabba_server", "dabba_audit"];

/// Asserts that every name of a metric on any page exists, or, with `…`, is the beginning of an existing name.
fn check_mentions(series: &BTreeSet<String>) {
    let mut mentioned = BTreeSet::new();
    for page in super::pages::pages() {
        let text = fs::read_to_string(super::pages::root().join(&page)).unwrap();
        let spans = text.split('`').skip(1).step_by(2).map(|span| span.split('{').next().unwrap().to_owned());
        mentioned.extend(spans.filter(|span| span.starts_with("dabba_") && !span.contains("::")));
    }
    assert!(mentioned.len() >= 12, "{mentioned:?}");
    for name in mentioned.iter().filter(|name| !NO_MEASUREMENTS.contains(&name.as_str())) {
        let exists = match name.strip_suffix('…') {
            Some(start) => series.iter().any(|series| series.starts_with(start)),
            // A histogram is also mentioned by its base name.
            None => series.contains(name) || series.contains(&format!("{name}_bucket")),
        };
        assert!(exists, "{name} is no metric");
    }
}

/// Asserts that the alert rules of the page have the parts that Prometheus needs, and use existing series.
fn check_rules(series: &BTreeSet<String>) {
    let text = fs::read_to_string(page()).unwrap();
    let (_, rules) = text.split_once("```yaml\n").unwrap();
    let (rules, _) = rules.split_once("```").unwrap();
    let documents = Yaml::load_from_str(rules).unwrap();
    let groups = documents[0].as_mapping_get("groups").and_then(Yaml::as_vec).unwrap();
    let (mut alerts, mut used) = (BTreeSet::new(), 0);
    for rule in groups.iter().flat_map(|group| group.as_mapping_get("rules").and_then(Yaml::as_vec).unwrap())
    {
        let text = |name: &str| {
            rule.as_mapping_get(name).and_then(Yaml::as_str).unwrap_or_else(|| panic!("{name}: {rule:?}"))
        };
        assert!(alerts.insert(text("alert").to_owned()), "{rule:?}");
        let duration = text("for").strip_suffix(['s', 'm', 'h', 'd']).unwrap();
        assert!(duration.parse::<u32>().is_ok(), "{rule:?}");
        let severity = rule.as_mapping_get("labels").and_then(|labels| labels.as_mapping_get("severity"));
        assert!(matches!(severity.and_then(Yaml::as_str), Some("page" | "ticket")), "{rule:?}");
        let summary = rule.as_mapping_get("annotations").and_then(|labels| labels.as_mapping_get("summary"));
        assert!(summary.and_then(Yaml::as_str).is_some_and(|summary| summary.len() > 20), "{rule:?}");
        let expression = text("expr");
        assert_eq!(expression.matches(['(', '[', '{']).count(), expression.matches([')', ']', '}']).count());
        let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        for word in words.filter(|word| word.starts_with("dabba_") || word.starts_with("process_")) {
            assert!(series.contains(word), "{word} is no metric: {expression}");
            used += 1;
        }
    }
    assert!(alerts.len() >= 10 && used >= alerts.len(), "{alerts:?}");
}

/// Proves that a worker serves liveness, readiness and metrics at its own address for operators, also while its database is
/// unreachable.
#[test]
fn a_worker_serves_probes_and_metrics() {
    let cluster = Cluster::start(&ClusterOptions::default()).unwrap();
    let url = cluster.url(&cluster.create_database().unwrap());
    let data = tempfile::tempdir().unwrap();
    stdout(data.path(), &["migrate", "--database", &url]);
    let worker = Working::start(data.path(), &["--database", &url, "--admin-listen", "127.0.0.1:0"]);
    let address = worker.address();
    let (status, health) = block_on(ask(&format!("{address}/healthz"), "*/*"));
    assert_eq!((status, serde_json::from_str::<Value>(&health).unwrap()), (200, json!({"status": "ok"})));
    let ready = |expected: u16| {
        eventually_blocking("/readyz responds with the expected status", || {
            equal(block_on(ask(&format!("{address}/readyz"), "*/*")).0, &expected)
        });
    };
    ready(200);
    assert_eq!(block_on(ask(&format!("{address}/v1/restaurants"), "*/*")).0, 404, "it serves no API");
    wait_for_value(address, "dabba_shard_up", &[("shard", "main")], 1.0);
    let families = measured(address);
    for (name, at_least) in [
        ("process_cpu_seconds_total", 0.001),
        ("process_resident_memory_bytes", 1_000_000.0),
        ("process_open_fds", 5.0),
        ("process_max_fds", 5.0),
        ("process_start_time_seconds", 1.7e9),
        ("dabba_shard_measured_timestamp_seconds", 1.7e9),
        ("dabba_pool_connection_limit", 16.0),
        ("dabba_part_up", 1.0),
        ("dabba_build_info", 1.0),
    ] {
        assert!(value(&families, name, &[]).is_some_and(|value| value >= at_least), "{name}: {families:?}");
    }
    assert_eq!(value(&families, "dabba_standbys", &[("mode", "synchronous")]), Some(0.0));

    cluster.stop(StopMode::Immediate).unwrap();
    wait_for_value(address, "dabba_shard_up", &[("shard", "main")], 0.0);
    assert_eq!(value(&measured(address), "dabba_directory_up", &[]), Some(0.0));
    assert_eq!(block_on(ask(&format!("{address}/healthz"), "*/*")).0, 200);
    ready(503);
    worker.stop("TERM");
}
