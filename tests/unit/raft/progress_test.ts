/** A leader's progress of another node: inflight bounds, and the changes between probing and replicating. */
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

Deno.test("Inflight: it is full at its bound of messages or of bytes, and free again after an acknowledgement", () => {
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

Deno.test("Inflight: messages that are not sent in order are a fault of the caller", () => {
  const inflight = new Inflight(4, 100);
  inflight.add(3, 1);
  assertThrows(() => inflight.add(3, 1), InvariantError, "in order");
});

Deno.test("newTrackedPeer: a new leader expects a follower's log to be like its own, and has sent nothing", () => {
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

Deno.test("restartProbe: probing never begins at or below matchIndex", () => {
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

Deno.test("restartProbe: after a loss a replicating peer starts again after matchIndex", () => {
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

Deno.test("restartProbe: after a loss a probing peer is probed at the same index, not at the beginning of the log", () => {
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

Deno.test("stalledTicks: each change of state counts the ticks without an answer from 0 again", () => {
  const peer = newTrackedPeer(3);
  peer.stalledTicks = 4;
  becomeReplicate(peer, new Inflight(1, 1));
  assertEquals(peer.stalledTicks, 0);
  peer.stalledTicks = 4;
  restartProbe(peer, 0);
  assertEquals(peer.stalledTicks, 0);
});

Deno.test("assertPeer: a matchIndex beyond nextIndex, or beyond all that was sent, is a fault", () => {
  const ahead = replicating(5, 9);
  ahead.progress.nextIndex = 5;
  assertThrows(() => assertPeer(ahead), InvariantError, "matchIndex < nextIndex");
  const unsent = replicating(5, 9);
  unsent.sentIndex = 4;
  assertThrows(() => assertPeer(unsent), InvariantError, "never exceeds what was sent");
});
