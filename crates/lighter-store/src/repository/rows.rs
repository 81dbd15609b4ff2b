//! What the five summary tables with UUID keys have in common: statements, rules, and the execution of a [`RowChange`].

use crate::{Change, Result, RowChange, StoreError, timestamp};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow};
use time::OffsetDateTime;
use uuid::Uuid;

pub(crate) type Bound<'q> = Query<'q, Sqlite, SqliteArguments>;

/// A summary entity and its table.
///
/// `INSERT`, `UPDATE` and `UPSERT` take the same arguments in the same order, the id last.
pub(crate) trait Entity: Clone + Send + Sync + 'static {
    type Row: for<'r> sqlx::FromRow<'r, SqliteRow> + TryInto<Self, Error = StoreError> + Send + Unpin;

    const NAME: &'static str;
    const SELECT_ALL: &'static str;
    const SELECT_ONE: &'static str;
    const INSERT: &'static str;
    const UPDATE: &'static str;
    const UPSERT: &'static str;
    const DELETE: &'static str;
    const CLEAR: &'static str;
    const ANY: &'static str;
    /// Run after a row was written, with the id as the only argument, once for each statement in it.
    const AFTER_WRITE: &'static [&'static str] = &[];

    fn id_mut(&mut self) -> &mut Uuid;
    /// The rules of the data model that a single row can break.
    fn check(&self) -> Result<()>;
    /// Binds all columns, the id last.
    fn bind<'q>(&self, query: Bound<'q>) -> Result<Bound<'q>>;
    fn change(change: RowChange<Self>) -> Change;

    /// An id that is missing is generated.
    fn ensure_id(&mut self) {
        let id = self.id_mut();
        if id.is_nil() {
            *id = Uuid::new_v4();
        }
    }
}

/// The statements of a table as constants of [`Entity`], from its columns but for the id; `$guard` limits what may be overwritten.
macro_rules! statements {
    ($table:literal, guard $guard:literal, order $order:literal, $first:literal $(, $rest:literal)*) => {
        const NAME: &'static str = $table;
        const SELECT_ALL: &'static str =
            concat!("SELECT id, ", $first, $(", ", $rest,)* " FROM ", $table, " ORDER BY ", $order, ", id");
        const SELECT_ONE: &'static str = concat!("SELECT id, ", $first, $(", ", $rest,)* " FROM ", $table, " WHERE id = ?");
        const INSERT: &'static str =
            concat!("INSERT INTO ", $table, " (", $first, $(", ", $rest,)* ", id) VALUES (?", $(mark!($rest),)* ", ?)");
        const UPDATE: &'static str =
            concat!("UPDATE ", $table, " SET ", $first, " = ?", $(", ", $rest, " = ?",)* " WHERE id = ?", $guard);
        const UPSERT: &'static str = concat!(
            "INSERT INTO ", $table, " (", $first, $(", ", $rest,)* ", id) VALUES (?", $(mark!($rest),)* ", ?)",
            " ON CONFLICT (id) DO UPDATE SET ", $first, " = excluded.", $first, $(", ", $rest, " = excluded.", $rest,)*
            " WHERE true", $guard
        );
        const DELETE: &'static str = concat!("DELETE FROM ", $table, " WHERE id = ?");
        const CLEAR: &'static str = concat!("DELETE FROM ", $table, " WHERE true", $guard);
        const ANY: &'static str = concat!("SELECT EXISTS (SELECT 1 FROM ", $table, ")");
    };
}
/// One more argument.
macro_rules! mark {
    ($column:literal) => {
        ", ?"
    };
}
pub(super) use {mark, statements};

/// Executes a change inside the writer's transaction; the number of rows written.
pub(crate) async fn change<E: Entity>(connection: &mut SqliteConnection, change: &mut RowChange<E>) -> Result<u64> {
    match change {
        RowChange::Insert(entity) => write(connection, E::INSERT, entity).await,
        RowChange::Update(entity) => write(connection, E::UPDATE, entity).await,
        RowChange::Upsert(entity) => match write(connection, E::UPSERT, entity).await? {
            0 => Err(StoreError::Conflict { doing: "upserting a summary of a container that the daemon runs", source: None }),
            rows => Ok(rows),
        },
        RowChange::Delete(id) => run(connection, sqlx::query(E::DELETE).bind(id.to_string())).await,
        RowChange::ReplaceAll(entities) => {
            run(connection, sqlx::query(E::CLEAR)).await?;
            insert_all(connection, entities).await
        }
        RowChange::SeedIfEmpty(entities) => {
            let any: bool =
                sqlx::query_scalar(E::ANY).fetch_one(&mut *connection).await.map_err(StoreError::sql("counting rows"))?;
            if any { Ok(0) } else { insert_all(connection, entities).await }
        }
    }
}

async fn insert_all<E: Entity>(connection: &mut SqliteConnection, entities: &mut [E]) -> Result<u64> {
    let mut rows = 0;
    for entity in entities {
        rows += write(connection, E::INSERT, entity).await?;
    }
    Ok(rows)
}

async fn write<E: Entity>(connection: &mut SqliteConnection, sql: &'static str, entity: &mut E) -> Result<u64> {
    entity.ensure_id();
    entity.check()?;
    let rows = run(connection, entity.bind(sqlx::query(sql))?).await?;
    if rows > 0 {
        for &sql in E::AFTER_WRITE {
            run(connection, sqlx::query(sql).bind(entity.id_mut().to_string())).await?;
        }
    }
    Ok(rows)
}

async fn run(connection: &mut SqliteConnection, query: Bound<'_>) -> Result<u64> {
    let done = query.execute(connection).await.map_err(StoreError::sql("writing a summary"))?;
    Ok(done.rows_affected())
}

/// Rows to entities; the first that cannot be read is the error.
pub(crate) fn collect<E: Entity>(rows: sqlx::Result<Vec<E::Row>>) -> Result<Vec<E>> {
    rows.map_err(StoreError::sql("reading summaries"))?.into_iter().map(TryInto::try_into).collect()
}

pub(crate) fn uuid(table: &'static str, id: &str, text: &str) -> Result<Uuid> {
    Uuid::parse_str(text).map_err(|e| corrupt(table, id, format!("{text:?}: {e}")))
}

pub(crate) fn date(table: &'static str, id: &str, column: &str, text: &str) -> Result<OffsetDateTime> {
    timestamp::parse(text).ok_or_else(|| corrupt(table, id, format!("{column} is not a date")))
}

pub(crate) fn list<T: serde::de::DeserializeOwned>(table: &'static str, id: &str, column: &str, text: &str) -> Result<Vec<T>> {
    serde_json::from_str(text).map_err(|e| corrupt(table, id, format!("{column}: {e}")))
}

pub(crate) fn list_text<T: serde::Serialize>(table: &'static str, list: &[T]) -> Result<String> {
    serde_json::to_string(list).map_err(|source| StoreError::Encode { table, source })
}

fn corrupt(table: &'static str, id: &str, reason: String) -> StoreError {
    StoreError::Corrupt { table, id: id.to_owned(), reason }
}
