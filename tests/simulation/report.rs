//! Many lives, shared between the cores: how they ended, and the smallest plan that still shows a failure.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use offhook::client::call::EndCause;

use super::life::{Lived, live};
use super::mutants::Mutant;
use super::plan::Plan;
use super::trace::Trace;

/// After so many failures no more lives are run.
const ENOUGH: u64 = 50;

/// The counts of all lives.
#[derive(Default)]
pub struct Report {
    pub lives: u64,
    pub calls: u64,
    calm: u64,
    /// Calls by how the caller's side and the callee's ended.
    outcomes: BTreeMap<String, u64>,
    counts: BTreeMap<&'static str, u64>,
    codes: BTreeMap<u16, u64>,
}

/// A life that broke a rule.
pub struct Failure {
    pub seed: u64,
    pub wrong: String,
}

impl Report {
    fn add(&mut self, plan: &Plan, lived: &Lived) {
        self.lives += 1;
        self.calm += u64::from(plan.is_calm());
        for view in lived.views.iter().filter(|view| view.outgoing) {
            self.calls += 1;
            let up = if view.established.is_some() { "answered, " } else { "" };
            let end = match (view.gone, view.cause) {
                (Some(_), _) => "caller's page gone".to_owned(),
                (_, EndCause::Failure) => format!("FAILURE ({})", view.error.as_deref().unwrap_or_default()),
                (_, cause) => cause.as_str().to_owned(),
            };
            *self.outcomes.entry(format!("{up}{end}")).or_default() += 1;
        }
        self.merge(&lived.trace.counts, &lived.trace.codes);
    }

    fn merge(&mut self, counts: &BTreeMap<&'static str, u64>, codes: &BTreeMap<u16, u64>) {
        counts.iter().for_each(|(what, count)| *self.counts.entry(what).or_default() += count);
        codes.iter().for_each(|(code, count)| *self.codes.entry(*code).or_default() += count);
    }

    fn take(&mut self, other: Self) {
        self.lives += other.lives;
        self.calls += other.calls;
        self.calm += other.calm;
        other.outcomes.into_iter().for_each(|(what, count)| *self.outcomes.entry(what).or_default() += count);
        self.merge(&other.counts, &other.codes);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} calls in {} lives, {} of them without any fault", self.calls, self.lives, self.calm)?;
        let mut table = |title: &str, rows: Vec<(u64, String)>| {
            writeln!(f, "\n{title}")?;
            let mut rows = rows;
            rows.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
            rows.iter().try_for_each(|(count, what)| writeln!(f, "{count:>10}  {what}"))
        };
        table(
            "How calls ended, as the caller saw it:",
            self.outcomes.iter().map(|(what, count)| (*count, what.clone())).collect(),
        )?;
        table(
            "What people, pages and the network did:",
            self.counts.iter().map(|(what, count)| (*count, (*what).to_owned())).collect(),
        )?;
        table("Answers that reached pages:", self.codes.iter().map(|(code, count)| (*count, code.to_string())).collect())
    }
}

/// Runs seeds from `first` on until there were `calls` calls, or many failures. Each 64th life is run twice, which must be the same.
pub fn simulate(first: u64, calls: u64) -> (Report, Vec<Failure>) {
    let (next, made, failed) = (AtomicU64::new(first), AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        let (mut report, mut failures) = (Report::default(), Vec::new());
        while made.load(Ordering::Relaxed) < calls && failed.load(Ordering::Relaxed) < ENOUGH {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let plan = Plan::draw(seed);
            let lived = if seed % 64 == 0 { live_twice(&plan) } else { live(&plan, Mutant::None, Trace::default()) };
            let before = report.calls;
            report.add(&plan, &lived);
            made.fetch_add(report.calls - before, Ordering::Relaxed);
            if let Some(wrong) = lived.wrong {
                failed.fetch_add(1, Ordering::Relaxed);
                failures.push(Failure { seed, wrong });
            }
        }
        (report, failures)
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let mut all = (Report::default(), Vec::new());
    thread::scope(|scope| {
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for handle in handles {
            let (report, failures) = handle.join().expect("a life that panics is caught");
            all.0.take(report);
            all.1.extend(failures);
        }
    });
    all.1.sort_by_key(|failure| failure.seed);
    all
}

/// One failure of each kind: they differ in more than numbers and names of calls.
pub fn kinds(failures: &[Failure]) -> Vec<&Failure> {
    let mut kinds: BTreeMap<String, &Failure> = BTreeMap::new();
    for failure in failures {
        let kind = failure.wrong.split(", call").next().unwrap_or_default().replace(|c: char| c.is_ascii_digit(), "");
        kinds.entry(kind).or_insert(failure);
    }
    kinds.into_values().collect()
}

fn live_twice(plan: &Plan) -> Lived {
    let (first, mut second) = (live(plan, Mutant::None, Trace::with_sum()), live(plan, Mutant::None, Trace::with_sum()));
    if first.trace.sum != second.trace.sum {
        second.wrong.get_or_insert("the same seed twice gave two different lives".into());
    }
    second
}

/// Returns the smallest plan that still fails, when steps are left out and faults of the network turned off one by one.
pub fn shrink(plan: &Plan, mutant: Mutant) -> Plan {
    let fails = |plan: &Plan| live(plan, mutant, Trace::default()).wrong.is_some();
    let mut best = plan.clone();
    loop {
        let smaller = simpler(&best).into_iter().find(&fails);
        match smaller {
            Some(plan) => best = plan,
            None => return best,
        }
    }
}

fn simpler(plan: &Plan) -> Vec<Plan> {
    let mut all: Vec<Plan> = Vec::new();
    for left_out in 0..plan.steps.len() {
        let mut smaller = plan.clone();
        smaller.steps.remove(left_out);
        all.push(smaller);
    }
    let mut set = |change: &dyn Fn(&mut Plan)| {
        let mut smaller = plan.clone();
        change(&mut smaller);
        if smaller != *plan {
            all.push(smaller);
        }
    };
    set(&|plan| plan.set.doubled = 0);
    set(&|plan| plan.set.late = 0);
    set(&|plan| plan.set.slow = 0);
    set(&|plan| plan.set.lost = 0);
    set(&|plan| plan.set.digest = 0);
    set(&|plan| plan.set.trunk = 0);
    set(&|plan| plan.set.multi = 0);
    set(&|plan| {
        if plan.steps.iter().all(|step| step.page < 2) {
            plan.set.devices = 2;
        }
    });
    all
}

/// Returns a life for people to read: plan, ladder, and the failure.
pub fn tell(plan: &Plan) -> String {
    let lived = live(plan, Mutant::None, Trace::with_ladder());
    let ladder = lived.trace.ladder.unwrap_or_default().join("\n");
    let wrong = lived.wrong.map_or_else(|| "all is well".to_owned(), |wrong| format!("WRONG: {wrong}"));
    format!("{plan}\n\n{ladder}\n\n{wrong}\n")
}
