/** The form of the conformance cases, and their execution. */
import { assert, assertEquals } from "@std/assert";
import { assertNever } from "../../../lib/platform/assert.ts";
import type { GrpcTestClient, Status } from "../../support/etcd/grpc_client.ts";
import type { Message } from "../../support/etcd/messages.ts";

/** A status other than OK. */
export interface Failure {
  readonly fails: number;
  readonly text: string;
}

/** The expected answer: the message itself, all messages of a stream, a failure, or a check. */
export type Expected = Message | readonly Message[] | Failure | ((answer: Message) => void);

/** A step of a case. Methods are named without the package etcdserverpb. */
export type CaseStep =
  | {
    readonly kind: "call";
    readonly method: string;
    readonly request: Message;
    readonly expected: Expected;
    readonly metadata?: Readonly<Record<string, string>>;
  }
  /** Opens the stream of the case. */
  | { readonly kind: "open"; readonly method: string }
  | { readonly kind: "send"; readonly request: Message }
  | { readonly kind: "halfClose" }
  /** The next message of the stream. */
  | { readonly kind: "next"; readonly expected: Message | ((message: Message) => void) }
  /** Nothing more comes on the watch stream for what was sent. */
  | { readonly kind: "silence" };

/** The names and numbers of one case. */
export interface Names {
  /** The revision of the store at its begin. */
  readonly rev: number;
  /** Returns a key that no other case has. */
  readonly key: (name: string) => string;
  /** Returns the id of a lease that no other case has. */
  readonly lease: (number: number) => number;
}

/** A case. */
export interface Case {
  readonly name: string;
  readonly steps: (names: Names) => readonly CaseStep[];
}

/** Returns a call. */
export function call(
  method: string,
  request: Message,
  expected: Expected,
  metadata: Readonly<Record<string, string>> = {},
): CaseStep {
  return { kind: "call", method, request, expected, metadata };
}

/** Returns the message of a header with a revision. */
export function header(revision: number): { readonly header: Message } {
  return { header: revision === 0 ? {} : { revision } };
}

const EMPTY_RANGE = { watch_id: -1, created: true, canceled: true };
const EMPTY_RANGE_REASON = "mvcc: watcher range is empty";
/** Methods whose answer has no header, or none with the parts of a cluster. */
const WITHOUT_HEADER = ["Maintenance/Defragment"];

/** Runs a case on a server. */
export async function runCase(client: GrpcTestClient, one: Case, position: number): Promise<void> {
  const { messages } = await client.call("etcdserverpb.KV/Range", { key: "none", serializable: false });
  const { header: { revision: rev } }: { header: { revision: number } } = Object(messages[0]);
  const key = (name: string): string => `case ${position}/${name}`;
  const lease = (number: number): number => 1_000_000 + position * 100 + number;
  let stream = 0;
  for (const [at, step] of one.steps({ rev, key, lease }).entries()) {
    const what = `${one.name}, step ${at + 1}`;
    switch (step.kind) {
      case "call":
        await runCall(client, step, what);
        break;
      case "open":
        stream = await client.open(fullName(step.method));
        break;
      case "send":
        await client.send(stream, step.request);
        break;
      case "halfClose":
        await client.halfClose(stream);
        break;
      case "next":
        assertMessage(withoutIds(await client.next(stream)), step.expected, what);
        break;
      case "silence": {
        await client.send(stream, { create_request: { key: "b", range_end: "a" } });
        const { header: _, ...next }: Message = Object(await client.next(stream));
        assertEquals(next, { ...EMPTY_RANGE, cancel_reason: EMPTY_RANGE_REASON }, what);
        break;
      }
      default:
        assertNever(step);
    }
  }
  if (stream > 0) await client.cancel(stream);
}

async function runCall(
  client: GrpcTestClient,
  { method, request, expected, metadata }: Extract<CaseStep, { readonly kind: "call" }>,
  what: string,
): Promise<void> {
  const { code, message, messages } = await client.call(fullName(method), request, metadata);
  if (isFailure(expected)) {
    assertEquals({ code, message }, { code: expected.fails, message: expected.text }, what);
    return;
  }
  assertEquals({ code, message }, { code: 0, message: "" }, what);
  const [first = {}] = messages;
  if (!Array.isArray(expected) && !WITHOUT_HEADER.includes(method)) assertHasIds(first, what);
  if (typeof expected === "function") expected(first);
  else if (Array.isArray(expected)) assertEquals(messages.map(withoutIds), expected, what);
  else assertEquals(withoutIds(first), expected, what);
}

function assertMessage(
  message: Message,
  expected: Message | ((message: Message) => void),
  what: string,
): void {
  if (typeof expected === "function") expected(message);
  else assertEquals(message, expected, what);
}

function isFailure(expected: Expected): expected is Failure {
  return "fails" in expected;
}

function fullName(method: string): string {
  return method.includes(".") ? method : `etcdserverpb.${method}`;
}

function assertHasIds(message: Message, what: string): void {
  const { cluster_id, member_id, raft_term }: Message = Object(message["header"]);
  assert(
    Boolean(cluster_id) && Boolean(member_id) && Boolean(raft_term),
    `${what}: the header names the node`,
  );
}

/** Leaves out the parts of headers that differ between clusters. */
function withoutIds(message: Message | Status): Message {
  return JSON.parse(JSON.stringify(message, (name, value) => {
    if (name !== "header") return typeof value === "bigint" ? Number(value) : value;
    const { cluster_id: _cluster, member_id: _member, raft_term: _term, ...rest } = value;
    return rest;
  }));
}
