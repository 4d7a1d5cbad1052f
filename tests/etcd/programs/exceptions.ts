/** The differences from etcd that docs/etcd.md lists: outcomes that differ for one of these reasons are no mistake. */
import type { Body } from "../../support/etcd/driver.ts";
import type { Step } from "./step.ts";

/** A step whose outcomes differ. */
export interface Differing {
  /** Null for the text of a stream. */
  readonly step: Step | null;
  readonly etcd: string;
  readonly kvraft: string;
}

/** A difference on purpose. */
export interface Exception {
  readonly name: string;
  readonly reason: string;
  readonly isMeant: (differing: Differing) => boolean;
}

const UNREADABLE = "13 grpc: error unmarshalling request: ";

/** All of them. */
export const EXCEPTIONS: readonly Exception[] = [
  {
    name: "sort then limit",
    reason:
      "etcd sorts by VERSION, CREATE, MOD or VALUE without an order only the first limit + 1 keys; kvraft sorts all",
    isMeant: ({ step }) =>
      rangesOf(step).some(({ sort_target: target = "KEY", sort_order: order = "NONE", limit = "0" }) =>
        target !== "KEY" && order === "NONE" && limit !== "0"
      ),
  },
  {
    name: "RangeStream in key order",
    reason:
      "etcd loses and repeats keys when RangeStream has a sort target but no order; kvraft sends key order",
    isMeant: ({ step }) =>
      step?.kind === "call" && step.call.endsWith("RangeStream") &&
      "sort_target" in step.body && step.body["sort_target"] !== "KEY",
  },
  {
    name: "broken bytes",
    reason:
      "bytes that are no message of their kind are refused by both; kvraft says what is wrong with them",
    isMeant: ({ step, kvraft }) => step?.kind === "raw" && kvraft.startsWith(UNREADABLE),
  },
];

/** Returns the exception that a difference belongs to, or null. */
export function exceptionOf(differing: Differing): Exception | null {
  return EXCEPTIONS.find(({ isMeant }) => isMeant(differing)) ?? null;
}

/** Returns all RangeRequests of a step, those in transactions included. */
function rangesOf(step: Step | null): readonly Body[] {
  if (step?.kind !== "call") return [];
  if (step.call.includes("/Range")) return [step.body];
  const found: Body[] = [];
  const visit = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    for (const [name, field] of Object.entries(value)) {
      if (name === "request_range") found.push(field);
      visit(field);
    }
  };
  visit(step.body);
  return found;
}
