# What the scripts share. Source it first: it moves to the top of the repository and puts the pinned tools on PATH.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/offhook
source scripts/versions

# npm's wasm-opt comes before any of the system: Debian's is 24 versions older and makes a larger file.
export PATH="$ROOT/tests/node_modules/.bin:${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
export CARGO_TERM_PROGRESS_WHEN=never

say() { printf '\n== %s\n' "$*"; }
fail() { printf '\nFAILED: %s\n' "$*" >&2; exit 1; }

# version_is TOOL VERSION. No pipe: under pipefail, `| head -1` ends geckodriver's long text with an error and the tool looks missing.
version_is() {
  local text
  command -v "$1" >/dev/null && text=$("$1" --version 2>/dev/null) && [[ "${text%%$'\n'*} " == *[\ v]"$2"[\ -]* ]]
}

# In a network and process namespace of its own, where the system lets us: nothing that a browser does can leave the machine, and none
# outlives its tests. Firefox looks for candidates only where there is a default route.
offline() {
  local spaces=(--net --pid --fork --kill-child --mount-proc)
  local prepare='PATH="$PATH:/usr/sbin:/sbin"; ip link set lo up && ip route replace default dev lo src 127.0.0.1'
  if unshare "${spaces[@]}" sh -c "$prepare" 2>/dev/null; then
    unshare "${spaces[@]}" sh -c "$prepare && exec \"\$@\"" offline "$@"
  else
    "$@"
  fi
}

# build_wasm CRATE OUT NAME: a crate as the wasm and the JavaScript that pages load.
# The standard library is compiled with the SDK, for size, and a panic is a trap without a message: 6 of 90 kB. (A debug build has the
# messages: `wasm-pack build --dev`.) The compiler calls these flags unstable; rust-toolchain.toml pins it, so they mean what they meant.
# How much is inlined, what loops keep in variables, what is computed early and what is joined late was tried for what is smallest after
# brotli: 1.6 of 66 kB. The passes at the end are those that LLVM keeps for -O3: arguments behind references become values where they can,
# so that they need no place in memory. That is 0.8 kB.
# The linker's own choice is a stack of 1 MiB, which every page would hold; a call takes 5 KiB of it.
build_wasm() {
  local small="-Zunstable-options -Cpanic=immediate-abort -Zlocation-detail=none -Zfmt-debug=none -Zmir-opt-level=3"
  small+=" -Zinline-mir-threshold=120 -Zinline-mir-hint-threshold=40 -Zinline-mir-forwarder-threshold=60"
  small+=" -Cllvm-args=-disable-lsr -Cllvm-args=-enable-pre=false -Cllvm-args=-disable-licm-promotion"
  small+=" -Cllvm-args=-sink-common-insts=false"
  local clean="function(sroa,instcombine<no-verify-fixpoint>,simplifycfg)"
  small+=" -Cpasses=ipsccp,globalopt,cgscc($clean,argpromotion,inline),$clean,cgscc(argpromotion),$clean,deadargelim,globaldce"
  export RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=std,panic_abort CARGO_UNSTABLE_BUILD_STD_FEATURES=optimize_for_size
  export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="$small -Clink-arg=-zstack-size=65536"
  # no-install: a tool of another version is an error here, not a silent download.
  wasm-pack build --mode no-install --release --target web --no-pack --out-dir "$ROOT/$2" --out-name "$3" "$1" -- --locked \
    || fail "wasm-pack could not build $1. If it names a missing or different wasm-bindgen or wasm-opt, run scripts/setup; else read the compiler's message."
}
