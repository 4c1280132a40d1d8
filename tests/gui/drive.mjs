// Drives the form in Chromium: steps from standard input, what was seen to standard output.
import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";

const asked = JSON.parse(readFileSync(0, "utf8"));
const { chromium } = createRequire(asked.modules + "/")("playwright-core");
const browser = await chromium.launch({ executablePath: asked.chromium, args: ["--no-sandbox"] });
const context = await browser.newContext({ acceptDownloads: true, viewport: asked.viewport ?? { width: 1400, height: 900 } });
const page = await context.newPage();
page.setDefaultTimeout(60000);

const start = Date.now();
const seen = { console: [], requests: [], results: [] };
page.on("console", message => seen.console.push(`${message.type()}: ${message.text()}`));
page.on("pageerror", error => seen.console.push(`error: ${error.message}`));
context.on("request", request => seen.requests.push(request.url()));

const field = path => page.locator(`[data-path="${path}"]`);
// What was typed is checked after a moment: then nothing is on its way any more.
const settled = async () => { await page.waitForFunction(() => document.getElementById("working").textContent === ""); };
// Opens the section of a setting, and says what its control is.
const opened = path => field(path).evaluate(one => {
  one.closest("details.section").open = true;
  const control = one.querySelector("input, select, textarea");
  return control.type === "checkbox" ? "checkbox" : control.tagName;
});

async function saved(start) {
  const [download] = await Promise.all([page.waitForEvent("download"), start()]);
  return readFileSync(await download.path(), "utf8");
}

const STEPS = {
  set: async ({ path, value }) => {
    const kind = await opened(path);
    const control = field(path).locator("input, select, textarea").first();
    if (kind === "checkbox") await control.setChecked(value);
    else if (kind === "SELECT") await control.selectOption({ label: value });
    else await control.fill(value);
  },
  get: async ({ path }) => field(path).locator("input, select, textarea").first().evaluate(one =>
    one.type === "checkbox" ? one.checked : one.tagName === "SELECT" ? one.selectedOptions[0].textContent : one.value),
  add: async ({ path, name }) => {
    await opened(path);
    await page.locator(`[data-rows="${path}"] > .control select`).selectOption({ label: name });
    await page.locator(`[data-add="${path}"]`).click();
  },
  settled,
  wait: async ({ text, at }) => page.locator(at).filter({ hasText: text }).first().waitFor(),
  click: async ({ at }) => page.locator(at).first().click(),
  type: async ({ text }) => page.keyboard.type(text),
  press: async ({ key, times }) => { for (let i = 0; i < (times ?? 1); i++) await page.keyboard.press(key); },
  // Tab until a control has the focus, as a person does who has no mouse.
  tab: async ({ to, most }) => {
    for (let i = 0; i < (most ?? 200); i++) {
      await page.keyboard.press("Tab");
      if (await page.evaluate(id => document.activeElement?.id === id, to)) return i + 1;
    }
    throw new Error(`no Tab reaches ${to}`);
  },
  save: async () => saved(() => page.locator("#download").click()),
  saveByKeys: async () => saved(() => page.keyboard.press("Control+s")),
  open: async ({ file }) => {
    await page.evaluate(() => { document.getElementById("said").textContent = ""; });
    await page.locator("#file").setInputFiles(file);
    await page.locator("#said").filter({ hasText: /\S/ }).waitFor();
    await settled();
  },
  unfold: async () => page.evaluate(() => { for (const one of document.querySelectorAll("details")) one.open = true; }),
  choose: async ({ at, value }) => { await page.locator(at).selectOption(value); },
  // The settings that a person sees now.
  visible: async () => page.evaluate(() => [...document.querySelectorAll("[data-path]")]
    .filter(one => one.checkVisibility()).map(one => one.dataset.path)),
  offered: async ({ path }) => field(path).locator("option").evaluateAll(options =>
    options.filter(one => !one.hidden).map(one => one.textContent)),
  focus: async () => page.evaluate(() => {
    const style = getComputedStyle(document.activeElement);
    return { id: document.activeElement.id, outline: `${style.outlineStyle} ${style.outlineWidth}` };
  }),
  // What has no name for who does not see it: its id, or its place among the buttons.
  nameless: async () => page.evaluate(() => {
    const controls = [...document.querySelectorAll("input:not([hidden]), select, textarea")];
    const isNamed = one => (one.labels?.[0]?.textContent || one.ariaLabel || "").trim() !== "";
    const isDescribed = one => (one.getAttribute("aria-describedby") ?? "").split(" ")
      .every(id => id === "" || document.getElementById(id));
    const buttons = [...document.querySelectorAll("button")].map(one => (one.ariaLabel || one.textContent).trim());
    return {
      n: controls.length, n_ids: new Set(controls.map(one => one.id)).size,
      controls: controls.filter(one => !isNamed(one) || !isDescribed(one)).map(one => one.id),
      buttons: buttons.filter(name => name === "").length,
    };
  }),
  text: async ({ at }) => page.locator(at).first().textContent(),
  run: async ({ code }) => page.evaluate(code),
  view: async ({ width, height }) => page.setViewportSize({ width, height }),
  shot: async ({ file, full }) => { writeFileSync(file, await page.screenshot({ fullPage: full ?? false })); },
};

try {
  await page.goto(asked.url);
  await settled();
  for (const step of asked.steps) {
    seen.step = { ...step, after: seen.results.length, ms: Date.now() - start };
    seen.results.push((await STEPS[step.do](step)) ?? null);
  }
} catch (error) {
  const said = await page.evaluate(() => ["said", "verdict", "problems", "network-shown", "images-note"].map(id => document.getElementById(id)?.textContent));
  seen.error = `${error.message} ${said}`;
}
await browser.close();
process.stdout.write(JSON.stringify(seen));
