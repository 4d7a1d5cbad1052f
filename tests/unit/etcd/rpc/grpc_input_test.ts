/** Messages that clients of gRPC send: what the server holds of them, and what it refuses. */
import { assertEquals } from "@std/assert";
import {
  GrpcStream,
  MAX_MESSAGE_BYTES,
  MAX_STREAM_MESSAGE_BYTES,
  readMessage,
} from "../../../../lib/etcd/rpc/grpc.ts";
import { EtcdError } from "../../../../lib/etcd/rpc/status.ts";
import { FLAG } from "../../../../lib/web/http2/protocol.ts";
import type { WebRequest } from "../../../../lib/web/mod.ts";
import { settle } from "../../../support/fakes/manual_clock.ts";
import { dataFrame } from "../../../support/web/http2_client.ts";
import { WebScene } from "../../../support/web/web_scene.ts";

const FRAME_BYTES = 16_000;

/** Returns the prefix of a message as the text of a frame. */
function prefix(length: number): string {
  return String.fromCharCode(0, length >>> 24, length >>> 16 & 255, length >>> 8 & 255, length & 255);
}

/** Reads a body that arrives in frames; resolves to what was read, or to the code and text of the refusal. */
async function outcomeOf<T>(
  frames: readonly string[],
  read: (request: WebRequest) => Promise<T>,
): Promise<T | readonly [number, string] | null> {
  let outcome: T | readonly [number, string] | null = null;
  await using scene = new WebScene({
    handler: async (request) => {
      try {
        outcome = await read(request);
      } catch (error) {
        if (!(error instanceof EtcdError)) throw error;
        outcome = [error.code, error.message];
      }
    },
  });
  const client = await scene.http2();
  await client.send(client.headers(1));
  for (const [index, frame] of frames.entries()) {
    await client.send(dataFrame(1, frame, index === frames.length - 1 ? FLAG.endStream : 0));
    await settle();
  }
  return outcome;
}

function framesOf(body: string): readonly string[] {
  return Array.from(
    { length: Math.ceil(body.length / FRAME_BYTES) },
    (_, index) => body.slice(index * FRAME_BYTES, (index + 1) * FRAME_BYTES),
  );
}

Deno.test("readMessage: what has arrived of a message that is not complete is counted as held", async () => {
  await using scene = new WebScene({ handler: async (request) => void await readMessage(request) });
  const client = await scene.http2();
  for (const stream of [1, 3, 5]) {
    await client.send(client.headers(stream), dataFrame(stream, `${prefix(50_000)}${"x".repeat(995)}`));
  }
  await client.sync(1);
  assertEquals(scene.server.counts().heldBytes, 3_000);
});

Deno.test("readMessage: a body has one message of at most 2 MiB", async () => {
  const expected = [13, "grpc: a request with one message was expected"] as const;
  const length = async (request: WebRequest): Promise<number> => (await readMessage(request)).length;
  assertEquals(await outcomeOf([`${prefix(2)}`, "a", "b"], length), 2);
  assertEquals(await outcomeOf([...`${prefix(2)}ab`], length), 2);
  assertEquals(await outcomeOf([""], length), expected);
  assertEquals(await outcomeOf([`${prefix(1)}a${prefix(0)}`], length), expected);
  for (const cut of ["\0\0", `${prefix(2)}a`]) {
    assertEquals(await outcomeOf([cut], length), [13, "grpc: the stream ended within a message"]);
  }
  const largest = `${prefix(MAX_MESSAGE_BYTES)}${"x".repeat(MAX_MESSAGE_BYTES)}`;
  assertEquals(await outcomeOf(framesOf(largest), length), MAX_MESSAGE_BYTES);
  const larger = `${prefix(MAX_MESSAGE_BYTES + 1)}${"x".repeat(MAX_MESSAGE_BYTES + 1)}`;
  const text = "grpc: received message larger than max (2097153 vs. 2097152)";
  assertEquals(await outcomeOf(framesOf(larger), length), [8, text]);
});

Deno.test("GrpcStream: a message of a stream that is too large is refused by its prefix", async () => {
  const length = async (request: WebRequest): Promise<number | null> =>
    (await new GrpcStream(request).read())?.length ?? null;
  const largest = `${prefix(MAX_STREAM_MESSAGE_BYTES)}${"x".repeat(MAX_STREAM_MESSAGE_BYTES)}`;
  assertEquals(await outcomeOf(framesOf(largest), length), MAX_STREAM_MESSAGE_BYTES);
  assertEquals(await outcomeOf([prefix(MAX_STREAM_MESSAGE_BYTES + 1)], length), [
    8,
    "grpc: received message larger than max (16385 vs. 16384)",
  ]);
});
