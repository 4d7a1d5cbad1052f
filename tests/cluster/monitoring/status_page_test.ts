/** The status page of real nodes: over the wire, and in Chromium where it is installed. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import axe from "axe-core";
import type { Page } from "puppeteer-core";
import { DenoNetwork } from "../../../lib/platform/deno_network.ts";
import { SystemClock } from "../../../lib/platform/system.ts";
import { StatusPage } from "../../../lib/server/status_page/status_page.ts";
import { HttpOverNetwork } from "../../../lib/transport/http_server.ts";
import { eventually } from "../../support/eventually.ts";
import { clusterView, nodeReport, reachable } from "../../support/fakes/member_reports.ts";
import { RecordingLogger } from "../../support/fakes/recording_logger.ts";
import { startChromium } from "../../support/web/chromium.ts";
import { TestCluster } from "../../support/processes/cluster.ts";
import { freePorts } from "../../support/temporary.ts";

const PASSWORD = "the password of root";
/** Without the best practices: those are opinions. */
const RULES = { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] };
const WIDTHS = [390, 1_280];

/** Three nodes with `--http`. */
async function withHttp(): Promise<{
  readonly cluster: TestCluster;
  readonly urlOf: (id: number) => string;
}> {
  const firstPort = freePorts(3);
  const port = (id: number): number => firstPort + id - 1;
  const cluster = await TestCluster.start({ flagsOf: (id) => ["--http", `${port(id)}`] });
  return { cluster, urlOf: (id) => `http://127.0.0.1:${port(id)}` };
}

/** Sends a request whose Host header names `host`; returns the first line of the answer. */
async function statusLineFor(url: string, host: string): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(new URL(url).port) });
  await connection.write(new TextEncoder().encode(`GET /status HTTP/1.1\r\nHost: ${host}\r\n\r\n`));
  const [line = ""] = (await new Response(connection.readable).text()).split("\r\n", 1);
  return line;
}

/** Reads events until one of them is such that `isWanted`. */
async function awaitEvent(
  url: string,
  isWanted: (members: readonly { readonly id: number; readonly kind: string }[], text: string) => boolean,
): Promise<void> {
  const { body } = await fetch(`${url}/status/events`);
  assert(body !== null);
  let text = "";
  for await (const part of body.pipeThrough(new TextDecoderStream())) {
    text += part;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const data = /^data: (.*)$/m.exec(text.slice(0, end))?.[1];
      text = text.slice(end + 2);
      if (data !== undefined && isWanted(JSON.parse(data).members, data)) return;
    }
  }
  throw new Error("the events have ended");
}

Deno.test("status page: a node refuses names of other sites, and its events show that the leader was killed", async () => {
  const { cluster: opened, urlOf } = await withHttp();
  await using cluster = opened;
  const leader = await cluster.waitForLeader();
  const [other = 0] = cluster.ids.filter((id) => id !== leader);
  assertEquals(await statusLineFor(urlOf(other), "rebound.example"), "HTTP/1.1 421 Misdirected Request");
  assertEquals(await statusLineFor(urlOf(other), "127.0.0.1"), "HTTP/1.1 200 OK");
  await awaitEvent(urlOf(other), (members) => members.every(({ kind }) => kind === "reachable"));
  const seen = awaitEvent(
    urlOf(other),
    (members) => members.find(({ id }) => id === leader)?.kind === "unreachable",
  );
  await cluster.kill(leader);
  await eventually("its death is shown", () => seen.then(() => true), { explain: cluster.logs });
});

Deno.test("status page: with authentication a browser is asked for a user, and supervisors are not", async () => {
  const { cluster: opened, urlOf } = await withHttp();
  await using cluster = opened;
  const leader = await cluster.waitForLeader();
  await using client = await cluster.connect();
  await client.auth.addUser("root", { password: PASSWORD });
  await client.auth.grantRole("root", "root");
  await client.auth.enable();
  const refused = await fetch(`${urlOf(leader)}/`);
  assertEquals([refused.status, refused.headers.get("www-authenticate")?.split(" ")[0]], [401, "Basic"]);
  await refused.body?.cancel();
  const authorization = `Basic ${new TextEncoder().encode(`root:${PASSWORD}`).toBase64()}`;
  for (const id of cluster.ids) {
    const answer = await fetch(`${urlOf(id)}/status/cluster.json`, { headers: { authorization } });
    assertEquals([answer.status, JSON.parse(await answer.text()).node], [200, id]);
  }
  for (const path of ["/live", "/ready", "/metrics"]) {
    const answer = await fetch(`${urlOf(leader)}${path}`);
    assertEquals(answer.status, 200, path);
    await answer.body?.cancel();
  }
});

/** Opens a page in Chromium, and passes on what the browser reports of it. */
async function withPage(
  t: Deno.TestContext,
  test: (page: Page, problems: readonly string[]) => Promise<void>,
): Promise<void> {
  const browser = await startChromium();
  if (browser === null) return void await t.step("skipped: Chromium is not installed", () => {});
  try {
    const page = await browser.newPage();
    const problems: string[] = [];
    page.on("console", (message) => void problems.push(message.text()));
    page.on("pageerror", (error) => void problems.push(String(error)));
    await test(page, problems);
  } finally {
    await browser.close();
  }
}

/** Waits until the title of the page is such a one. */
async function awaitTitle(page: Page, title: RegExp, explain: () => string): Promise<void> {
  await eventually(`the title is ${title}`, async () => title.test(await page.title()) || null, { explain });
}

/** Checks the page with axe in both themes, on a phone and on a desk, and that nothing is wider than the screen. */
async function assertAccessible(page: Page, state: string): Promise<void> {
  for (const value of ["light", "dark"]) {
    for (const width of WIDTHS) {
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value }]);
      await page.setViewport({ width, height: 800 });
      const run = `${axe.source}; axe.run(document, ${JSON.stringify(RULES)}).then(({ violations }) =>
        JSON.stringify(violations.map(({ id, nodes }) => [id, nodes[0].html, nodes[0].failureSummary])))`;
      assertEquals(JSON.parse(String(await page.evaluate(run))), [], `${state}, ${value}, ${width} px`);
      const excess = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
      assertEquals(excess, 0, `${state}, ${value}, ${width} px`);
    }
  }
}

Deno.test("status page: in Chromium it shows a cluster and the death of its leader, and axe finds nothing", (t) =>
  withPage(t, async (page, problems) => {
    const { cluster: opened, urlOf } = await withHttp();
    await using cluster = opened;
    const leader = await cluster.waitForLeader();
    const [other = 0] = cluster.ids.filter((id) => id !== leader);
    await page.goto(urlOf(other));
    await page.waitForSelector("#members li:nth-child(3) .facts");
    await awaitTitle(page, /answer|slow|overloaded/, cluster.logs);
    await assertAccessible(page, "three nodes");
    await cluster.kill(leader);
    await page.waitForSelector("#members li.lost");
    await assertAccessible(page, "a dead node");
    assertEquals(problems, []);
    await cluster.kill(other);
    await awaitTitle(page, new RegExp(`^No news from node ${other}`), cluster.logs);
    await assertAccessible(page, "no connection");
  }));

Deno.test("status page: in Chromium, what nodes report stays text", (t) =>
  withPage(t, async (page, problems) => {
    const hostile = `<img src=x onerror="document.title='broken into'"></script><b class=injected>"'&`;
    const report = nodeReport(2, {
      events: [{ atMs: 0, name: hostile, text: hostile, times: 2, node: null }],
      snapshot: { index: 0, bytes: 0, ageMs: null, lastFailure: hostile },
      denoVersion: hostile,
    });
    const view = clusterView(
      { ...reachable(nodeReport(1, { denoVersion: hostile })), address: hostile },
      reachable({ ...report, status: { ...report.status, version: hostile } }),
      { kind: "unreachable", id: 3, address: hostile, reason: hostile },
    );
    const options = { clock: new SystemClock(), logger: new RecordingLogger() };
    const source = {
      view: () => Promise.resolve({ ...view, cluster: hostile }),
      isOwnName: () => false,
      identify: () => Promise.resolve({ isAllowed: () => true }),
    };
    const pages = new StatusPage(source, options);
    const server = new HttpOverNetwork({ ...options, network: new DenoNetwork() })
      .serve({ host: "127.0.0.1", port: 0 }, async (request) => {
        const visitor = await pages.admit(request);
        const answer = "status" in visitor ? visitor : await pages.answer(request.path, visitor);
        return answer ?? { status: 404, contentType: "text/plain", body: "" };
      });
    await page.goto(`http://127.0.0.1:${server.address.port}/`);
    await page.waitForSelector("#events li");
    const text = String(await page.evaluate("document.body.innerText"));
    assert(text.split(hostile).length > 5, "it is shown as it is");
    assertEquals(await page.evaluate("document.querySelectorAll('main img, .injected').length"), 0);
    assertStringIncludes(await page.title(), "Node 3 does not answer");
    assertEquals(problems, []);
    await page.goto("about:blank");
    pages.close();
    await server.close();
  }));
