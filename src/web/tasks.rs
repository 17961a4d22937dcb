//! Media tasks, each answered exactly once.

use std::rc::Rc;

use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

use super::Driver;
use super::dom::{aborted, thrown};
use super::media::has_tracks;
use super::peer::Peer;
use crate::client::{Input, TaskId, TaskKind, TaskResult};

/// Starts a task of `peer` and gives the driver its result.
pub fn start(driver: Rc<Driver>, peer: Rc<Peer>, task: TaskId, kind: TaskKind) {
    spawn_local(async move {
        let result = match &kind {
            TaskKind::Listen { wait, .. } => peer.hear(*wait).await,
            TaskKind::Microphone { video, .. } => microphone(&driver, &peer, *video).await,
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

async fn microphone(driver: &Rc<Driver>, peer: &Peer, video: bool) -> Result<TaskResult, JsValue> {
    let media = &peer.media;
    if !has_tracks(&media.local) {
        let source = match &media.custom {
            Some(custom) => Promise::resolve(custom),
            None => driver.microphone.open(video)?,
        };
        let source = media.end.or(&source).await;
        // The call may have ended while the microphone was opened.
        if media.is_released() {
            return Err(aborted());
        }
        // Another task of the same call may have been faster.
        if !has_tracks(&media.local) {
            media.take(&source?);
        }
    }
    // The call may have moved to another peer connection meanwhile.
    driver.attach(media);
    Ok(TaskResult::Done)
}
