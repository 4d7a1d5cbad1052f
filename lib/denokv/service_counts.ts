/** The numbers of a front end's requests by database, for its metrics and its status page. */
import { REQUEST_KINDS, type RequestKind, type Route } from "./routes.ts";

/** The requests of one kind for one database. */
export interface RequestCount {
  /** Empty for requests that named no database of the cluster. */
  readonly database: string;
  readonly request: RequestKind;
  /** Answered requests, by status. */
  readonly byStatus: ReadonlyMap<number, number>;
  /** Time of all of them together; of a watch it is that of its stream. */
  readonly totalMs: number;
}

type MutableCount = RequestCount & { readonly byStatus: Map<number, number>; totalMs: number };

/** The counters of one front end. A request costs an addition and two lookups. */
export class ServiceCounts {
  readonly #requests = new Map<string, Readonly<Record<RequestKind, MutableCount>>>();
  readonly #repeated = new Map<string, number>();

  /** Counts an answered request. */
  answered({ database, kind }: Route, status: number, tookMs: number): void {
    const count = this.#countsOf(database)[kind];
    count.byStatus.set(status, (count.byStatus.get(status) ?? 0) + 1);
    count.totalMs += tookMs;
  }

  /** Counts a write that was sent again and got the answer to the first one. */
  repeated(database: string): void {
    this.#repeated.set(database, (this.#repeated.get(database) ?? 0) + 1);
  }

  /** Returns the requests that were answered so far. */
  requests(): readonly RequestCount[] {
    return [...this.#requests.values()].flatMap((counts) =>
      REQUEST_KINDS.map((kind) => counts[kind]).filter(({ byStatus }) => byStatus.size > 0)
    );
  }

  /** Returns the number of repeated writes so far, by database. */
  repeatedWrites(): ReadonlyMap<string, number> {
    return this.#repeated;
  }

  #countsOf(database: string): Readonly<Record<RequestKind, MutableCount>> {
    const known = this.#requests.get(database);
    if (known !== undefined) return known;
    const none = (request: RequestKind): MutableCount => ({
      database,
      request,
      byStatus: new Map(),
      totalMs: 0,
    });
    const counts = {
      metadata: none("metadata"),
      snapshot_read: none("snapshot_read"),
      atomic_write: none("atomic_write"),
      watch: none("watch"),
    };
    this.#requests.set(database, counts);
    return counts;
  }
}
