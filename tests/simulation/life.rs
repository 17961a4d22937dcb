//! One simulated life from sign-in to the last timer, and the rules that must hold at its end.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::model::{View, check, check_converged};
use super::mutants::Mutant;
use super::plan::{PAGES, Plan, USERS};
use super::trace::Trace;
use super::world::{Happening, World};

/// How long after the last fault both ends must agree on each call, ms: longer than a call is kept without media.
const CONVERGE: u64 = 150_000;
/// How long the signalling of a call may go on after its end: 2 × 64 × T1, and the responses to that.
const FAREWELL: u64 = 140_000;
/// How long the last timer runs: that of the registration of a device that is gone.
const REST: u64 = 700_000;

/// The result of a life.
pub struct Lived {
    pub trace: Trace,
    pub views: Vec<View>,
    /// The first rule that was broken, if any.
    pub wrong: Option<String>,
}

/// Runs a plan.
pub fn live(plan: &Plan, mutant: Mutant, trace: Trace) -> Lived {
    let mut world = World::new(plan, mutant, trace);
    let wrong = catch_unwind(AssertUnwindSafe(|| run(&mut world, plan))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panic: {}", text.unwrap_or("of an unknown kind")))
    });
    Lived { trace: world.trace, views: world.views, wrong: wrong.err() }
}

fn run(world: &mut World, plan: &Plan) -> Result<(), String> {
    (0..world.pages.len()).for_each(|page| world.start(page));
    world.run(1_000);
    world.trace.begin(world.now);
    for step in &plan.steps {
        world.later(step.at, Happening::Act(step.page, step.act));
    }
    world.run(plan.steps.iter().map(|step| step.at).max().unwrap_or(0));
    world.heal();
    world.run(CONVERGE);
    each_call(world, |views, _| check_converged(views))?;
    for page in 0..world.pages.len() {
        world.pages[page].living().into_iter().for_each(|id| world.hang_up(page, id));
    }
    world.run(FAREWELL);
    broken(world)?;
    each_call(world, |views, busy| check(views, busy, plan.is_calm()))?;
    nothing_of_calls(world)?;
    (0..world.pages.len()).for_each(|page| world.end_client(page));
    world.run(REST);
    broken(world)?;
    nothing_at_all(world)
}

fn broken(world: &World) -> Result<(), String> {
    world.broken.clone().map_or(Ok(()), Err)
}

/// Checks all views of each call against a rule.
fn each_call(world: &World, rule: impl Fn(&[View], bool) -> Result<(), String>) -> Result<(), String> {
    let mut calls: BTreeMap<&str, Vec<View>> = BTreeMap::new();
    for view in &world.views {
        calls.entry(&view.call_id).or_default().push(view.clone());
    }
    calls.values().try_for_each(|views| rule(views, is_busy(world, &views[0])))
}

/// Whether a device of the callee was in another call, so that it may reject this one.
fn is_busy(world: &World, view: &View) -> bool {
    let others = world.views.iter().filter(|other| other.call_id != view.call_id && other.user != view.user);
    let callee = if view.user == USERS[0] { USERS[1] } else { USERS[0] };
    let overlaps = |other: &View| {
        let starts_before = view.ended.is_none_or(|end| other.began <= end);
        starts_before && other.ended.or(other.gone).is_none_or(|end| end >= view.began)
    };
    world.set.multi == 0 && others.filter(|other| other.user == callee).any(overlaps)
}

/// Checks that nothing is left of any call in pages and media.
fn nothing_of_calls(world: &World) -> Result<(), String> {
    for (number, page) in world.pages.iter().enumerate().filter(|(_, page)| page.open) {
        if !page.client.is_clean() || page.client.has_calls() {
            return Err(format!("{} has something left of a call", PAGES[number]));
        }
    }
    if !world.media.is_empty() {
        return Err("a peer connection was left open".into());
    }
    Ok(())
}

/// Checks that after all pages are closed there is no timer, and no state in the server.
fn nothing_at_all(world: &World) -> Result<(), String> {
    for (number, page) in world.pages.iter().enumerate() {
        if let Some(at) = page.client.deadline() {
            return Err(format!(
                "{} has a timer left, due in {} ms",
                PAGES[number],
                at.millis() as i128 - world.now.millis() as i128
            ));
        }
    }
    if world.server.footprint() + world.open_records() > 0 || !world.is_quiet() {
        return Err(format!("the server remembers {} things and {} calls", world.server.footprint(), world.open_records()));
    }
    Ok(())
}
