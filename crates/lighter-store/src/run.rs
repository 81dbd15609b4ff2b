//! Running statements with as little going back and forth to the connection's thread as there can be.

use futures::TryStreamExt as _;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteQueryResult};
use sqlx::{Either, Executor as _};

/// Runs one statement that gives no rows.
pub(crate) async fn run(
    connection: &mut SqliteConnection,
    statement: Query<'_, Sqlite, SqliteArguments>,
) -> sqlx::Result<SqliteQueryResult> {
    run_some(connection, statement, 1).await
}

/// Runs a text of `count` statements that give no rows. The last one's result is the end: `execute` would wait once more, for
/// the news that there are no more results.
pub(crate) async fn run_some(
    connection: &mut SqliteConnection,
    statements: Query<'_, Sqlite, SqliteArguments>,
    count: usize,
) -> sqlx::Result<SqliteQueryResult> {
    let mut results = connection.fetch_many(statements);
    let mut all = SqliteQueryResult::default();
    let mut left = count;
    while left > 0 {
        match results.try_next().await? {
            Some(Either::Left(done)) => {
                all.extend([done]);
                left -= 1;
            }
            Some(Either::Right(_)) => {}
            None => break,
        }
    }
    Ok(all)
}
