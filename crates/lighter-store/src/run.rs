//! Running statements with as little going back and forth to the connection's thread as there can be.

use crate::{Result, StoreError};
use futures::TryStreamExt as _;
use sqlx::error::BoxDynError;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteQueryResult};
use sqlx::{Arguments as _, AssertSqlSafe, Either, Encode, Executor as _, Type};

/// Runs one statement that gives no rows.
pub(crate) async fn run(
    connection: &mut SqliteConnection,
    statement: Query<'_, Sqlite, SqliteArguments>,
) -> sqlx::Result<SqliteQueryResult> {
    Ok(run_some(connection, statement, 1).await?.pop().unwrap_or_default())
}

/// Runs a text of `count` statements that give no rows; what came of each. The last one's result is the end: `execute` would
/// wait once more, for the news that there are no more results.
async fn run_some(
    connection: &mut SqliteConnection,
    statements: Query<'_, Sqlite, SqliteArguments>,
    count: usize,
) -> sqlx::Result<Vec<SqliteQueryResult>> {
    let mut results = connection.fetch_many(statements);
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        match results.try_next().await? {
            Some(Either::Left(done)) => all.push(done),
            Some(Either::Right(_)) => {}
            None => break,
        }
    }
    Ok(all)
}

/// Statements that go to the connection's thread together. Their parameters are all written `?` and bound in their order.
#[derive(Default)]
pub(crate) struct Script {
    text: String,
    arguments: SqliteArguments,
    count: usize,
}

impl Script {
    /// Adds `count` statements.
    pub(crate) fn add(&mut self, text: &str, count: usize) {
        self.text.push_str(text);
        self.text.push(';');
        self.count += count;
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn bind<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(&mut self, value: T) -> Result<&mut Self> {
        let bound = self.arguments.add(value).map_err(sqlx::Error::Encode);
        bound.map(|()| self).map_err(StoreError::sql("encoding a value"))
    }

    pub(crate) fn bind_all(&mut self, bind: impl FnOnce(&mut SqliteArguments) -> Result<(), BoxDynError>) -> Result<()> {
        bind(&mut self.arguments).map_err(sqlx::Error::Encode).map_err(StoreError::sql("encoding values"))
    }

    pub(crate) async fn run(self, connection: &mut SqliteConnection) -> sqlx::Result<Vec<SqliteQueryResult>> {
        run_some(connection, sqlx::query_with(AssertSqlSafe(self.text), self.arguments), self.count).await
    }
}
