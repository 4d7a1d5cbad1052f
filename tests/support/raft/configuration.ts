/**
 * The text form of configurations in tests: `voters=1,2,3 learners=4 outgoing=1,2 removed=5`, without empty lists.
 */
import type { Configuration, ConfigurationCodec, NodeId } from "../../../lib/raft/mod.ts";
import { members } from "../../../lib/raft/quorum.ts";

/** Nodes by role; an omitted list is empty. */
export interface ConfigurationParts {
  readonly voters: readonly NodeId[];
  readonly learners?: readonly NodeId[];
  readonly outgoing?: readonly NodeId[];
  readonly removed?: readonly NodeId[];
}

/** Returns a configuration of these nodes; node n has the address `node-n:1`. */
export function configurationOf(parts: ConfigurationParts): Configuration {
  const ascending = (ids: readonly NodeId[] = []): NodeId[] => [...ids].sort((a, b) => a - b);
  const confState = {
    voters: ascending(parts.voters),
    learners: ascending(parts.learners),
    votersOutgoing: ascending(parts.outgoing),
  };
  return {
    confState,
    members: members(confState).map((id) => {
      return { id, address: `node-${id}:1`, dataId: null, autoPromote: false, replaces: null };
    }),
    removedIds: ascending(parts.removed),
  };
}

/** Returns the text form of a configuration. */
export function configurationText({ confState, removedIds }: Configuration): string {
  const { voters, learners, votersOutgoing } = confState;
  const lists = { voters, learners, outgoing: votersOutgoing, removed: removedIds };
  return Object.entries(lists).filter(([, ids]) => ids.length > 0).map(([name, ids]) => `${name}=${ids}`)
    .join(" ");
}

/** Parses the text form. */
export function parseConfiguration(text: string): Configuration {
  const lists = new Map(
    text.split(" ").map((part): [string, NodeId[]] => {
      const [name = "", ids = ""] = part.split("=");
      return [name, ids.split(",").map(Number)];
    }),
  );
  const list = (name: string): NodeId[] => lists.get(name) ?? [];
  return configurationOf({
    voters: list("voters"),
    learners: list("learners"),
    outgoing: list("outgoing"),
    removed: list("removed"),
  });
}

/** The codec of nodes in tests of the core. */
export const TEXT_CODEC: ConfigurationCodec = {
  encode: (configuration) => new TextEncoder().encode(configurationText(configuration)),
  decode: (data) => parseConfiguration(new TextDecoder().decode(data)),
};
