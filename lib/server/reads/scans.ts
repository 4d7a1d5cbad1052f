/** Answers reads of one range with the number of its keys. */
import type { StateMachine } from "../../kv/mod.ts";
import type { RequestFrame, ServerFrame } from "../../protocol/client_frames.ts";
import type { ReadSize } from "../read_scheduler.ts";

/** Returns the answer by a state that can be read as of the revision of the request, and its size. */
export function answerScan(
  { requestId, query, revision }: RequestFrame<"scan">,
  stateMachine: StateMachine,
): { readonly answer: ServerFrame<"scanResult">; readonly size: ReadSize } {
  const { result: page, looked } = stateMachine.scan(query, revision);
  let bytes = 0;
  for (const { key, value } of page.entries) bytes += key.length + value.length;
  return {
    answer: { kind: "scanResult", requestId, page, present: stateMachine.revision },
    size: { entries: page.entries.length, bytes, looked },
  };
}
