//! The daemon's own log: one line per event on standard error, as text or JSON, with the fields of the request it belongs to.
//!
//! Set up once by `main`. Libraries are heard from `warn` on, ours from the configured level.

use crate::config::{LogFormat, LogLevel};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

/// Lines go to standard error from now on; panics, too.
pub fn start(level: LogLevel, format: LogFormat) {
    let ours = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        // The daemon has no level above errors: what is fatal ends it, and is printed by `main`.
        LogLevel::Error | LogLevel::Fatal => LevelFilter::ERROR,
    };
    let filter = Targets::new().with_default(ours.min(LevelFilter::WARN)).with_target("lighter", ours);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    // A second call (there is none) would leave the first subscriber in place.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let words = info.payload_as_str().unwrap_or("(no message)");
        tracing::error!(place, "a task panicked: {words}");
    }));
}
