/** Streams of gRPC: messages that are written without a pause leave together. */
import { assert, assertEquals } from "@std/assert";
import { concat } from "@std/bytes";
import { GrpcStream, refuse } from "../../../../lib/etcd/rpc/grpc.ts";
import { EtcdError } from "../../../../lib/etcd/rpc/status.ts";
import type { WebRequest } from "../../../../lib/web/mod.ts";
import { MemoryWebRequest } from "../../../support/fakes/web_exchange.ts";
import { WebScene } from "../../../support/web/web_scene.ts";

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

Deno.test("GrpcStream: messages of one turn are one part, each with its prefix, in order", async () => {
  const request = new MemoryWebRequest();
  const stream = new GrpcStream(request);
  stream.write(bytes(1, 2));
  stream.writeParts(bytes(3), bytes(4, 5));
  stream.writeParts(bytes(), bytes());
  assertEquals([stream.unsentBytes, request.answer?.written.length], [20, 0]);
  await Promise.resolve();
  assertEquals(stream.unsentBytes, 0);
  stream.write(new Uint8Array(300));
  stream.end(null);
  assertEquals(request.answer?.written, [
    bytes(0, 0, 0, 0, 2, 1, 2, 0, 0, 0, 0, 3, 3, 4, 5, 0, 0, 0, 0, 0),
    concat([bytes(0, 0, 0, 1, 44), new Uint8Array(300)]),
  ]);
});

Deno.test("GrpcStream: a large message is sent behind those before it, and is not copied", () => {
  const request = new MemoryWebRequest();
  const stream = new GrpcStream(request);
  const large = new Uint8Array(20_000).fill(7);
  stream.write(bytes(1));
  stream.writeParts(bytes(8, 9), large);
  assertEquals(stream.unsentBytes, 0);
  const written = request.answer?.written ?? [];
  assertEquals(concat(written), concat([bytes(0, 0, 0, 0, 1, 1), bytes(0, 0, 0, 78, 34, 8, 9), large]));
  assert(written.at(-1) === large, "the part itself is passed on");
});

Deno.test("GrpcStream: streams share the bytes of the same messages, and of no others", async () => {
  const [event, other] = [bytes(10, 11), bytes(10, 12)];
  const [first, second] = [bytes(1), bytes(2)];
  const lists = [
    [first, event, second, event],
    [first, event, second, event],
    [second, event, first, event],
    [first, event, second, other],
    [first, event],
  ];
  const written: (readonly Uint8Array[] | undefined)[] = [];
  for (const parts of lists) {
    const request = new MemoryWebRequest();
    const stream = new GrpcStream(request);
    for (let at = 0; at < parts.length; at += 2) {
      stream.writeParts(parts[at] ?? first, parts[at + 1] ?? event);
    }
    await Promise.resolve();
    written.push(request.answer?.written);
  }
  const message = (id: number, last: number): readonly number[] => [0, 0, 0, 0, 3, id, 10, last];
  assertEquals(written, [
    [bytes(...message(1, 11), ...message(2, 11))],
    [bytes(...message(1, 11), ...message(2, 11))],
    [bytes(...message(2, 11), ...message(1, 11))],
    [bytes(...message(1, 11), ...message(2, 12))],
    [bytes(...message(1, 11))],
  ]);
  assert(written[0]?.[0] === written[1]?.[0], "the bytes are made once");
});

Deno.test("GrpcStream: what is written behind the end is dropped", async () => {
  const request = new MemoryWebRequest();
  const stream = new GrpcStream(request);
  stream.write(bytes(1));
  stream.end(null);
  assertEquals([stream.write(bytes(2)), stream.unsentBytes], [true, 0]);
  await stream.whenWritable();
  assertEquals(request.answer?.written, [bytes(0, 0, 0, 0, 1, 1)]);
});

Deno.test("refuse: any text of a failure is a value of a header field", async () => {
  const handler = (request: WebRequest): void => refuse(request, new EtcdError("unknown", " é%\r\n "));
  await using scene = new WebScene({ handler });
  const client = await scene.http2();
  await client.request(1);
  const { fields } = await client.answer(1);
  assertEquals([fields["grpc-status"], fields["grpc-message"]], ["2", "%20%C3%A9%25%0D%0A%20"]);
});
