/** The steps of random programs on a Deno KV database: the arguments of single calls. */

/** A value that is written, or a number to add. A `KvU64` exists only where Deno KV is enabled, so it is made when it is used. */
export type Value = { readonly kind: "plain"; readonly value: unknown } | {
  readonly kind: "u64";
  readonly value: bigint;
};

/** The versionstamp that a check expects of a key. */
export type Expectation =
  /** That it does not exist. */
  | { readonly kind: "absent" }
  /** The versionstamp that a read just before the commit returns. */
  | { readonly kind: "current" }
  /** The versionstamp that the program observed first, second …, of any key; that of `current` if there are fewer. */
  | { readonly kind: "observed"; readonly position: number }
  /** This text. */
  | { readonly kind: "literal"; readonly versionstamp: string };

/** A check of a commit. */
export interface Check {
  readonly key: Deno.KvKey;
  readonly expected: Expectation;
}

/** The mutations of numbers. */
export type NumberKind = Exclude<Deno.KvMutation["type"], "set" | "delete">;

/** A mutation of a commit. */
export type Mutation =
  | {
    readonly kind: "set";
    readonly key: Deno.KvKey;
    readonly value: Value;
    readonly expireInMs: number | null;
    /** Whether the versionstamp of the commit is the last part of the key. */
    readonly isVersionstamped: boolean;
  }
  | { readonly kind: "delete"; readonly key: Deno.KvKey }
  /** By the methods `sum`, `min`, `max`, which take a bigint. */
  | { readonly kind: NumberKind; readonly key: Deno.KvKey; readonly operand: bigint }
  /** By `mutate`, which sends any value, and drops `bound` as the stock client does. */
  | {
    readonly kind: "mutate";
    readonly type: NumberKind;
    readonly key: Deno.KvKey;
    readonly value: Value;
    readonly bound: number | null;
  };

/** One call of the API. */
export type Step =
  | {
    readonly kind: "set";
    readonly key: Deno.KvKey;
    readonly value: Value;
    readonly expireInMs: number | null;
  }
  | { readonly kind: "delete"; readonly key: Deno.KvKey }
  | { readonly kind: "get"; readonly key: Deno.KvKey; readonly consistency: Deno.KvConsistencyLevel }
  | {
    readonly kind: "getMany";
    readonly keys: readonly Deno.KvKey[];
    readonly consistency: Deno.KvConsistencyLevel;
  }
  | {
    readonly kind: "list";
    readonly selector: Deno.KvListSelector;
    readonly options: Deno.KvListOptions;
    /** After so many entries a second list continues at the cursor; null for one list. */
    readonly resumeAfter: number | null;
  }
  | { readonly kind: "commit"; readonly checks: readonly Check[]; readonly mutations: readonly Mutation[] };

/** The steps of a program in their order. */
export type Program = readonly Step[];

/** Returns a step as one line for an error, with long values shortened. */
export function stepText(step: Step): string {
  const text = Deno.inspect(step, {
    compact: true,
    depth: 10,
    iterableLimit: 5,
    strAbbreviateSize: 60,
    breakLength: Infinity,
  });
  return text.length > 1_000 ? `${text.slice(0, 1_000)}…` : text;
}
