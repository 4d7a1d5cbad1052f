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

/** Fields by sort targets. */
const SORTED_FIELDS: ReadonlyMap<string, string> = new Map([
  ["VERSION", "version"],
  ["CREATE", "create_revision"],
  ["MOD", "mod_revision"],
  ["VALUE", "value"],
]);
/** etcd's sort keeps the order of so few. */
const MIN_MIXED = 12;
/** The begin of the message that cancels a watch after a compaction. */
const COMPACTION = `; {"header":{},`;
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
    name: "order of equals",
    reason:
      "keys that are equal in the sorted field come in the order of keys; etcd's sort of more than twelve mixes them",
    isMeant: ({ step, etcd, kvraft }) => {
      const [range] = rangesOf(step);
      const field = SORTED_FIELDS.get(String(range?.["sort_target"] ?? ""));
      if (step?.kind !== "call" || !step.call.endsWith("/Range") || field === undefined) return false;
      const [left, right] = [sortedValues(etcd, field), sortedValues(kvraft, field)];
      return left !== null && left.length > MIN_MIXED && JSON.stringify(left) === JSON.stringify(right);
    },
  },
  {
    name: "watch from the compacted revision",
    reason:
      "a compaction drops the events of its own revision, too: watches begin at the next one, which compact_revision names",
    isMeant: ({ step, etcd, kvraft }) => {
      const ofEtcd = new Map(etcd.split("\n").map((line) => [watchOf(line), line]));
      return step === null && kvraft.includes(COMPACTION) && kvraft.split("\n").every((line) => {
        const [before = "", cancellation] = line.split(COMPACTION, 2);
        const expected = ofEtcd.get(watchOf(line)) ?? "";
        // etcd answers no request for progress on a stream with such a watch.
        return line === expected || watchOf(line) === "watch -1" ||
          cancellation !== undefined && expected.startsWith(before);
      });
    },
  },
  {
    name: "role root",
    reason: "kvraft always has the role root, etcd once a user has it or it was added",
    isMeant: ({ step, etcd, kvraft }) =>
      step?.kind === "call" && step.call.endsWith("RoleList") && rolesIn(etcd) === rolesIn(kvraft),
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

/** Returns the values of a field in the order of an answer; null for an answer of another form. */
function sortedValues(answer: string, field: string): readonly unknown[] | null {
  if (!answer.startsWith("{")) return null;
  const { kvs = [] }: { readonly kvs?: readonly Body[] } = JSON.parse(answer);
  return kvs.map((kv) => kv[field] ?? null);
}

/** Returns the name of the watch in a line of a stream's text. */
function watchOf(line: string): string {
  return line.slice(0, line.indexOf(":"));
}

/** Returns the roles in an answer but for root, as one text. */
function rolesIn(answer: string): string {
  const { roles = [] }: { readonly roles?: readonly string[] } = JSON.parse(answer);
  return roles.filter((role) => role !== "root").join();
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
