/** Calls of the services for locks and elections, which wait for other clients, and the keys of their queues. */
import { assert, assertEquals } from "@std/assert";
import type { KvClient } from "../../../lib/mod.ts";
import { eventually } from "../eventually.ts";
import type { GrpcTestClient } from "./grpc_client.ts";
import type { Message } from "./messages.ts";

/** Returns the keys with a prefix. */
export async function keysOf(kv: KvClient, prefix: string): Promise<readonly string[]> {
  const { entries } = await kv.list({ prefix });
  return entries.map(({ key }) => new TextDecoder().decode(key)).toSorted();
}

/** Waits until there are exactly these keys with a prefix. */
export async function untilKeysAre(kv: KvClient, prefix: string, keys: readonly string[]): Promise<void> {
  await eventually(`the keys of ${prefix} are ${keys}`, async () => {
    assertEquals(await keysOf(kv, prefix), keys);
    return true;
  });
}

/** Waits until there are so many keys with a prefix. */
export async function untilCountIs(kv: KvClient, prefix: string, count: number): Promise<void> {
  await eventually(`${prefix} has ${count} keys`, async () => {
    assertEquals((await keysOf(kv, prefix)).length, count);
    return true;
  });
}

/** Begins a request with one answer, or one whose answers are a stream; returns the id of its stream. */
export async function begin(client: GrpcTestClient, method: string, request: Message): Promise<number> {
  const id = await client.open(method);
  await client.send(id, request);
  await client.halfClose(id);
  return id;
}

/** Returns the answer to a request that was begun. */
export async function answer(client: GrpcTestClient, id: number): Promise<Message> {
  const next = await client.next(id);
  const { code, message } = await client.status(id);
  assertEquals([code, message], [0, ""]);
  return next as Message;
}

/** Returns the answer to a request that succeeds. */
export async function call(client: GrpcTestClient, method: string, request: Message): Promise<Message> {
  const { code, message, messages: [first = null] } = await client.call(method, request);
  assert(code === 0 && first !== null, `${method}: ${code} ${message}`);
  return first;
}
