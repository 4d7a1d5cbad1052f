/** examples/denokv_links.ts, two of it on a cluster of which a node is killed. */
import { assertEquals, assertMatch } from "@std/assert";
import { CHECKOUT } from "../../support/checkout.ts";
import { DenokvCluster } from "../../support/denokv/cluster.ts";
import { Process } from "../../support/processes/process.ts";
import { freePorts } from "../../support/temporary.ts";

/** Starts the example at a port, on the database at a URL. */
async function startLinks(url: string, port: number): Promise<Process> {
  const run = ["run", "-q", "--unstable-kv", "-A", "--no-config", "examples/denokv_links.ts"];
  const env = { KV_URL: url, PORT: `${port}`, DENO_KV_ACCESS_TOKEN: "x" };
  const process = Process.start(Deno.execPath(), run, { cwd: CHECKOUT, name: `links ${port}`, env });
  await process.waitForOutput(/Serving http/, { deadlineMs: 60_000 });
  return process;
}

/** Returns the first event of a stream of server-sent events, and closes it. */
async function firstEvent(url: string): Promise<string> {
  const { body } = await fetch(url);
  let text = "";
  for await (const chunk of body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk;
    if (text.includes("\n\n")) break;
  }
  return text.split("\n\n", 1)[0] ?? "";
}

Deno.test("examples: two link servers share links and clicks, also while a node is down", async () => {
  await using denokv = await DenokvCluster.start();
  const { cluster } = denokv;
  const port = freePorts(2);
  const leader = await cluster.waitForLeader();
  const [one = 1, two = 2] = cluster.ids.filter((id) => id !== leader);
  await using _one = await startLinks(denokv.url(one), port);
  await using _two = await startLinks(denokv.url(two), port + 1);
  const [first, second] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${port + 1}`];

  const created = await fetch(`${first}/links`, { method: "POST", body: "https://deno.com/" });
  const short = new URL((await created.text()).trim());
  assertEquals([created.status, short.origin], [201, first]);
  const click = async (server: string): Promise<string | null> => {
    const answer = await fetch(`${server}${short.pathname}`, { redirect: "manual" });
    await answer.body?.cancel();
    return answer.headers.get("location");
  };
  assertEquals([await click(first), await click(second)], ["https://deno.com/", "https://deno.com/"]);
  await cluster.kill(leader);
  assertEquals(await click(second), "https://deno.com/");
  const listed = await (await fetch(`${first}/links`)).json();
  const [, , slug = ""] = short.pathname.split("/");
  assertEquals(listed, [{ slug, url: "https://deno.com/", clicks: 3 }]);
  assertMatch(await firstEvent(`${second}${short.pathname}/clicks`), /^data: 3$/);
});
