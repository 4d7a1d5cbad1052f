/** What a command found out, before anybody decides how to show it. */
import { type BenchReport, exitCodeOfBench } from "./commands/bench_report.ts";
import { type CheckReport, exitCodeOfCheck } from "./commands/check_report.ts";
import type { ExportReport } from "./commands/export.ts";
import type { ImportReport } from "./commands/import.ts";
import type { MemberRow } from "./commands/members.ts";
import { ExitCode } from "./errors.ts";
import type {
  ClusterStatus,
  CompareAndSetResult,
  DeleteResult,
  ListResult,
  SnapshotInfo,
} from "../client/types.ts";
import type { KeyValue } from "../kv/command.ts";
import { assertNever } from "../platform/assert.ts";
import type { Member } from "../protocol/messages.ts";

/** Whether the cluster serves: whether a linearizable read was answered in time. */
export type Health =
  | { readonly isHealthy: true; readonly elapsedMs: number }
  /** `code`: the client's for what went wrong; `reason`: the same in words. */
  | { readonly isHealthy: false; readonly elapsedMs: number; readonly code: string; readonly reason: string };

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
  | { readonly kind: "members"; readonly rows: readonly MemberRow[] }
  | { readonly kind: "health"; readonly health: Health }
  /** `sentence`: what has come about; `isDone`: whether all of it has. */
  | {
    readonly kind: "membership";
    readonly sentence: string;
    readonly members: readonly Member[];
    readonly isDone: boolean;
  }
  | { readonly kind: "snapshot"; readonly info: SnapshotInfo }
  | { readonly kind: "snapshotSaved"; readonly info: SnapshotInfo; readonly elapsedMs: number }
  | { readonly kind: "exported"; readonly report: ExportReport }
  | { readonly kind: "imported"; readonly report: ImportReport }
  | { readonly kind: "transferLeader"; readonly leader: number }
  | { readonly kind: "check"; readonly report: CheckReport }
  | { readonly kind: "bench"; readonly report: BenchReport }
  | { readonly kind: "help"; readonly text: string }
  | { readonly kind: "quit" };

/** Whether the command has written its data to standard output already, so that only a note is left to be shown. */
export function hasOwnOutput({ kind }: Answer): boolean {
  return kind === "snapshotSaved" || kind === "exported";
}

/** Whether the answer is a no, or tells of a cluster that does not serve. */
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
    case "bench":
      return exitCodeOfBench(answer.report);
    case "membership":
      return answer.isDone ? ExitCode.done : ExitCode.unknown;
    case "status":
      return answer.status.leader === null ? ExitCode.unavailable : ExitCode.done;
    case "health":
      return answer.health.isHealthy ? ExitCode.done : ExitCode.unavailable;
    case "put":
    case "list":
    case "members":
    case "snapshot":
    case "snapshotSaved":
    case "exported":
    case "imported":
    case "transferLeader":
    case "help":
    case "quit":
      return ExitCode.done;
    default:
      return assertNever(answer);
  }
}
