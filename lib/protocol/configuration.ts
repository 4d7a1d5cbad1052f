/**
 * The bytes of a configuration: the data of a configuration entry, and what stands in a snapshot's header.
 *
 *     [[voter…], [learner…], [voterOutgoing…], [[id, address, dataId | nil, autoPromote, replaces | nil]…], [removedId…]]
 *
 * The same bytes must decode alike on every node, so nothing here depends on this node's own configuration. What does
 * not hold together is refused where it comes in, so that the core may take an entry's configuration as it is.
 */
import { assert } from "../platform/assert.ts";
import { shortened } from "../platform/errors.ts";
import type { Configuration, ConfigurationCodec, MemberRecord, NodeId } from "../raft/types.ts";
import { isMemberAddress } from "../platform/address.ts";
import { DecodeError } from "./errors.ts";
import { MAX_MEMBERS, MAX_REMOVED_IDS, MAX_VOTERS } from "./limits.ts";
import { MessagePackReader } from "./msgpack_reader.ts";
import { MessagePackWriter } from "./msgpack_writer.ts";

const WHAT = "a configuration";

/** Encodes a configuration as bytes that the caller owns; it must be one ({@link configurationProblem}). */
export function encodeConfiguration(configuration: Configuration): Uint8Array {
  const problem = configurationProblem(configuration);
  assert(problem === null, `only a configuration that holds together is encoded: ${problem}`);
  const { confState, members, removedIds } = configuration;
  const out = new MessagePackWriter();
  out.array(5);
  for (const ids of [confState.voters, confState.learners, confState.votersOutgoing]) writeIds(out, ids);
  out.array(members.length);
  for (const member of members) {
    out.array(5);
    out.integer(member.id);
    out.string(member.address);
    out.integerOrNil(member.dataId);
    out.boolean(member.autoPromote);
    out.integerOrNil(member.replaces);
  }
  writeIds(out, removedIds);
  return out.copy();
}

/** Decodes a configuration. Throws DecodeError for what is none. */
export function decodeConfiguration(data: Uint8Array): Configuration {
  const input = new MessagePackReader(data, { what: WHAT, copies: false });
  input.open("the configuration");
  const confState = {
    voters: readIds(input, { field: "voters", most: MAX_VOTERS }),
    learners: readIds(input, { field: "learners", most: MAX_MEMBERS }),
    votersOutgoing: readIds(input, { field: "votersOutgoing", most: MAX_VOTERS }),
  };
  const members = readSome(input, { field: "members", most: MAX_MEMBERS, read: () => readMember(input) });
  const removedIds = readIds(input, { field: "removedIds", most: MAX_REMOVED_IDS });
  input.close();
  input.end();
  const configuration = { confState, members, removedIds };
  const problem = configurationProblem(configuration);
  if (problem !== null) throw new DecodeError(`Cannot decode ${WHAT}: ${problem}.`);
  return configuration;
}

/** Both directions, for the core. */
export const CONFIGURATION_CODEC: ConfigurationCodec = {
  encode: encodeConfiguration,
  decode: decodeConfiguration,
};

/** What keeps a value from being a configuration, as the end of a sentence; null when it is one. */
export function configurationProblem({ confState, members, removedIds }: Configuration): string | null {
  const { voters, learners, votersOutgoing } = confState;
  for (const [name, ids] of Object.entries({ voters, learners, votersOutgoing, removedIds })) {
    if (!isAscending(ids)) return `${name} must be sorted and without repetition`;
  }
  for (const [name, ids] of Object.entries({ voters, votersOutgoing })) {
    if (ids.length > MAX_VOTERS) return `${name} must not be more than ${MAX_VOTERS}`;
  }
  // Those that a joint configuration leaves behind are removed with the step that follows from it by itself.
  const leaving = votersOutgoing.filter((id) => !voters.includes(id) && !learners.includes(id));
  if (removedIds.length + leaving.length > MAX_REMOVED_IDS) {
    return `removedIds must not be more than ${MAX_REMOVED_IDS}, those that leave included`;
  }
  if (members.length > MAX_MEMBERS) return `members must not be more than ${MAX_MEMBERS}`;
  if (voters.length === 0 && members.length > 0) return "voters must not be empty where there are members";
  if (learners.some((id) => voters.includes(id))) return "learners must not be voters";
  const everybody = [...new Set([...voters, ...learners, ...votersOutgoing])].sort((a, b) => a - b);
  const isExact = everybody.length === members.length &&
    members.every(({ id }, position) => id === everybody[position]);
  if (!isExact) return "members must be the voters and learners, sorted by id";
  const removed = members.find(({ id }) => removedIds.includes(id));
  if (removed !== undefined) return `removedIds must not have the member ${removed.id}`;
  for (const member of members) {
    const problem = memberProblem(member);
    if (problem !== null) return problem;
  }
  return null;
}

function memberProblem({ id, address, replaces }: MemberRecord): string | null {
  if (replaces === id) return `replaces must not be the member itself, ${id}`;
  if (isMemberAddress(address)) return null;
  return `address must be host:port that others can dial, in its one written form, not "${
    shortened(address)
  }"`;
}

function isAscending(ids: readonly NodeId[]): boolean {
  return ids.every((id, position) => id > (ids[position - 1] ?? 0));
}

function writeIds(out: MessagePackWriter, ids: readonly NodeId[]): void {
  out.array(ids.length);
  for (const id of ids) out.integer(id);
}

function readIds(
  input: MessagePackReader,
  list: { readonly field: string; readonly most: number },
): readonly NodeId[] {
  return readSome(input, { ...list, read: () => input.integer(list.field, 1) });
}

function readMember(input: MessagePackReader): MemberRecord {
  input.open("member");
  const member = {
    id: input.integer("member id", 1),
    address: input.string("member address"),
    dataId: input.integerOrNull("member dataId"),
    autoPromote: input.boolean("member autoPromote"),
    replaces: input.integerOrNull("member replaces", 1),
  };
  input.close();
  return member;
}

/** Reads an array of at most `most` elements. */
function readSome<T>(
  input: MessagePackReader,
  { field, most, read }: { readonly field: string; readonly most: number; readonly read: () => T },
): readonly T[] {
  const count = input.open(field);
  if (count > most) throw input.error(field, `must not be more than ${most}`);
  const values: T[] = [];
  for (let position = 0; position < count; position++) values.push(read());
  input.close();
  return values;
}
