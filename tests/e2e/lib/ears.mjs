// When the sound is back: how much of it arrives at a page, looked at every 40 ms; and what the page is told of outages.

/** Begins to listen to the first call of a page: to its events and, with `sound`, to how much arrives. */
export function listen(user, sound = true) {
  return user.run((hearing) => {
    const { call } = e2e.calls[0];
    /** @type {HTMLMediaElement} */
    const player = document.querySelector("#incoming");
    const samples = [];
    window.ears = { samples, told: [] };
    const note = (what) => () => window.ears.told.push({ at: Date.now(), what });
    call.addEventListener({ onReconnecting: note("call reconnecting"), onReconnected: note("call reconnected") });
    e2e.client.getCallClient().addEventListener({ onReconnecting: note("reconnecting"), onReconnected: note("reconnected") });
    if (!hearing) return;
    const look = async () => {
      // Without an element that plays it, browsers count no energy.
      if (call.incomingStream && player.srcObject !== call.incomingStream) player.srcObject = call.incomingStream;
      const open = seen.peers.filter(({ peer }) => peer.signalingState !== "closed");
      for (const { peer } of open) {
        for (const entry of (await peer.getStats()).values()) {
          if (entry.type !== "inbound-rtp" || entry.kind !== "audio") continue;
          samples.push({
            at: Date.now(),
            id: seen.peers.findIndex((known) => known.peer === peer),
            energy: entry.totalAudioEnergy ?? 0,
            packets: entry.packetsReceived,
          });
        }
      }
      if (open.length) setTimeout(look, 40);
    };
    look();
  }, sound);
}

/**
 * How long after `moment` (ms since 1970) the first audible sound came, ms; null: none did. Packets must have come again, and then more
 * than a twentieth of the energy of before `calm`.
 */
export async function soundAfter(user, moment, calm) {
  const { samples } = await user.run(() => window.ears);
  const before = samples.filter(({ at }) => at < calm);
  const [first, last] = [before[0], before.at(-1)];
  const usual = (last.energy - first.energy) / (last.at - first.at);
  // The call may have gone on with another peer connection.
  const own = samples.filter(({ id }) => id === samples.at(-1).id);
  const old = own.findLast(({ at }) => at < moment) ?? { packets: 0 };
  const after = own.filter(({ at, packets }) => at >= moment && packets > old.packets);
  const start = own[own.indexOf(after[0]) - 1] ?? after[0];
  const heard = after.find(({ at, energy }) => energy - start.energy > 0.05 * usual * Math.max(20, at - start.at));
  return heard ? heard.at - moment : null;
}

/** What the page was told of outages since it began to listen. */
export const told = async (user) => (await user.run(() => window.ears.told)).map(({ what }) => what);

/** When it was told so, ms after `moment`. */
export const toldAt = async (user, what, moment) => {
  const found = (await user.run(() => window.ears.told)).find((event) => event.what === what && event.at >= moment);
  return found ? found.at - moment : null;
};
