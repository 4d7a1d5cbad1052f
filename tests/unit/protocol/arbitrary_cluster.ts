/** Arbitrary members, configurations, changes of them, and snapshots on their way. */
import fc from "fast-check";
import type { Member, MembershipChange, PeerStatus } from "../../../lib/protocol/messages.ts";
import type { SnapshotChunk, SnapshotProgress } from "../../../lib/protocol/peer_frames.ts";
import { MAX_MEMBERS, MAX_SNAPSHOT_INDEX, MAX_TERM, MAX_VOTERS } from "../../../lib/protocol/limits.ts";
import type { Configuration, MemberRecord } from "../../../lib/raft/types.ts";
import { address, binary, integer, nullable, record } from "./arbitrary_values.ts";

/** What a member may be before and after a change. */
const PARTS = ["voter", "learner", "leaving", "staying", "demoted"] as const;
type Part = typeof PARTS[number];

/** Any configuration that holds together. */
export function configuration(maxInteger: number): fc.Arbitrary<Configuration> {
  const ids = fc.uniqueArray(integer({ min: 1, max: maxInteger }), { maxLength: 2 * MAX_MEMBERS });
  const details = record<Omit<MemberRecord, "id">>({
    address: address(),
    dataId: nullable(integer({ max: maxInteger })),
    autoPromote: fc.boolean(),
    replaces: nullable(integer({ min: 1, max: maxInteger })),
  });
  const parts = fc.array(record({ part: fc.constantFrom(...PARTS), details }), {
    maxLength: 2 * MAX_VOTERS - 1,
  });
  return fc.tuple(ids, parts).map(([some, seeds]) => assemble(some, seeds));
}

/** As many members as there are seeds for, the first a voter; the ids that are left are those of removed nodes. */
function assemble(
  ids: readonly number[],
  seeds: readonly { readonly part: Part; readonly details: Omit<MemberRecord, "id"> }[],
): Configuration {
  const voters: number[] = [];
  const learners: number[] = [];
  const votersOutgoing: number[] = [];
  const members: MemberRecord[] = [];
  for (const [position, { part, details }] of seeds.entries()) {
    const id = ids[position];
    if (id === undefined) break;
    const mayVote = voters.length < MAX_VOTERS && votersOutgoing.length < MAX_VOTERS;
    const role = position === 0 ? "voter" : mayVote ? part : "learner";
    if (role === "voter" || role === "staying") voters.push(id);
    if (role === "learner" || role === "demoted") learners.push(id);
    if (role === "leaving" || role === "staying" || role === "demoted") votersOutgoing.push(id);
    members.push({ id, ...details, replaces: details.replaces === id ? null : details.replaces });
  }
  const ascending = (some: readonly number[]): number[] => some.toSorted((a, b) => a - b);
  return {
    confState: {
      voters: ascending(voters),
      learners: ascending(learners),
      votersOutgoing: ascending(votersOutgoing),
    },
    members: members.toSorted((a, b) => a.id - b.id),
    removedIds: ascending(ids.slice(members.length)),
  };
}

/** The members as a client sees them. */
export function members(maxInteger: number): fc.Arbitrary<Member[]> {
  const member = record<Member>({
    id: integer({ min: 1, max: maxInteger }),
    address: fc.string(),
    role: fc.constantFrom("voter", "learner", "leaving"),
  });
  return fc.array(member, { maxLength: MAX_MEMBERS });
}

/** How a leader has got with the others. */
export function peers(maxInteger: number): fc.Arbitrary<PeerStatus[]> {
  const count = integer({ max: maxInteger });
  const peer = record<PeerStatus>({
    id: integer({ min: 1, max: maxInteger }),
    matchIndex: count,
    state: fc.constantFrom("probe", "replicate", "snapshot"),
    lastContactMs: nullable(count),
    snapshotSentBytes: count,
    snapshotTotalBytes: count,
    hasRoom: fc.option(fc.boolean(), { nil: null }),
  });
  return fc.array(peer, { maxLength: MAX_MEMBERS });
}

/** Any change of the members. */
export function membershipChange(maxInteger: number): fc.Arbitrary<MembershipChange> {
  const id = integer({ min: 1, max: maxInteger });
  return fc.oneof(
    record({ kind: fc.constant("add"), id, address: address(), learner: fc.boolean() }),
    record({ kind: fc.constantFrom("remove", "promote", "demote"), id }),
    record({ kind: fc.constant("replace"), dead: id, id, address: address() }),
    record({ kind: fc.constant("update"), id, address: address() }),
  );
}

/** A piece of a snapshot, or the answer to it. */
export function snapshotFrame(maxInteger: number): fc.Arbitrary<SnapshotChunk | SnapshotProgress> {
  const fromOne = integer({ min: 1, max: maxInteger });
  const term = integer({ min: 1, max: Math.min(maxInteger, MAX_TERM) });
  const index = integer({ min: 1, max: Math.min(maxInteger, MAX_SNAPSHOT_INDEX) });
  return fc.tuple(term, term, index, integer({ max: maxInteger }), fromOne, binary()).map((
    [term, otherTerm, index, place, length, data],
  ) => {
    const totalBytes = Math.max(length, data.length);
    const offset = place % (totalBytes - data.length + 1);
    const head = {
      term: Math.max(term, otherTerm),
      index,
      snapshotTerm: Math.min(term, otherTerm),
      totalBytes,
    };
    return place % 2 === 0
      ? { kind: "snapshotChunk", ...head, offset, data }
      : { kind: "snapshotProgress", ...head, nextOffset: offset };
  });
}
