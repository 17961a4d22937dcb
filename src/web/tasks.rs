//! Media tasks, each answered exactly once.

use std::rc::Rc;

use gloo_timers::future::TimeoutFuture;
use js_sys::{Error, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::MediaStream;

use super::dom::{aborted, named_error};
use super::microphone::Kinds;
use super::peer::Peer;
use super::{Driver, Media};
use crate::client::{Input, MediaError, TaskId, TaskKind, TaskResult};

/// Starts a task of `peer` and gives the driver its result.
pub fn start(driver: Rc<Driver>, peer: Rc<Peer>, task: TaskId, kind: TaskKind) {
    spawn_local(async move {
        let result = match &kind {
            TaskKind::Listen { wait, .. } => peer.hear(*wait).await,
            TaskKind::Microphone { video, .. } => microphone(&driver, &peer.media, *video).await,
            TaskKind::Reopen { video, .. } => reopen(&driver, &peer.media, *video).await,
            kind => peer.negotiate(kind).await,
        };
        let result = result.unwrap_or_else(failed);
        driver.input(Input::Answered { task, result });
    });
}

/// Returns the result of a task that failed with `error`.
pub fn failed(error: JsValue) -> TaskResult {
    // Not by `instanceof`: a `DOMException` is no `Error`, but has the same two fields.
    let error: Error = error.unchecked_into();
    TaskResult::Failed(MediaError { name: error.name().into(), message: error.message().into() })
}

/// Gives a call what it sends.
async fn microphone(driver: &Rc<Driver>, media: &Rc<Media>, video: bool) -> Result<TaskResult, JsValue> {
    if !media.is_open() {
        let source = match &media.custom {
            Some(custom) => Promise::resolve(custom),
            None => driver.microphone.open(Kinds { audio: true, video })?,
        };
        let source = opened(media, source).await?;
        // Another task of the same call may have been faster.
        if !media.is_open() {
            media.take(&source);
        }
    }
    // The call may have moved to another peer connection meanwhile.
    driver.attach(media);
    Ok(TaskResult::Done)
}

/// Replaces a track that has ended. What a stream of the page lacks then is the page's to replace: nothing else of its user is sent unasked.
async fn reopen(driver: &Rc<Driver>, media: &Rc<Media>, video: bool) -> Result<TaskResult, JsValue> {
    // The tracks of a device end one after the other: the shared one may still seem to live.
    TimeoutFuture::new(0).await;
    if media.lacks(video) {
        let source = match media.custom.clone().or_else(|| driver.microphone.adopted()) {
            Some(custom) => Promise::resolve(&custom),
            None => driver.microphone.open(Kinds { audio: !video, video })?,
        };
        let source = opened(media, source).await?;
        if media.lacks(video) {
            media.take_kind(&source, video);
        }
    }
    driver.attach(media);
    if media.lacks(video) {
        Err(named_error("NotFoundError", "Nothing replaces the track that has ended"))
    } else {
        Ok(TaskResult::Done)
    }
}

/// Waits for a stream that is being opened; fails where the call ends first.
async fn opened(media: &Media, stream: Promise<MediaStream>) -> Result<MediaStream, JsValue> {
    let stream = media.end.or(&stream).await;
    if media.is_released() { Err(aborted()) } else { stream }
}
