/**
 * Membership changes during other faults. One is in flight at a time; it may be refused, or its answer lost, and is then
 * requested again until it is committed, at the latest after healing.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { hasComeAbout } from "../../lib/cli/commands/cluster/member.ts";
import { KvraftError, type MembershipChange } from "../../lib/mod.ts";
import type { TestCluster } from "../support/processes/cluster.ts";
import { eventually } from "../support/eventually.ts";

/** Time limit of one attempt; a change that it has begun continues. */
const ATTEMPT_MS = 3_000;

/** Makes them. */
export class Changes {
  readonly #cluster: TestCluster;
  readonly #tell: (line: string) => void;
  readonly #leaving = new Set<number>();
  #underWay: MembershipChange | null = null;

  constructor({ cluster, tell }: { readonly cluster: TestCluster; readonly tell: (line: string) => void }) {
    this.#cluster = cluster;
    this.#tell = tell;
  }

  /** Whether a requested change is not known to be committed. */
  get isUnderWay(): boolean {
    return this.#underWay !== null;
  }

  /** Whether a node was or is being removed: its process ends when it learns of it. */
  isLeaving(id: number): boolean {
    return this.#leaving.has(id);
  }

  /** Starts one more node and requests its addition; returns its id. */
  async grow(): Promise<number> {
    const id = await this.#cluster.join();
    this.#tell(`node ${id} joins`);
    await this.#ask({ kind: "add", id, address: this.#cluster.memberAddress(id), learner: false });
    return id;
  }

  /** Removes a node in any state. */
  async shrink(id: number): Promise<void> {
    this.#tell(`node ${id} is removed`);
    this.#leaving.add(id);
    await this.#ask({ kind: "remove", id });
  }

  /** Starts a node that replaces another one in any state; returns its id. */
  async replace(dead: number): Promise<number> {
    const id = await this.#cluster.join();
    this.#tell(`node ${id} takes the place of node ${dead}`);
    this.#leaving.add(dead);
    await this.#ask({ kind: "replace", dead, id, address: this.#cluster.memberAddress(id) });
    return id;
  }

  /** Requests the change in flight again. */
  async tryAgain(): Promise<void> {
    if (this.#underWay !== null) await this.#ask(this.#underWay);
  }

  /** Completes the change after healing: a removed node logs its removal and exits. */
  async finish(): Promise<void> {
    const cluster = this.#cluster;
    await eventually("the change of membership comes about", async () => {
      await this.tryAgain();
      return this.isUnderWay ? null : true;
    }, { explain: cluster.logs });
    for (const id of this.#leaving) {
      cluster.resume(id);
      // A node that was down learns of it when it restarts.
      if (cluster.hasEnded(id) && (await cluster.end(id)).code !== 1) await cluster.startNode(id);
      const { code, stderr } = await cluster.end(id);
      assertEquals(code, 1, stderr);
      assertMatch(stderr, new RegExp(`this node stopped: .*node ${id} was removed from the cluster`));
      await cluster.discard(id);
    }
    this.#leaving.clear();
  }

  async #ask(change: MembershipChange): Promise<void> {
    assert(this.#underWay === null || this.#underWay === change, "one change at a time");
    this.#underWay = change;
    try {
      await using client = await this.#cluster.connect();
      const options = { timeoutMs: ATTEMPT_MS };
      if (!hasComeAbout(change, await client.cluster.members(options))) {
        await client.cluster.changeMembership(change, options);
        if (!hasComeAbout(change, await client.cluster.members(options))) return;
      }
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      return this.#tell(`the change is not known to have come about: ${error.message}`);
    }
    this.#underWay = null;
    this.#tell("the change has come about");
  }
}
