/** NameLookups: a bounded number of names is looked up at a time, even if the callers have given up. */
import { assertEquals, assertRejects } from "@std/assert";
import { MAX_KNOWN_LOOKUPS, MAX_KNOWN_NAMES, MAX_NEW_LOOKUPS } from "../../../lib/platform/sockets.ts";
import { NameLookups } from "../../../lib/platform/sockets.ts";
import { settle } from "../../support/fakes/manual_clock.ts";

const ADDRESSES = ["10.0.0.1", "10.0.0.2"];
const never = (): AbortSignal => new AbortController().signal;
const names = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, position) => `${prefix}${position}`);

/** A name server that answers when a test says so. */
class Scene {
  readonly underWay = new Map<string, PromiseWithResolvers<readonly string[]>>();
  readonly asked: string[] = [];
  readonly lookups = new NameLookups((name) => {
    this.asked.push(name);
    const answer = Promise.withResolvers<readonly string[]>();
    this.underWay.set(name, answer);
    return answer.promise;
  });

  /** Answers all lookups in flight, and those that begin then, until there is none. */
  async answerAll(): Promise<void> {
    while (this.underWay.size > 0) {
      for (const [name, answer] of this.underWay) {
        this.underWay.delete(name);
        answer.resolve(ADDRESSES);
      }
      await settle();
    }
  }
}

Deno.test("NameLookups: a bounded number of names is looked up at a time, the others in their order", async () => {
  const { lookups, underWay, asked } = new Scene();
  const all = names("n", MAX_NEW_LOOKUPS + 2).map((name) => lookups.resolve(name, never()));
  assertEquals([...underWay.keys()], names("n", MAX_NEW_LOOKUPS));
  underWay.get("n1")?.resolve(ADDRESSES);
  await settle();
  assertEquals(asked.at(-1), `n${MAX_NEW_LOOKUPS}`);
  underWay.get("n0")?.reject(new Error("there is no such name"));
  await assertRejects(() => all[0] ?? Promise.resolve(), Error, "there is no such name");
  await settle();
  assertEquals(asked, names("n", MAX_NEW_LOOKUPS + 2));
  assertEquals(await all[1], ADDRESSES);
});

Deno.test("NameLookups: a caller that gives up waits no more, but its lookup counts until it ends", async () => {
  const { lookups, asked, underWay } = new Scene();
  const given = new AbortController();
  const all = names("n", MAX_NEW_LOOKUPS + 50).map((name) => lookups.resolve(name, given.signal));
  const ends = Promise.allSettled(all);
  given.abort(new Error("given up"));
  assertEquals((await ends).every(({ status }) => status === "rejected"), true);
  await assertRejects(() => lookups.resolve("n0", given.signal), Error, "given up");
  const late = lookups.resolve("late", never());
  await settle();
  assertEquals(asked, names("n", MAX_NEW_LOOKUPS), "those that were begun hold their places");
  underWay.get("n2")?.reject(new Error("no answer, and no caller"));
  await settle();
  assertEquals(asked.at(-1), "late", "and those that waited are dropped");
  underWay.get("late")?.resolve(ADDRESSES);
  assertEquals(await late, ADDRESSES);
});

Deno.test("NameLookups: names that had an address do not wait for those that never had one", async () => {
  const scene = new Scene();
  const { lookups, underWay } = scene;
  const known = names("known", MAX_KNOWN_LOOKUPS + 1);
  const first = known.map((name) => lookups.resolve(name, never()));
  await scene.answerAll();
  await Promise.all(first);
  for (const name of names("new", MAX_NEW_LOOKUPS + 1)) void lookups.resolve(name, never());
  for (const name of known) void lookups.resolve(name, never());
  assertEquals(underWay.size, MAX_NEW_LOOKUPS + MAX_KNOWN_LOOKUPS);
  await scene.answerAll();
  const many = names("m", MAX_KNOWN_NAMES).map((name) => lookups.resolve(name, never()));
  await scene.answerAll();
  await Promise.all(many);
  for (const name of known) void lookups.resolve(name, never());
  assertEquals(underWay.size, MAX_NEW_LOOKUPS, "those of long ago are new again");
  await scene.answerAll();
});

Deno.test("NameLookups: concurrent callers share one lookup of a name, and a later one starts another", async () => {
  const scene = new Scene();
  const both = [scene.lookups.resolve("n", never()), scene.lookups.resolve("n", never())];
  await scene.answerAll();
  assertEquals([await Promise.all(both), scene.asked.length], [[ADDRESSES, ADDRESSES], 1]);
  const again = scene.lookups.resolve("n", never());
  await scene.answerAll();
  assertEquals([await again, scene.asked.length], [ADDRESSES, 2]);
});
