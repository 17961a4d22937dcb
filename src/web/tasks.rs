//! Media tasks, each answered exactly once.

use std::rc::Rc;

use gloo_timers::future::TimeoutFuture;
use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

use super::dom::{aborted, named_error, thrown};
use super::microphone::Kinds;
use super::peer::Peer;
use super::{Driver, Media};
use crate::client::{Input, TaskId, TaskKind, TaskResult};

/// Starts a task of `peer` and gives the driver its result.
pub fn start(driver: Rc<Driver>, peer: Rc<Peer>, task: TaskId, kind: TaskKind) {
    spawn_local(async move {
        let result = match &kind {
            TaskKind::Listen { wait, .. } => peer.hear(*wait).await,
            TaskKind::Microphone { video, .. } => microphone(&driver, &peer.media, *video, false).await,
            TaskKind::Reopen { video, .. } => microphone(&driver, &peer.media, *video, true).await,
            kind => peer.negotiate(kind).await,
        };
        let result = result.unwrap_or_else(|error| failed(&error));
        driver.input(Input::Answered { task, result });
    });
}

/// Returns the result of a task that failed with `error`.
pub fn failed(error: &JsValue) -> TaskResult {
    TaskResult::Failed(thrown(error))
}

/// Gives a call what it sends; with `again`, replaces its video, or its audio, that has ended. What a stream of the page lacks then is the page's to
/// replace: nothing else of its user is sent unasked.
async fn microphone(driver: &Rc<Driver>, media: &Rc<Media>, video: bool, again: bool) -> Result<TaskResult, JsValue> {
    if again {
        // The tracks of a device end one after the other: the shared one may still seem to live.
        TimeoutFuture::new(0).await;
    }
    let lacks = || if again { media.lacks(video) } else { !media.is_open() };
    if lacks() {
        needed(media)?;
        let own = media.custom.clone().or_else(|| driver.microphone.adopted().filter(|_| again));
        let source = match &own {
            Some(own) => Promise::resolve(own),
            None => driver.microphone.open(Kinds { audio: !again || !video, video })?,
        };
        let source = media.end.or(&source).await;
        needed(media)?;
        // Another task of the same call may have been faster.
        if lacks() {
            media.take(&source?, again.then_some(video));
        }
    }
    // The call may have moved to another peer connection meanwhile.
    driver.attach(media);
    if again && lacks() {
        return Err(named_error("NotFoundError", "Nothing replaces the track that has ended"));
    }
    Ok(TaskResult::Done)
}

/// Fails where the call has ended meanwhile.
fn needed(media: &Media) -> Result<(), JsValue> {
    if media.is_released() { Err(aborted()) } else { Ok(()) }
}
