/** The JSON gateway of real nodes, as Patroni uses it: a leader key with a lease, and a watch that is read line by line. */
import { assertEquals } from "@std/assert";
import { EtcdCluster } from "../../support/etcd/cluster.ts";

const [FIRST, END] = ["/service/", "/service0"].map(btoa);
const LEADER = btoa("/service/leader");
const MEMBER = btoa("/service/members/a");

/** Sends a request; resolves to the answer, of a stream to its first line. */
async function post(url: string, path: string, body: unknown): Promise<Record<string, unknown>> {
  const response = await fetch(`${url}/v3/${path}`, { method: "POST", body: JSON.stringify(body) });
  assertEquals(response.headers.get("content-type"), "application/json");
  const { header: _header, ...answer } = await response.json();
  return answer;
}

/** Returns the messages of a stream as they come. */
async function* messagesOf(response: Response): AsyncGenerator<Record<string, unknown>> {
  let rest = "";
  for await (const part of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const lines = (rest + part).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) yield JSON.parse(line).result;
  }
}

/** Returns type and key of the events of a message. */
function eventsOf({ events }: Record<string, unknown>): readonly string[] {
  if (!Array.isArray(events)) return [];
  return events.map(({ type = "PUT", kv: { key } }) => `${type} ${atob(key)}`);
}

Deno.test("etcd gateway: the requests of Patroni, with a watch at one node and writes at another", async () => {
  await using cluster = await EtcdCluster.start();
  const [one = "", other = ""] = cluster.addresses.map((address) => `http://${address}`);
  const keys = { key: FIRST, range_end: END };

  const lease = await post(one, "lease/grant", { TTL: 30 });
  assertEquals(lease["TTL"], "30");
  assertEquals(await post(one, "kv/range", { ...keys, serializable: true }), {});

  const watching = new AbortController();
  const watched = await fetch(`${other}/v3/watch`, {
    method: "POST",
    body: JSON.stringify({ create_request: { ...keys, start_revision: "2", filters: [] } }),
    signal: watching.signal,
  });
  const messages = messagesOf(watched);
  assertEquals((await messages.next()).value?.["created"], true);

  const put = { key: LEADER, value: btoa("a"), lease: lease["ID"] };
  const acquire = {
    compare: [{ target: "CREATE", create_revision: "0", key: LEADER }],
    success: [{ request_put: put }],
  };
  assertEquals((await post(one, "kv/txn", acquire))["succeeded"], true);
  assertEquals((await post(other, "kv/txn", acquire))["succeeded"], undefined);
  assertEquals(await post(one, "kv/put", { key: MEMBER, value: btoa("{}"), lease: lease["ID"] }), {});
  assertEquals(
    await post(one, "lease/keepalive", { ID: lease["ID"] }).then(({ result }) => typeof result),
    "object",
  );
  assertEquals(await post(one, "kv/put", { key: MEMBER, value: btoa("{}") }), {});
  assertEquals(await post(one, "kv/deleterange", keys), { deleted: "2" });

  const seen: string[] = [];
  while (seen.length < 5) seen.push(...eventsOf((await messages.next()).value ?? {}));
  assertEquals(seen, [
    "PUT /service/leader",
    "PUT /service/members/a",
    "PUT /service/members/a",
    "DELETE /service/leader",
    "DELETE /service/members/a",
  ]);
  watching.abort();
});
