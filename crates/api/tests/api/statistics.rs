//! Statistics: what admins read, refused ranges, and a shard that does not answer.

use dabba_testkit::{TestServer, equal, eventually};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::walk_to;

/// Rolls up every shard, and writes what the server measured.
pub(crate) async fn roll_up(server: &TestServer) {
    let engine = server.engine();
    for shard in 0..engine.store().shard_count() {
        // A shard that is closed by a test cannot be rolled up.
        let _ = engine.statistics.roll_up(shard).await;
        let _ = engine.statistics.write_measured(shard).await;
    }
}

fn series<'a>(statistics: &'a Value, name: &str) -> &'a Value {
    let all = statistics["series"].as_array().unwrap();
    all.iter().find(|series| series["name"] == name).unwrap()
}

/// Proves that an admin reads counts, durations in seconds and states, in steps, with only the members that the kind has.
#[tokio::test]
async fn an_admin_reads_statistics() {
    let server = crate::start().await;
    let from = server.now();
    let order = server.place("1", &TestServer::order()).await;
    server.place("2", &TestServer::collection()).await;
    server.advance(SignedDuration::from_secs(90));
    walk_to(&server, &order, "deliver").await;

    let path = format!("/v1/statistics?from={from}&step=3600");
    let counted = async || {
        roll_up(&server).await;
        let statistics = server.get(&path, Some(&server.admin)).await.expect(200);
        let only = |name: &str| {
            let points = series(&statistics, name)["points"].as_array().unwrap();
            points.iter().map(|point| point["count"].as_u64().unwrap()).sum::<u64>()
        };
        let counts = ["orders_placed", "orders_delivered", "orders_cancelled", "placing_latency"].map(only);
        equal(counts, &[2, 1, 0, 2]).map(|()| statistics)
    };
    // An event enters the feed only when every transaction of the cluster that is older has ended, also those of other
    // tests.
    let statistics = eventually("all events are counted", counted).await;
    assert_eq!(statistics["step"], 3_600);
    assert_eq!(statistics.get("missing_shards"), None);
    assert!(statistics["complete_until"].as_str().unwrap() >= from.to_string().as_str());
    let delivery = series(&statistics, "delivery_time");
    assert_eq!((&delivery["kind"], &delivery["unit"]), (&json!("distribution"), &json!("seconds")));
    let point = &delivery["points"][0];
    let at = point["at"].clone();
    for member in ["sum", "p50", "p90", "p99", "max"] {
        assert_eq!(point[member], 90.0, "{member}");
    }
    assert_eq!(series(&statistics, "orders_delivered")["points"], json!([{"at": at, "count": 1}]));
    let waiting = series(&statistics, "tasks_waiting");
    assert_eq!((&waiting["kind"], &waiting["unit"]), (&json!("gauge"), &json!("tasks")));
    assert!(waiting["queue"].is_string());
    assert_eq!(waiting["points"], json!([{"at": at, "count": 1, "sum": 0.0, "max": 0.0}]));
}

/// Proves that the defaults cover the last day in steps of five minutes, and that a selection contains only what was
/// requested, also without data.
#[tokio::test]
async fn a_selection_of_statistics_is_read() {
    let server = crate::start().await;
    let statistics =
        server.get("/v1/statistics?names=lateness,task_age", Some(&server.admin)).await.expect(200);
    assert_eq!(statistics["step"], 300);
    assert_eq!(statistics["complete_until"], statistics["from"], "nothing was counted yet");
    let all = statistics["series"].as_array().unwrap();
    let names: Vec<_> = all.iter().map(|series| (&series["name"], series.get("queue"))).collect();
    let (lateness, age) = (json!("lateness"), json!("task_age"));
    let (deadlines, payments) = (json!("deadlines"), json!("payments"));
    assert_eq!(names, [(&lateness, None), (&age, Some(&deadlines)), (&age, Some(&payments))]);
    assert!(all.iter().all(|series| series["points"] == json!([])));
    let to: jiff::Timestamp = statistics["to"].as_str().unwrap().parse().unwrap();
    assert_eq!(to, server.now());
}

/// Proves that invalid parameters are refused with what is allowed, and that a refusal lists every problem.
#[tokio::test]
async fn invalid_ranges_of_statistics_are_refused() {
    let server = crate::start().await;
    let at = |hours: i64| server.now() + SignedDuration::from_hours(hours);
    let range = |from: i64, to: i64| format!("from={}&to={}", at(from), at(to));
    let step = "step: must be a multiple of 60 from 60 to 86400 in digits, not ";
    let not_known = "names: must be names of statistics: orders_placed, orders_delivered,";
    for (query, expected) in [
        ("names=orders".to_owned(), vec![not_known]),
        // The same wrong value is reported once.
        ("names=,".to_owned(), vec![not_known]),
        ("names=orders,placed&names=orders".to_owned(), vec![not_known, not_known]),
        ("from=yesterday".to_owned(), vec!["from: must be a time in RFC 3339"]),
        ("step=90".to_owned(), vec![step]),
        ("step=-60".to_owned(), vec![step]),
        ("step=0".to_owned(), vec![step]),
        ("step=59".to_owned(), vec![step]),
        ("step=86460".to_owned(), vec![step]),
        ("names=orders&step=1&from=yesterday".to_owned(), vec![not_known, "from: must be a time", step]),
        (range(-1, -2), vec!["from: must be before to"]),
        (range(-31 * 24, 0), vec!["from: must be at most 30 days before to"]),
        (range(1, 2), vec!["from: must not be in the future"]),
        (format!("from={}", at(1)), vec!["from: must not be in the future"]),
        (range(-50 * 24, -40 * 24), vec!["to: must be later: statistics are kept for 30 days"]),
        (range(-14 * 24, 0), vec!["step: must be so large that the range has at most"]),
        ("names=lateness&unknown=1".to_owned(), vec!["unknown: is unknown"]),
    ] {
        let refused = server.get(&format!("/v1/statistics?{query}"), Some(&server.admin)).await;
        let problem = refused.problem(400, "bad_request");
        let text = |error: &Value, member: &str| error[member].as_str().unwrap().to_owned();
        let errors = problem["errors"].as_array().unwrap().iter();
        let listed: Vec<String> =
            errors.map(|error| format!("{}: {}", text(error, "parameter"), text(error, "detail"))).collect();
        assert_eq!(problem["detail"], listed.join("; "), "{query}");
        assert_eq!(listed.len(), expected.len(), "{query}: {problem}");
        for (listed, expected) in listed.iter().zip(expected) {
            assert!(listed.starts_with(expected), "{query}: {problem}");
        }
    }
}

/// Proves that a range is at most as long as statistics are kept: it begins with the first step that is kept as a whole.
#[tokio::test]
async fn a_range_begins_with_a_step_that_is_kept() {
    let server = crate::start().await;
    let month = SignedDuration::from_hours(30 * 24);
    let from = server.now() - month + SignedDuration::from_secs(1);
    let path = format!("/v1/statistics?from={from}&step=86400");
    let statistics = server.get(&path, Some(&server.admin)).await.expect(200);
    let begin: jiff::Timestamp = statistics["from"].as_str().unwrap().parse().unwrap();
    assert!(begin >= server.now() - month && begin.as_second() % 86_400 == 0, "{statistics}");
}
