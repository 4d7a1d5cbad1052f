/** Results that are sent without their values where a queue is long. */
import { assertEquals } from "@std/assert";
import { MAX_REMEMBERED_BYTES, type OperationOutcome } from "../../../lib/kv/branching_command.ts";
import type { CommandResult } from "../../../lib/kv/command.ts";
import { decodeResult, encodeResult, withoutValues } from "../../../lib/protocol/command.ts";

function executed(...outcomes: readonly OperationOutcome[]): CommandResult {
  return { kind: "executed", revision: 9, succeeded: true, outcomes };
}

/** A get of one entry that counts for so many bytes. */
function got(bytes: number): OperationOutcome {
  const value = new Uint8Array(bytes - 33);
  const entry = { key: Uint8Array.of(1), value, createRevision: 1, modRevision: 2, version: 2 };
  return { kind: "get", entries: [entry], more: false, count: 1 };
}

function short(result: CommandResult): CommandResult {
  return decodeResult(withoutValues(encodeResult(result)));
}

Deno.test("withoutValues: outcomes stay up to 4 KiB of entries, those of nested transactions included", () => {
  const put = { kind: "put", createRevision: 3, version: 1, previous: null } as const;
  const half = MAX_REMEMBERED_BYTES / 2;
  const nested = (bytes: number): OperationOutcome => ({
    kind: "transaction",
    succeeded: false,
    outcomes: [got(bytes)],
  });
  const kept = executed(put, got(half), nested(half));
  assertEquals(short(kept), kept);
  const long = executed(put, got(half), nested(half + 1));
  assertEquals(short(long), { kind: "executed", revision: 9, succeeded: true, outcomes: "omitted" });
});

Deno.test("withoutValues: a result without values stays as it is, and so do bytes that are no result", () => {
  const failed = {
    kind: "transactionFailed",
    revision: 9,
    reason: "keyNotFound",
    position: [1, 3],
  } as const;
  assertEquals(short(failed), failed);
  const omitted = { kind: "executed", revision: 9, succeeded: true, outcomes: "omitted" } as const;
  assertEquals(short(omitted), omitted);
  assertEquals(withoutValues(Uint8Array.of(1, 2, 3)), Uint8Array.of(1, 2, 3));
});
