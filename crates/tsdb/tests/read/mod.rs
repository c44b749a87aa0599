//! What a database has.

use model::Labels;
use storage::{Columns, Queryable, SelectHints};
use tsdb::Db;

/// All series with their samples from `min_ms` to `max_ms`, sorted.
pub fn all(db: &Db, min_ms: i64, max_ms: i64) -> Vec<(Labels, Columns)> {
    let querier = db.querier(min_ms, max_ms).unwrap();
    let set = querier.select(true, &SelectHints::default(), &[]).unwrap();
    let read = set.series.iter().map(|series| {
        let mut columns = Columns::default();
        series.decode(min_ms, max_ms, &mut columns).unwrap();
        (series.labels().clone(), columns)
    });
    read.collect()
}
