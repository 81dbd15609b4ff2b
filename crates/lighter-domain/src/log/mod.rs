//! Lines that containers printed, as they are searched: which stream, when, how severe. `lighter-core` makes them of the
//! engine's log, `lighter-store` keeps them.

mod level;
mod terms;

pub use level::LogLevel;
pub use terms::search_terms;

use time::OffsetDateTime;

/// Which of a container's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogSource {
    Stdout,
    Stderr,
}

impl LogSource {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        [Self::Stdout, Self::Stderr].into_iter().find(|source| source.as_str() == s)
    }
}

/// One line, not yet stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLogLine {
    pub at: OffsetDateTime,
    pub source: LogSource,
    pub level: Option<LogLevel>,
    pub message: String,
}

/// How far a container's log was looked at: up to and with a moment, and of that moment's lines the first so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogMark {
    pub at: OffsetDateTime,
    pub lines: u32,
}

/// A line that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pub id: i64,
    /// 64 hexadecimal digits.
    pub container_id: String,
    pub container: String,
    pub stack: Option<String>,
    pub at: OffsetDateTime,
    pub source: LogSource,
    pub level: Option<LogLevel>,
    pub message: String,
}

/// Lines of a container that are not to be found: they came faster than they could be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogGap {
    pub container_id: String,
    pub container: String,
    /// The last line that is there before it.
    pub since: OffsetDateTime,
    /// The first one after it.
    pub until: OffsetDateTime,
}

/// What to look for. Of the values of one list any may hold, an empty list means all, and all conditions must hold together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Words as [`search_terms`] understands them; empty: any line.
    pub query: String,
    /// Ids in hexadecimal, or how they begin.
    pub containers: Vec<String>,
    pub stacks: Vec<String>,
    pub levels: Vec<LogLevel>,
    pub source: Option<LogSource>,
    /// Inclusive, both.
    pub since: Option<OffsetDateTime>,
    pub until: Option<OffsetDateTime>,
    /// Only lines with a smaller id: the next page.
    pub before_id: Option<i64>,
    pub limit: u32,
}
