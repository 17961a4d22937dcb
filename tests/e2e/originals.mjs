// Pages written for the original SDK, in a browser: www/original.html has the form of the public samples.
import { check, same, soon } from "./lib/check.mjs";

/** A test number of the gateway that answers. */
const ANSWERS = "+46000000000";

export default function suite(test) {
  for (const where of ["chromium", "firefox"]) {
    test(`${where}: after a number that is none the button lives, and the next call goes through`, 40, (world) => badNumber(world, where));
    test(`${where}: a page that asks for messages calls, and is told that it cannot send them`, 40, (world) => messages(world, where));
    test(`${where}: habits of old pages are borne with, and the console says what is better`, 40, (world) => habits(world, where));
  }
}

/** The page with a user who is signed in. */
async function open(world, where) {
  const user = await world.page(where, { page: "original.html" });
  const login = { username: world.name("old"), password: "a secret" };
  await user.run(async (login) => e2e.client.start(await e2e.client.newUser(login)), login);
  return user;
}

const lines = (user, list = "call-log") =>
  user.run((list) => [...document.querySelectorAll(`#${list} li`)].map((line) => line.textContent), list);

/** Fills a form in and presses its button, as a person does. */
async function submit(user, button, fields) {
  for (const [id, text] of Object.entries(fields)) {
    await user.tab.$eval(`#${id}`, (field, text) => (field.value = text), text);
  }
  await user.tab.click(`#${button}`);
}

async function dial(user, number) {
  const before = (await lines(user)).length;
  await submit(user, "call", { number });
  return async () => (await lines(user)).slice(before);
}

const buttons = (user) => user.run(() => ["call", "hangup"].map((id) => document.querySelector(`#${id}`).matches(":enabled")));

async function badNumber(world, where) {
  const user = await open(world, where);
  const said = await dial(user, "0701234567");
  await soon(async () => same(await buttons(user), [true, false], "call and hang up, after a bad number"));
  await soon(async () => same((await said()).length, 2, "what is said"));
  const [end, failure] = await said();
  same(end, "Call ended: FAILURE", "how it ended");
  check(failure.startsWith("Failure: A phone number begins with + and the country code"), failure);
  check(!(await user.run(() => e2e.sip())).includes("> INVITE"), "nothing was sent");
  same([await user.open(), await user.run(() => seen.tracks.length)], [{ tracks: 0, peers: 0 }, 0], "no microphone was opened");
  const heard = await dial(user, ANSWERS);
  await soon(async () => check((await heard()).includes("Answered"), `the next call: ${await heard()}`), 15_000);
  await user.tab.click("#hangup");
  await soon(async () => same((await heard()).at(-1), "Call ended: HUNG_UP", "how that ended"));
}

async function messages(world, where) {
  const user = await open(world, where);
  await submit(user, "send", { recipient: "bob", message: "Hello" });
  const expected = ["Not sent: Text messages are not available yet: nothing was sent", "and the promise fails, too"];
  await soon(async () => same(await lines(user, "message-log"), expected, "the message"));
  const said = await dial(user, ANSWERS);
  await soon(async () => check((await said()).includes("Ringing..."), "calls work"), 5_000);
  await user.tab.click("#hangup");
  await soon(async () => same((await said()).at(-1), "Call ended: CANCELED", "how it ended"));
}

async function habits(world, where) {
  const user = await open(world, where);
  const said = await dial(user, ANSWERS);
  await soon(async () => check((await said()).includes("Ringing..."), "it rings"), 5_000);
  const invite = await user.run(() => seen.sip.find(({ out, text }) => out && text.startsWith("INVITE ")).text);
  check(!/^X-Header/im.test(invite), `a string is no header: ${invite}`);
  const warnings = await user.run(() => e2e.warnings);
  const wanted = ["addEventListener({ onIncomingCall: function", "The headers of a call are an object", "the other side answers it"];
  same(
    wanted.map((words, i) => warnings[i]?.includes(words)),
    [true, true, true],
    `the console: ${warnings}`,
  );
  same(warnings.length, 3, `no other warning: ${warnings}`);
  await user.tab.click("#hangup");
  await soon(async () => same(await buttons(user), [true, false], "call and hang up, after the call"));
}
