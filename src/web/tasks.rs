//! Media tasks: what takes the browser time, each answered exactly once.

use std::rc::Rc;

use wasm_bindgen::prelude::*;

use super::Driver;
use super::dom::{aborted, get_string};
use super::peer::Peer;
use super::task::{settled, spawn};
use crate::client::{Input, MediaError, TaskId, TaskKind, TaskResult};

/// Starts a task of `peer` and tells the driver what came of it.
pub fn start(driver: Rc<Driver>, peer: Rc<Peer>, task: TaskId, kind: TaskKind) {
    spawn(async move {
        let result = perform(&driver, &peer, kind).await.unwrap_or_else(|error| failed(&error));
        driver.input(Input::Answered { task, result });
    });
}

/// What a task comes to that failed with `error`.
pub fn failed(error: &JsValue) -> TaskResult {
    TaskResult::Failed(MediaError { name: get_string(error, "name"), message: get_string(error, "message") })
}

async fn perform(driver: &Rc<Driver>, peer: &Rc<Peer>, kind: TaskKind) -> Result<TaskResult, JsValue> {
    match kind {
        TaskKind::Listen { wait, .. } => peer.hear(wait).await?,
        TaskKind::Microphone { video, .. } => microphone(driver, peer, video).await?,
        kind => return peer.negotiate(&kind).await,
    }
    Ok(TaskResult::Done)
}

async fn microphone(driver: &Rc<Driver>, peer: &Peer, video: bool) -> Result<(), JsValue> {
    let media = &peer.media;
    if media.outgoing().is_none() {
        let source = match media.custom() {
            Some(custom) => Ok(custom.clone()),
            None => settled(media.end.or(driver.microphone.open(video)?)).await,
        };
        // What waited for a call that is over got no stream.
        if media.is_released() {
            return Err(aborted());
        }
        // Another task of the same call may have been faster.
        if media.outgoing().is_none() {
            media.take(&source?);
        }
    }
    // The call may have moved to another peer connection meanwhile.
    for peer in driver.peers_of(media) {
        peer.attach();
    }
    Ok(())
}
