//! What holds of all records of a platform, whatever happened to it: for the end of fault tests.

#![expect(clippy::missing_panics_doc, reason = "it panics where something does not hold")]
#![expect(clippy::unwrap_used, reason = "a store that cannot be read fails the check")]

use std::collections::BTreeSet;

use faas_core::log::MAX_LINES;
use faas_core::store::ActivationQuery;
use faas_core::{Activation, Limits, Platform, Status, meter};

/// Checks that each activation that was accepted has its one record, which bills what it used and no more, tells it in
/// order, and keeps to the limit of logs. The store has to have kept all records, and nothing may be under way.
pub async fn check(app: &Platform) {
    let stats = app.stats();
    assert_eq!(stats.in_flight, 0, "{stats:?}");
    let query = ActivationQuery::default();
    let records = app.activations(&query).await.unwrap();
    assert_eq!(app.count_activations(&query).await.unwrap(), records.len() as u64);
    let ids: BTreeSet<_> = records.iter().map(|record| record.id).collect();
    let finished: u64 = stats.finished.iter().sum();
    assert_eq!((ids.len() as u64, records.len() as u64), (finished, finished), "{stats:?}");
    records.iter().for_each(check_record);
    check_statuses(&records, stats.finished);
}

/// As many of each status were counted as are kept.
fn check_statuses(records: &[Activation], finished: [u64; 4]) {
    let statuses = [Status::Success, Status::ApplicationError, Status::DeveloperError, Status::InternalError];
    let kept =
        statuses.map(|status| records.iter().filter(|record| record.status() == status).count() as u64);
    assert_eq!(kept, finished);
}

fn check_record(record: &Activation) {
    let billable = record.times.billable();
    assert!(record.start <= record.end, "{record:?}");
    assert_eq!(record.end, record.start.after(billable), "{record:?}");
    match record.attempts {
        0 => assert_eq!(record.billed_ms, 0, "{record:?}"),
        // A failure of the platform costs nothing, unless it is the caller who left.
        1 if record.status() == Status::InternalError && record.billed_ms == 0 => {}
        1 => assert_eq!(record.billed_ms, meter::billed_ms(billable), "{record:?}"),
        // The times are those of the last attempt.
        _ => assert!(
            record.status() == Status::InternalError || record.billed_ms >= meter::billed_ms(billable),
            "{record:?}"
        ),
    }
    let bytes: usize = record.logs.iter().map(|line| line.text.len() + 1).sum();
    // The notices that something is missing are no lines of the action's.
    assert!(bytes as u64 <= Limits::MAX_LOGS + 200, "{bytes} bytes of logs");
    assert!(record.logs.len() <= MAX_LINES + 2, "{} lines", record.logs.len());
    for line in &record.logs {
        assert!(!line.text.contains(|c: char| c.is_control() && c != '\t'), "{line:?}");
    }
}
