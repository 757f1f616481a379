//! All pipelines, from a request to a file that is read back.

use std::{fs, sync::Arc};

use ::parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::RowAccessor,
};
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};
use serde_json::{Value, json};

use super::*;
use crate::{data, progress::testing::Recorder};

struct Folder {
    folder: tempfile::TempDir,
    settings: Settings,
}

fn examples() -> Folder {
    let folder = tempfile::tempdir().expect("a folder");
    data::fill(folder.path(), 1).expect("fills");
    let settings = Settings::demo(folder.path());
    Folder { folder, settings }
}

impl Folder {
    fn with(self, name: &str, content: &str) -> Self {
        fs::write(self.folder.path().join(name), content).expect("writes");
        self
    }

    fn run(&self, request: Value) -> Result<Processed, String> {
        let request: Request = serde_json::from_value(request).map_err(|error| error.to_string())?;
        run(&request, &self.settings, &mut Recorder::new()).map_err(|problem| problem.to_string())
    }

    fn json(&self, request: Value) -> Value {
        serde_json::from_slice(&self.run(request).expect("runs").file.bytes).expect("JSON")
    }
}

fn on_file(pipeline: &str, path: &str) -> Value {
    json!({ "pipeline": pipeline, "data_source": { "type": "file", "path": path } })
}

fn with(mut request: Value, name: &str, value: Value) -> Value {
    request[name] = value;
    request
}

fn refusal(folder: &Folder, request: Value) -> String {
    folder.run(request).expect_err("refused")
}

#[test]
fn five_stages_are_told() {
    let folder = examples();
    let request: Request = serde_json::from_value(on_file("anomaly", "measurements.csv")).expect("a request");
    let mut recorder = Recorder::new();
    run(&request, &folder.settings, &mut recorder).expect("runs");
    assert_eq!(recorder.percentages(), [5.0, 20.0, 40.0, 60.0, 80.0]);
    for patience in 0..5 {
        let result = run(&request, &folder.settings, &mut Recorder::with_patience(patience));
        assert!(matches!(result, Err(Problem::Cancelled)), "after {patience}");
    }
}

#[test]
fn classification_is_better_than_guessing() {
    let found = examples().json(on_file("classification", "measurements.csv"));
    let metrics = &found["metrics"];
    let (accuracy, baseline) = (metrics["accuracy"].as_f64(), metrics["baseline"].as_f64());
    assert!(accuracy > Some(0.85) && baseline < Some(0.7), "{metrics}");
    assert_eq!(metrics["held_out"], 300);
    assert_eq!(metrics["trained_on"], 900);
    assert_eq!(metrics["classes"].as_array().map(Vec::len), Some(3));
    assert_eq!(found["rows"].as_array().map(Vec::len), Some(300));
}

#[test]
fn regression_finds_the_weights_that_made_the_data() {
    let found = examples().json(on_file("regression", "measurements.csv"));
    let metrics = &found["metrics"];
    assert!(metrics["r2"].as_f64() > Some(0.75), "{metrics}");
    let load = metrics["coefficients"]["load"].as_f64().expect("a weight");
    assert!((-2.6..-1.4).contains(&load), "made with -2: {load}");

    let exact: String =
        (0..40).map(|x| format!("{x},{},{}\n", x * x % 7, 3 * x - 2 * (x * x % 7) + 5)).collect();
    let folder = examples().with("exact.csv", &format!("x,z,target\n{exact}"));
    let metrics = folder.json(on_file("regression", "exact.csv"))["metrics"].take();
    let near = |value: &Value, expected: f64| (value.as_f64().expect("a number") - expected).abs() < 1e-6;
    assert!(
        near(&metrics["coefficients"]["x"], 3.0) && near(&metrics["coefficients"]["z"], -2.0),
        "{metrics}"
    );
    assert!(near(&metrics["intercept"], 5.0) && near(&metrics["r2"], 1.0), "{metrics}");
}

#[test]
fn clusters_of_plain_groups_are_found() {
    let points: String = (0..30).map(|n| format!("{},{}\n", (n % 3) * 100 + n % 2, (n % 3) * 50)).collect();
    let folder = examples().with("points.csv", &format!("x,y\n{points}"));
    let metrics = folder.json(on_file("clustering", "points.csv"))["metrics"].take();
    let mut sizes: Vec<_> =
        metrics["clusters"].as_array().expect("clusters").iter().map(|c| &c["rows"]).collect();
    sizes.sort_by_key(|size| size.as_u64());
    assert_eq!(sizes, [10, 10, 10]);
    assert!(metrics["silhouette"].as_f64() > Some(0.9), "{metrics}");
    assert!(metrics["inertia"].as_f64() < Some(0.1), "{metrics}");
}

#[test]
fn k_is_held_to_the_rows() {
    let folder = examples().with("two.csv", "x\n1\n2\n").with("same.csv", "x,y\n1,1\n1,1\n1,1\n2,2\n");
    assert_eq!(
        refusal(&folder, on_file("clustering", "two.csv")),
        "k: must not exceed the number of rows, 2"
    );
    let same = on_file("clustering", "same.csv");
    assert_eq!(refusal(&folder, same.clone()), "k: must not exceed the number of different rows, 2");
    assert!(folder.run(with(same.clone(), "k", json!(2))).is_ok());
    assert_eq!(refusal(&folder, with(same.clone(), "k", json!(1))), "k: must be between 2 and 50");
    assert_eq!(refusal(&folder, with(same, "k", json!(51))), "k: must be between 2 and 50");
}

#[test]
fn many_rows_that_are_alike_cluster_too() {
    let rows: String = (0..500).map(|n| format!("{}\n", n % 4)).collect();
    let folder = examples().with("alike.csv", &format!("x\n{rows}"));
    let found = folder.json(with(on_file("clustering", "alike.csv"), "k", json!(4)));
    assert!(found["metrics"]["inertia"].as_f64() < Some(1e-9), "{}", found["metrics"]);
}

#[test]
fn anomalies_name_their_rows() {
    let mut rows: String = (0..100).map(|n| format!("{},a\n", 10 + n % 3)).collect();
    rows.push_str("500,b\n");
    let folder = examples().with("spike.csv", &format!("x,name\n{rows}"));
    let found = folder.json(on_file("anomaly", "spike.csv"));
    assert_eq!(found["metrics"]["rows"], json!([101]));
    assert_eq!(found["rows"][0]["value"], 500.0);
    assert_eq!(found["rows"][0]["column"], "x");
    let none = folder.json(with(on_file("anomaly", "spike.csv"), "threshold", json!(50)));
    assert_eq!(none["metrics"]["anomalies"], 0);
    for bad in [json!(0), json!(-1), json!(101)] {
        let refused = refusal(&folder, with(on_file("anomaly", "spike.csv"), "threshold", bad));
        assert_eq!(refused, "threshold: must be over 0 and at most 100");
    }
    assert!(
        examples().json(on_file("anomaly", "measurements.csv"))["metrics"]["anomalies"].as_u64() > Some(3)
    );
}

#[test]
fn transformation_standardises_and_fills() {
    let folder = examples().with("t.csv", "x,name,same\n1,=a,5\n,b,5\n3,,5\n");
    let found = folder.json(on_file("transformation", "t.csv"));
    let expected = json!([
        { "x": -1.0, "name": "=a", "same": 0.0 },
        { "x": 0.0, "name": "b", "same": 0.0 },
        { "x": 1.0, "name": null, "same": 0.0 },
    ]);
    assert_eq!(found["rows"], expected);
    assert_eq!(found["metrics"]["filled"], 1);
    let csv =
        folder.run(with(on_file("transformation", "t.csv"), "output", json!("csv"))).expect("runs").file;
    assert_eq!(String::from_utf8(csv.bytes).expect("UTF-8"), "x,name,same\n-1,'=a,0\n0,b,0\n1,,0\n");
}

#[test]
fn parquet_reads_back() {
    let folder = examples().with("t.csv", "x,name,other\n1,=a,7\n,b,\n3,,8\n");
    let request = with(on_file("transformation", "t.csv"), "output", json!("parquet"));
    let file = folder.run(with(request, "columns", json!(["x"]))).expect("runs").file;
    assert_eq!(
        (file.name.as_str(), file.media_type),
        ("transformation.parquet", "application/vnd.apache.parquet")
    );
    let reader = SerializedFileReader::new(bytes_of(file.bytes)).expect("opens");
    let rows: Vec<_> = reader.get_row_iter(None).expect("rows").collect::<Result<_, _>>().expect("reads");
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0].get_double(0).expect("x"), -1.0);
    assert_eq!(rows[0].get_string(1).expect("name").as_bytes(), b"=a");
    assert!(rows[2].get_string(1).is_err(), "null");
    assert!(rows[1].get_double(2).is_err(), "null");
    assert_eq!(rows[2].get_double(2).expect("other"), 8.0);
}

#[test]
fn parquet_of_no_rows_is_a_file_too() {
    let folder = examples().with("even.csv", "x\n1\n1\n1\n");
    let request = with(on_file("anomaly", "even.csv"), "output", json!("parquet"));
    let file = folder.run(request).expect("runs").file;
    let reader = SerializedFileReader::new(bytes_of(file.bytes)).expect("opens");
    assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
    assert_eq!(Arc::new(reader.metadata().file_metadata().schema().clone()).get_fields().len(), 4);
}

fn bytes_of(bytes: Vec<u8>) -> bytes::Bytes {
    bytes.into()
}

#[test]
fn a_query_is_a_view() {
    let mut folder = examples();
    let found = folder
        .json(json!({ "pipeline": "anomaly", "data_source": { "type": "query", "name": "warm_machines" } }));
    assert!(found["metrics"]["columns"][0]["mean"].as_f64() > Some(60.0));
    let unknown = json!({ "pipeline": "anomaly", "data_source": { "type": "query", "name": "x" } });
    assert_eq!(refusal(&folder, unknown.clone()), "data_source.name: no such query");
    let nothing = r#"{"file": "measurements.csv", "filter": "load > 1000", "columns": ["load"]}"#;
    folder.settings.queries.insert("x".to_owned(), serde_json::from_str(nothing).expect("a query"));
    assert_eq!(refusal(&folder, unknown), "data_source: has no rows");
}

#[test]
fn rows_may_come_with_the_request() {
    let rows = json!([{ "x": 1 }, { "x": 2.5 }, { "x": null }, { "x": 100 }]);
    let request =
        json!({ "pipeline": "anomaly", "threshold": 1.2, "data_source": { "type": "stream", "rows": rows } });
    let found = examples().json(request);
    assert_eq!(found["metrics"]["rows"], json!([4]));
    let many: Vec<Value> = (0..=STREAM_ROWS_MAX).map(|x| json!({ "x": x })).collect();
    let request = json!({ "pipeline": "anomaly", "data_source": { "type": "stream", "rows": many } });
    assert_eq!(refusal(&examples(), request), "data_source.rows: has more than 10000 rows");
    let none = json!({ "pipeline": "anomaly", "data_source": { "type": "stream", "rows": [] } });
    assert_eq!(refusal(&examples(), none), "data_source.rows: is empty");
}

#[test]
fn bad_sources_are_named() {
    let folder =
        examples().with("empty.csv", "").with("head.csv", "a,b\n").with("garbage.csv", "\u{0}\u{1}PK\n,,\n");
    let said = |path: &str| refusal(&folder, on_file("clustering", path));
    assert_eq!(said("../etc/passwd"), "data_source.path: must name a file inside the data folder");
    assert_eq!(said("absent.csv"), "data_source.path: no such file in the data folder");
    assert_eq!(said("empty.csv"), "data_source.path: is empty");
    assert_eq!(said("head.csv"), "data_source: has no rows");
    assert!(said("garbage.csv").starts_with("data_source.path: is not a CSV table"));
}

#[test]
fn bad_columns_are_named() {
    let folder = examples().with("t.csv", "name\na\nb\n").with("few.csv", "x,label,target\n1,a,1\n2,b,2\n");
    let asked = |pipeline: &str, columns: Value| {
        refusal(&folder, with(on_file(pipeline, "measurements.csv"), "columns", columns))
    };
    assert!(
        asked("anomaly", json!(["load", "x"]))
            .starts_with("columns[1]: no column `x`: there are temperature,")
    );
    assert_eq!(asked("anomaly", json!(["label"])), "columns[0]: the column `label` is not numeric");
    assert_eq!(asked("anomaly", json!(["load", "load"])), "columns[1]: is named twice");
    assert_eq!(asked("anomaly", json!([])), "columns: there is no numeric column to compute with");
    let itself = "columns[0]: is the target: it cannot explain itself";
    assert_eq!(asked("regression", json!(["target"])), itself);
    assert_eq!(
        refusal(&folder, on_file("anomaly", "t.csv")),
        "columns: there is no numeric column to compute with"
    );
    assert!(refusal(&folder, on_file("classification", "t.csv")).starts_with("target: no column `label`"));
    let of_text = with(on_file("regression", "measurements.csv"), "target", json!("label"));
    assert_eq!(refusal(&folder, of_text), "target: the column `label` is not numeric");
    let too_few = "data_source: only 2 rows have a target: 12 are needed";
    assert_eq!(refusal(&folder, on_file("regression", "few.csv")), too_few);
    let numbers = with(on_file("classification", "measurements.csv"), "target", json!("load"));
    assert!(refusal(&folder, numbers).starts_with("target: has "));
}

#[test]
fn hopeless_data_is_refused_not_computed() {
    let large: String = (0..20).map(|n| format!("{}e300,{n}\n", n * 1_000_000)).collect();
    let one_class: String = (0..20).map(|n| format!("{n},a\n")).collect();
    let folder = examples()
        .with("large.csv", &format!("x,target\n{large}"))
        .with("one.csv", &format!("x,label\n{one_class}"));
    assert_eq!(
        refusal(&folder, on_file("regression", "large.csv")),
        "columns: the values of `x` are too large"
    );
    assert!(
        refusal(&folder, on_file("classification", "one.csv")).starts_with("target: has 1 different values")
    );
}

#[test]
fn odd_tables_are_computed_or_refused() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut computed = 0;
    for round in 0..150 {
        let (rows, columns) = (random.random_range(1..60), random.random_range(1..6));
        let scale = [1e-300, 1e-9, 1.0, 1e12, 1e200][round % 5];
        let cell = |random: &mut ChaCha8Rng| match random.random_range(0..10) {
            0 => Value::Null,
            1..=4 => json!(1.0),
            5 => json!(0.0),
            6 => json!(-scale),
            _ => json!(random.random::<f64>() * scale),
        };
        let rows: Vec<Map<String, Value>> = (0..rows)
            .map(|_| {
                let mut row: Map<String, Value> =
                    (0..columns).map(|column| (format!("c{column}"), cell(&mut random))).collect();
                // The last column repeats the first: the columns do not determine a regression.
                row.insert("same".to_owned(), row["c0"].clone());
                row.insert("label".to_owned(), json!(["a", "b", "c"][random.random_range(0..3)]));
                row.insert("target".to_owned(), cell(&mut random));
                row
            })
            .collect();
        let settings = Settings::new("unused");
        for pipeline in ["classification", "regression", "clustering", "anomaly", "transformation"] {
            let source = json!({ "type": "stream", "rows": rows });
            let request = json!({ "pipeline": pipeline, "data_source": source, "k": 2 + round % 5 });
            let request: Request = serde_json::from_value(request).expect("a request");
            match run(&request, &settings, &mut Recorder::new()) {
                Ok(_) => computed += 1,
                Err(Problem::Invalid { .. }) => {}
                Err(problem) => panic!("{pipeline}, round {round}: {problem:?}"),
            }
        }
    }
    assert!(computed > 300, "{computed}");
}

#[test]
fn long_tables_are_learned_from_a_part() {
    let rows: String =
        (0..24_000).map(|n| format!("{},{},{}\n", n % 7, n % 5, 2 * (n % 7) + n % 5)).collect();
    let folder = examples().with("long.csv", &format!("x,y,target\n{rows}"));
    let found = folder.json(on_file("regression", "long.csv"));
    assert_eq!(
        (&found["metrics"]["trained_on"], &found["metrics"]["held_out"]),
        (&json!(5_000), &json!(6_000))
    );
    assert!(found["metrics"]["r2"].as_f64() > Some(0.999), "{}", found["metrics"]);
    let found = folder.json(on_file("clustering", "long.csv"));
    assert_eq!(found["rows"].as_array().map(Vec::len), Some(24_000));
}
