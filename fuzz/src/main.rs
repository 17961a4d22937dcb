//! One program for all targets: `OFFHOOK_FUZZ` names the one that runs.
#![no_main]

use std::sync::OnceLock;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static TARGET: OnceLock<offhook_fuzz::Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        let name = std::env::var("OFFHOOK_FUZZ").unwrap_or_default();
        let target = offhook_fuzz::TARGETS.iter().find(|(known, _)| *known == name);
        target.unwrap_or_else(|| panic!("OFFHOOK_FUZZ names no target: {name:?}")).1
    })(data);
});
