// Opens the operators' page in Chromium and uses it as a person would, with the keyboard alone: see
// tests/it/operators_page.rs, which hands over what to expect as JSON. Fails with what is not so.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { isDeepStrictEqual } from 'node:util';

const expected = JSON.parse(process.env.EXPECTED);
const { chromium } = createRequire(`${process.env.HONGYAN_TEST_BROWSER}/`)('playwright-core');
const browser = await chromium.launch({ executablePath: process.env.HONGYAN_TEST_CHROMIUM, args: ['--no-sandbox'] });
const timeout = Number(process.env.HONGYAN_TEST_PATIENCE ?? 60) * 1000;

// A page that notes what should never happen in it.
const noted = [];
async function open(colorScheme, width = 1400) {
  const context = await browser.newContext({ colorScheme, viewport: { width, height: 1000 } });
  context.setDefaultTimeout(timeout);
  const page = await context.newPage();
  const wrong = [];
  noted.push(wrong);
  await context.addInitScript(() => addEventListener('securitypolicyviolation', event =>
    console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`)));
  page.on('pageerror', error => wrong.push(`script: ${error}`));
  page.on('console', message => {
    // A look-up that is refused is told on the page, which is looked at.
    const isRefusal = /Failed to load resource/.test(message.text()) && expected.refused.some(path => message.location().url.includes(path));
    if (['error', 'warning'].includes(message.type()) && !isRefusal) wrong.push(`console: ${message.text()} ${message.location().url}`);
  });
  page.on('request', request => {
    if (new URL(request.url()).origin !== new URL(expected.url).origin) wrong.push(`request: ${request.url()}`);
  });
  await page.goto(expected.url);
  return { page, wrong };
}
const points = (page, id) => page.locator(`#${id} svg`).first().getAttribute('data-points').then(Number);
const focused = page => page.evaluate(() => document.activeElement.id || document.activeElement.name || document.activeElement.textContent.trim());
// Tab, until what has the focus is `wanted`.
async function tabTo(page, wanted, within = '') {
  for (let steps = 0; steps < 80; steps++) {
    await page.keyboard.press('Tab');
    if (await page.evaluate(([selector]) => document.activeElement.matches(selector), [`${within} ${wanted}`])) return;
  }
  assert.fail(`no Tab leads to ${within} ${wanted}; the focus is on ${await focused(page)}`);
}
async function lives(page) {
  await page.locator('#ready', { hasText: expected.ready }).waitFor();
  await page.waitForFunction(() => Number(document.querySelector('#rate svg').dataset.points) >= 3);
}
// Each landmark has a name, each field a label, each plot words, and nothing is wider than the window.
async function isUsable(page) {
  assert.equal(await page.getByRole('banner').count(), 1);
  assert.equal(await page.getByRole('main').count(), 1);
  assert.equal(await page.getByRole('navigation').count(), 1);
  for (const field of await page.locator('input, select').all()) assert.ok(await field.evaluate(it => it.labels[0]?.textContent.trim()), await field.evaluate(it => it.outerHTML));
  for (const drawn of await page.locator('svg').all()) assert.match(await drawn.getAttribute('aria-label'), /now, .+ at most/);
  const ids = await page.evaluate(() => [...document.querySelectorAll('[id]')].map(it => it.id));
  assert.equal(new Set(ids).size, ids.length, 'an id stands twice');
  const wide = await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth ? [] :
    [...document.querySelectorAll('*')].filter(it => it.getBoundingClientRect().right > innerWidth).map(it => it.outerHTML.slice(0, 80)));
  assert.deepEqual(wide, [], 'it is wider than the window');
}

try {
  const { page, wrong } = await open('light');
  if (expected.token) {
    await page.getByRole('heading', { name: /wants its token/ }).waitFor();
    assert.equal(await page.locator('#parts li').count(), 0, 'nothing is told without it');
    for (const given of ['not the token', expected.token]) {
      await tabTo(page, 'input', '#access');
      await page.keyboard.type(given);
      await page.keyboard.press('Enter');
      if (given !== expected.token) await page.locator('#problem', { hasText: /Bearer/ }).waitFor();
    }
    await page.locator('#access').waitFor({ state: 'hidden' });
    assert.ok(!page.url().includes(expected.token));
  }
  await lives(page);
  await isUsable(page);
  const parts = async () => (await page.locator('#parts li').allInnerTexts()).map(text => text.trim().replace(/\s+/g, ' '));
  const deadline = Date.now() + timeout; // a part that was slow is well again by then
  while (!isDeepStrictEqual(await parts(), expected.parts) && Date.now() < deadline) await page.waitForTimeout(100);
  assert.deepEqual(await parts(), expected.parts);
  assert.equal(await page.locator('#projections tbody tr').count(), expected.projections.length);
  for (const name of expected.projections) await page.getByRole('row', { name: new RegExp(`^${name}\\b`) }).waitFor();
  await page.locator('#sockets .now', { hasText: new RegExp(`^${expected.sockets} ${expected.gateways} gateway`) }).waitFor();
  assert.equal(await page.locator('#gateways tbody tr').count(), expected.gateways);
  for (const line of expected.errors) await page.locator('#errors summary', { hasText: line }).first().waitFor();
  if (expected.building) await page.locator('#projections tr', { hasText: expected.building }).getByRole('progressbar').waitFor();

  // Without a mouse: past the header, a pause, and the forms.
  await page.evaluate(() => document.activeElement.blur());
  await tabTo(page, '.skip');
  await page.keyboard.press('Enter');
  assert.equal(await focused(page), 'main');
  for (const { form, fields, path, says } of expected.lookUps) {
    for (const [name, value] of Object.entries(fields)) {
      await page.evaluate(() => document.activeElement.blur());
      await tabTo(page, `[name=${name}]`, `[data-about=${form}]`);
      if (name !== 'kind') await page.keyboard.press('Control+A');
      await page.keyboard.type(value);
    }
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: path, exact: true }).waitFor();
    await page.locator('#result', { hasText: says }).waitFor();
    assert.equal(await focused(page), 'result-title');
  }

  // What is found is shown as text, whatever it holds.
  const shown = await page.evaluate(() => {
    const made = render({ name: '<img src=x onerror=alert(1)>', members: [{ id: 3, role: 'owner' }, { id: 9, nick: null }], tags: ['a', 'b'], none: [] }, 'state');
    return { images: made.querySelectorAll('img').length, rows: made.querySelectorAll('tbody tr').length, heads: made.querySelectorAll('th').length, text: made.textContent };
  });
  assert.deepEqual({ ...shown, text: undefined }, { images: 0, rows: 2, heads: 3, text: undefined });
  assert.ok(shown.text.includes('<img src=x onerror=alert(1)>') && shown.text.includes('a, b'), shown.text);

  await page.screenshot({ path: `${expected.folder}/light.png`, fullPage: true });
  await page.evaluate(() => document.activeElement.blur());
  await tabTo(page, '#pause');
  await page.keyboard.press('Space');
  await page.locator('#ready', { hasText: 'paused' }).waitFor();
  const before = await points(page, 'rate');
  await page.keyboard.press('Space');
  await page.waitForFunction(before => Number(document.querySelector('#rate svg').dataset.points) > before, before);
  assert.deepEqual(wrong, []);

  const paper = page => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await paper(page);
  await page.context().close();
  for (const [scheme, width] of expected.token ? [] : [['dark', 1400], ['dark', 360], ['light', 360]]) {
    const { page, wrong } = await open(scheme, width);
    await lives(page);
    await isUsable(page);
    assert.equal(await paper(page) === light, scheme === 'light', scheme);
    await page.screenshot({ path: `${expected.folder}/${scheme}-${width}.png`, fullPage: true });
    assert.deepEqual(wrong, []);
    await page.context().close();
  }
  await writeFile(`${expected.folder}/done`, '');
} catch (error) {
  const [page] = browser.contexts().flatMap(context => context.pages());
  await page?.screenshot({ path: `${expected.folder}/failed.png`, fullPage: true });
  console.error(await page?.locator('body').innerText(), noted);
  throw error;
} finally {
  await browser.close();
}
