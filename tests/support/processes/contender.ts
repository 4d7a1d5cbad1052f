/**
 * A program that takes a lock or wins an election, and then writes the key `resource` whenever the key `write/<label>` is
 * put. It never looks at the signal by which it would learn that it has lost the lock: tests suspend it, and what it
 * writes afterwards must be refused by the check alone.
 *
 * Arguments: `lock` or `elect`, `fenced` or `unfenced`, the time to live in milliseconds, the name, its label, the
 * addresses of the nodes.
 */
// deno-lint-ignore-file no-console -- a program prints what happens
import { KvClient } from "../../../lib/mod.ts";

const [kind = "lock", mode = "fenced", ttl = "10000", name = "", label = "", ...cluster] = Deno.args;
const ttlMs = Number(ttl);
const client = await KvClient.connect({ cluster, timeoutMs: 30_000 });
const held = kind === "elect"
  ? await client.elect(name, label, { ttlMs })
  : await client.lock(name, { ttlMs });
console.log(`${label} holds ${held.fencingToken}`);
for await (const batch of client.watch({ key: `write/${label}`, progress: true, resync: true })) {
  if (batch.kind === "progress") {
    console.log(`${label} is ready`);
    continue;
  }
  const { succeeded } = await client.transaction({
    checks: mode === "fenced" ? [held.check] : [],
    then: [{ kind: "put", key: "resource", value: `${held.fencingToken}` }],
  });
  console.log(`${label} ${succeeded ? "wrote" : "was refused"}`);
}
