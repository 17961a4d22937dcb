# What the scripts share. Source it first: it moves to the top of the repository and puts the pinned tools on PATH.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
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
