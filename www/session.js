// Signing in: a ticket from the gateway, a SinchClient, and what the SDK says about its connection.

/** @import { Client, ConnectionState } from "../tests/www.d.ts" */

import { DEMO_APPLICATION, demoTicket } from "./tickets.js";

/**
 * @param {string} userId
 * @param {(client: Client) => void} prepare gets the client before it starts: a call may already be waiting for this person
 * @param {(state: ConnectionState) => void} onConnection
 */
export async function signIn(userId, prepare, onConnection) {
  if (typeof window.SinchClient !== "function") throw new Error("The SDK did not load: /offhook.js is missing on this server.");
  const userTicket = await demoTicket(userId);
  const client = new window.SinchClient({
    applicationKey: DEMO_APPLICATION,
    capabilities: { calling: true },
    supportActiveConnection: true,
    startActiveConnection: true,
  });
  client.getCallClient().addEventListener({ onConnectionState: onConnection });
  client.addEventListener({ onTokenWillExpire: async () => client.updateToken(await demoTicket(userId)) });
  try {
    prepare(client);
    await client.start({ userTicket });
  } catch (error) {
    client.terminate();
    throw error;
  }
  return client;
}
