/** Where nodes serve etcd's clients: what a node says of itself, and what it knows of others. */
import { assertEquals } from "@std/assert";
import { EtcdUrls, ownEtcdUrl } from "../../../../lib/server/membership/etcd_urls.ts";
import type { Member } from "../../../../lib/protocol/messages.ts";

const MEMBERS: readonly Member[] = [1, 2, 3].map((id) => ({ id, address: `n${id}:7001`, role: "voter" }));
const URL = "http://n2:2379";

Deno.test("ownEtcdUrl: it is that of the listener, with the node's own host where it listens on all addresses", () => {
  const etcd = { host: "127.0.0.1", port: 2379 };
  const own = (config: Parameters<typeof ownEtcdUrl>[0], isTls = false): string | null =>
    ownEtcdUrl(config, { address: "node1.example:7001", isTls });
  assertEquals(own({ etcd: null, etcdAdvertise: null }), null);
  assertEquals(own({ etcd, etcdAdvertise: null }), "http://127.0.0.1:2379");
  assertEquals(own({ etcd, etcdAdvertise: null }, true), "https://127.0.0.1:2379");
  const all = { host: "0.0.0.0", port: 2379 };
  assertEquals(own({ etcd: all, etcdAdvertise: null }), "http://node1.example:2379");
  assertEquals(own({ etcd: all, etcdAdvertise: { host: "::1", port: 12379 } }), "http://[::1]:12379");
});

Deno.test("EtcdUrls: the last hello of a node counts, and one that only asks for a welcome says nothing", () => {
  const urls = new EtcdUrls();
  urls.setOwn(1, "http://n1:2379");
  urls.setOwn(1, null);
  urls.seen({ nodeId: 2, lane: "bulk", etcdUrl: URL });
  urls.seen({ nodeId: 9, lane: "bulk", etcdUrl: "http://n9:2379" });
  const known = [{ id: 1, url: "http://n1:2379" }, { id: 2, url: URL }];
  assertEquals(urls.of(MEMBERS), known, "node 9 is no member");
  urls.seen({ nodeId: 2, lane: "probe", etcdUrl: null });
  assertEquals(urls.of(MEMBERS), known);
  urls.seen({ nodeId: 2, lane: "control", etcdUrl: null });
  assertEquals(urls.of(MEMBERS), known.slice(0, 1));
});

Deno.test("EtcdUrls: those of a bounded number of nodes are kept", () => {
  const urls = new EtcdUrls();
  for (let nodeId = 1; nodeId <= 100; nodeId++) urls.seen({ nodeId, lane: "bulk", etcdUrl: URL });
  const all: readonly Member[] = Array.from({ length: 100 }, (_, at) => ({
    id: at + 1,
    address: "n:1",
    role: "voter",
  }));
  assertEquals(urls.of(all).map(({ id }) => id), Array.from({ length: 64 }, (_, at) => at + 37));
});
