/**
 * The client library in Node (20 or newer) or Bun. In a directory of its own:
 *
 *     deno task pack --output=kvraft.tgz && npm install ./kvraft.tgz && node examples/node_client.mjs
 */
// deno-lint-ignore-file no-console -- a program prints its result
import process from "node:process";
import { KvClient, KvraftError } from "@kvraft/kvraft";

const addresses = process.argv.slice(2);
const cluster = addresses.length > 0 ? addresses : ["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"];

try {
  const client = await KvClient.connect({ cluster, timeoutMs: 10_000 });
  try {
    const { revision } = await client.put("example/greeting", "hello from JavaScript");
    const entry = await client.get("example/greeting");
    console.log(`revision ${revision}: ${new TextDecoder().decode(entry.value)}`);
    const members = await client.cluster.members();
    console.log(`members: ${members.map(({ id, address }) => `${id}=${address}`).join(", ")}`);
  } finally {
    await client.close();
  }
} catch (error) {
  if (!(error instanceof KvraftError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
