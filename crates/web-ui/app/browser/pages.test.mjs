// The pages in a real browser against a running stack: tests/e2e/tests/web_ui.rs starts both and sets
// STORE_URL, PREFIX_URL (the same store's pages under a prefix), ROUTER_URL and CHROMIUM. With SHOTS, a
// folder, every page is also drawn there in both themes, wide and narrow.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import puppeteer from 'puppeteer-core';

const { STORE_URL, PREFIX_URL, ROUTER_URL, CHROMIUM, SHOTS } = process.env;
/** Where a page may go: nowhere else. */
const OURS = [STORE_URL, PREFIX_URL, ROUTER_URL];
const MANY = 5000;
/** Rows that may be in the page at once, however long the list. */
const IN_VIEW = 300;

let browser;
/** What no page may cause: errors on the console, exceptions, failed requests. */
const complaints = [];
/** Requests that are expected to fail while a test runs. */
let announced = [];

before(async () => {
  browser = await puppeteer.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] });
});
after(async () => {
  await browser?.close();
});

async function open(url, { width = 1280, height = 900 } = {}) {
  const page = await browser.newPage();
  await page.setViewport({ width, height });
  page.on('console', (message) => message.type() === 'error' && !announced.some((text) => message.text().includes(text)) && complaints.push(`${url}: ${message.text()}`));
  page.on('pageerror', (error) => complaints.push(`${url}: ${error}`));
  page.on('requestfailed', (request) => request.failure()?.errorText !== 'net::ERR_ABORTED' && complaints.push(`${request.url()}: ${request.failure()?.errorText}`));
  page.on('request', (request) => ![...OURS, 'data:', 'blob:'].some((ours) => request.url().startsWith(ours)) && complaints.push(`foreign request: ${request.url()}`));
  await page.goto(url, { waitUntil: 'load' });
  return page;
}

const text = (page, selector = 'main') => page.$eval(selector, (element) => element.innerText);
const button = (page, name) => page.locator(`::-p-aria([name="${name}"][role="button"])`);

async function waitForText(page, wanted, selector = 'main') {
  await page
    .waitForFunction((s, w) => document.querySelector(s)?.innerText.includes(w), { timeout: 30_000 }, selector, wanted)
    .catch(async () => assert.fail(`waited in vain for ${JSON.stringify(wanted)} in:\n${(await text(page, selector)).slice(0, 2000)}`));
}

/** Where an element is once it stays the same one: a graph is made anew for each answer. */
async function settledBox(page, selector) {
  for (let round = 0; round < 100; round += 1) {
    await page.waitForSelector(selector);
    const same = await page.evaluate(async (s) => {
      const first = document.querySelector(s);
      await new Promise((done) => setTimeout(done, 400));
      return first === document.querySelector(s) && !document.querySelector('.spin');
    }, selector);
    const box = same ? await (await page.$(selector))?.boundingBox() : null;
    if (box) return box;
  }
  return assert.fail(`${selector} does not come to rest`);
}

/** A store that has just begun has no line to draw yet. */
async function samplesAreThere(count) {
  const query = encodeURIComponent(`min(count_over_time(fw_browser_temperature[1m])) >= ${count}`);
  for (let left = 300; left > 0; left -= 1) {
    const { data } = await (await fetch(`${STORE_URL}/api/v1/query?query=${query}`)).json();
    if (data.result.length > 0) return;
    await new Promise((done) => setTimeout(done, 200));
  }
  assert.fail(`there are no ${count} samples`);
}

test('a query with completion, its graph, zoom, and the link to it', async () => {
  await samplesAreThere(10);
  const page = await open(`${STORE_URL}/`);
  assert.equal(new URL(page.url()).pathname, '/query');
  await page.waitForSelector('.cm-content');
  await page.click('.cm-content');
  await page.keyboard.type('fw_browser_tem');
  await page.waitForSelector('.cm-tooltip-autocomplete');
  await waitForText(page, 'fw_browser_temperature', '.cm-tooltip-autocomplete');
  await new Promise((done) => setTimeout(done, 200));
  await page.keyboard.press('Enter');
  await waitForText(page, 'fw_browser_temperature', '.cm-content');
  await page.keyboard.press('Enter');
  await waitForText(page, 'room="<img src=x onerror=window.hacked=1>"', '[data-testid=table]');
  assert.equal(await page.evaluate(() => window.hacked), undefined, 'text of metrics is text');
  assert.match(await text(page, '[data-testid=stats]'), /3 series .* samples/);

  await button(page, 'Graph').click();
  await page.waitForSelector('[data-testid=graph] canvas');
  const range = await page.$('input[aria-label=Range]');
  await range.click({ clickCount: 3 });
  await page.keyboard.type('1m');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => new URL(location.href).searchParams.get('g0.range_input') === '1m');
  // A minute of samples makes lines that can be seen, an hour of them need not.
  await page.waitForFunction(() => {
    const canvas = document.querySelector('[data-testid=graph] canvas');
    if (!canvas) return false;
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let strong = 0;
    for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200 && Math.max(data[i], data[i + 1], data[i + 2]) - Math.min(data[i], data[i + 1], data[i + 2]) > 60) strong += 1;
    return strong > 20;
  });
  const before = '1m';
  const over = await settledBox(page, '.u-over');
  await page.mouse.move(over.x + over.width * 0.4, over.y + 50);
  await page.mouse.down();
  await page.mouse.move(over.x + over.width * 0.98, over.y + 60, { steps: 5 });
  await page.mouse.up();
  await page.waitForFunction((old) => new URL(location.href).searchParams.get('g0.range_input') !== old, {}, before);
  assert.ok(new URL(page.url()).searchParams.get('g0.end_input'), 'a zoomed graph has an end');

  const shared = await open(page.url());
  await shared.waitForSelector('[data-testid=graph] canvas');
  assert.match(await text(shared, '.cm-content'), /fw_browser_temperature/);
  await page.goBack();
  assert.equal(new URL(page.url()).searchParams.get('g0.range_input'), before, 'back takes the zoom back');
  await page.close();
  await shared.close();
});

test('old links, errors, stacked graphs, heatmaps, the tree, CSV', async () => {
  const page = await open(`${STORE_URL}/graph?g0.expr=fw_browser_temperature&g0.tab=0&g0.stacked=1&g0.range_input=5m`);
  assert.equal(new URL(page.url()).pathname, '/query');
  await page.waitForSelector('[data-testid=graph] canvas');
  assert.equal(await page.$eval('button[aria-pressed=true]', (b) => b.innerText), 'Graph');
  await page.goto(`${STORE_URL}/query?g0.expr=fw_browser_seconds_bucket&g0.tab=graph&g0.display_mode=heatmap&g0.range_input=5m`);
  await page.waitForSelector('[data-testid=heatmap] canvas');
  await page.goto(`${STORE_URL}/query?g0.expr=${encodeURIComponent('sum(fw_browser_temperature) > 1')}&g0.tab=explain`);
  await waitForText(page, 'aggregation sum');
  await waitForText(page, '3 series');
  announced = ['400'];
  await page.goto(`${STORE_URL}/query?g0.expr=${encodeURIComponent('sum(')}&g0.tab=table`);
  await waitForText(page, 'parse error');
  announced = [];
  await page.close();
});

test('a down target is found with its error, among thousands', async () => {
  const page = await open(`${STORE_URL}/targets`);
  await waitForText(page, `of ${MANY} up`);
  const rows = await page.$$eval('[role=listitem]', (all) => all.length);
  assert.ok(rows < IN_VIEW, `${rows} rows in the page`);
  await page.evaluate(() => window.scrollTo(0, document.body.scrollHeight));
  await waitForText(page, 'many-999');
  await page.type('input[type=search]', 'job="broken"');
  await waitForText(page, 'connection refused');
  await page.waitForFunction(() => document.querySelectorAll('[data-health]').length === 1);
  await button(page, 'More').click();
  await waitForText(page, 'source_labels: ["__address__"]');
  await page.close();
});

for (const [path, wanted] of [
  ['service-discovery', 'many-0'],
  ['rules', 'Many0'],
  ['alerts', 'Many0'],
  ['explore', 'fw_browser_many_0'],
]) {
  test(`${path} with ${MANY} entries`, async () => {
    const page = await open(`${STORE_URL}/${path}`);
    await waitForText(page, wanted);
    const rows = await page.$$eval('[role=listitem]', (all) => all.length);
    assert.ok(rows > 3 && rows < IN_VIEW, `${rows} rows in the page`);
    const begun = Date.now();
    await page.evaluate(() => window.scrollTo(0, document.body.scrollHeight));
    await page.waitForFunction((n) => [...document.querySelectorAll('[role=listitem]')].some((row) => Number(row.ariaPosInSet) > n), {}, MANY - 10);
    await page.type('input[type=search]', '4998');
    await page.waitForFunction(() => Number(document.querySelector('[role=listitem]')?.ariaSetSize) < 10);
    assert.ok(Date.now() - begun < 15_000, 'it stays fluid');
    await page.close();
  });
}

test('a metric is found by what it means', async () => {
  const page = await open(`${STORE_URL}/explore`);
  await page.locator('input[type=search]').fill('degrees of the room');
  await waitForText(page, '1 of ');
  await page.locator('button.pick').click();
  await waitForText(page, '3 series now');
  await waitForText(page, 'gauge');
  await page.close();
});

test('the pages work under a prefix', async () => {
  const page = await open(`${PREFIX_URL}/`);
  assert.ok(page.url().startsWith(`${PREFIX_URL}/query`), page.url());
  await page.waitForSelector('.cm-content');
  await page.locator('::-p-aria([name="Flags"][role="link"])').click();
  await waitForText(page, '--web.route-prefix');
  assert.equal(page.url(), `${PREFIX_URL}/flags`);
  await page.close();
});

test('an alert is silenced, and says by what', async () => {
  const page = await open(`${ROUTER_URL}/`);
  await waitForText(page, `${MANY.toLocaleString('en-US')} active`);
  const rows = await page.$$eval('[role=listitem]', (all) => all.length);
  assert.ok(rows < IN_VIEW, `${rows} rows in the page`);
  await page.type('input[type=search]', 'number="17"');
  await waitForText(page, '1 alerts in 1 groups');
  assert.match(await text(page), /<b>bold<\/b>/, 'annotations are text');
  await page.locator('[data-alert] a.button').click();
  await waitForText(page, '1 alert hit now');
  assert.ok(page.url().includes('#/silences/new'));
  await page.locator('input[name=createdBy]').fill('A. Tester');
  await page.locator('textarea[name=comment]').fill('it is known');
  await button(page, 'Silence').click();
  await waitForText(page, 'it is known');
  await waitForText(page, '1 alert hit now');
  const id = page.url().split('/').pop();
  await page.goto(`${ROUTER_URL}/#/alerts?filter=${encodeURIComponent('{number="17"}')}`);
  await waitForText(page, `Silenced by ${id.slice(0, 8)}`);
  await page.goto(`${ROUTER_URL}/#/silences`);
  await button(page, 'Expire').click();
  await button(page, 'Really expire it').click();
  await waitForText(page, 'No silences');
  await page.close();
});

test('where an alert would go, and what was sent', async () => {
  const page = await open(`${ROUTER_URL}/#/routing`);
  await page.locator('#question').fill('severity="page", cluster="c1"');
  await button(page, 'Ask').click();
  await waitForText(page, 'in the group', '[role=status]');
  assert.match(await text(page, '[role=status]'), /pager/);
  assert.equal(await page.$$eval('.route.hit', (all) => all.length), 1);
  await page.goto(`${ROUTER_URL}/#/history`);
  await waitForText(page, 'webhook[0]');
  await page.close();
});

const PAGES = [
  ...['query', 'explore', 'alerts?search=Many1', 'rules?search=Many1', 'targets?search=broken', 'service-discovery?search=broken', 'tsdb-status', 'status', 'config', 'flags'].map((p) => [`store-${p.split('?')[0]}`, `${STORE_URL}/${p}`]),
  ...['alerts', 'silences', 'silences/new', 'history', 'routing', 'status'].map((p) => [`router-${p.replace('/', '-')}`, `${ROUTER_URL}/#/${p}`]),
];

for (const [name, url] of PAGES) {
  test(`${name}: both themes, desktop and phone, keyboard and screen readers`, async () => {
    for (const [theme, width, height] of [
      ['light', 1280, 900],
      ['dark', 1280, 900],
      ['light', 390, 844],
      ['dark', 390, 844],
    ]) {
      const page = await open('about:blank', { width, height });
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: theme }]);
      await page.goto(url);
      await page.waitForSelector('main h1');
      await page.waitForFunction(() => !document.querySelector('.loading'));
      const seen = await page.evaluate(() => ({
        theme: document.documentElement.dataset.theme,
        overflow: document.documentElement.scrollWidth - window.innerWidth,
        nameless: [...document.querySelectorAll('button, input, select, textarea, a[href]')]
          .filter((e) => !(e.getAttribute('aria-label') || e.innerText?.trim() || e.labels?.length || e.title))
          .map((e) => e.outerHTML.slice(0, 120)),
        current: document.querySelectorAll('nav [aria-current=page]').length,
      }));
      assert.equal(seen.theme, theme);
      assert.ok(seen.overflow <= 0, `${name} is ${seen.overflow} px too wide at ${width}`);
      assert.deepEqual(seen.nameless, []);
      assert.equal(seen.current, 1);
      await page.keyboard.press('Tab');
      assert.equal(await page.evaluate(() => document.activeElement?.className), 'skip', 'the first stop of the keyboard skips the navigation');
      if (SHOTS) await page.screenshot({ path: `${SHOTS}/${name}-${theme}-${width}.png` });
      await page.close();
    }
  });
}

test('no page complained', () => assert.deepEqual(complaints, []));
