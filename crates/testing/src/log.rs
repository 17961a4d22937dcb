//! The log lines of the state machines during a test, as text: `INFO call started call=c1 from=a…e`.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tracing::dispatcher::DefaultGuard;
use tracing::field::{Field, Visit};
use tracing::subscriber::Subscriber;
use tracing::{Dispatch, Event, Metadata};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry;

pub use tracing::level_filters::LevelFilter;

/// The log lines of this project's crates in this thread, and the errors of libraries, since [`Log::start`]. There is one `Log` at a time in a
/// process, and the next one waits, because the level of the process determines how names are masked.
pub struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    _here: DefaultGuard,
    _alone: MutexGuard<'static, ()>,
}

impl Log {
    /// Begins to collect lines of this level and of more severe ones.
    #[must_use]
    pub fn start(level: LevelFilter) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        // With only one dispatcher in the process, a line that another thread reaches first would be disabled for all threads.
        static OTHER: OnceLock<Dispatch> = OnceLock::new();
        let alone = locked(&ALONE);
        let gather = |level, lines| Dispatch::new(registry().with(Gather { level, lines }));
        OTHER.get_or_init(|| gather(LevelFilter::OFF, Arc::default()));
        let lines = Arc::default();
        let here = tracing::dispatcher::set_default(&gather(level, Arc::clone(&lines)));
        Self { lines, _here: here, _alone: alone }
    }

    /// Returns the lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        locked(&self.lines).clone()
    }

    /// Returns the lines since the last call.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *locked(&self.lines))
    }

    /// Asserts that the lines are these; indentation does not count.
    ///
    /// # Panics
    /// Where they differ.
    #[track_caller]
    pub fn says(&self, expected: &str) {
        let expected: Vec<&str> = expected.lines().map(str::trim).collect();
        let lines = self.lines();
        assert_eq!(lines, expected, "{lines:#?}");
    }

    /// Asserts that there are lines, and that none of them contains one of these texts.
    ///
    /// # Panics
    /// Where one does.
    #[track_caller]
    pub fn never_says(&self, secrets: &[&str]) {
        let lines = self.lines();
        assert!(!lines.is_empty(), "nothing was said at all");
        for secret in secrets {
            assert!(!secret.is_empty(), "a secret that is no secret");
            let said: Vec<&String> = lines.iter().filter(|line| line.contains(secret)).collect();
            assert!(said.is_empty(), "{secret}: {said:#?}");
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The data of a test that has panicked is not used by the next one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Gather {
    level: LevelFilter,
    lines: Arc<Mutex<Vec<String>>>,
}

impl<S: Subscriber> Layer<S> for Gather {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let most = if metadata.target().starts_with("offhook_") { self.level } else { self.level.min(LevelFilter::ERROR) };
        *metadata.level() <= most
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let text = format!("{} {}{}", event.metadata().level(), line.message, line.fields);
        locked(&self.lines).push(text);
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let written = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
        written.expect("a string takes everything");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}
