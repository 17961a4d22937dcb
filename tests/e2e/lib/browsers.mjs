// The two browsers of the tests, headless, driven by puppeteer-core. Each instance has a microphone that plays one known tone, so that
// what is heard tells whose microphone it is.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import puppeteer from "puppeteer-core";
import { wav } from "./tone.mjs";

/** Instance name → which browser, and the tone of its microphone in Hz. */
export const INSTANCES = {
  chromium: { kind: "chrome", tone: 1234 },
  firefox: { kind: "firefox", tone: 700 },
  chromium2: { kind: "chrome", tone: 880 },
  firefox2: { kind: "firefox", tone: 1500 },
  "chromium that refuses": { kind: "chrome", tone: 1234, refuses: true },
  "firefox that refuses": { kind: "firefox", tone: 700, refuses: true },
  "chromium without a microphone": { kind: "chrome", tone: 1234, without: true },
  "firefox without a microphone": { kind: "firefox", tone: 700, without: true },
  // With gc() in its pages; takes any certificate.
  "chromium with gc()": { kind: "chrome", tone: 1234, collects: true },
  "throttled chromium": { kind: "chrome", tone: 1234, throttles: true },
  "throttled firefox": { kind: "firefox", tone: 700, throttles: true },
};

/** Browser instances, started when first asked for and kept until close(). */
export class Browsers {
  #folder = mkdtempSync(join(tmpdir(), "offhook-e2e-"));
  #running = new Map();

  get(name) {
    if (!this.#running.has(name)) this.#running.set(name, this.#launch(name));
    return this.#running.get(name);
  }

  async #launch(name) {
    const { kind, tone, refuses, without, throttles, collects } = INSTANCES[name];
    const common = { browser: kind, headless: true, protocolTimeout: 60_000, defaultViewport: { width: 1000, height: 700 } };
    if (kind === "firefox") {
      return puppeteer.launch({
        ...common,
        executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr",
        extraPrefsFirefox: firefoxPrefs(tone, refuses, without, throttles),
      });
    }
    const file = join(this.#folder, `${tone}.wav`);
    writeFileSync(file, wav(tone));
    return puppeteer.launch({
      ...common,
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: [
        ...chromiumArgs(without ? null : file, refuses, throttles),
        ...(collects ? ["--js-flags=--expose-gc", "--ignore-certificate-errors"] : []),
      ],
      ignoreDefaultArgs: UNLIKE_A_USER(throttles),
    });
  }

  async close() {
    // An instance that nobody closes stays behind as an orphan: allSettled, so that one failure leaves none of the others.
    await Promise.allSettled([...this.#running.values()].map(async (browser) => (await browser).close()));
    this.#running.clear();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** What puppeteer turns off and users have: the back/forward cache, and, in a browser of its own, slow timers in hidden tabs. */
const UNLIKE_A_USER = (throttles) => [
  "--disable-back-forward-cache",
  ...(throttles
    ? ["--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding"]
    : []),
];

const chromiumArgs = (microphone, refuses, throttles) => [
  // Once a minute, as after five minutes behind another tab.
  ...(throttles ? ["--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/5"] : []),
  "--no-sandbox",
  "--no-first-run",
  "--disable-gpu",
  "--disable-quic",
  "--disable-sync",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-domain-reliability",
  "--metrics-recording-only",
  "--no-pings",
  "--mute-audio",
  "--autoplay-policy=no-user-gesture-required",
  "--allow-loopback-in-peer-connection",
  `--use-fake-ui-for-media-stream${refuses ? "=deny" : ""}`,
  ...(microphone ? ["--use-fake-device-for-media-stream", `--use-file-for-fake-audio-capture=${microphone}`] : []),
  "--disable-features=WebRtcHideLocalIpsWithMdns,OptimizationHints,MediaRouter,Translate,CertificateTransparencyComponentUpdater",
];

const firefoxPrefs = (tone, refuses, without, throttles) => ({
  "media.navigator.streams.fake": !without,
  "media.navigator.audio.fake_frequency": tone,
  "media.navigator.permission.disabled": !refuses,
  // Granted, not only unasked: without it Firefox offers no loopback candidate.
  "permissions.default.camera": 1,
  "permissions.default.microphone": refuses ? 2 : 1,
  "media.peerconnection.ice.loopback": true,
  "media.peerconnection.ice.obfuscate_host_addresses": false,
  "media.autoplay.default": 0,
  "media.autoplay.blocking_policy": 0,
  // Two pages call each other and only one tab is in front: the other must run at full speed too.
  ...(throttles ? {} : { "dom.min_background_timeout_value": 4, "dom.timeout.enable_budget_timer_throttling": false }),
  "media.gmp-manager.updateEnabled": false,
  "media.gmp-provider.enabled": false,
  "app.update.enabled": false,
  "app.normandy.enabled": false,
  "toolkit.telemetry.enabled": false,
  "toolkit.telemetry.unified": false,
  "datareporting.policy.dataSubmissionEnabled": false,
  "datareporting.healthreport.uploadEnabled": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "network.dns.disablePrefetch": true,
  "network.trr.mode": 5,
  "network.prefetch-next": false,
  "services.settings.server": "http://127.0.0.1:9/",
  "browser.safebrowsing.malware.enabled": false,
  "browser.safebrowsing.phishing.enabled": false,
  "browser.region.update.enabled": false,
  "browser.startup.page": 0,
  "extensions.update.enabled": false,
  "extensions.getAddons.cache.enabled": false,
  "dom.push.connection.enabled": false,
  "security.OCSP.enabled": 0,
});
