/** Databases of Deno KV in memory; the store's calls delay and fail theirs. */
import type { StoreClient } from "../../../../lib/cli/command.ts";
import type { CallOptions, ConsistencyOptions } from "../../../../lib/client/types.ts";
import type { KeyValue } from "../../../../lib/kv/command.ts";
import type { DatabaseMutation, DatabasesChange } from "../../../../lib/kv/databases/database_command.ts";

type Databases = StoreClient["databases"];
type ReadResult = Awaited<ReturnType<Databases["read"]>>;
type ListedDatabases = Awaited<ReturnType<Databases["databases"]>>;
type ListedDatabase = ListedDatabases["databases"][number];

const DEFAULT_UUID = "00000000-0000-8000-8000-000000000000";
/** A database as it begins. */
const NEW = { signingKey: new Uint8Array(), isOpen: true, tokens: [] };

/** The databases. */
export class FakeDatabases implements Databases {
  all: readonly ListedDatabase[] = [{ ...NEW, id: 0, name: "default", uuid: DEFAULT_UUID }];
  nextId = 1;
  revision = 7;
  /** Entries by database and key, in hexadecimal. */
  readonly entries = new Map<number, Map<string, KeyValue>>();
  /** Changes of the registry that were requested. */
  readonly changes: DatabasesChange[] = [];
  /** Number of mutations of every write. */
  readonly writes: number[] = [];

  constructor(readonly call: (name: string, options: CallOptions) => Promise<void>) {}

  async read(
    databaseId: number,
    ranges: Parameters<Databases["read"]>[1],
    options: ConsistencyOptions = {},
  ): Promise<ReadResult> {
    await this.call("databases.read", options);
    const all = [...this.#entriesOf(databaseId)].sort(([a], [b]) => a < b ? -1 : 1);
    return {
      revision: this.revision,
      ranges: ranges.map(({ start, end, limit, reverse }) => {
        const found = all.filter(([key]) => key >= start.toHex() && (end === null || key < end.toHex())).map((
          [, entry],
        ) => entry);
        return (reverse ? found.reverse() : found).slice(0, limit);
      }),
    };
  }

  async write(
    databaseId: number,
    credentialId: number,
    { mutations }: Parameters<Databases["write"]>[2],
    options: CallOptions = {},
  ): ReturnType<Databases["write"]> {
    await this.call("databases.write", options);
    const { isOpen, tokens } = this.all.find(({ id }) => id === databaseId) ?? NEW;
    const isNamed = tokens.some(({ id }: { readonly id: number }) => id === credentialId);
    if (!isNamed && !isOpen) throw new Error(`no token ${credentialId}`);
    this.writes.push(mutations.length);
    this.revision += 1;
    for (const mutation of mutations) this.#apply(databaseId, mutation);
    return { kind: "databaseWritten", revision: this.revision };
  }

  async databases(
    { secrets: _, ...options }: Parameters<Databases["databases"]>[0] = {},
  ): Promise<ListedDatabases> {
    await this.call("databases", options);
    return { revision: this.revision, authenticationEnabled: false, databases: this.all };
  }

  async change(change: DatabasesChange, options: CallOptions = {}): ReturnType<Databases["change"]> {
    await this.call("databases.change", options);
    this.changes.push(change);
    this.revision += 1;
    const { name } = change;
    if (change.kind === "create") {
      this.all = [...this.all, { ...NEW, id: this.nextId, name, uuid: change.uuid }];
      return { revision: this.revision, databaseId: this.nextId++, tokenId: 0 };
    }
    const known = this.all.find((database) => database.name === name);
    if (known === undefined) throw new Error(`no database ${name}`);
    const others = this.all.filter((database) => database !== known);
    const { id: databaseId, tokens } = known;
    if (change.kind === "remove") {
      this.all = others;
      return { revision: this.revision, databaseId, tokenId: 0 };
    }
    const tokenId = change.kind === "addToken" ? tokens.length + 1 : change.tokenId;
    const changed = change.kind === "addToken"
      ? [...tokens, { id: tokenId, ...change }]
      : tokens.filter(({ id }) => id !== tokenId);
    this.all = [...others, { ...known, isOpen: false, tokens: changed }];
    return { revision: this.revision, databaseId, tokenId };
  }

  #entriesOf(databaseId: number): Map<string, KeyValue> {
    const entries = this.entries.get(databaseId) ?? new Map<string, KeyValue>();
    this.entries.set(databaseId, entries);
    return entries;
  }

  #apply(databaseId: number, mutation: DatabaseMutation): void {
    const entries = this.#entriesOf(databaseId);
    const { key } = mutation;
    if (mutation.kind === "delete") {
      entries.delete(key.toHex());
    } else if (mutation.kind === "set") {
      const { value, expiresAtMs } = mutation;
      const numbers = { createRevision: this.revision, modRevision: this.revision, version: 1 };
      entries.set(key.toHex(), { key, value, ...numbers, ...(expiresAtMs !== null && { expiresAtMs }) });
    } else {
      throw new Error(`the commands make no ${mutation.kind}`);
    }
  }
}
