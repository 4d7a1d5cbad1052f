/**
 * Users in a trial: its clients sign in, and the right of one user to write is taken and given again and again, while the
 * user goes on writing.
 *
 * A root user writes a key after a right was taken, and another before it is given again. No write of the user may have a
 * revision between these two, whether it was acknowledged or not.
 */
import { assert, assertEquals } from "@std/assert";
import { AuthChangeRefusedError, KvClient, KvraftError, PermissionDeniedError } from "../../lib/mod.ts";
import { SystemClock } from "../../lib/platform/system.ts";
import { eventually } from "../support/eventually.ts";
import type { TestCluster } from "../support/processes/cluster.ts";

const PREFIX = "rights/";
const USER = "changing";
const WRITERS = 3;
const PAGE_ENTRIES = 1_000;
/** Short enough that an outage brings unknown outcomes. */
const TIMEOUT_MS = 1_500;
/** Pause of a writer after a refusal, and longest time until the next change. */
const REFUSED_MS = 20;
const MAX_CHANGE_MS = 400;

/** Revisions between which the user had no right; both are of keys that root has written. */
interface Gap {
  readonly from: number;
  readonly to: number;
}

/** Counts of a trial. */
export interface RightsFigures {
  /** How often the right was taken. */
  readonly taken: number;
  readonly acknowledged: number;
  readonly refused: number;
}

/** The users of a trial. Use with `await using`. */
export class ChangingRights implements AsyncDisposable {
  readonly #root: KvClient;
  readonly #writer: KvClient;
  readonly #clock = new SystemClock();
  readonly #gaps: Gap[] = [];
  /** Revisions of acknowledged writes, by key. */
  readonly #acknowledged = new Map<string, number>();
  readonly #work: Promise<unknown>;
  #refused = 0;
  #hasEnded = false;
  #failure: unknown = null;

  private constructor(root: KvClient, writer: KvClient) {
    this.#root = root;
    this.#writer = writer;
    const writers = Array.from({ length: WRITERS }, (_, position) => this.#write(`${PREFIX}${position}/`));
    this.#work = Promise.all([this.#change(), ...writers]).catch((error: unknown) => {
      this.#failure = error;
    });
  }

  /** Adds users and enables authentication; from then on all clients of the cluster sign in. */
  static async start(cluster: TestCluster): Promise<ChangingRights> {
    const token = await addUsers(cluster);
    await using owner = new AsyncDisposableStack();
    const root = owner.use(await cluster.connect());
    const nodes = cluster.ids.map((id) => cluster.address(id));
    const writer = owner.use(await KvClient.connect({ cluster: nodes, token }));
    owner.move();
    return new ChangingRights(root, writer);
  }

  /** Waits for a refusal and a write after now, stops, and checks the revisions of all writes. */
  async stopAndCheck(explain: () => string): Promise<RightsFigures> {
    const [writes, refused, taken] = [this.#acknowledged.size, this.#refused, this.#gaps.length];
    await eventually("the right was taken and given, and the user was refused and wrote", () => {
      if (this.#failure !== null) throw this.#failure;
      return this.#gaps.length > taken + 1 && this.#refused > refused && this.#acknowledged.size > writes
        ? true
        : null;
    }, { explain });
    this.#hasEnded = true;
    await this.#work;
    if (this.#failure !== null) throw this.#failure;
    const stored = await this.#stored();
    for (const [key, revision] of stored) {
      const gap = this.#gaps.find(({ from, to }) => from < revision && revision < to);
      assert(
        gap === undefined,
        `${key} was written at revision ${revision}, without a right from ${gap?.from} to ${gap?.to}`,
      );
    }
    for (const [key, revision] of this.#acknowledged) {
      assertEquals(stored.get(key), revision, `${key} was acknowledged`);
    }
    return { taken: this.#gaps.length, acknowledged: this.#acknowledged.size, refused: this.#refused };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#hasEnded = true;
    await this.#work;
    await this.#writer[Symbol.asyncDispose]();
    await this.#root[Symbol.asyncDispose]();
  }

  async #write(prefix: string): Promise<void> {
    for (let number = 1; !this.#hasEnded; number++) {
      const key = `${prefix}${number}`;
      try {
        const { revision } = await this.#writer.put(key, "by the user", { timeoutMs: TIMEOUT_MS });
        this.#acknowledged.set(key, revision);
      } catch (error) {
        if (!(error instanceof KvraftError)) throw error;
        if (error instanceof PermissionDeniedError) this.#refused += 1;
        await this.#pause(REFUSED_MS);
      }
    }
  }

  async #change(): Promise<void> {
    const { auth } = this.#root;
    const options = { timeoutMs: TIMEOUT_MS };
    while (!this.#hasEnded) {
      await this.#made(() => auth.revokeRole(USER, USER, options));
      const from = await this.#mark();
      await this.#pause(MAX_CHANGE_MS * Math.random());
      const to = await this.#mark();
      if (from !== null && to !== null) this.#gaps.push({ from, to });
      await this.#made(() => auth.grantRole(USER, USER, options));
      await this.#pause(MAX_CHANGE_MS * Math.random());
    }
  }

  /** Makes a change until it is acknowledged, or refused because it was made before. */
  async #made(change: () => Promise<unknown>): Promise<void> {
    while (!this.#hasEnded) {
      try {
        await change();
        return;
      } catch (error) {
        if (error instanceof AuthChangeRefusedError) return;
        if (!(error instanceof KvraftError)) throw error;
      }
    }
  }

  /** Writes a key as root; returns its revision, or null once the trial has ended. */
  async #mark(): Promise<number | null> {
    while (!this.#hasEnded) {
      try {
        return (await this.#root.put("mark", "by root", { timeoutMs: TIMEOUT_MS })).revision;
      } catch (error) {
        if (!(error instanceof KvraftError)) throw error;
      }
    }
    return null;
  }

  async #stored(): Promise<ReadonlyMap<string, number>> {
    const found = new Map<string, number>();
    let cursor: string | null = null;
    do {
      const page = await this.#root.list({ prefix: PREFIX, limit: PAGE_ENTRIES, cursor });
      for (const { key, modRevision } of page.entries) found.set(new TextDecoder().decode(key), modRevision);
      cursor = page.cursor;
    } while (cursor !== null);
    return found;
  }

  #pause(durationMs: number): Promise<void> {
    return new Promise((resolve) => void this.#clock.after(durationMs, resolve));
  }
}

/** Adds root and the user whose right changes, and enables authentication; returns the token of the latter. */
async function addUsers(cluster: TestCluster): Promise<string> {
  await using client = await cluster.connect();
  const { auth } = client;
  await eventually("the cluster has the feature level of users", async () => {
    await auth.addUser("root");
    return true;
  });
  await auth.grantRole("root", "root");
  const { token: rootToken } = await auth.createToken("root", { name: "torture" });
  await auth.addUser(USER);
  await auth.addRole(USER);
  await auth.grant(USER, "write", { prefix: PREFIX });
  await auth.grantRole(USER, USER);
  const { token } = await auth.createToken(USER, { name: "torture" });
  await auth.enable();
  cluster.token = rootToken;
  return token;
}
