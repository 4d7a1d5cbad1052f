/** Commits: their translation, their answers, and writes that are sent again. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { StorageFullError, TimeoutError } from "../../../lib/client/errors.ts";
import { DEADLINE_MS } from "../../../lib/denokv/deadlines.ts";
import { REMEMBERED_MS } from "../../../lib/denokv/undelivered_answers.ts";
import type { KeyValue } from "../../../lib/kv/command.ts";
import { settle } from "../../support/fakes/manual_clock.ts";
import {
  commitOf,
  CommitWriter,
  type FakeRequest,
  noLeader,
  type Scene,
  textOf,
  withService,
} from "./service_scene.ts";

const SUM = new CommitWriter().mutation({
  type: 3,
  key: [2, 97, 0],
  value: { encoding: 2, data: [1, 0, 0, 0, 0, 0, 0, 0] },
}).finish();

/** A versionstamp of revision 300. */
const STAMP = Uint8Array.of(0, 0, 0, 0, 0, 0, 1, 44, 0, 0);

/** Answers the write number `position` with a new revision, and lets its request go on. */
async function answer(scene: Scene, position: number, revision = 50 + position): Promise<void> {
  scene.store.writes[position]?.answer({ kind: "databaseWritten", revision });
  await settle();
}

/** A write whose connection was lost, and its request. */
async function lostWrite(scene: Scene, token: string): Promise<FakeRequest> {
  const request = await scene.commit(token, SUM);
  request.delivery = "lost";
  await answer(scene, scene.store.writes.length - 1);
  return request;
}

Deno.test("commit: checks and mutations are translated, with the access token of the client", () =>
  withService(async (scene) => {
    const bytes = { encoding: 3, data: [5, 6] };
    const body = new CommitWriter().check([1]).check([2], STAMP)
      .mutation({ type: 1, key: [3], value: bytes })
      .mutation({ type: 1, key: [4], value: bytes, expireAtMs: scene.nowMs + 1 })
      .mutation({ type: 1, key: [5], value: bytes, expireAtMs: scene.nowMs })
      .mutation({ type: 1, key: [6], value: bytes, expireAtMs: 9e15 })
      .mutation({ type: 2, key: [7], value: { encoding: 3, data: [] } })
      .mutation({ type: 2, key: [8] })
      .mutation({ type: 3, key: [9], value: { encoding: 1, data: [255, 15, 73, 2] } })
      .mutation({ type: 4, key: [10], value: { encoding: 2, data: [1, 0, 0, 0, 0, 0, 0, 0] } })
      .mutation({ type: 5, key: [11], value: { encoding: 2, data: [1, 0, 0, 0, 0, 0, 0, 0] } })
      .mutation({ type: 9, key: [12], value: bytes, expireAtMs: 1 })
      .finish();
    const request = await scene.commit(
      await scene.dataToken("/orders", "second"),
      body,
      "/orders/kv/atomic_write",
    );
    const key = (byte: number): Uint8Array => Uint8Array.of(byte);
    const set = {
      kind: "set",
      value: Uint8Array.of(3, 5, 6),
      expiresAtMs: null,
      versionstampedKey: false,
    } as const;
    const [write] = scene.store.writes;
    assertEquals([write?.databaseId, write?.credentialId], [7, 2]);
    assertEquals(write?.checks, [{ key: key(1), revision: null }, { key: key(2), revision: 300 }]);
    assertEquals(write?.mutations, [
      { ...set, key: key(3) },
      { ...set, key: key(4), expiresAtMs: scene.nowMs + 1 },
      { kind: "delete", key: key(5) },
      { ...set, key: key(6), expiresAtMs: 8.64e15 },
      { kind: "delete", key: key(7) },
      { kind: "delete", key: key(8) },
      {
        kind: "sum",
        key: key(9),
        value: Uint8Array.of(1, 255, 15, 73, 2),
        minimum: null,
        maximum: null,
        clamp: false,
      },
      { kind: "max", key: key(10), value: Uint8Array.of(2, 1, 0, 0, 0, 0, 0, 0, 0) },
      { kind: "min", key: key(11), value: Uint8Array.of(2, 1, 0, 0, 0, 0, 0, 0, 0) },
      { ...set, key: key(12), expiresAtMs: 1, versionstampedKey: true },
    ]);
    assertEquals(request.answer, null);
    await answer(scene, 0, 2 ** 40 + 5);
    assertEquals(commitOf(request), [1, 2 ** 40 + 5, []]);
    assertEquals(request.answer?.headers, { "content-type": "application/x-protobuf" });
  }));

Deno.test("commit: failed checks are named, and a mutation that fails is answered 400 with Deno's words", () =>
  withService(async (scene) => {
    const token = await scene.dataToken();
    const first = await scene.commit(token, SUM);
    scene.store.writes[0]?.answer({ kind: "databaseChecksFailed", revision: 9, failedChecks: [0, 2] });
    const second = await scene.commit(token, SUM);
    scene.store.writes[1]?.answer({
      kind: "databaseWriteFailed",
      revision: 9,
      reason: "notU64",
      position: 0,
    });
    await settle();
    assertEquals(commitOf(first), [2, 0, [0, 2]]);
    assertEquals(textOf(second), [
      400,
      "Failed to perform 'sum' mutation on a non-U64 value in the database",
    ]);
  }));

const VALUE = { encoding: 3, data: [1] };

const REFUSED: Readonly<Record<string, CommitWriter>> = {
  "Enqueue operations are not supported in KV Connect": new CommitWriter().enqueue(),
  "Invalid mutation type 0": new CommitWriter().mutation({ type: 0, key: [1], value: VALUE }),
  "A mutation has no value": new CommitWriter().mutation({ type: 1, key: [1] }),
  "The value encoding 4 is unknown.": new CommitWriter().mutation({
    type: 1,
    key: [1],
    value: { ...VALUE, encoding: 4 },
  }),
  "A 64-bit integer has 8 bytes": new CommitWriter().mutation({
    type: 3,
    key: [1],
    value: { ...VALUE, encoding: 2 },
  }),
  "Failed to perform 'max' mutation on a non-U64 operand": new CommitWriter().mutation({
    type: 4,
    key: [1],
    value: { ...VALUE, encoding: 1 },
  }),
  "Invalid expiry -2": new CommitWriter().mutation({ type: 1, key: [1], value: VALUE, expireAtMs: -2 }),
  "Invalid check: a versionstamp has 10 bytes": new CommitWriter().check([1], new Uint8Array(9)),
};

for (const [message, writer] of Object.entries(REFUSED)) {
  Deno.test(`commit: “${message}” is answered 400 before anything is written`, () =>
    withService(async (scene) => {
      assertEquals(textOf(await scene.commit(await scene.dataToken(), writer.finish())), [400, message]);
      assertEquals(scene.store.writes.length, 0);
    }));
}

Deno.test("commit: without mutations it reads, and leaves no entry in the log", () =>
  withService(async (scene) => {
    const token = await scene.dataToken();
    const entry: KeyValue = {
      key: Uint8Array.of(1),
      value: Uint8Array.of(3),
      createRevision: 300,
      modRevision: 300,
      version: 1,
    };
    scene.store.entriesOf = ({ start }) => start[0] === 1 ? [entry] : [];
    assertEquals(commitOf(await scene.commit(token, new Uint8Array(0))), [1, 41, []]);
    const holds = new CommitWriter().check([1], STAMP).check([2]).finish();
    assertEquals(commitOf(await scene.commit(token, holds)), [1, 41, []]);
    const fails = new CommitWriter().check([1]).check([2], STAMP).check([1], STAMP).finish();
    assertEquals(commitOf(await scene.commit(token, fails)), [2, 0, [0, 1]]);
    assertEquals(scene.store.writes.length, 0);
  }));

Deno.test("commit: two without mutations have two versionstamps, in their order", () =>
  withService(async (scene) => {
    const token = await scene.dataToken();
    const stamps: string[] = [];
    for (const revision of [41, 41, 42]) {
      scene.store.revision = revision;
      const { answer } = await scene.commit(token, new Uint8Array(0));
      assert(answer?.body instanceof Uint8Array, "a commit is answered by a message");
      stamps.push(answer.body.subarray(4).toHex());
    }
    assertEquals(stamps, ["00000000000000290001", "00000000000000290002", "000000000000002a0001"]);
  }));

Deno.test("commit: a write that is sent again gets the answer that was lost, once", () =>
  withService(async (scene) => {
    const token = await scene.dataToken();
    await lostWrite(scene, token);
    const again = await scene.commit(token, SUM);
    assertEquals([commitOf(again), scene.store.writes.length], [[1, 50, []], 1]);
    const next = await scene.commit(token, SUM);
    await answer(scene, 1);
    assertEquals([commitOf(next), scene.store.writes.length], [[1, 51, []], 2]);
    assertEquals(scene.service.counts().repeatedWrites, new Map([["default", 1]]));
  }));

Deno.test("commit: a write that is sent again before the outcome of the first is known waits for it", () =>
  withService(async (scene) => {
    const token = await scene.dataToken();
    const first = await scene.commit(token, SUM);
    first.lose();
    const again = await scene.commit(token, SUM);
    assertEquals(again.answer, null);
    await answer(scene, 0);
    assertEquals([commitOf(again), scene.store.writes.length], [[1, 50, []], 1]);
    // The first request ended as lost, too, and is not remembered a second time.
    await scene.commit(token, SUM);
    assertEquals(scene.store.writes.length, 2);
  }));

Deno.test("commit: equal writes in flight at the same time are all made, and so are those of other clients", () =>
  withService(async (scene) => {
    const [token, other] = [await scene.dataToken(), await scene.dataToken()];
    await lostWrite(scene, token);
    await scene.commit(other, SUM);
    assertEquals(scene.store.writes.length, 2);
    const both = [await scene.commit(other, SUM), await scene.commit(other, SUM)];
    assertEquals(scene.store.writes.length, 4);
    for (const request of both) request.lose();
    await scene.commit(other, SUM);
    await scene.commit(other, SUM);
    assertEquals(scene.store.writes.length, 4);
    await scene.commit(other, SUM);
    assertEquals(scene.store.writes.length, 5);
  }));

Deno.test("commit: a write that changed nothing is made when it is sent again", () =>
  withService(async (scene) => {
    const token = await scene.dataToken();
    const first = await scene.commit(token, SUM);
    first.lose();
    scene.store.writes[0]?.fail(noLeader());
    await settle();
    await scene.commit(token, SUM);
    assertEquals(scene.store.writes.length, 2);
  }));

Deno.test("commit: an answer is forgotten after a while", () =>
  withService(async (scene) => {
    const token = await scene.dataToken();
    await lostWrite(scene, token);
    scene.clock.advance(REMEMBERED_MS);
    await scene.commit(token, SUM);
    assertEquals(scene.store.writes.length, 2);
  }));

Deno.test("commit: a write without outcome at the deadline is answered 503, and goes on for the one that is sent again", () =>
  withService(async (scene) => {
    const token = await scene.dataToken();
    const first = await scene.commit(token, SUM);
    scene.clock.advance(DEADLINE_MS - 1);
    await settle();
    assertEquals(first.answer, null);
    scene.clock.advance(1);
    await settle();
    assertEquals(first.answer?.status, 503);
    const again = await scene.commit(token, SUM);
    await answer(scene, 0);
    assertEquals([commitOf(again), scene.store.writes.length], [[1, 50, []], 1]);
  }));

Deno.test("commit: only a failure that passes and changed nothing is answered 503", () =>
  withService(async (scene) => {
    const token = await scene.dataToken();
    const failures: readonly (readonly [Error, number])[] = [
      [noLeader(), 503],
      [new TimeoutError("Cannot write: late.", { outcome: "not-applied" }), 503],
      [new TimeoutError("Cannot write: late.", { outcome: "unknown" }), 409],
      [new StorageFullError("Cannot write: full."), 400],
      [new Error("a fault"), 409],
    ];
    for (const [position, [error, status]] of failures.entries()) {
      const request = await scene.commit(token, SUM);
      scene.store.writes[position]?.fail(error);
      await settle();
      assertEquals(request.answer?.status, status, error.message);
    }
    assertEquals(scene.logger.connectionFaults.length, 1);
  }));

Deno.test("commit: a body that is no commit is answered 400", () =>
  withService(async (scene) => {
    const [status, text] = textOf(await scene.commit(await scene.dataToken(), Uint8Array.of(1, 2, 3))) ?? [];
    assertEquals(status, 400);
    assertStringIncludes(String(text), "Request protobuf is invalid");
  }));
