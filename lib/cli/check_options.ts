/** The options of `check`, and what they make of a run. */
import { shortened } from "../platform/foreign_text.ts";
import { DEFAULT_MIX, MAX_KEYS, MAX_SEED, type Mix } from "../loadgen/mod.ts";
import { OPERATION_KINDS, type OperationKind } from "../loadgen/mod.ts";
import { integerOfText, type OptionSpec } from "./arguments.ts";
import type { Call, CommandContext } from "./command.ts";
import { durationOfText, timeoutOf } from "./command_options.ts";
import { UsageError } from "./errors.ts";
import { ownPrefix } from "./own_keys.ts";

/** Most clients: each has a connection of its own. */
const MAX_CLIENTS = 64;
const MAX_WEIGHT = 1_000_000;
const DEFAULT_TIMEOUT_MS = 2_000;
const DEFAULT_REPORT = "data/check.json";

/** The kinds of operation, by the names of the commands that do the same. */
export const KIND_NAMES: Readonly<Record<OperationKind, string>> = {
  put: "put",
  get: "get",
  delete: "delete",
  compareAndSet: "cas",
  transaction: "transaction",
  list: "list",
};

/** In the order of the help. */
export const CHECK_OPTIONS: readonly OptionSpec[] = [
  { name: "duration", placeholder: "<time>", help: "how long the clients work: 500ms, 10s, 5m (10s)" },
  { name: "clients", placeholder: "<n>", help: "clients, one operation at a time each (8)" },
  { name: "keys", placeholder: "<n>", help: "keys they meet on; fewer means more conflicts (16)" },
  { name: "mix", placeholder: "<kind=n,…>", help: `what they do how often (${mixAsText(DEFAULT_MIX)})` },
  { name: "seed", placeholder: "<n>", help: "decides what each client does (random)" },
  { name: "prefix", placeholder: "<prefix>", help: "of the keys, which must be unused (check/<random>/)" },
  {
    name: "report",
    placeholder: "<path>",
    help: `where a bad history is written, a page beside it (${DEFAULT_REPORT})`,
  },
];

/** What was asked for. */
export interface CheckPlan {
  readonly durationMs: number;
  readonly clients: number;
  readonly keys: number;
  readonly mix: Mix;
  readonly seed: number;
  readonly prefix: Uint8Array;
  readonly report: string;
  /** Deadline of each operation. */
  readonly timeoutMs: number;
}

/** What the options ask for. Throws {@link UsageError}. */
export function checkPlanOf({ options }: Call, { system, timeoutMs }: CommandContext): CheckPlan {
  const count = (name: string, { fallback, max }: { fallback: number; max: number }): number => {
    const text = options.get(name);
    return text === undefined ? fallback : integerOfText(text, { name: `--${name}`, min: 1, max });
  };
  const seed = options.get("seed");
  const mix = options.get("mix");
  return {
    durationMs: durationOfText(options.get("duration") ?? "10s", { name: "--duration", minMs: 1 }),
    clients: count("clients", { fallback: 8, max: MAX_CLIENTS }),
    keys: count("keys", { fallback: 16, max: MAX_KEYS }),
    mix: mix === undefined ? DEFAULT_MIX : mixOf(mix),
    seed: seed === undefined
      ? Math.floor(system.random() * (MAX_SEED + 1))
      : integerOfText(seed, { name: "--seed", min: 0, max: MAX_SEED }),
    prefix: ownPrefix(options.get("prefix"), { command: "check", random: system.random }),
    report: reportOf(options.get("report") ?? DEFAULT_REPORT, system),
    timeoutMs: timeoutOf(options) ?? timeoutMs ?? DEFAULT_TIMEOUT_MS,
  };
}

function mixOf(text: string): Mix {
  const weights: Record<OperationKind, number> = {
    put: 0,
    get: 0,
    delete: 0,
    compareAndSet: 0,
    transaction: 0,
    list: 0,
  };
  for (const part of text.split(",")) {
    const [name = "", weight = ""] = part.split("=", 2);
    const kind = OPERATION_KINDS.find((candidate) => KIND_NAMES[candidate] === name);
    if (kind === undefined) {
      throw new UsageError(
        `--mix: there is no kind of operation "${shortened(name)}"; there are ${
          Object.values(KIND_NAMES).join(", ")
        }. ` +
          "Example: --mix put=50,get=50",
      );
    }
    weights[kind] = integerOfText(weight, { name: `--mix: ${name}`, min: 0, max: MAX_WEIGHT });
  }
  if (Object.values(weights).some((weight) => weight > 0)) return weights;
  throw new UsageError(`--mix: "${shortened(text)}" leaves nothing to do. Example: --mix put=50,get=50`);
}

function mixAsText(mix: Mix): string {
  return OPERATION_KINDS.map((kind) => `${KIND_NAMES[kind]}=${mix[kind]}`).join(",");
}

function reportOf(path: string, system: CommandContext["system"]): string {
  if (system.mayWrite(path)) return path;
  throw new UsageError(
    `--report: cannot write ${path}: this program may write only ./data below the directory it was started in. ` +
      "Example: --report data/check.json",
  );
}
