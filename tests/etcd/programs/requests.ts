/** Random requests. */
import type { Body } from "../../support/etcd/driver.ts";
import { SeededRandom } from "../../support/seeded_random.ts";
import { base64, type Step } from "./step.ts";

/** Few enough that keys meet, with the neighbours of their order. */
const SUFFIXES = ["", "a", "a\0", "aa", "ab", "b", "c", "\xff"] as const;
const VALUES = ["", "1", "2", "value", "\0\xff"] as const;
/** Leases of a program that it may name, granted or not. */
const LEASES = 4;
const LONG_TTLS = ["60", "600", "3600", "9000000000"] as const;
const ODD_TTLS = ["0", "-1", "9000000001", "9223372036854775807"] as const;

/** The random choices of one program. */
export class Choices {
  readonly random: SeededRandom;
  readonly prefix: string;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
    this.prefix = `p${seed}/`;
  }

  /** Returns a key of the program, in base64; rarely none. */
  key(): string {
    if (this.random.chance(0.005)) return "";
    return base64(`${this.prefix}${this.random.pick(SUFFIXES)}`);
  }

  /** Returns a key and an end: of one key, of some, of all keys of the program, or of none. */
  range(): Body {
    const dice = this.random.below(10);
    if (dice < 4) return { key: this.key() };
    if (dice < 8) return { key: base64(this.prefix), range_end: base64(this.#end()) };
    return { key: this.key(), range_end: this.key() };
  }

  value(): string {
    return base64(this.random.pick(VALUES));
  }

  /** Returns a revision near the current one; rarely an odd one. */
  revision(): string {
    if (this.random.chance(0.05)) return this.random.pick(["-1", "0", "1", "9223372036854775807"]);
    const delta = 2 - this.random.below(8);
    return `@${delta < 0 ? "" : "+"}${delta}`;
  }

  lease(): string {
    return this.random.chance(0.1) ? "4711" : `&${this.random.below(LEASES)}`;
  }

  /** Returns `body` with a probability, or nothing. */
  maybe(probability: number, body: () => Body): Body {
    return this.random.chance(probability) ? body() : {};
  }

  #end(): string {
    return `${this.prefix.slice(0, -1)}0`;
  }
}

/** Returns a step without a stream. */
export function kvStep(choices: Choices): Step {
  const { random } = choices;
  const dice = random.below(100);
  if (dice < 25) return call("KV/Put", putBody(choices));
  if (dice < 45) return call("KV/Range", rangeBody(choices));
  if (dice < 50) return call("KV/RangeStream", streamBody(choices));
  if (dice < 60) return call("KV/DeleteRange", deleteBody(choices));
  if (dice < 80) return call("KV/Txn", txnBody(choices, 0));
  if (dice < 83) {
    return call("KV/Compact", {
      revision: choices.revision(),
      ...choices.maybe(0.3, () => ({ physical: true })),
    });
  }
  return leaseStep(choices);
}

/** Returns the steps with which a program begins: most of its leases and keys are there. */
export function prelude(choices: Choices): readonly Step[] {
  const grants = Array.from(
    { length: LEASES - 1 },
    (_, at) => call("Lease/LeaseGrant", { TTL: "600", ID: `&${at}` }),
  );
  const puts = SUFFIXES.filter(() => choices.random.chance(0.6)).map((suffix) =>
    call("KV/Put", {
      key: base64(`${choices.prefix}${suffix}`),
      value: choices.value(),
      ...choices.maybe(0.3, () => ({ lease: `&${choices.random.below(LEASES - 1)}` })),
    })
  );
  return [...grants, ...puts];
}

function leaseStep(choices: Choices): Step {
  const { random } = choices;
  const ID = choices.lease();
  const dice = random.below(10);
  if (dice < 4) {
    const TTL = random.chance(0.1) ? random.pick(ODD_TTLS) : random.pick(LONG_TTLS);
    return call("Lease/LeaseGrant", random.chance(0.1) ? { TTL } : { TTL, ID });
  }
  if (dice < 5) return call("Lease/LeaseRevoke", { ID });
  if (dice < 7) return call("Lease/LeaseTimeToLive", { ID, keys: random.chance(0.7) });
  if (dice < 8) return call("Lease/LeaseLeases", {});
  return { kind: "keepAlive", ids: Array.from({ length: 1 + random.below(3) }, () => choices.lease()) };
}

/** Returns a call of a method of package etcdserverpb. */
export function call(method: string, body: Body): Step {
  return { kind: "call", call: `etcdserverpb.${method}`, body };
}

export function putBody(choices: Choices): Body {
  const isForEarlierValue = choices.random.chance(0.06);
  return {
    key: choices.key(),
    ...(isForEarlierValue ? { ignore_value: true } : { value: choices.value() }),
    ...choices.maybe(0.2, () => ({ lease: choices.lease() })),
    ...choices.maybe(0.3, () => ({ prev_kv: true })),
    ...choices.maybe(0.03, () => ({ ignore_value: true })),
    ...choices.maybe(0.04, () => ({ ignore_lease: true })),
  };
}

export function deleteBody(choices: Choices): Body {
  return { ...choices.range(), ...choices.maybe(0.5, () => ({ prev_kv: true })) };
}

export function rangeBody(choices: Choices): Body {
  const { random } = choices;
  return {
    ...choices.range(),
    ...choices.maybe(0.3, () => ({ limit: random.pick(["1", "2", "3", "-1", "9223372036854775807"]) })),
    ...choices.maybe(0.25, () => ({ revision: choices.revision() })),
    ...choices.maybe(0.3, () => ({ sort_order: random.pick(["ASCEND", "DESCEND", "DESCEND", "NONE"]) })),
    ...choices.maybe(
      0.25,
      () => ({ sort_target: random.pick(["KEY", "VERSION", "CREATE", "MOD", "VALUE"]) }),
    ),
    ...choices.maybe(
      0.02,
      () => random.pick<Body>([{ sort_order: 7 }, { sort_target: 9 }, { sort_target: -1 }]),
    ),
    ...choices.maybe(0.2, () => ({ serializable: true })),
    ...choices.maybe(0.15, () => ({ keys_only: true })),
    ...choices.maybe(0.1, () => ({ count_only: true })),
    ...choices.maybe(0.08, () => ({ min_mod_revision: choices.revision() })),
    ...choices.maybe(0.08, () => ({ max_mod_revision: choices.revision() })),
    ...choices.maybe(0.08, () => ({ min_create_revision: choices.revision() })),
    ...choices.maybe(0.08, () => ({ max_create_revision: choices.revision() })),
  };
}

/** Returns a RangeRequest, mostly without the fields that RangeStream refuses. */
function streamBody(choices: Choices): Body {
  const body = rangeBody(choices);
  if (choices.random.chance(0.2)) return body;
  return Object.fromEntries(Object.entries(body).filter(([name]) => !/^(sort|min|max)_/.test(name)));
}

const MAX_OPERATIONS = 4;
const MAX_DEPTH = 2;

export function txnBody(choices: Choices, depth: number): Body {
  const { random } = choices;
  const operations = (): readonly Body[] =>
    Array.from({ length: random.below(MAX_OPERATIONS) }, () => operation(choices, depth));
  return {
    compare: Array.from({ length: random.below(3) }, () => compare(choices)),
    success: operations(),
    failure: operations(),
  };
}

function operation(choices: Choices, depth: number): Body {
  const dice = choices.random.below(100);
  if (dice < 1) return {};
  if (dice < 40) return { request_put: putBody(choices) };
  if (dice < 65) return { request_range: rangeBody(choices) };
  if (dice < 80) return { request_delete_range: deleteBody(choices) };
  return depth < MAX_DEPTH ? { request_txn: txnBody(choices, depth + 1) } : { request_put: putBody(choices) };
}

function compare(choices: Choices): Body {
  const { random } = choices;
  const targets: readonly (() => Body)[] = [
    (): Body => ({ target: "VERSION", version: `${random.below(4)}` }),
    (): Body => ({ target: "CREATE", create_revision: random.chance(0.5) ? "0" : choices.revision() }),
    (): Body => ({ target: "MOD", mod_revision: random.chance(0.5) ? "0" : choices.revision() }),
    (): Body => ({ target: "VALUE", value: choices.value() }),
    (): Body => ({ target: "LEASE", lease: random.chance(0.5) ? "0" : choices.lease() }),
    // The union is missing, or is of another target.
    (): Body => ({ target: random.pick(["VERSION", "CREATE", "MOD", "VALUE", "LEASE"]) }),
    (): Body => ({ target: random.pick(["CREATE", "VALUE"]), version: "1" }),
  ];
  return {
    result: random.pick(["EQUAL", "EQUAL", "NOT_EQUAL", "GREATER", "LESS"]),
    key: choices.key(),
    ...random.pick(targets)(),
    ...choices.maybe(0.15, () => choices.range()),
  };
}
