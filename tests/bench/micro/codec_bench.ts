/** The codec, frame by frame: those that each put and get pass through. */
import {
  type ClientRequest,
  decodeClientRequest,
  decodeServerMessage,
  encodeClientRequest,
  encodeServerMessage,
  type ServerMessage,
} from "../../../lib/protocol/client_frames.ts";
import { decodeCommand, decodeResult, encodeCommand, encodeResult } from "../../../lib/protocol/command.ts";
import { MessagePackWriter } from "../../../lib/protocol/msgpack_writer.ts";
import { decodePeerFrame, encodePeerFrame, type PeerFrame } from "../../../lib/protocol/peer_frames.ts";
import { entriesFrom, keyAt, PUT_COMMAND, putAt, VALUE } from "./fixtures.ts";

const RETAINED_BYTES = 1_048_576;

/** Encodes into one buffer repeatedly, as a connection does, and decodes the result. */
function frame<T>(
  name: string,
  { encode, decode, message }: {
    readonly encode: (out: MessagePackWriter, message: T) => void;
    readonly decode: (payload: Uint8Array) => unknown;
    readonly message: T;
  },
): void {
  const out = new MessagePackWriter();
  encode(out, message);
  const payload = out.copy();
  Deno.bench({
    name: `${name}: encode`,
    group: name,
    fn(): void {
      out.clear(RETAINED_BYTES);
      encode(out, message);
    },
  });
  Deno.bench({ name: `${name}: decode`, group: name, fn: () => void decode(payload) });
}

function request(message: ClientRequest): void {
  frame(`codec: ${message.kind}`, { encode: encodeClientRequest, decode: decodeClientRequest, message });
}

function answer(message: ServerMessage): void {
  frame(`codec: ${message.kind}`, { encode: encodeServerMessage, decode: decodeServerMessage, message });
}

function peer(name: string, message: PeerFrame): void {
  frame(`codec: ${name}`, { encode: encodePeerFrame, decode: decodePeerFrame, message });
}

const outcomes = [{ kind: "put", createRevision: 7, version: 3 }] as const;
const result = encodeResult({ kind: "applied", revision: 12_345, outcomes });
const entry = { key: keyAt(0), value: VALUE, createRevision: 7, modRevision: 12_345, version: 3 };

Deno.bench({ name: "codec: put command: encode", group: "command", fn: () => void encodeCommand(putAt(1)) });
Deno.bench({
  name: "codec: put command: decode",
  group: "command",
  fn: () => void decodeCommand(PUT_COMMAND),
});
Deno.bench({
  name: "codec: put result: encode",
  group: "result",
  fn: () => void encodeResult({ kind: "applied", revision: 12_345, outcomes }),
});
Deno.bench({ name: "codec: put result: decode", group: "result", fn: () => void decodeResult(result) });
request({ kind: "write", requestId: 12_345, command: PUT_COMMAND });
request({ kind: "get", requestId: 12_345, key: keyAt(0), consistency: "linearizable" });
answer({ kind: "writeResult", requestId: 12_345, result });
answer({ kind: "getResult", requestId: 12_345, entry, revision: 12_345 });
for (const count of [1, 64]) {
  peer(`appendEntries of ${count}`, {
    kind: "appendEntries",
    from: 1,
    to: 2,
    term: 3,
    prevLogIndex: 12_344,
    prevLogTerm: 1,
    leaderCommit: 12_300,
    entries: entriesFrom(12_345, count),
  });
}
peer("appendEntriesResponse", {
  kind: "appendEntriesResponse",
  from: 2,
  to: 1,
  term: 3,
  result: { kind: "accepted", matchIndex: 12_400 },
});
peer("heartbeat", { kind: "heartbeat", from: 1, to: 2, term: 3, leaderCommit: 12_345, round: 99 });
