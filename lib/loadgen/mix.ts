/** Which operations a workload is made of, and how often each comes. */
import type { Operation } from "../lincheck/mod.ts";

/** What a client may do. */
export type OperationKind = Operation["kind"];

/** Every kind, in the order in which they are shown. */
export const OPERATION_KINDS = [
  "put",
  "get",
  "delete",
  "compareAndSet",
  "transaction",
  "list",
] as const satisfies readonly OperationKind[];

/** How often each kind comes, relative to the others; at least one is above 0. */
export type Mix = Readonly<Record<OperationKind, number>>;

/** Half writes, half reads, and every kind often enough to meet every other. */
export const DEFAULT_MIX: Mix = { put: 30, get: 35, delete: 8, compareAndSet: 12, transaction: 8, list: 7 };

/** Whether the kind changes the store, and so can be of unknown outcome. */
export function isWrite(kind: OperationKind): boolean {
  return kind !== "get" && kind !== "list";
}
