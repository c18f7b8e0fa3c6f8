//! Copies between in-memory stores whose writes fail at every step.

use std::sync::Mutex;

use super::*;

/// Number of rows of each table that has rows.
const ROWS: i64 = 5;

struct Memory {
    tables: Vec<Vec<Row>>,
    account: &'static str,
}

impl Memory {
    /// Creates a source with rows in every second table. The first value of a row is its key.
    fn new() -> Self {
        let rows = |index: usize| {
            (0..if index.is_multiple_of(2) { ROWS } else { 0 }).map(|key| vec![Value::Number(key)])
        };
        Self { tables: (0..TABLES.len()).map(|index| rows(index).collect()).collect(), account: "a" }
    }
}

fn place(table: &Table) -> usize {
    TABLES.iter().position(|known| known.name == table.name).unwrap()
}

#[async_trait]
impl Source for Memory {
    async fn check_schema(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn origin(&self) -> Result<Origin, StoreError> {
        let account = (!self.account.is_empty()).then(|| self.account.to_owned());
        Ok(Origin { account, restaurant: None, order: None })
    }

    async fn page(
        &self,
        table: &'static Table,
        after: Option<Vec<Value>>,
        limit: PageLimit,
    ) -> Result<RowPage, StoreError> {
        let rows = &self.tables[place(table)];
        let begin = after.map_or(0, |after| rows.iter().position(|row| *row == after).unwrap() + 1);
        let rows: Vec<Row> = rows[begin..].iter().take(limit.rows as usize).cloned().collect();
        Ok(RowPage { last: rows.last().cloned(), rows })
    }
}

#[derive(Default)]
struct Inner {
    copy: Option<(Contents, CopyProgress)>,
    tables: BTreeMap<&'static str, Vec<Row>>,
    /// Number of writes before the failing write, and whether the failing write still takes effect.
    fault: Option<(u32, bool)>,
}

#[derive(Default)]
struct Written(Mutex<Inner>);

impl Written {
    /// Carries out a write, or fails before or after it.
    fn write(&self, work: impl FnOnce(&mut Inner)) -> Result<(), StoreError> {
        let mut inner = self.0.lock().unwrap();
        let lost = || Err(StoreError::OutcomeUnknown("lost".to_owned()));
        match &mut inner.fault {
            Some((0, is_done)) => {
                let is_done = *is_done;
                inner.fault = None;
                if is_done {
                    work(&mut inner);
                }
                return lost();
            }
            Some((left, _)) => *left -= 1,
            None => {}
        }
        work(&mut inner);
        Ok(())
    }
}

#[async_trait]
impl Target for Written {
    async fn check_schema(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn state(&self) -> Result<CopyState, StoreError> {
        let copy = self.0.lock().unwrap().copy.clone();
        Ok(copy.map_or(CopyState::Absent, |(contents, progress)| CopyState::Unfinished(contents, progress)))
    }

    async fn begin(&self, contents: &Contents) -> Result<(), StoreError> {
        self.write(|inner| inner.copy = Some((contents.clone(), CopyProgress::at(0))))
    }

    async fn write(
        &self,
        table: &'static Table,
        rows: Vec<Row>,
        from: &CopyProgress,
        to: &CopyProgress,
    ) -> Result<(), StoreError> {
        self.write(|inner| {
            let (_, progress) = inner.copy.as_mut().unwrap();
            assert_eq!(progress, from);
            *progress = to.clone();
            inner.tables.entry(table.name).or_default().extend(rows);
        })
    }

    async fn digest(&self, table: &'static Table) -> Result<Digest, StoreError> {
        let mut digest = DigestBuilder::new(table);
        let inner = self.0.lock().unwrap();
        for row in inner.tables.get(table.name).into_iter().flatten() {
            digest.add(row);
        }
        Ok(digest.finish())
    }

    async fn finish(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

async fn run(source: &Memory, target: &Written, rows: u32) -> Result<(), StoreError> {
    let limit = PageLimit { rows, ..PageLimit::DEFAULT };
    copy(source, target, limit, &mut |_, _, _, _| {}).await.map(drop)
}

/// Proves that a copy resumes and copies every row once after a write fails, before or after the write took effect.
/// Covers every write, and pages of another size in each run.
#[tokio::test]
async fn a_copy_resumes_after_a_failure_of_any_write() {
    let source = Memory::new();
    for rows in 1..=6 {
        for (step, is_done) in (0..40).flat_map(|step| [(step, false), (step, true)]) {
            let target = Written::default();
            target.0.lock().unwrap().fault = Some((step, is_done));
            let first = run(&source, &target, rows).await;
            let has_failed = target.0.lock().unwrap().fault.is_none();
            assert_eq!(first.is_err(), has_failed, "{rows} {step}");
            run(&source, &target, 7 - rows).await.unwrap();
            let inner = target.0.lock().unwrap();
            for (index, table) in TABLES.iter().enumerate() {
                let copied = inner.tables.get(table.name).cloned().unwrap_or_default();
                assert_eq!(copied, source.tables[index], "{rows} {step} {}", table.name);
            }
        }
    }
}

/// Proves that a changed source, another source, an empty source, and a target with foreign rows are refused, and that
/// the refusal names the table.
#[tokio::test]
async fn a_copy_of_other_content_is_refused() {
    let text = async |source: &Memory, target: &Written| match run(source, target, 2).await {
        Err(StoreError::Unfit(text)) => text,
        other => panic!("{other:?}"),
    };
    let target = Written::default();
    target.0.lock().unwrap().fault = Some((3, false));
    run(&Memory::new(), &target, 2).await.unwrap_err();
    let mut changed = Memory::new();
    changed.tables[0][4] = vec![Value::Number(44)];
    assert!(text(&changed, &target).await.contains("accounts (5 rows, now 5)"));
    let mut more = Memory::new();
    more.tables[2].push(vec![Value::Number(5)]);
    let grown = format!("{} (5 rows, now 6)", TABLES[2].name);
    assert!(text(&more, &target).await.contains(&grown));
    let other = Memory { account: "b", ..Memory::new() };
    assert!(text(&other, &target).await.contains("of another embedded database"));
    let empty = Memory { account: "", ..Memory::new() };
    assert!(text(&empty, &Written::default()).await.contains("nothing"));
    target.0.lock().unwrap().tables.entry("tasks").or_default().push(vec![Value::Null]);
    assert!(text(&Memory::new(), &target).await.contains("the table tasks of the target"));
}

/// Proves that a missing or additional column or table is refused by name.
#[test]
fn an_unknown_schema_is_refused() {
    let known = || -> BTreeMap<String, BTreeSet<String>> {
        let columns = |table: &Table| table.columns.iter().map(|column| column.name.to_owned()).collect();
        TABLES.iter().map(|table| (table.name.to_owned(), columns(table))).collect()
    };
    let refusal = |found: BTreeMap<_, _>| check_layout(&found, &[("schema", &[]), ("orders", &["details"])]);
    let mut found = known();
    found.get_mut("orders").unwrap().insert("details".to_owned());
    found.insert("schema".to_owned(), BTreeSet::from(["version".to_owned()]));
    assert_eq!(refusal(found.clone()), Ok(()));
    let names =
        |found, column: &str| assert!(refusal(found).unwrap_err().to_string().contains(column), "{column}");
    names(known(), "orders.details");
    let mut more = found.clone();
    more.get_mut("tasks").unwrap().insert("mood".to_owned());
    names(more, "tasks.mood");
    let mut more = found.clone();
    more.insert("moods".to_owned(), BTreeSet::from(["id".to_owned()]));
    names(more, "moods.id");
    found.get_mut("stock").unwrap().remove("revision");
    names(found, "stock.revision");
}

/// Proves how texts that not every store can hold are changed or refused.
#[test]
fn texts_are_normalized_for_every_store() {
    let tasks = TABLES.iter().find(|table| table.name == "tasks").unwrap();
    let normal = |name: &str, text: &str| {
        let column = tasks.columns.iter().find(|column| column.name == name).unwrap();
        normalize(tasks, column, Value::Text(text.to_owned()))
    };
    let text = |text: &str| Ok(Value::Text(text.to_owned()));
    assert_eq!(normal("last_error", "a\0b"), text("a\u{fffd}b"));
    assert_eq!(
        normal("failures", r#"[{"error": "\u0000", "at_ns": 9223372036854775807}]"#),
        text("[{\"at_ns\":9223372036854775807,\"error\":\"\u{fffd}\"}]")
    );
    assert_eq!(normal("payload", r#"{"b": "\u0000", "a":1}"#), text(r#"{"b": "\u0000", "a":1}"#));
    assert!(normal("kind", "a\0").unwrap_err().to_string().contains("tasks.kind"));
    assert!(normal("failures", "[").unwrap_err().to_string().contains("tasks.failures"));
    assert!(normal("payload", "{").unwrap_err().to_string().contains("tasks.payload"));
    assert!(normal("payload", "\0").unwrap_err().to_string().contains("tasks.payload"));
    assert_eq!(normal("payload", r#"["\ud800", 1e400]"#), text(r#"["\ud800", 1e400]"#));
}
