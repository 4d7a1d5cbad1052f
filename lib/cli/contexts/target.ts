/**
 * The cluster that a client talks to. The first of these that is given says: `--cluster`, `--context`, the variables
 * KVRAFT_CLUSTER or KVRAFT_CONTEXT, the context in use.
 *
 * What names only nodes uses nothing of a context: the token or password of one cluster is never sent to another.
 */
import { UsageError } from "../errors.ts";
import {
  checkCluster,
  type ContextEnvironment,
  contextNamed,
  type NamedContext,
  readContexts,
} from "./contexts_file.ts";

/** A cluster, and how to connect to it. */
export interface Target {
  /** The source of the name: `--cluster`, `KVRAFT_CLUSTER`, or `the context orders (KVRAFT_CONTEXT)`. */
  readonly origin: string;
  /** The name of the context; null without one. */
  readonly context: string | null;
  readonly cluster: string;
  /** The options of the command line, and those of the context that they leave. */
  readonly options: ReadonlyMap<string, string>;
}

type Options = ReadonlyMap<string, string>;

/** Returns the cluster that the options, the environment or the context in use name. Throws {@link UsageError}. */
export function targetOf(options: Options, environment: ContextEnvironment): Target {
  const target = namedByFlag(options, environment) ?? namedByVariable(options, environment) ??
    inUse(options, environment);
  if (target !== null) return target;
  throw new UsageError(
    "--cluster is missing, and neither KVRAFT_CLUSTER, KVRAFT_CONTEXT nor a context in use names a cluster. " +
      "Example: --cluster 127.0.0.1:7001,127.0.0.1:7002",
  );
}

function namedByFlag(options: Options, environment: ContextEnvironment): Target | null {
  const cluster = options.get("cluster");
  const name = options.get("context");
  if (cluster !== undefined && name !== undefined) throw twoClusters("--cluster", "--context");
  if (cluster !== undefined) return nodesAlone(cluster, { origin: "--cluster", options });
  return name === undefined ? null : byName(name, { origin: "--context", options, environment });
}

function namedByVariable(options: Options, environment: ContextEnvironment): Target | null {
  const cluster = environment.variable("KVRAFT_CLUSTER");
  const name = environment.variable("KVRAFT_CONTEXT");
  if (cluster !== null && name !== null) throw twoClusters("KVRAFT_CLUSTER", "KVRAFT_CONTEXT");
  if (cluster !== null) return nodesAlone(cluster, { origin: "KVRAFT_CLUSTER", options });
  return name === null ? null : byName(name, { origin: "KVRAFT_CONTEXT", options, environment });
}

function inUse(options: Options, environment: ContextEnvironment): Target | null {
  const contexts = readContexts(environment);
  const { inUse: name } = contexts;
  return name === null
    ? null
    : byContext(contextNamed(contexts, { name, origin: "in use" }), { how: "in use", options });
}

function nodesAlone(cluster: string, { origin, options }: Pick<Target, "origin" | "options">): Target {
  return { origin, context: null, cluster, options };
}

function byName(
  name: string,
  { origin, options, environment }: Pick<Target, "origin" | "options"> & {
    readonly environment: ContextEnvironment;
  },
): Target {
  return byContext(contextNamed(readContexts(environment), { name, origin }), { how: origin, options });
}

function byContext(
  { name, settings }: NamedContext,
  { how, options }: { readonly how: string; readonly options: Options },
): Target {
  const cluster = settings.get("cluster") ?? "";
  checkCluster(cluster);
  const replaced = replacedBy(options);
  const kept = [...settings].filter(([setting]) => !replaced.has(setting));
  return {
    origin: `the context ${name} (${how})`,
    context: name,
    cluster,
    options: new Map([...kept, ...options]),
  };
}

/** Returns the settings of a context that these options replace: who signs in, and a certificate with its key, as one. */
function replacedBy(options: Options): ReadonlySet<string> {
  const replaced = new Set(options.keys());
  if (options.has("user") || options.has("token-file")) {
    for (const setting of ["user", "password-file", "token-file"]) replaced.add(setting);
  }
  if (options.has("password-file") || options.has("password-stdin")) {
    for (const setting of ["password-file", "token-file"]) replaced.add(setting);
  }
  if (options.has("tls-cert") || options.has("tls-key")) {
    for (const setting of ["tls-cert", "tls-key"]) replaced.add(setting);
  }
  return replaced;
}

function twoClusters(one: string, other: string): UsageError {
  return new UsageError(`${one} and ${other} both name a cluster. Give one of them.`);
}
