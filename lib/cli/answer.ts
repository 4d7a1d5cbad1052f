/** What a command found out, before anybody decides how to show it. */
import type { ClusterStatus, CompareAndSetResult, DeleteResult, ListResult } from "../client/types.ts";
import type { KeyValue } from "../kv/command.ts";
import type { Member } from "../net/client_messages.ts";
import { assertNever } from "../assert.ts";
import { type CheckReport, exitCodeOfCheck } from "./check_report.ts";
import { ExitCode } from "./errors.ts";

/** The result of one command. */
export type Answer =
  | { readonly kind: "put"; readonly revision: number }
  /** `raw`: the value's bytes and nothing else. */
  | { readonly kind: "get"; readonly entry: KeyValue | null; readonly raw: boolean }
  | { readonly kind: "delete"; readonly result: DeleteResult }
  /** `nextPage`: what to type to see what follows the last key of this page. */
  | { readonly kind: "list"; readonly result: ListResult; readonly nextPage: (lastKey: Uint8Array) => string }
  | { readonly kind: "cas"; readonly result: CompareAndSetResult }
  | { readonly kind: "status"; readonly status: ClusterStatus }
  | { readonly kind: "members"; readonly members: readonly Member[] }
  | { readonly kind: "transferLeader"; readonly leader: number }
  | { readonly kind: "check"; readonly report: CheckReport }
  | { readonly kind: "help"; readonly text: string }
  | { readonly kind: "quit" };

/** Whether the answer is a no. */
export function exitCodeOf(answer: Answer): ExitCode {
  switch (answer.kind) {
    case "get":
      return answer.entry === null ? ExitCode.no : ExitCode.done;
    case "delete":
      return answer.result.deleted ? ExitCode.done : ExitCode.no;
    case "cas":
      return answer.result.succeeded ? ExitCode.done : ExitCode.no;
    case "check":
      return exitCodeOfCheck(answer.report);
    case "put":
    case "list":
    case "status":
    case "members":
    case "transferLeader":
    case "help":
    case "quit":
      return ExitCode.done;
    default:
      return assertNever(answer);
  }
}
