/** The largest contents of frames: a node can forward everything that it accepts. */
import { assertEquals, assertThrows } from "@std/assert";
import {
  type KeyValue,
  LIST_PAGE_BYTES,
  MAX_KEY_BYTES,
  MAX_LIST_ENTRIES,
  MAX_VALUE_BYTES,
} from "../../../lib/kv/command.ts";
import { encodeServerMessage } from "../../../lib/protocol/client_frames.ts";
import { DecodeError } from "../../../lib/protocol/errors.ts";
import {
  MAX_CONFIGURATION_BYTES,
  MAX_PEER_ENTRY_BYTES,
  MAX_RESULT_BYTES,
} from "../../../lib/protocol/limits.ts";
import { MAX_FRAME_BYTES } from "../../../lib/protocol/limits.ts";
import { MessagePackWriter } from "../../../lib/protocol/msgpack_writer.ts";
import { decodePeerFrame, encodePeerFrame } from "../../../lib/protocol/peer_frames.ts";
import type { EntryKind } from "../../../lib/raft/types.ts";

Deno.test("decodePeerFrame: an entry, a configuration or a result that is too large to forward is refused", () => {
  const append = (kind: EntryKind, bytes: number): Uint8Array => {
    const out = new MessagePackWriter();
    const entries = [{ index: 1, term: 1, kind, data: new Uint8Array(bytes) }];
    const head = { from: 1, to: 2, term: 1, prevLogIndex: 0, prevLogTerm: 0, leaderCommit: 0 };
    encodePeerFrame(out, { kind: "appendEntries", ...head, entries });
    return out.copy();
  };
  const result = (bytes: number): Uint8Array => {
    const out = new MessagePackWriter();
    const body = { kind: "result", result: new Uint8Array(bytes) } as const;
    encodePeerFrame(out, { kind: "forwardResult", forwardId: 1, body });
    return out.copy();
  };
  decodePeerFrame(append("command", MAX_PEER_ENTRY_BYTES));
  decodePeerFrame(result(MAX_RESULT_BYTES));
  for (
    const [bytes, words] of [
      [
        append("command", MAX_PEER_ENTRY_BYTES + 1),
        `entry data must not be longer than ${MAX_PEER_ENTRY_BYTES} bytes`,
      ],
      [
        append("configuration", MAX_CONFIGURATION_BYTES + 1),
        `entry data must not be longer than ${MAX_CONFIGURATION_BYTES} bytes`,
      ],
      [result(MAX_RESULT_BYTES + 1), `result must not be longer than ${MAX_RESULT_BYTES} bytes`],
    ] as const
  ) {
    assertThrows(() => decodePeerFrame(bytes), DecodeError, words);
  }
});

Deno.test("encodePeerFrame: the largest entry fits a frame with the largest numbers", () => {
  const top = Number.MAX_SAFE_INTEGER;
  const out = new MessagePackWriter();
  const entries = [{
    index: top,
    term: top,
    kind: "command",
    data: new Uint8Array(MAX_PEER_ENTRY_BYTES),
  }] as const;
  const head = {
    from: top,
    to: top - 1,
    term: top,
    prevLogIndex: top - 1,
    prevLogTerm: top,
    leaderCommit: top,
  };
  encodePeerFrame(out, { kind: "appendEntries", ...head, entries });
  assertEquals(out.length <= MAX_FRAME_BYTES, true);
});

Deno.test("decodePeerFrame: a long message of another node is truncated", () => {
  const out = new MessagePackWriter();
  const message = "a".repeat(5_000_000);
  const body = { kind: "error", code: "busy", message, outcome: "not-applied" } as const;
  encodePeerFrame(out, { kind: "forwardResult", forwardId: 1, body });
  const decoded = decodePeerFrame(out.copy());
  assertEquals(decoded, {
    kind: "forwardResult",
    forwardId: 1,
    body: { ...body, message: `${"a".repeat(2_000)}… (5000000 characters)` },
  });
});

Deno.test("encodeServerMessage: the largest page of a listing fits a frame with the largest numbers", () => {
  const top = Number.MAX_SAFE_INTEGER;
  const entry = (keyBytes: number, valueBytes: number): KeyValue => ({
    key: new Uint8Array(keyBytes),
    value: new Uint8Array(valueBytes),
    createRevision: top,
    modRevision: top,
    version: top,
  });
  const small = Math.floor((LIST_PAGE_BYTES - 1) / (MAX_LIST_ENTRIES - 1));
  const entries = Array.from({ length: MAX_LIST_ENTRIES - 1 }, () => entry(1, small - 1));
  const page = {
    entries: [...entries, entry(MAX_KEY_BYTES, MAX_VALUE_BYTES)],
    more: true,
    revision: top,
    after: null,
  };
  const out = new MessagePackWriter();
  encodeServerMessage(out, { kind: "listResult", requestId: top, page });
  assertEquals(out.length <= MAX_FRAME_BYTES, true);
});
