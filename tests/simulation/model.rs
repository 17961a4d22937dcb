//! What may happen to a call, and on what its ends have to agree. Everything else is a bug.
//!
//! A [`View`] is a call as one page saw it. The rules are about all views of one call, the caller's and one for each device that rang.

use std::time::Duration;

use offhook::client::call::EndCause;
use offhook_ua::time::Instant;

/// One call as one page saw it.
#[derive(Clone, Debug)]
pub struct View {
    pub call_id: String,
    pub page: usize,
    pub user: &'static str,
    pub outgoing: bool,
    /// The events of the app, in order.
    pub told: Vec<Told>,
    pub began: Instant,
    pub established: Option<Instant>,
    pub ended: Option<Instant>,
    pub cause: EndCause,
    pub error: Option<String>,
    /// The app ended it, or its client, or the user closed the page.
    pub pressed: Option<Instant>,
    /// The app answered it.
    pub answered: bool,
    /// The page went away before it was told the end.
    pub gone: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Incoming,
    Progressing,
    Established,
    Ended,
}

/// How much later one end may learn of the end of a call than the other where there are no faults, and how long a fork that answered too late may
/// take to end, ms.
const TOGETHER: u64 = 1_000;
const LATE_FORK: u64 = 40_000;

/// Checks the views of one call against the rules. `calm`: there were no faults in this life.
pub fn check(views: &[View], busy: bool, calm: bool) -> Result<(), String> {
    for view in views {
        order(view)?;
        reason(view, views, busy, calm)?;
    }
    established_together(views)?;
    if calm { agreed_in_calm(views) } else { Ok(()) }
}

/// A call ends once, has no event after that, and those before it in the one valid order.
fn order(view: &View) -> Result<(), String> {
    use Told::{Ended, Established, Incoming, Progressing};
    let told = view.told.strip_suffix(&[Ended]).unwrap_or(&view.told);
    let whole = told.len() < view.told.len() || view.gone.is_some();
    let known = match told {
        [] | [Progressing] | [Established] | [Progressing, Established] => view.outgoing,
        [Incoming] | [Incoming, Established] => !view.outgoing,
        _ => false,
    };
    rule(known && whole, view, "was told things in a wrong order, or no end")
}

/// Each end has a reason in the history of some party.
fn reason(view: &View, views: &[View], busy: bool, calm: bool) -> Result<(), String> {
    let Some(ended) = view.ended else { return Ok(()) };
    let others = || views.iter().filter(|other| !std::ptr::eq(*other, view));
    let caller_stopped = || others().any(|other| other.outgoing && other.established.is_none());
    let up = view.established.is_some();
    let lasted = ended - view.began;
    let fine = match view.cause {
        EndCause::None => false,
        // A caller may be told of answer and end before there is media.
        EndCause::HungUp => (up || view.outgoing) && (view.pressed.is_some() || others().any(may_hang_up)),
        // It has an error.
        EndCause::Failure => view.error.as_ref().is_some_and(|error| !error.is_empty()),
        EndCause::Denied if view.outgoing => !up && (busy || others().any(|other| other.pressed.is_some() && !other.outgoing)),
        EndCause::Denied => !up && view.pressed.is_some(),
        EndCause::Canceled if view.outgoing => !up && (view.pressed.is_some() || !calm),
        EndCause::Canceled => !up && (caller_stopped() || others().any(|other| !other.outgoing && other.ended.is_some()) || !calm),
        EndCause::Timeout => !up && view.outgoing && !view.told.contains(&Told::Progressing),
        EndCause::NoAnswer if calm => !up && lasted >= Duration::from_secs(45),
        EndCause::NoAnswer => !up && view.told.len() > 1,
        EndCause::OtherDeviceAnswered => !view.outgoing && !up && others().any(|other| !other.outgoing && other.answered),
    };
    rule(fine, view, "ended for no reason that any side gives")
}

/// Whether this party hung up, went away, or ended the call after a time-out.
fn may_hang_up(view: &View) -> bool {
    view.pressed.is_some() || view.gone.is_some() || view.ended.is_some() && view.cause != EndCause::HungUp
}

/// A party that is told of an established call has a remote party, unless that was told of its end or is gone.
fn established_together(views: &[View]) -> Result<(), String> {
    let up = |outgoing: bool| views.iter().filter(move |view| view.outgoing == outgoing && view.established.is_some());
    for view in up(true) {
        let partner = up(false).next().is_some() || views.iter().any(|other| !other.outgoing && other.gone.is_some());
        rule(partner, view, "was told of an answer that nobody gave")?;
    }
    let stays = |view: &&View| {
        let end = view.ended.or(view.gone);
        end.is_none_or(|end| end - view.established.unwrap_or(end) > Duration::from_millis(LATE_FORK))
    };
    for view in up(false) {
        rule(view.answered, view, "was told of an answer that it did not give")?;
        let caller = views.iter().find(|other| other.outgoing);
        let known = caller.is_none_or(|caller| caller.established.is_some() || caller.ended.is_some() || caller.gone.is_some());
        rule(known, view, "is up alone")?;
    }
    let twice = up(false).filter(stays).nth(1);
    twice.map_or(Ok(()), |view| rule(false, view, "stays up beside another device"))
}

/// Without faults, both parties see the same call.
fn agreed_in_calm(views: &[View]) -> Result<(), String> {
    let Some(caller) = views.iter().find(|view| view.outgoing) else { return Ok(()) };
    let ended = caller.ended.unwrap_or(caller.began);
    for view in views {
        let refused = view.error.as_ref().is_some_and(|error| error.contains("NotAllowed") || error.contains("488"));
        rule(view.cause != EndCause::Failure || refused, view, "failed, and nothing went wrong")?;
        let late_fork = !view.outgoing && view.answered && views.iter().filter(|other| other.answered).count() > 1;
        let together = view.ended.is_some_and(|end| end.max(ended) - end.min(ended) <= Duration::from_millis(TOGETHER));
        // One device of several may end it for itself.
        let alone =
            views.len() > 2 && !view.outgoing && (late_fork || view.cause != EndCause::HungUp && view.cause != EndCause::Canceled);
        rule(together || alone, view, "ended at another time than the caller's side")?;
        let gave_up = matches!(caller.cause, EndCause::HungUp | EndCause::NoAnswer);
        let crossed = caller.pressed.is_some() || gave_up || late_fork || refused || caller.cause == EndCause::Failure;
        let same = view.outgoing || view.established.is_none() || caller.established.is_some();
        rule(same || crossed, view, "is up, and the caller does not know")?;
    }
    Ok(())
}

/// A party with an established call long after the last fault has a remote party with that call.
pub fn check_converged(views: &[View]) -> Result<(), String> {
    let up = |view: &&View| view.established.is_some() && view.ended.is_none() && view.gone.is_none();
    for view in views.iter().filter(up) {
        let partner = views.iter().filter(up).any(|other| other.outgoing != view.outgoing);
        rule(partner, view, "is still up alone")?;
    }
    Ok(())
}

fn rule(holds: bool, view: &View, what: &str) -> Result<(), String> {
    if holds {
        return Ok(());
    }
    let View { call_id, page, told, cause, error, .. } = view;
    let error = error.as_deref().unwrap_or("none");
    Err(format!("{} {what}: told {told:?}, cause {}, error {error}, call {call_id}", super::plan::PAGES[*page], cause.as_str()))
}
