/**
 * Sells the last pieces of an article: ten buyers for seven pieces, at the same time. A transaction with branches takes a
 * piece, records its buyer and counts the sale in one step, or answers which pieces are left. No piece is sold twice, and
 * the counter is exact.
 *
 *     deno run --allow-net examples/stock.ts
 */
// deno-lint-ignore-file no-console -- a program prints its result
import { counterValue, KvClient } from "@kvraft/kvraft";

const SHOP = `example/stock/${crypto.randomUUID()}`;
const PIECES = `${SHOP}/piece/`;
const SOLD = `${SHOP}/sold`;
const CLUSTER = Deno.args.length > 0 ? Deno.args : ["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"];

/** Takes a piece for a buyer; resolves to how many are sold then, or to null when none is left. */
async function buy(client: KvClient, buyer: string): Promise<bigint | null> {
  let piece = `${PIECES}1`;
  for (;;) {
    const { succeeded, results } = await client.transaction({
      checks: [{ key: piece, exists: true }],
      then: [
        { kind: "delete", key: piece },
        { kind: "put", key: `${SHOP}/buyer/${buyer}`, value: piece },
        { kind: "sum", key: SOLD, operand: 1 },
        { kind: "get", key: SOLD },
      ],
      else: [{ kind: "get", prefix: PIECES, limit: 1 }],
    });
    if (succeeded) {
      const { entry } = results[3];
      return entry === null ? null : counterValue(entry.value);
    }
    const [free] = results[0].entries;
    if (free === undefined) return null;
    piece = new TextDecoder().decode(free.key);
  }
}

await using client = await KvClient.connect({ cluster: CLUSTER });
for (let piece = 1; piece <= 7; piece++) await client.put(`${PIECES}${piece}`, "in stock");
const buyers = Array.from({ length: 10 }, (_, position) => buy(client, `buyer-${position + 1}`));
const sales = (await Promise.all(buyers)).filter((count) => count !== null);
const { results: [sold, owned] } = await client.transaction({
  then: [{ kind: "get", key: SOLD }, { kind: "get", prefix: `${SHOP}/buyer/` }, {
    kind: "delete",
    prefix: SHOP,
  }],
});
const counter = sold.entry === null ? 0n : counterValue(sold.entry.value);
console.log(
  `${sales.length} of ${buyers.length} buyers got a piece; the counter is ${counter}, ${owned.count} are recorded.`,
);
