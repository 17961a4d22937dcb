// The one AudioContext of a page. Browsers let it speak after the first click or key press.

let shared = null;

export function audioContext() {
  shared ??= new AudioContext();
  if (shared.state === "suspended") shared.resume().catch(() => {});
  return shared;
}

/** Whether the context really runs: without a sound device Firefox never starts it. */
export async function audioRuns() {
  const context = audioContext();
  if (context.state === "running") return true;
  const changed = new Promise((resolve) => context.addEventListener("statechange", resolve, { once: true }));
  const tooLong = new Promise((resolve) => setTimeout(resolve, 500));
  await Promise.race([changed, tooLong]);
  return context.state === "running";
}

/** Lets sound start as soon as the person touches the page: a ringtone comes when nobody is clicking. */
export function unlockAudio() {
  const unlock = () => audioContext();
  addEventListener("pointerdown", unlock, { once: true });
  addEventListener("keydown", unlock, { once: true });
}
