/** Answers reads of several ranges at one revision. */
import { readRanges, type StateMachine } from "../../kv/mod.ts";
import type { RequestFrame, ServerFrame } from "../../protocol/client_frames.ts";
import type { ReadSize } from "../read_scheduler.ts";

/** Returns the answer by a state that can be read as of the revision of the request, and its size. */
export function answerRanges(
  { requestId, ranges, revision: asOf }: RequestFrame<"readRanges">,
  stateMachine: StateMachine,
): { readonly answer: ServerFrame<"readRangesResult">; readonly size: ReadSize } {
  const { result, looked } = readRanges(ranges, {
    revision: asOf ?? stateMachine.revision,
    get: (key) =>
      asOf === null ? { result: stateMachine.get(key), looked: 0 } : stateMachine.getAt(key, asOf),
    list: (query) =>
      asOf === null ? { result: stateMachine.list(query), looked: 0 } : stateMachine.listAt(query, asOf),
  });
  let entries = 0;
  let bytes = 0;
  for (const found of result.ranges) {
    entries += found.length;
    for (const { key, value } of found) bytes += key.length + value.length;
  }
  // A read of one key costs as much as a get.
  const isGet = ranges.length === 1 && entries <= 1;
  return {
    answer: { kind: "readRangesResult", requestId, ...result },
    size: { entries: isGet ? 0 : entries, bytes, looked },
  };
}
