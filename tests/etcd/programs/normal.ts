/**
 * Turns the outcomes of one program into texts that are equal for two servers with the same semantics: revisions count
 * from the begin of the program, leases that the server named are numbered, and what differs between any two clusters is
 * left out.
 */
import type { Body, Outcome } from "../../support/etcd/driver.ts";
import { BYTES, readable } from "./step.ts";

const REVISIONS: ReadonlySet<string> = new Set([
  "revision",
  "create_revision",
  "mod_revision",
  "compact_revision",
  "hash_revision",
]);
/** Different for every cluster or node, or for every second. */
const OMITTED: ReadonlySet<string> = new Set([
  ...["cluster_id", "member_id", "raft_term", "hash", "hash_revision", "authRevision", "token"],
  ...[
    "raftIndex",
    "raftTerm",
    "raftAppliedIndex",
    "dbSize",
    "dbSizeInUse",
    "dbSizeQuota",
    "leader",
    "version",
  ],
  ...["storageVersion", "members"],
]);

/** The memory of one run of a program. */
export class Normal {
  readonly #base: bigint;
  /** Names of leases, and of other numbers that the server has chosen. */
  readonly #names: Map<string, string>;
  #current: bigint;

  /** `leases` are those that the program names. */
  constructor(base: bigint, leases: readonly string[]) {
    this.#base = base;
    this.#current = base;
    this.#names = new Map(leases.map((id, position) => [id, `lease &${position}`]));
  }

  /** The greatest revision of a header so far. */
  get current(): bigint {
    return this.#current;
  }

  /** The ids of all leases that were seen. */
  get leases(): readonly string[] {
    return [...this.#names.keys()];
  }

  /** Returns the outcome of a call. */
  text(call: string, { bodies, code, message, isLate }: Outcome): string {
    if (isLate) return "no answer";
    if (code !== 0) return `${code} ${message}`;
    return bodies.map((body) => this.body(call, body)).join(" | ");
  }

  /** Returns a message. */
  body(call: string, body: Body): string {
    return JSON.stringify(this.#value(call, body));
  }

  /** Returns a revision relative to the begin of the program. */
  revision(value: unknown): string {
    const revision = BigInt(String(value ?? 0));
    return revision <= 0n ? `${revision}` : `r${revision - this.#base}`;
  }

  #value(call: string, value: unknown): unknown {
    if (Array.isArray(value)) return value.map((one) => this.#value(call, one));
    if (typeof value !== "object" || value === null) return value;
    const fields = Object.entries(value).filter(([name]) => !OMITTED.has(name));
    return Object.fromEntries(fields.map(([name, field]) => [name, this.#field(call, [name, field])]));
  }

  #field(call: string, [name, value]: readonly [string, unknown]): unknown {
    if (name === "header") this.#observe(value);
    if (REVISIONS.has(name)) return this.revision(value);
    if (name === "keys" && Array.isArray(value)) return value.map(readable).toSorted();
    if (BYTES.has(name)) return readable(value);
    if (name === "ID" || name === "lease") return this.#leaseName(String(value));
    if (name === "TTL" && call.endsWith("TimeToLive")) return Number(value) < 0 ? value : "alive";
    const own = this.#value(call, value);
    // In an order of remaining times, which are equal for most.
    return name === "leases" && Array.isArray(own) ? own.map((one) => JSON.stringify(one)).toSorted() : own;
  }

  #observe(header: unknown): void {
    const { revision = 0 }: { revision?: string | number } = Object(header);
    const seen = BigInt(revision);
    if (seen > this.#current) this.#current = seen;
  }

  #leaseName(id: string): string {
    const name = this.#names.get(id) ?? `lease #${this.#names.size}`;
    this.#names.set(id, name);
    return name;
  }
}
