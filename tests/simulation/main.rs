//! Real clients, the real proxy, and a network with faults: many seeded lives in virtual time against a small model of what may happen
//! ([`model`]). `scripts/simulate 1000000` runs a million calls; `scripts/simulate --seed N` shows one life as a ladder.
#![cfg(not(target_arch = "wasm32"))]

mod browser;
mod dice;
mod life;
mod media;
mod model;
mod mutants;
mod page;
mod plan;
mod report;
mod server;
mod trace;
mod trunk;
mod world;

use life::live;
use mutants::Mutant;
use plan::Plan;
use report::{kinds, shrink, simulate, tell};
use trace::Trace;

#[test]
fn random_lives_keep_the_rules() {
    run(0, 20_000);
}

/// Lives that once broke a rule, as plans with the ladders that they have now. `BLESS=1` writes the ladders.
#[test]
fn kept_lives_keep_the_rules() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/simulation/kept");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("the folder is there").map(|file| file.expect("a file").path()).collect();
    files.sort();
    for file in files {
        let kept = std::fs::read_to_string(&file).expect("a text");
        let (head, ladder) = kept.split_once("\n---\n").unwrap_or((&kept, ""));
        let told = tell(&head.parse().expect("a plan"));
        let new = told.split_once("\n\n").expect("plan and ladder").1;
        assert!(new.trim_end().ends_with("all is well"), "{}: {told}", file.display());
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&file, format!("{}\n---\n{new}", head.trim_end())).expect("the file can be written");
        } else {
            assert_eq!(new, ladder, "{} has another ladder now; BLESS=1 keeps the new one", file.display());
        }
    }
}

/// The simulator must find each of these within some hundred lives.
#[test]
fn clients_and_servers_that_are_wrong_are_found() {
    for mutant in Mutant::ALL {
        let found = (0..2_000).find_map(|seed| live(&Plan::draw(seed), mutant, Trace::default()).wrong.map(|wrong| (seed, wrong)));
        let (seed, wrong) = found.unwrap_or_else(|| panic!("{mutant:?} was not found"));
        let plan = shrink(&Plan::draw(seed), mutant);
        println!("{mutant:?} is found by seed {seed}, and by {} steps: {wrong}", plan.steps.len());
        assert!(plan.steps.len() <= 6, "{mutant:?}: {plan}");
    }
}

#[test]
#[ignore = "as long as one likes: scripts/simulate"]
fn as_many_as_asked_for() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    if let Some(seed) = number("SIMULATE_SEED") {
        return println!("{}", tell(&Plan::draw(seed)));
    }
    run(number("SIMULATE_FROM").unwrap_or(1_000_000), number("SIMULATE_CALLS").unwrap_or(10_000));
}

/// Runs many lives; reports one of each kind of failure, in as few steps as still show it.
fn run(first: u64, calls: u64) {
    let (report, failures) = simulate(first, calls);
    println!("{report}");
    for failure in kinds(&failures) {
        let plan = shrink(&Plan::draw(failure.seed), Mutant::None);
        println!("\nseed {}: {}\n\n{}", failure.seed, failure.wrong, tell(&plan));
    }
    let seeds: Vec<u64> = failures.iter().map(|failure| failure.seed).collect();
    assert!(seeds.is_empty(), "{} lives went wrong; scripts/simulate --seed N shows all of one: {seeds:?}", seeds.len());
}
