// The demo page, used as a person uses it: by what is written on it and by its buttons.
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { check } from "./check.mjs";
import { pause } from "./world.mjs";

const PICTURES = fileURLToPath(new URL("../../../target/e2e/", import.meta.url));
export const BEFORE = readFileSync(new URL("../www/before.js", import.meta.url), "utf8");

/** The tab of somebody who has signed in. */
export async function demoPage(world, where, name, options = {}) {
  const user = await world.page(where, { own: "/", inject: BEFORE, ...options });
  const { tab } = user;
  user.name = `${name} (${where})`;
  await fill(tab, "user", name);
  await press(tab, "sign-in");
  await tab.waitForSelector("[data-testid=connection][data-connection=connected]", { timeout: 8_000 });
  return tab;
}

export const at = (id) => `[data-testid="${id}"]`;
export const text = (tab, id) => tab.$eval(at(id), (element) => element.textContent.trim());
export const shown = (tab, id, timeout = 8_000) => tab.waitForSelector(at(id), { visible: true, timeout });
export const endsWith = (tab, cause, timeout = 8_000) =>
  tab.waitForFunction(
    (c) => /** @type {HTMLElement} */ (document.querySelector("[data-testid=cause]")).dataset.cause === c,
    { timeout, polling: 100 },
    cause,
  );

export async function fill(tab, id, value) {
  const field = await shown(tab, id);
  await field.evaluate((element) => (element.value = ""));
  await field.type(value);
}

export async function press(tab, id) {
  const button = await shown(tab, id);
  await button.click();
}

export async function shoot(tab, name) {
  mkdirSync(PICTURES, { recursive: true });
  for (const [size, width, height] of [
    ["desktop", 1000, 760],
    ["phone", 375, 760],
  ]) {
    await tab.setViewport({ width, height });
    await pause(80);
    const wide = await tab.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    await tab.screenshot({ path: join(PICTURES, `${name}-${size}.png`) });
    check(!wide, `${name}: wider than a window of ${width} pixels`);
  }
  await tab.setViewport({ width: 1000, height: 760 });
}

/** A 0 that is held is a +. */
export async function holdZero(tab) {
  const zero = await shown(tab, "key-0");
  await zero.evaluate((element) => {
    element.dispatchEvent(new PointerEvent("pointerdown"));
    setTimeout(() => dispatchEvent(new PointerEvent("pointerup")) && element.click(), 650);
  });
}
