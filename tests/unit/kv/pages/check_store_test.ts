/** The check of a complete store: each kind of damage is an assertion that names page, event or key. */
import { assertThrows } from "@std/assert";
import { byteBase, floatBase, wordBase } from "../../../../lib/kv/pages/cell_heap.ts";
import { checkStore } from "../../../../lib/kv/pages/check_store.ts";
import { emptyParts, PagedStore } from "../../../../lib/kv/pages/paged_store.ts";
import { InvariantError } from "../../../../lib/platform/assert.ts";
import { bytesOf, SMALL_PAGES } from "./store_model.ts";

/** A store with a tree of three levels, history and a view. */
function sample(): PagedStore {
  const store = new PagedStore(emptyParts(SMALL_PAGES));
  let revision = 0;
  for (let number = 0; number < 40; number++) {
    store.put(bytesOf(`key ${number}`), bytesOf(`${number}`), ++revision);
  }
  for (let number = 0; number < 10; number++) {
    store.put(bytesOf(`key ${number}`), bytesOf("again"), ++revision);
    store.delete(bytesOf(`key ${number + 20}`), ++revision);
  }
  store.put(bytesOf("leased"), bytesOf("1"), ++revision, { leaseId: 7, expiresAtMs: 9 });
  store.view();
  store.put(bytesOf("key 1"), bytesOf("later"), ++revision);
  checkStore(store);
  return store;
}

/** The left-most leaf of the tree of present keys. */
function firstLeaf({ structure: { pages, presentRoot } }: PagedStore): number {
  let page = presentRoot;
  while (pages.isInner(page)) page = pages.inner.child(page, 0);
  return page;
}

const DAMAGES: Readonly<
  Record<string, { readonly damage: (store: PagedStore) => void; readonly says: RegExp }>
> = {
  "two entries of a leaf in the wrong order": {
    damage(store): void {
      const { leaves } = store.structure.pages;
      const leaf = firstLeaf(store);
      const [one, other] = [leaves.address(leaf, 0), leaves.address(leaf, 1)];
      leaves.replace(leaf, 0, other);
      leaves.replace(leaf, 1, one);
    },
    says: /leaf \d+, key 6b6579/,
  },
  "a head that is not the key's": {
    damage(store): void {
      const leaf = firstLeaf(store);
      const words = store.structure.pages.heap.wordsOf(leaf);
      words[wordBase(leaf) + 4] = 7;
    },
    says: /leaf \d+, key 6b6579.*: its head is that of the key/,
  },
  "a wrong number of entries in an inner page": {
    damage({ structure: { pages, presentRoot } }): void {
      pages.inner.setEntries(presentRoot, 0, 1);
    },
    says: /page \d+ counts 1 entries under slot 0, which has \d+/,
  },
  "a separator above the keys of its child": {
    damage({ structure: { pages, presentRoot } }): void {
      pages.inner.separator(presentRoot, 1).fill(0xff);
    },
    says: /page \d+ ascend at slot 0, ff/,
  },
  "a version freed while it can be reached": {
    damage(store): void {
      store.records.free(store.get(bytesOf("key 5")));
    },
    says: /leaf \d+ leads to a version in use at position \d/,
  },
  "a page that nothing leads to": {
    damage({ structure: { pages } }): void {
      pages.leaves.create(1);
    },
    says: /cells of \d+ bytes can be reached, \d+ are in use/,
  },
  "a page that two places lead to": {
    damage({ structure: { pages, presentRoot } }): void {
      pages.inner.setChild(presentRoot, 1, pages.inner.child(presentRoot, 0));
    },
    says: /page \d+/,
  },
  "a link to another key's version": {
    damage(store): void {
      store.records.setPrevious(store.get(bytesOf("key 5")), store.get(bytesOf("key 6")));
    },
    says: /key 6b65792035.*: the version before is of the same key/,
  },
  "a link that is missing": {
    damage(store): void {
      store.records.setPrevious(store.get(bytesOf("key 5")), 0);
    },
    says: /key 6b65792035 at revision \d+: leads to the version before/,
  },
  "a value that was changed in length": {
    damage(store): void {
      const address = store.get(bytesOf("key 30"));
      store.structure.pages.heap.wordsOf(address)[wordBase(address) + 1] = 1;
    },
    says: /keys and values have \d+ bytes, \d+ counted/,
  },
  "a revision above the store's": {
    damage(store): void {
      const address = store.get(bytesOf("key 30"));
      store.structure.pages.heap.floatsOf(address)[floatBase(address) + 2] = 1_000;
    },
    says: /key 6b6579203330: not changed later than the store/,
  },
  "a key that was changed in place": {
    damage(store): void {
      const address = store.get(bytesOf("key 30"));
      store.structure.pages.heap.bytesOf(address)[byteBase(address) + 32] = 0;
    },
    says: /leaf \d+, key 006579/,
  },
  "a version that was retired while it can be reached": {
    damage(store): void {
      store.retained.viewRecords.retireVersion(store.get(bytesOf("key 5")));
    },
    says: /version \d+ is in one place/,
  },
  "a key that is missing in the index of leases": {
    damage(store): void {
      store.indexes.leased.remove(7, bytesOf("leased"));
    },
    says: /the index of leases has every attached key: 7, key 6c6561736564/,
  },
  "a key in the index of expiries that does not expire": {
    damage(store): void {
      store.indexes.expiring.add(8, bytesOf("key 5"));
    },
    says: /the index of expiries has the attached keys only: 8, key 6b65792035/,
  },
  "an entry of an index that nothing leads to": {
    damage(store): void {
      store.indexes.leased.structure?.pages.leaves.create(1);
    },
    says: /cells of \d+ bytes can be reached, \d+ are in use/,
  },
};

for (const [name, { damage, says }] of Object.entries(DAMAGES)) {
  Deno.test(`checkStore: it finds ${name}`, () => {
    const store = sample();
    damage(store);
    const error = assertThrows(() => checkStore(store), InvariantError);
    if (!says.test(error.message)) throw error;
  });
}
