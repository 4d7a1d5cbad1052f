/**
 * The npm package etcd3 against one endpoint, given as an argument: values, transactions, watches, leases, a lock and an
 * election. Prints "done", or throws. It runs in Node and in Deno.
 */
import assert from "node:assert/strict";
import process from "node:process";

/** By a variable, since it is installed only where the program runs. */
const CLIENT = "etcd3";
const { Etcd3 } = await import(CLIENT);
const [, , endpoint, prefix] = process.argv;
const client = new Etcd3({ hosts: endpoint });
const kv = client.namespace(prefix);

await kv.put("a").value("1");
assert.equal(await kv.get("a").string(), "1");
assert.equal(await kv.get("none").string(), null);
for (const name of ["b", "c", "d"]) await kv.put(name).value(name);
assert.deepEqual(await kv.getAll().strings(), { a: "1", b: "b", c: "c", d: "d" });
assert.deepEqual(await kv.getAll().sort("Create", "Descend").limit(2).keys(), ["d", "c"]);

const answer = await kv.if("a", "Value", "==", "1").then(kv.put("a").value("2")).else(kv.get("a")).commit();
assert.equal(answer.succeeded, true);
assert.equal(
  (await kv.if("none", "Create", "==", 0).then(kv.get("a")).commit()).responses[0].response_range.kvs[0].value
    .toString(),
  "2",
);

const events = [];
const watcher = await kv.watch().prefix("w/").create();
const three = new Promise((resolve) => {
  const take = (kind) => (pair) => {
    events.push(`${kind} ${pair.key.toString()}`);
    if (events.length === 3) resolve();
  };
  watcher.on("put", take("put"));
  watcher.on("delete", take("delete"));
});
await kv.put("w/x").value("1");
await kv.put("w/y").value("2");
await kv.delete().key("w/x");
await three;
assert.deepEqual(events, ["put w/x", "put w/y", "delete w/x"]);
await watcher.cancel();

const lease = kv.lease(60);
await lease.put("leased").value("1");
assert.equal(await kv.get("leased").string(), "1");
await lease.revoke();
assert.equal(await kv.get("leased").string(), null);

const lock = kv.lock("lock");
await lock.acquire();
await assert.rejects(kv.lock("lock").acquire());
await lock.release();
await kv.lock("lock").do(() => kv.put("under lock").value("1"));

const election = kv.election("election", 10);
const campaign = election.campaign("me");
await new Promise((resolve, reject) => {
  campaign.on("elected", resolve);
  campaign.on("error", reject);
});
assert.equal(await election.leader(), "me");
await campaign.resign();

assert.ok(Number(await kv.delete().all().exec().then(({ deleted }) => deleted)) > 0);
client.close();
// deno-lint-ignore no-console -- the output of this program
console.log("done");
process.exit(0);
