/**
 * A program with Deno's own KV, run with `--unstable-kv`: fills a database file, or the database at a URL, with values of every
 * encoding.
 */
const [path = ""] = Deno.args;
using kv = await Deno.openKv(path);
await kv.set(["users", 17n], { name: "Ada" });
await kv.set(["odd", 1.5, -0, NaN, true, new Uint8Array([1, 0, 255])], "text");
await kv.set(["visits"], new Deno.KvU64(7n));
await kv.set(["photo"], new Uint8Array([1, 2, 3]));
await kv.set(["session"], "for a day", { expireIn: 86_400_000 });
// KV Connect has no queues.
if (!path.startsWith("http")) {
  await kv.enqueue({ mail: 1 }, { delay: 3_600_000 });
  await kv.enqueue({ mail: 2 }, { delay: 3_600_000 });
}
