/** What a leader knows of another node: inflight bounds, and the ways from probing to replicating and back. */
import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { InvariantError } from "../../../lib/platform/assert.ts";
import {
  assertPeer,
  becomeProbe,
  becomeReplicate,
  Inflight,
  newTrackedPeer,
  restartProbe,
  type TrackedPeer,
} from "../../../lib/raft/progress.ts";

function replicating(matchIndex: number, nextIndex: number): TrackedPeer {
  const peer = newTrackedPeer(0);
  peer.progress.matchIndex = matchIndex;
  becomeReplicate(peer, new Inflight(8, 1_000));
  peer.progress.nextIndex = nextIndex;
  peer.sentIndex = nextIndex - 1;
  return peer;
}

Deno.test("inflight is full at its bound of messages or of bytes, and free again behind what is acknowledged", () => {
  const message = fc.record({ entries: fc.integer({ min: 1, max: 3 }), bytes: fc.nat(60) });
  fc.assert(fc.property(fc.array(message, { maxLength: 10 }), fc.nat(30), (messages, matchIndex) => {
    const inflight = new Inflight(4, 100);
    let sent: { lastIndex: number; bytes: number }[] = [];
    const isFull = (): boolean => sent.length >= 4 || sent.reduce((sum, { bytes }) => sum + bytes, 0) >= 100;
    let lastIndex = 0;
    for (const { entries, bytes } of messages) {
      lastIndex += entries;
      inflight.add(lastIndex, bytes);
      sent.push({ lastIndex, bytes });
      assertEquals(inflight.isFull, isFull());
    }
    inflight.freeUpTo(matchIndex);
    sent = sent.filter((message) => message.lastIndex > matchIndex);
    assertEquals([inflight.messages, inflight.isFull], [sent.length, isFull()]);
  }));
});

Deno.test("messages that do not go out in order are a fault of the caller", () => {
  const inflight = new Inflight(4, 100);
  inflight.add(3, 1);
  assertThrows(() => inflight.add(3, 1), InvariantError, "in order");
});

Deno.test("a new leader guesses that a follower's log is like its own, and has sent nothing", () => {
  const { progress, sentIndex } = newTrackedPeer(7);
  assertEquals(progress, {
    kind: "probe",
    matchIndex: 0,
    nextIndex: 8,
    probeSent: false,
    emptyProbeIndex: null,
  });
  assertEquals(sentIndex, 0);
});

Deno.test("probing never begins at or below what is known to match", () => {
  const peer = replicating(5, 9);
  becomeProbe(peer, 2);
  assertEquals(peer.progress, {
    kind: "probe",
    matchIndex: 5,
    nextIndex: 6,
    probeSent: false,
    emptyProbeIndex: null,
  });
});

Deno.test("after a loss a pipeline begins again behind what is known to match", () => {
  const peer = replicating(5, 9);
  restartProbe(peer, 0);
  assertEquals(peer.progress, {
    kind: "probe",
    matchIndex: 5,
    nextIndex: 6,
    probeSent: false,
    emptyProbeIndex: 5,
  });
});

Deno.test("after a loss a probe asks at the same place, not at the beginning of the log", () => {
  const peer = newTrackedPeer(1_000_000);
  if (peer.progress.kind === "probe") peer.progress.probeSent = true;
  restartProbe(peer, 0);
  assertEquals(peer.progress, {
    kind: "probe",
    matchIndex: 0,
    nextIndex: 1_000_001,
    probeSent: false,
    emptyProbeIndex: 1_000_000,
  });
});

Deno.test("each change of state counts the ticks without an answer anew", () => {
  const peer = newTrackedPeer(3);
  peer.stalledTicks = 4;
  becomeReplicate(peer, new Inflight(1, 1));
  assertEquals(peer.stalledTicks, 0);
  peer.stalledTicks = 4;
  restartProbe(peer, 0);
  assertEquals(peer.stalledTicks, 0);
});

Deno.test("a peer that matches beyond what is sent next, or was sent at all, is a fault", () => {
  const ahead = replicating(5, 9);
  ahead.progress.nextIndex = 5;
  assertThrows(() => assertPeer(ahead), InvariantError, "matchIndex < nextIndex");
  const unsent = replicating(5, 9);
  unsent.sentIndex = 4;
  assertThrows(() => assertPeer(unsent), InvariantError, "never exceeds what was sent");
});
