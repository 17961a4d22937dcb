// The one AudioContext of a page. Browsers let it speak after the first click or key press.

let shared = null;

export function audioContext() {
  shared ??= new AudioContext();
  if (shared.state === "suspended") shared.resume().catch(() => {});
  return shared;
}

/** Lets sound start as soon as the person touches the page: a ringtone comes when nobody is clicking. */
export function unlockAudio() {
  const unlock = () => audioContext();
  addEventListener("pointerdown", unlock, { once: true });
  addEventListener("keydown", unlock, { once: true });
}
