/** Settings of a server that contradict one another. */
import { formatAddress } from "../../platform/address.ts";
import { backupProblems } from "./backup_options.ts";
import { OPTIONS, type ServerConfig } from "./config.ts";
import { ConfigError } from "./config_file.ts";
import type { ServerOption } from "./option_kinds.ts";
import { type Contradiction, protectionProblems } from "./protection.ts";

export type { Contradiction } from "./protection.ts";

/** Minimum number of heartbeats in an election timeout: one that is lost must not cause an election. */
const HEARTBEATS_PER_ELECTION_TIMEOUT = 3;

/** Returns where an option was given, as the beginning of a message; null where it was not. */
type OriginOf = (name: string) => string | null;

/** Yields every contradiction among the settings. */
export function* contradictions(config: ServerConfig, originOf: OriginOf): Generator<Contradiction> {
  yield* contradictionsOfMembers(config, originOf);
  yield* effectless(config, originOf);
  yield* sharedPorts(config, originOf);
  const longest = Math.floor(config.electionTimeoutMs / HEARTBEATS_PER_ELECTION_TIMEOUT);
  if (config.heartbeatMs > longest) {
    yield contradiction([OPTIONS.heartbeatMs, OPTIONS.electionTimeoutMs], {
      originOf,
      reason:
        `${config.heartbeatMs} is too long for an election timeout of ${config.electionTimeoutMs} ms, ` +
        `which must be at least ${HEARTBEATS_PER_ELECTION_TIMEOUT} heartbeats`,
      allowed: `10 to ${longest}, or a longer --election-timeout-ms`,
      example: String(Math.min(longest, 100)),
    });
  }
  yield* protectionProblems(config, originOf);
  yield* backupProblems(config, originOf);
}

function* contradictionsOfMembers(config: ServerConfig, originOf: OriginOf): Generator<Contradiction> {
  const ids = config.members?.map(({ id }) => id) ?? [];
  if (config.members !== null && config.join.length > 0) {
    const error = new ConfigError(
      "--join and --cluster were both given. A new cluster begins with --cluster; a new node of a running cluster " +
        `joins it. Example: --join ${OPTIONS.join.example}`,
    );
    yield { of: [OPTIONS.join.name, OPTIONS.members.name], error };
  }
  if (config.members !== null && !ids.includes(config.nodeId)) {
    yield contradiction([OPTIONS.nodeId, OPTIONS.members], {
      originOf,
      reason: `${config.nodeId} is not in --cluster`,
      allowed: `one of its ids: ${ids.join(", ")}; a node that is to be added uses --join in its place`,
      example: String(ids[0]),
    });
  }
}

/** Yields the options that have no effect without another one. */
function* effectless(config: ServerConfig, originOf: OriginOf): Generator<Contradiction> {
  const { peerAuth, peerSecretFile, etcdAdvertise, etcd } = OPTIONS;
  if (config.peerSecretFile === null && originOf(peerAuth.name) !== null) {
    yield contradiction([peerAuth, peerSecretFile], {
      originOf,
      reason: "it has no effect without --peer-secret-file",
      allowed: "both, or neither",
      example: `${peerAuth.example} --peer-secret-file ${peerSecretFile.example}`,
    });
  }
  if (config.etcdAdvertise !== null && config.etcd === null) {
    yield contradiction([etcdAdvertise, etcd], {
      originOf,
      reason: "it has no effect without --etcd",
      allowed: "both, or neither",
      example: `${etcdAdvertise.example} --etcd ${etcd.example}`,
    });
  }
}

/** Yields the options with an address that another option has. */
function* sharedPorts(
  { bind, http, denokv, etcd }: ServerConfig,
  originOf: OriginOf,
): Generator<Contradiction> {
  const taken = new Map<string, ServerOption>([[formatAddress(bind), OPTIONS.bind]]);
  const others = [[OPTIONS.http, http], [OPTIONS.denokv, denokv], [OPTIONS.etcd, etcd]] as const;
  for (const [option, address] of others) {
    if (address === null) continue;
    const text = formatAddress(address);
    const other = taken.get(text);
    if (other !== undefined) {
      const reason = `${text} is --${other.name} already`;
      const { example } = option;
      yield contradiction([option, other], { originOf, reason, allowed: "another port", example });
    }
    taken.set(text, option);
  }
}

/** Returns the contradiction of the first of these options to the others. */
function contradiction(
  options: readonly [ServerOption, ...ServerOption[]],
  { originOf, reason, allowed, example }: {
    readonly originOf: OriginOf;
    readonly reason: string;
    readonly allowed: string;
    readonly example: string;
  },
): Contradiction {
  const [{ name }] = options;
  const origin = originOf(name) ?? `--${name}`;
  const error = new ConfigError(`${origin}: ${reason}. Allowed: ${allowed}. Example: --${name} ${example}`);
  return { of: options.map((option) => option.name), error };
}
