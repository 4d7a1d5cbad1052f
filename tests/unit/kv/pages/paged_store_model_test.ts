/** The paged store against a plain list of events, with views held and released at random, and checked at each step. */
import fc from "fast-check";
import { assertEquals } from "@std/assert";
import { attachmentOf } from "../../../../lib/kv/command.ts";
import { checkStore } from "../../../../lib/kv/pages/check_store.ts";
import {
  type Attached,
  emptyParts,
  PagedStore,
  type StoreView,
} from "../../../../lib/kv/pages/paged_store.ts";
import type { PageLimits } from "../../../../lib/kv/pages/tree_pages.ts";
import { assertShows, bytesOf, eventsOf, reloaded, SMALL_PAGES, StoreModel } from "./store_model.ts";

type Action =
  /** Changes of one revision: each puts (a value) or deletes (null) one of the keys, which may have several of them. */
  | {
    readonly kind: "change";
    readonly keys: readonly string[];
    readonly changes: readonly {
      readonly key: number;
      readonly value: string | null;
      readonly attached: Attached;
    }[];
  }
  | { readonly kind: "compact"; readonly share: number }
  | { readonly kind: "view" | "reload" }
  | { readonly kind: "release"; readonly view: number }
  | { readonly kind: "reclaim"; readonly steps: number };

/** Keys that have long prefixes in common, or are prefixes of each other. */
const anyKey = fc.oneof(
  fc.nat(60).map((number) => `k${String(number).padStart(3, "0")}`),
  fc.nat(12).map((number) => "\u00ff".repeat(number + 1)),
  fc.nat(12).map((number) => `${"p".repeat(90)}${String.fromCharCode(number)}`),
  fc.nat(6).map((number) => `${"q".repeat(4_000)}${"\0".repeat(number)}`),
);

const anyValue = fc.oneof(
  { weight: 8, arbitrary: fc.string({ unit: "binary-ascii", maxLength: 40 }) },
  { weight: 1, arbitrary: fc.constantFrom(600, 5_000, 40_000).map((length) => "v".repeat(length)) },
);

const anyAction: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant("change" as const),
      keys: fc.uniqueArray(anyKey, { minLength: 1, maxLength: 6 }),
      changes: fc.array(
        fc.record({
          key: fc.nat(5),
          value: fc.oneof({ weight: 2, arbitrary: anyValue }, { weight: 1, arbitrary: fc.constant(null) }),
          attached: fc.record({
            leaseId: fc.constantFrom(0, 0, 1, 2, 2 ** 53 - 1),
            expiresAtMs: fc.constantFrom(0, 0, 0, 7, 2 ** 40),
          }),
        }),
        { minLength: 1, maxLength: 8 },
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("compact" as const),
      share: fc.constantFrom(0.3, 0.8, 1, 1),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("view" as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("release" as const), view: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("reclaim" as const), steps: fc.nat(40) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("reload" as const) }) },
);

/** A store with its model, and the views that are held with theirs. */
class Pair {
  store: PagedStore;
  readonly model = new StoreModel();
  readonly views: { view: StoreView; model: StoreModel }[] = [];
  readonly #limits: PageLimits;

  constructor(limits: PageLimits) {
    this.#limits = limits;
    this.store = new PagedStore(emptyParts(limits));
  }

  act(action: Action): void {
    switch (action.kind) {
      case "change": {
        const revision = this.model.revision + 1;
        this.store.tidy();
        for (const { key, ...change } of action.changes) {
          this.#change(action.keys[key % action.keys.length] ?? "", change, revision);
        }
        break;
      }
      case "compact": {
        const { compactedRevision, revision } = this.model;
        const to = compactedRevision + Math.floor((revision - compactedRevision) * action.share);
        this.store.compact(to);
        this.model.compactedRevision = to;
        break;
      }
      case "view":
        if (this.views.length < 4) {
          this.views.push({ view: this.store.view(), model: new StoreModel(this.model) });
        }
        break;
      case "release":
        for (const { view } of this.views.splice(action.view, 1)) view.release();
        break;
      case "reclaim":
        this.store.reclaim(action.steps);
        break;
      case "reload":
        this.releaseAll();
        this.store = reloaded(this.store, this.#limits);
        break;
    }
  }

  releaseAll(): void {
    for (const { view, model } of this.views.splice(0)) {
      assertShows(view, model);
      view.release();
    }
  }

  #change(
    key: string,
    { value, attached }: { readonly value: string | null; readonly attached: Attached },
    revision: number,
  ): void {
    if (value === null) {
      assertEquals(this.store.delete(bytesOf(key), revision), this.model.delete(key, revision));
    } else {
      this.store.put(bytesOf(key), bytesOf(value), revision, attached);
      this.model.put(key, value, revision, attachmentOf(attached.leaseId, attached.expiresAtMs));
    }
  }
}

Deno.test("PagedStore: after any changes, compactions, views and reloads a store shows what its events say", () => {
  fc.assert(
    fc.property(fc.array(anyAction, { minLength: 1, maxLength: 60, size: "max" }), (actions) => {
      const pair = new Pair(SMALL_PAGES);
      for (const action of actions) {
        pair.act(action);
        checkStore(pair.store);
      }
      assertShows(pair.store, pair.model);
      pair.releaseAll();
      while (!pair.store.reclaim(100));
      checkStore(pair.store);
      assertShows(pair.store, pair.model);
    }),
    { numRuns: 60 },
  );
});

type Sweep = {
  readonly kind: "put" | "delete" | "view" | "release" | "compact";
  readonly from: number;
  readonly count: number;
  readonly stride: number;
};

const anySweep: fc.Arbitrary<Sweep> = fc.record({
  kind: fc.constantFrom("put", "put", "delete", "delete", "view", "release", "compact"),
  from: fc.nat(3_000),
  count: fc.integer({ min: 1, max: 2_000 }),
  stride: fc.constantFrom(1, 7, 1_009),
});

Deno.test("PagedStore: full-size pages split, merge and are copied for views while thousands of keys are added and deleted", () => {
  fc.assert(
    fc.property(fc.array(anySweep, { minLength: 1, maxLength: 16, size: "max" }), (sweeps) => {
      const store = new PagedStore();
      const present = new Map<string, string>();
      const views: { view: StoreView; keys: Map<string, string> }[] = [];
      let revision = 0;
      const assertKeys = (reader: PagedStore | StoreView, keys: Map<string, string>): void => {
        const sorted = [...keys].sort(([a], [b]) => a < b ? -1 : 1);
        const shown = eventsOf(reader, reader.scan({ lower: null, upper: null, reverse: false }));
        assertEquals(shown.map(({ key, value }) => [key, value]), sorted);
        for (const position of [0, sorted.length >> 1, sorted.length - 1]) {
          const key = sorted[position]?.[0] ?? "x";
          const { length } = sorted.filter(([other]) => other < key);
          assertEquals(reader.count({ lower: null, upper: bytesOf(key) }), length);
        }
      };
      for (const { kind, from, count, stride } of sweeps) {
        if (kind === "view" && views.length < 3) views.push({ view: store.view(), keys: new Map(present) });
        if (kind === "compact") store.compact(Math.max(store.compactedRevision, revision - count));
        if (kind === "release") {
          for (const { view, keys } of views.splice(from % 3, 1)) {
            assertKeys(view, keys);
            view.release();
          }
        }
        for (let number = 0; number < count && (kind === "put" || kind === "delete"); number++) {
          store.tidy();
          const key = `user:${String((from + number * stride) % 5_003).padStart(6, "0")}`;
          if (kind === "put") {
            store.put(bytesOf(key), bytesOf(`${++revision}`), revision);
            present.set(key, `${revision}`);
          } else if (store.delete(bytesOf(key), revision + 1)) {
            revision++;
            present.delete(key);
          }
        }
        checkStore(store);
      }
      assertKeys(store, present);
      for (const { view, keys } of views) assertKeys(view, keys);
    }),
    { numRuns: 15 },
  );
});
