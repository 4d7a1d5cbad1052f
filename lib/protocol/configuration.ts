/**
 * The bytes of a configuration: the data of a configuration entry, also part of a snapshot's header.
 *
 *     [[voter…], [learner…], [voterOutgoing…], [[id, address, dataId | nil, autoPromote, replaces | nil]…], [removedId…]]
 *
 * The same bytes must decode alike on every node, so nothing here depends on this node's own configuration. A
 * configuration that breaks a rule is refused when it is received, so that the core need not check it again.
 */
import { assert } from "../platform/assert.ts";
import { shortened } from "../platform/errors.ts";
import { isMemberAddress } from "../platform/address.ts";
import type { Configuration, ConfigurationCodec, MemberRecord, NodeId } from "../raft/types.ts";
import { boolean, type Field, integer, list, nullable, text } from "./field.ts";
import { MAX_MEMBERS, MAX_REMOVED_IDS, MAX_VOTERS } from "./limits.ts";
import { MessagePackReader } from "./msgpack_reader.ts";
import { MessagePackWriter } from "./msgpack_writer.ts";
import { group, record } from "./schema.ts";

const CONFIGURATION: Field<Configuration> = record("configuration", {
  confState: group({
    voters: list(integer(1), MAX_VOTERS),
    learners: list(integer(1), MAX_MEMBERS),
    votersOutgoing: list(integer(1), MAX_VOTERS),
  }),
  members: list(
    record("member", {
      id: integer(1),
      address: text(),
      dataId: nullable(integer()),
      autoPromote: boolean(),
      replaces: nullable(integer(1)),
    }),
    MAX_MEMBERS,
  ),
  removedIds: list(integer(1), MAX_REMOVED_IDS),
}, configurationProblem);

/** Encodes a configuration as bytes that the caller owns; it must be one ({@link configurationProblem}). */
export function encodeConfiguration(configuration: Configuration): Uint8Array {
  const problem = configurationProblem(configuration);
  assert(problem === null, `only a valid configuration is encoded: ${problem}`);
  const out = new MessagePackWriter();
  CONFIGURATION.write(out, configuration);
  return out.copy();
}

/** Decodes a configuration. Throws DecodeError for bytes that are none. */
export function decodeConfiguration(data: Uint8Array): Configuration {
  const input = new MessagePackReader(data, { what: "a configuration", copies: false });
  const configuration = CONFIGURATION.read(input, "configuration");
  input.end();
  return configuration;
}

/** Both directions, for the core. */
export const CONFIGURATION_CODEC: ConfigurationCodec = {
  encode: encodeConfiguration,
  decode: decodeConfiguration,
};

/** Returns the rule that a configuration breaks, as the end of "Cannot decode a configuration: …"; null if none. */
export function configurationProblem({ confState, members, removedIds }: Configuration): string | null {
  const { voters, learners, votersOutgoing } = confState;
  for (const [name, ids] of Object.entries({ voters, learners, votersOutgoing, removedIds })) {
    if (!isAscending(ids)) return `${name} must be sorted and without repetition`;
  }
  for (const [name, ids] of Object.entries({ voters, votersOutgoing })) {
    if (ids.length > MAX_VOTERS) return `${name} must not be more than ${MAX_VOTERS}`;
  }
  // The final configuration after a joint one removes these voters.
  const leaving = votersOutgoing.filter((id) => !voters.includes(id) && !learners.includes(id));
  if (removedIds.length + leaving.length > MAX_REMOVED_IDS) {
    return `removedIds must not be more than ${MAX_REMOVED_IDS}, those that leave included`;
  }
  if (members.length > MAX_MEMBERS) return `members must not be more than ${MAX_MEMBERS}`;
  if (voters.length === 0 && members.length > 0) return "voters must not be empty where there are members";
  if (learners.some((id) => voters.includes(id))) return "learners must not be voters";
  const allIds = [...new Set([...voters, ...learners, ...votersOutgoing])].sort((a, b) => a - b);
  const isExact = allIds.length === members.length &&
    members.every(({ id }, position) => id === allIds[position]);
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
