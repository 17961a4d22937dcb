//! Media tasks, each answered exactly once.

use std::rc::Rc;

use gloo_timers::future::TimeoutFuture;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

use super::dom::{aborted, named_error, thrown};
use super::microphone::{Kinds, ended};
use super::peer::Peer;
use super::{Driver, Media};
use crate::client::{Input, TaskId, TaskKind, TaskResult};

/// Starts a task of `peer` and gives the driver its result.
pub fn start(driver: Rc<Driver>, peer: Rc<Peer>, task: TaskId, kind: TaskKind) {
    answer(driver, task, async move |_| match &kind {
        TaskKind::Listen { wait, .. } => peer.hear(*wait).await,
        kind => peer.negotiate(kind).await,
    });
}

/// Gives a call what it sends, or, with `again`, what replaces its video, or its audio, that has ended; and gives the driver the result.
pub fn start_microphone(driver: Rc<Driver>, media: Rc<Media>, task: TaskId, video: bool, again: bool) {
    answer(driver, task, async move |driver| microphone(driver, &media, video, again).await);
}

fn answer(driver: Rc<Driver>, task: TaskId, work: impl AsyncFnOnce(&Driver) -> Result<TaskResult, JsValue> + 'static) {
    spawn_local(async move {
        let result = work(&driver).await.unwrap_or_else(|error| failed(&error));
        driver.input(Input::Answered { task, result });
    });
}

/// Returns the result of a task that failed with `error`.
pub fn failed(error: &JsValue) -> TaskResult {
    TaskResult::Failed(thrown(error))
}

/// See [`start_microphone`]. What the page has given calls to send is never replaced by a device: only by another stream of the page.
async fn microphone(driver: &Driver, media: &Rc<Media>, video: bool, again: bool) -> Result<TaskResult, JsValue> {
    if again {
        // The tracks of a device end one after the other: the shared one may still seem to live.
        TimeoutFuture::new(0).await;
    }
    let lacks = || if again { media.lacks(video) } else { !media.is_open() };
    let theirs = || !again || media.is_theirs(video);
    let page = || media.custom.clone().or_else(|| driver.microphone.adopted().filter(|_| theirs()));
    if lacks() {
        needed(media)?;
        let device = match page() {
            None if !again || !theirs() => {
                let opening = driver.microphone.open(Kinds { audio: !again || !video, video })?;
                Some(media.end.or(&opening).await)
            }
            _ => None,
        };
        needed(media)?;
        // Another task of the same call may have been faster, or the page may have given calls its own stream meanwhile.
        if lacks() {
            let only = again.then_some(video);
            let taken = match (page(), device) {
                (Some(stream), _) => media.take(&stream, only, true),
                (None, Some(device)) => media.take(&device?, only, false),
                (None, None) => [false; 2],
            };
            if taken == [false; 2] {
                return Err(if again {
                    named_error("NotFoundError", "Nothing replaces the track that has ended")
                } else {
                    ended()
                });
            }
        }
    }
    // The call may have moved to another peer connection meanwhile.
    driver.attach(media);
    Ok(TaskResult::Done)
}

/// Fails where the call has ended meanwhile.
fn needed(media: &Media) -> Result<(), JsValue> {
    if media.is_released() { Err(aborted()) } else { Ok(()) }
}
