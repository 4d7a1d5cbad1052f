/** Streams of gRPC: messages that are written without a pause leave together. */
import { assertEquals } from "@std/assert";
import { concat } from "@std/bytes";
import { GrpcStream } from "../../../../lib/etcd/rpc/grpc.ts";
import { MemoryWebRequest } from "../../../support/fakes/web_exchange.ts";

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
