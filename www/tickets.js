// The demo application of the gateway signs tickets for anybody, but only on the machine it runs on. A real page gets the ticket
// from its own server, which knows who has logged in.

export const DEMO_APPLICATION = "demo";

/**
 * @param {string} userId
 * @returns {Promise<string>} a user ticket for `start({ userTicket })`
 */
export async function demoTicket(userId) {
  const response = await ask(userId);
  const answer = await response.json().catch(() => ({}));
  if (response.ok && typeof answer.userTicket === "string") return answer.userTicket;
  if (response.status === 403) {
    throw new Error("The demo only signs in people on the gateway's own machine: open this page as http://localhost there.");
  }
  if (response.status === 404 || response.status === 405) {
    throw new Error("This server has no demo application. Is it an Offhook gateway with the demo switched on?");
  }
  if (response.status === 429) throw new Error("Too many attempts. Wait a moment and try again.");
  throw new Error(answer.message || `The gateway refused to sign in ${userId} (HTTP ${response.status}).`);
}

/** @param {string} userId */
async function ask(userId) {
  try {
    return await fetch("demo/ticket", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ userId }),
    });
  } catch {
    throw new Error("The gateway does not answer. Is it still running?");
  }
}
