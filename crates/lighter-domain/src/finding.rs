//! What a look at the machine found, and what to do about it: one line each, for `lighter doctor`.

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// `kernel`, `control groups`, `disk`.
    pub subject: String,
    pub verdict: Verdict,
    pub found: String,
    /// What to do; empty where nothing is to be done.
    pub advice: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Good,
    /// Worth knowing.
    Note,
    /// Something will not work, or not well.
    Warning,
    /// Containers will not run.
    Problem,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

impl Finding {
    pub fn good(subject: &str, found: impl Into<String>) -> Self {
        Self { subject: subject.to_owned(), verdict: Verdict::Good, found: found.into(), advice: String::new() }
    }

    /// Something that is not as it should be, and what to do.
    pub fn bad(subject: &str, verdict: Verdict, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { subject: subject.to_owned(), verdict, found: found.into(), advice: advice.into() }
    }
}
