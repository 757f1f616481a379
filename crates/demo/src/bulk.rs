//! Bulk work: many small questions in one request, each with its own outcome.

mod operation;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{data::ORDERS_FILE, problem::Problem, progress::Progress, settings::Settings, table::Table};

pub use operation::Operation;

/// The most operations in one request.
pub const OPERATIONS_MAX: usize = 1_000;

/// How many operations are done between two reports.
const BATCH: usize = 50;

/// What `bulk_operation` takes.
#[derive(Debug, Clone, Deserialize)]
#[serde(expecting = "an object")]
pub struct Request {
    /// What to do; each is read by itself as an [`Operation`], so that a mistake in one spoils no other.
    pub operations: Vec<Value>,
}

impl Request {
    /// Names the first mistake that spoils the whole request.
    pub fn check(&self) -> Result<(), Problem> {
        if (1..=OPERATIONS_MAX).contains(&self.operations.len()) {
            return Ok(());
        }
        Err(Problem::invalid("operations", format!("must hold 1 to {OPERATIONS_MAX} operations")))
    }
}

/// What came of all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Done {
    /// How many operations there were.
    pub total: usize,
    /// How many gave a result.
    pub succeeded: usize,
    /// How many did not.
    pub failed: usize,
    /// One for each operation, in order.
    pub outcomes: Vec<Outcome>,
}

/// What came of one operation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Its place in the request, from 0.
    pub index: usize,
    /// Whether there is a result.
    pub success: bool,
    /// The result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Refusal>,
}

/// Why an operation has no result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// `VALIDATION_ERROR` or `INTERNAL_ERROR`.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

/// Runs the operations one after the other over the orders in the data folder. Reports every fifty.
pub fn run(request: &Request, settings: &Settings, progress: &mut dyn Progress) -> Result<Done, Problem> {
    request.check()?;
    let total = request.operations.len();
    progress.report(0.0, "Loading orders…")?;
    let orders = orders(settings)?;
    let mut outcomes = Vec::with_capacity(total);
    for (index, operation) in request.operations.iter().enumerate() {
        if index % BATCH == 0 {
            let percentage = 5.0 + 90.0 * index as f64 / total as f64;
            progress.report(percentage, &format!("{index} of {total} operations done"))?;
        }
        progress.still_wanted()?;
        outcomes.push(outcome(index, operation, &orders)?);
    }
    let succeeded = outcomes.iter().filter(|outcome| outcome.success).count();
    Ok(Done { total, succeeded, failed: total - succeeded, outcomes })
}

fn orders(settings: &Settings) -> Result<Table, Problem> {
    // The client did not choose this file: a fault in it is ours.
    let ours = |problem: Problem| Problem::failed("reading the orders")(problem);
    let bytes = settings.folder().read(ORDERS_FILE, ORDERS_FILE).map_err(ours)?;
    Table::from_csv(ORDERS_FILE, &bytes, settings.rows_max).map_err(ours)
}

fn outcome(index: usize, operation: &Value, orders: &Table) -> Result<Outcome, Problem> {
    let refused = |code, message| Outcome {
        index,
        success: false,
        result: None,
        error: Some(Refusal { code, message }),
    };
    let operation = match Operation::deserialize(operation) {
        Ok(operation) => operation,
        Err(error) => return Ok(refused("VALIDATION_ERROR", error.to_string())),
    };
    match operation.run(orders) {
        Ok(result) => Ok(Outcome { index, success: true, result: Some(result), error: None }),
        Err(Problem::Cancelled) => Err(Problem::Cancelled),
        Err(problem @ Problem::Invalid { .. }) => Ok(refused("VALIDATION_ERROR", problem.to_string())),
        Err(Problem::Failed { doing, .. }) => Ok(refused("INTERNAL_ERROR", format!("{doing} failed"))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::progress::testing::Recorder;

    const ORDERS: &str = "date,customer,region,product,quantity,amount\n\
        2024-01-01,Acme,North,Lamp,2,10.50\n\
        2024-01-02,Blue,South,Lamp,1,5.25\n\
        2024-01-03,Acme,North,Chair,1,\n";

    fn settings() -> (tempfile::TempDir, Settings) {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(ORDERS_FILE), ORDERS).expect("writes");
        let settings = Settings::new(folder.path());
        (folder, settings)
    }

    fn run_all(operations: Vec<Value>) -> Result<Done, Problem> {
        let (_folder, settings) = settings();
        run(&Request { operations }, &settings, &mut Recorder::new())
    }

    fn result(operation: Value) -> Value {
        let done = run_all(vec![operation]).expect("runs");
        done.outcomes[0].result.clone().unwrap_or_else(|| panic!("{:?}", done.outcomes[0].error))
    }

    fn refusal(operation: Value) -> String {
        run_all(vec![operation]).expect("runs").outcomes[0].error.clone().expect("an error").message
    }

    #[test]
    fn figures_are_right() {
        assert_eq!(result(json!({"op": "count"})), 3);
        assert_eq!(result(json!({"op": "count", "where": "customer = Acme"})), 2);
        assert_eq!(result(json!({"op": "sum", "column": "quantity"})), 4.0);
        assert_eq!(result(json!({"op": "sum", "column": "amount", "where": "date >= 2024-01-02"})), 5.25);
        assert_eq!(result(json!({"op": "average", "column": "amount"})), 7.875);
        assert_eq!(result(json!({"op": "min", "column": "amount"})), 5.25);
        assert_eq!(result(json!({"op": "max", "column": "amount"})), 10.5);
        let top = json!([{"value": "North", "sum": 3.0}]);
        assert_eq!(result(json!({"op": "top", "by": "region", "column": "quantity", "limit": 1})), top);
        assert_eq!(
            result(json!({"op": "validate_email", "value": "a.b@example.com"})),
            json!({"valid": true})
        );
        assert_eq!(result(json!({"op": "validate_email", "value": "a b@example"})), json!({"valid": false}));
    }

    #[test]
    fn nothing_has_a_sum_but_no_average() {
        assert_eq!(result(json!({"op": "sum", "column": "amount", "where": "amount > 99"})), 0.0);
        assert_eq!(result(json!({"op": "average", "column": "amount", "where": "amount > 99"})), Value::Null);
    }

    #[test]
    fn mistakes_are_named() {
        assert!(refusal(json!({"op": "sum"})).contains("missing field `column`"));
        assert!(refusal(json!({"op": "drop"})).contains("unknown variant `drop`"));
        assert!(refusal(json!(7)).contains("expected an object"));
        assert!(refusal(json!({"op": "sum", "column": "x"})).starts_with("column: no column `x`"));
        assert_eq!(
            refusal(json!({"op": "sum", "column": "region"})),
            "column: the column `region` is not numeric"
        );
        assert!(refusal(json!({"op": "count", "where": "x = 1"})).starts_with("where: no column `x`"));
        assert!(refusal(json!({"op": "count", "where": "region"})).contains("a condition is"));
        let top = json!({"op": "top", "by": "region", "column": "quantity", "limit": 0});
        assert_eq!(refusal(top), "limit: must be between 1 and 100");
    }

    #[test]
    fn one_failure_stops_no_other() {
        let operations = vec![json!({"op": "count"}), json!({"op": "nothing"}), json!({"op": "count"})];
        let done = run_all(operations).expect("runs");
        assert_eq!((done.total, done.succeeded, done.failed), (3, 2, 1));
        assert_eq!(
            done.outcomes.iter().map(|o| (o.index, o.success)).collect::<Vec<_>>(),
            [(0, true), (1, false), (2, true)]
        );
        let shown = serde_json::to_value(&done.outcomes[1]).expect("prints");
        assert_eq!(shown["error"]["code"], "VALIDATION_ERROR");
        assert_eq!(shown.get("result"), None);
    }

    #[test]
    fn the_number_of_operations_is_bounded() {
        for count in [0, OPERATIONS_MAX + 1] {
            let error = run_all(vec![json!({"op": "count"}); count]).expect_err("refused");
            assert_eq!(error.to_string(), "operations: must hold 1 to 1000 operations");
        }
        assert_eq!(run_all(vec![json!({"op": "count"}); OPERATIONS_MAX]).expect("runs").succeeded, 1_000);
    }

    #[test]
    fn it_stops_when_cancelled() {
        let (_folder, settings) = settings();
        let request = Request { operations: vec![json!({"op": "count"}); 200] };
        let mut recorder = Recorder::with_patience(3);
        assert!(matches!(run(&request, &settings, &mut recorder), Err(Problem::Cancelled)));
        assert_eq!(recorder.percentages(), [0.0, 5.0, 27.5]);
    }

    #[test]
    fn without_orders_it_is_our_failure() {
        let folder = tempfile::tempdir().expect("a folder");
        let request = Request { operations: vec![json!({"op": "count"})] };
        let result = run(&request, &Settings::new(folder.path()), &mut Recorder::new());
        assert!(matches!(result, Err(Problem::Failed { .. })), "{result:?}");
    }
}
