//! Futures over promises: what the `async fn`s of the edge need of an executor. A task waits for one promise at a time.
//!
//! ```text
//! spawn ──▶ waiting for a promise ── it is settled ──▶ polled ──▶ done
//!                    ▲                                   │
//!                    └────── settled(promise).await ─────┘
//! ```

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use wasm_bindgen::prelude::*;

use super::dom::{call_of, call1, get, is, list1};

/// What a task and whoever polls it say to each other.
enum Word {
    Nothing,
    /// The task waits for this promise.
    Awaited(JsValue),
    /// This came of it.
    Settled(Result<JsValue, JsValue>),
}

thread_local! {
    static WORD: Cell<Word> = const { Cell::new(Word::Nothing) };
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Runs a task, from the next turn of the microtasks on.
pub fn spawn(task: impl Future<Output = ()> + 'static) {
    resume_after(JsValue::UNDEFINED, Box::pin(task));
}

/// What comes of `promise`. Only for tasks, and to be awaited where it is called: the word is given at once.
pub fn settled(promise: JsValue) -> impl Future<Output = Result<JsValue, JsValue>> {
    WORD.set(Word::Awaited(promise));
    poll_fn(|_| match WORD.replace(Word::Nothing) {
        Word::Settled(result) => Poll::Ready(result),
        word => {
            WORD.set(word);
            Poll::Pending
        }
    })
}

fn resume_after(promise: JsValue, task: Task) {
    let mut task = Some(task);
    let resume = Closure::wrap(Box::new(move |outcomes: JsValue| {
        if let Some(task) = task.take() {
            resume(task, &get(&outcomes, "0"));
        }
    }) as Box<dyn FnMut(JsValue)>);
    // Of whatever comes of it one function is told. The browser drops it when the promise is gone.
    let outcomes = call_of("Promise", "allSettled", list1(promise));
    call1(&outcomes, "then", resume.into_js_value());
}

fn resume(mut task: Task, outcome: &JsValue) {
    let fulfilled = is(outcome, "status", "fulfilled");
    WORD.set(Word::Settled(if fulfilled { Ok(get(outcome, "value")) } else { Err(get(outcome, "reason")) }));
    if task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
        && let Word::Awaited(promise) = WORD.replace(Word::Nothing)
    {
        resume_after(promise, task);
    }
}
