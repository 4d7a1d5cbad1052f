/** Conformance cases of watches. */
import { assert, assertEquals } from "@std/assert";
import { call, type Case, type CaseStep, header } from "./case.ts";
import { COMPACTED } from "./kv_cases.ts";
import type { Message } from "../../support/etcd/messages.ts";

const OPEN: CaseStep = { kind: "open", method: "Watch/Watch" };
const SILENCE: CaseStep = { kind: "silence" };
const DELETE = 1;
const NO_PUT = 0;
const NO_DELETE = 1;

const send = (request: Message): CaseStep => ({ kind: "send", request });
const next = (expected: Message | ((message: Message) => void)): CaseStep => ({ kind: "next", expected });

/** Returns a creation and its answer. */
function created(create: Message, answer: Message): readonly CaseStep[] {
  return [send({ create_request: create }), next({ created: true, ...answer })];
}

/** Returns the pair of a key that was written once. */
function pair(key: string, revision: number, value: string): Message {
  return { key, create_revision: revision, mod_revision: revision, version: 1, value };
}

/** The cases. */
export const WATCH_CASES: readonly Case[] = [
  {
    name: "Watch from now",
    steps: ({ key, rev }) => [
      OPEN,
      ...created({ key: key("k") }, header(rev)),
      call("KV/Put", { key: key("k"), value: "v" }, header(rev + 1)),
      next({ ...header(rev + 1), events: [{ kv: pair(key("k"), rev + 1, "v") }] }),
    ],
  },
  {
    name: "Watch from a revision of the past",
    steps: ({ key, rev }) => [
      call("KV/Put", { key: key("k"), value: "v" }, header(rev + 1)),
      call("KV/Put", { key: key("l"), value: "w" }, header(rev + 2)),
      OPEN,
      ...created({ key: key("k"), range_end: key("m"), start_revision: rev + 1 }, header(rev + 2)),
      next({
        ...header(rev + 2),
        events: [{ kv: pair(key("k"), rev + 1, "v") }, { kv: pair(key("l"), rev + 2, "w") }],
      }),
    ],
  },
  {
    name: "Watch from a compacted revision",
    steps: ({ key, rev }) => [
      call("KV/Put", { key: key("k") }, header(rev + 1)),
      call("KV/Put", { key: key("k") }, header(rev + 2)),
      call("KV/Compact", { revision: rev + 2 }, header(rev + 2)),
      OPEN,
      ...created({ key: key("k"), start_revision: rev + 1 }, header(rev + 2)),
      next(({ compact_revision, ...rest }) => {
        assertEquals(rest, { header: {}, canceled: true });
        // The compacted revision, or the next one: the first from which a watch may begin.
        assert(compact_revision === rev + 2 || compact_revision === rev + 3, `${compact_revision}`);
      }),
    ],
  },
  {
    name: "Watch from revision -1",
    steps: ({ key, rev }) => [
      OPEN,
      ...created({ key: key("k"), start_revision: -1 }, {
        ...header(rev),
        watch_id: -1,
        canceled: true,
        cancel_reason: COMPACTED,
      }),
    ],
  },
  {
    name: "Watch of an empty range",
    steps: ({ key, rev }) => [
      OPEN,
      ...created({ key: key("z"), range_end: key("a") }, {
        ...header(rev),
        watch_id: -1,
        canceled: true,
        cancel_reason: "mvcc: watcher range is empty",
      }),
    ],
  },
  {
    name: "Watch ids",
    steps: ({ key, rev }) => [
      OPEN,
      ...created({ key: key("k"), watch_id: 1 }, { ...header(rev), watch_id: 1 }),
      ...created({ key: key("k"), watch_id: 1 }, {
        ...header(rev),
        watch_id: -1,
        canceled: true,
        cancel_reason: "mvcc: duplicate watch ID provided on the WatchStream",
      }),
      ...created({ key: key("k") }, header(rev)),
      ...created({ key: key("k") }, { ...header(rev), watch_id: 2 }),
    ],
  },
  {
    name: "Watch, cancelled",
    steps: ({ key, rev }) => [
      OPEN,
      ...created({ key: key("k") }, header(rev)),
      send({ cancel_request: {} }),
      next({ ...header(rev), canceled: true }),
      call("KV/Put", { key: key("k") }, header(rev + 1)),
      send({ cancel_request: {} }),
      SILENCE,
      send({ cancel_request: { watch_id: 99 } }),
      SILENCE,
      send({}),
      SILENCE,
    ],
  },
  {
    name: "Watch progress",
    steps: ({ key, rev }) => [
      OPEN,
      send({ progress_request: {} }),
      SILENCE,
      ...created({ key: key("k") }, header(rev)),
      call("KV/Put", { key: key("other") }, header(rev + 1)),
      send({ progress_request: {} }),
      next({ ...header(rev + 1), watch_id: -1 }),
      ...created({ key: key("k"), start_revision: rev + 1_000 }, { ...header(rev + 1), watch_id: 1 }),
      send({ progress_request: {} }),
      SILENCE,
    ],
  },
  {
    name: "Watch filters",
    steps: ({ key, rev }) => [
      OPEN,
      ...created({ key: key("k"), filters: [NO_PUT] }, header(rev)),
      ...created({ key: key("k"), filters: [NO_PUT, NO_DELETE] }, { ...header(rev), watch_id: 1 }),
      call("KV/Put", { key: key("k") }, header(rev + 1)),
      call("KV/DeleteRange", { key: key("k") }, { ...header(rev + 2), deleted: 1 }),
      next({ ...header(rev + 2), events: [{ type: DELETE, kv: { key: key("k"), mod_revision: rev + 2 } }] }),
    ],
  },
  {
    name: "Watch prev_kv",
    steps: ({ key, rev }) => [
      call("KV/Put", { key: key("k"), value: "v" }, header(rev + 1)),
      OPEN,
      ...created({ key: key("k"), prev_kv: true }, header(rev + 1)),
      call("KV/DeleteRange", { key: key("k") }, { ...header(rev + 2), deleted: 1 }),
      next({
        ...header(rev + 2),
        events: [{
          type: DELETE,
          kv: { key: key("k"), mod_revision: rev + 2 },
          prev_kv: pair(key("k"), rev + 1, "v"),
        }],
      }),
    ],
  },
  {
    name: "Watch of a transaction: one message with its events in order",
    steps: ({ key, rev }) => [
      OPEN,
      ...created({ key: key("a"), range_end: key("z") }, header(rev)),
      call("KV/Txn", {
        success: [{ request_put: { key: key("b"), value: "1" } }, {
          request_put: { key: key("a"), value: "2" },
        }],
      }, {
        ...header(rev + 1),
        succeeded: true,
        responses: [{ response_put: header(rev + 1) }, { response_put: header(rev + 1) }],
      }),
      next({
        ...header(rev + 1),
        events: [{ kv: pair(key("b"), rev + 1, "1") }, { kv: pair(key("a"), rev + 1, "2") }],
      }),
    ],
  },
  {
    name: "a watch stream that the client has half closed goes on",
    steps: ({ key, rev }) => [
      OPEN,
      ...created({ key: key("k") }, header(rev)),
      { kind: "halfClose" },
      call("KV/Put", { key: key("k"), value: "v" }, header(rev + 1)),
      next({ ...header(rev + 1), events: [{ kv: pair(key("k"), rev + 1, "v") }] }),
    ],
  },
];
