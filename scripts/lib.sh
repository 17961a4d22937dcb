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
# The linker's own choice is a stack of 1 MiB, which every page would hold; a call takes 5 KiB of it, a panic's message some more.
build_wasm() {
  # no-install: a tool of another version is an error here, not a silent download.
  CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="-Clink-arg=-zstack-size=131072" \
    wasm-pack build --mode no-install --release --target web --no-pack --out-dir "$ROOT/$2" --out-name "$3" "$1" -- --locked \
    || fail "wasm-pack could not build $1. If it names a missing or different wasm-bindgen or wasm-opt, run scripts/setup; else read the compiler's message."
}
