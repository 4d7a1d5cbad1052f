/** The commands `context add`, `use`, `list`, `show` and `remove`: the named clusters of this user. */
import {
  type Answer,
  answer,
  changeAnswer,
  type CommandContext,
  defineCommand,
  type Invocation,
} from "../../command.ts";
import {
  changeContexts,
  checkCluster,
  checkContextName,
  CONTEXT_SETTINGS,
  contextNamed,
  type Contexts,
  type NamedContext,
  readContexts,
} from "../../contexts/contexts_file.ts";
import { targetOf } from "../../contexts/target.ts";
import { UsageError } from "../../errors.ts";
import { SIGN_IN_OPTIONS } from "../../sign_in/secrets.ts";
import { CLIENT_TLS_OPTIONS } from "../../tls_options.ts";
import type { OptionSpec } from "../../arguments.ts";
import { escapeUnprintable } from "../../text.ts";

const KEPT: readonly string[] = Object.keys(CONTEXT_SETTINGS);

/** Options of `context add`, which are those of the client that a context can have. */
const ADD_OPTIONS: readonly OptionSpec[] = [
  {
    name: "cluster",
    placeholder: "<nodes>",
    help: "one or more nodes, as host:port, parted by commas (required)",
  },
  ...CLIENT_TLS_OPTIONS.map((option) => ({ ...option, isSeldom: true as const })),
  ...SIGN_IN_OPTIONS.filter(({ name }) => KEPT.includes(name)).map((option) => ({
    ...option,
    isSeldom: true as const,
  })),
  { name: "replace", placeholder: null, help: "in place of a context that has the name" },
];

const NEW_NAME = { name: "name", required: true };
const NAME = { ...NEW_NAME, completion: "context" } as const;

const ADD = defineCommand({
  name: "context add",
  summary: "keep a cluster, and how to connect to it, under a name",
  details: [
    "Keeps the options in kvraft/contexts.json below $XDG_CONFIG_HOME, or ~/.config, readable by its owner only. Paths are",
    "kept, and no secrets: a password is asked for or comes from a file, as without a context. --context, KVRAFT_CONTEXT or",
    "context use choose one. --cluster and KVRAFT_CLUSTER use nothing of a context.",
  ],
  arguments: [NEW_NAME],
  options: ADD_OPTIONS,
  example: [
    "context add orders --cluster node1:7001,node2:7001 --tls-ca ca.crt --user ann",
    "ok  orders is a context",
  ],
  run(invocation, { environment }): Promise<Answer> {
    const name = nameIn(invocation) ?? "";
    checkContextName(name);
    const settings = settingsIn(invocation, environment);
    const { inUse } = changeContexts(environment, (contexts) => {
      const others = contexts.all.filter((context) => context.name !== name);
      if (others.length < contexts.all.length && !invocation.options.has("replace")) {
        throw new UsageError(`There is a context ${name} already. --replace puts this one in its place.`);
      }
      return { ...contexts, all: sorted([...others, { name, settings }]) };
    });
    const line = inUse === name ? `${name} is a context, and in use` : `${name} is a context`;
    return changed(line, { name, inUse: inUse === name });
  },
});

const USE = defineCommand({
  name: "context use",
  summary: "choose the context that applies where nothing else names a cluster",
  arguments: [{ ...NAME, replacedBy: ["none"] }],
  options: [{ name: "none", placeholder: null, help: "no context is in use from now on" }],
  example: ["context use orders", "ok  orders is in use"],
  run(invocation, { environment }): Promise<Answer> {
    const name = nameIn(invocation);
    changeContexts(environment, (contexts) => {
      if (name !== null) contextNamed(contexts, { name, origin: "context use" });
      return { ...contexts, inUse: name };
    });
    return changed(name === null ? "no context is in use" : `${name} is in use`, { inUse: name });
  },
});

const LIST = defineCommand({
  name: "context list",
  summary: "the contexts; * marks the one in use",
  example: ["context list", "* orders  node1:7001,node2:7001  user ann"],
  run(_invocation, { environment }): Promise<Answer> {
    const contexts = readContexts(environment);
    return Promise.resolve(answer({
      text: () => ({
        output: tableOf(contexts),
        note: contexts.all.length === 0 ? "There are no contexts: context add keeps one.\n" : "",
      }),
      json: () => ({ inUse: contexts.inUse, contexts: contexts.all.map(documentOf) }),
    }));
  },
});

const SHOW = defineCommand({
  name: "context show",
  summary: "a context, or without a name the cluster that applies now and what names it",
  arguments: [{ ...NAME, required: false }],
  example: ["context show orders", "cluster  node1:7001,node2:7001", "user     ann"],
  run(invocation, { environment }): Promise<Answer> {
    const name = nameIn(invocation);
    if (name !== null) {
      const context = contextNamed(readContexts(environment), { name, origin: "context show" });
      return Promise.resolve(answer({
        text: () => ({ output: linesOf([...context.settings]), note: "" }),
        json: () => documentOf(context),
      }));
    }
    const { origin, context, cluster, options } = targetOf(invocation.options, environment);
    const settings = new Map(KEPT.flatMap((setting): [string, string][] => {
      const value = setting === "cluster" ? cluster : options.get(setting);
      return value === undefined ? [] : [[setting, value]];
    }));
    return Promise.resolve(answer({
      text: () => ({ output: linesOf([["from", origin], ...settings]), note: "" }),
      json: () => ({ from: origin, context, ...Object.fromEntries(settings) }),
    }));
  },
});

const REMOVE = defineCommand({
  name: "context remove",
  summary: "remove a context",
  arguments: [NAME],
  example: ["context remove orders", "ok  orders is removed"],
  run(invocation, { environment }): Promise<Answer> {
    const name = nameIn(invocation) ?? "";
    let wasInUse = false;
    changeContexts(environment, (contexts) => {
      contextNamed(contexts, { name, origin: "context remove" });
      wasInUse = contexts.inUse === name;
      const all = contexts.all.filter((context) => context.name !== name);
      return { inUse: wasInUse ? null : contexts.inUse, all };
    });
    return changed(wasInUse ? `${name} is removed; no context is in use` : `${name} is removed`, {
      removed: name,
    });
  },
});

/** The commands, in the order of the help. */
export const CONTEXT_COMMANDS = [ADD, USE, LIST, SHOW, REMOVE];

function nameIn(invocation: Invocation): string | null {
  return invocation.args.get("name")?.text ?? null;
}

/** Returns the settings that the options give a context. Throws {@link UsageError}. */
function settingsIn(
  { options }: Invocation,
  { absolute }: CommandContext["environment"],
): ReadonlyMap<string, string> {
  const cluster = options.get("cluster");
  if (cluster === undefined) {
    throw new UsageError("context add needs --cluster. Example: context add orders --cluster 127.0.0.1:7001");
  }
  checkCluster(cluster);
  if (options.has("password-stdin")) {
    throw new UsageError(
      "A context has no password: --password-file names a file with it, or it is asked for.",
    );
  }
  if (options.has("token-file") && (options.has("user") || options.has("password-file"))) {
    throw new UsageError("--token-file says who signs in, and so does --user. Give one of them.");
  }
  const settings = Object.entries(CONTEXT_SETTINGS).flatMap(([name, { isPath }]): [string, string][] => {
    const value = options.get(name);
    return value === undefined ? [] : [[name, isPath ? absolute(value) : value]];
  });
  return new Map(settings);
}

function sorted(contexts: readonly NamedContext[]): readonly NamedContext[] {
  return contexts.toSorted((one, other) => one.name < other.name ? -1 : 1);
}

function documentOf({ name, settings }: NamedContext): Readonly<Record<string, string>> {
  return { name, ...Object.fromEntries(settings) };
}

function tableOf({ inUse, all }: Contexts): string {
  const width = Math.max(0, ...all.map(({ name }) => name.length));
  return all.map(({ name, settings }) => {
    const rest = [...settings].filter(([setting]) => setting !== "cluster" && !setting.startsWith("tls-"))
      .map(([setting, value]) => `  ${setting} ${value}`);
    const tls = settings.has("tls-ca") ? "  TLS" : "";
    const mark = name === inUse ? "*" : " ";
    return escapeUnprintable(
      `${mark} ${name.padEnd(width)}  ${settings.get("cluster")}${tls}${rest.join("")}`,
    ) + "\n";
  }).join("");
}

function linesOf(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${escapeUnprintable(`${name.padEnd(width)}  ${value}`)}\n`).join("");
}

function changed(line: string, document: unknown): Promise<Answer> {
  return Promise.resolve(changeAnswer({ line: `ok  ${line}`, document }));
}
