/** The memory of a store that is overwritten for long: it is counted, so the test does not depend on time or collector. */
import { assert } from "@std/assert";
import { checkStore } from "../../../../lib/kv/pages/check_store.ts";
import { PagedStore, type StoreView } from "../../../../lib/kv/pages/paged_store.ts";
import { SeededRandom } from "../../../support/seeded_random.ts";
import { bytesOf } from "./store_model.ts";

const KEYS = 3_000;
const CHANGES = 400_000;
const WARM_UP_CHANGES = 50_000;
const HISTORY_BYTES = 262_144;
/** Part of the bound that a compaction keeps, as the leader's does. */
const KEPT_PART = 7 / 8;
/** A view is taken every so many changes, and held for one and a half of these periods: two overlap half of the time. */
const VIEW_PERIOD = 2_000;

/** The counts of a store at one moment. */
interface Counts {
  /** All regions. */
  readonly regionBytes: number;
  /** Versions: present ones, those of the history, and those that are not freed yet. */
  readonly versions: number;
  /** Pages and versions that are kept for views or not freed yet. */
  readonly retained: number;
  readonly events: number;
}

function countsOf(store: PagedStore): Counts {
  const { held, released } = store.retained.viewRecords;
  let retained = 0;
  for (const { pages, versions } of [...held, ...released]) retained += pages.length + versions.length;
  const { events } = store.structure;
  const { regionBytes } = store.usage;
  return {
    regionBytes,
    versions: store.records.count,
    retained,
    events: events.end - store.retained.reclaimedEvent,
  };
}

function greatest(one: Counts, other: Counts): Counts {
  return {
    regionBytes: Math.max(one.regionBytes, other.regionBytes),
    versions: Math.max(one.versions, other.versions),
    retained: Math.max(one.retained, other.retained),
    events: Math.max(one.events, other.events),
  };
}

Deno.test("PagedStore: overwrites under a small bound of the history, with overlapping views, need no more memory later than at the beginning", () => {
  const store = new PagedStore();
  const random = new SeededRandom(14);
  const views: { readonly view: StoreView; readonly releaseAt: number }[] = [];
  const none: Counts = { regionBytes: 0, versions: 0, retained: 0, events: 0 };
  let [early, late] = [none, none];
  let compactions = 0;
  for (let change = 1; change <= CHANGES; change++) {
    store.tidy();
    const key = bytesOf(`key ${random.below(KEYS)}`);
    if (random.chance(0.1)) store.delete(key, store.revision + 1);
    else store.put(key, new Uint8Array(random.below(300)), store.revision + 1);
    if (store.historyBytes > HISTORY_BYTES) {
      store.compact(store.revisionToKeep(Math.floor(HISTORY_BYTES * KEPT_PART)));
      compactions++;
    }
    if (change % VIEW_PERIOD === 0) views.push({ view: store.view(), releaseAt: change + 1.5 * VIEW_PERIOD });
    if (views[0] !== undefined && views[0].releaseAt <= change) views.shift()?.view.release();
    if (change % 100 !== 0) continue;
    if (change <= WARM_UP_CHANGES) early = greatest(early, countsOf(store));
    else late = greatest(late, countsOf(store));
  }
  assert(compactions > 1_000, `${compactions} compactions`);
  for (const name of ["regionBytes", "versions", "retained", "events"] as const) {
    assert(late[name] <= early[name] * 1.1, `${name}: ${late[name]} after at most ${early[name]} at first`);
  }
  for (const { view } of views) view.release();
  store.compact(store.revision);
  while (!store.reclaim(1_000));
  checkStore(store);
  const { versions, retained } = countsOf(store);
  assert(versions === store.size && retained === 0, `${versions} versions, ${retained} retained`);
});
