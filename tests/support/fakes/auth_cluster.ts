/** Servers in memory with users: each test signs in on connections of its own, to the nodes that it chooses. */
import { assert, assertEquals } from "@std/assert";
import type { Grant } from "../../../lib/kv/mod.ts";
import { passwordHash } from "./auth.ts";
import { UserClient } from "../frames/user_client.ts";
import { MemoryCluster, type StartOptions } from "./memory_cluster.ts";

/** The password of each user. */
export const PASSWORD = "correct horse";

/** A cluster at feature level 2. */
export class AuthCluster implements AsyncDisposable {
  readonly cluster = new MemoryCluster();
  readonly #connections: UserClient[] = [];
  #root: UserClient | null = null;

  /** Starts nodes 1 to `nodes`; authentication is off, and there is no user. */
  static async start(nodes = 3, changes: StartOptions["changes"] = {}): Promise<AuthCluster> {
    const auth = new AuthCluster();
    const ids = Array.from({ length: nodes }, (_, position) => position + 1);
    for (const id of ids) await auth.cluster.start(id, { founders: ids, changes });
    await auth.cluster.untilHistory(await auth.cluster.client(...ids));
    return auth;
  }

  /** Starts nodes with authentication on, and the user root. */
  static async enabled(nodes = 3, changes: StartOptions["changes"] = {}): Promise<AuthCluster> {
    const auth = await AuthCluster.start(nodes, changes);
    await auth.enable();
    return auth;
  }

  /** A connection of the user root to node 1, or without a user while authentication is off. */
  get root(): UserClient {
    assert(this.#root !== null, "authentication was enabled");
    return this.#root;
  }

  /** Adds the user root and turns authentication on. */
  async enable(): Promise<void> {
    const root = this.#root = await this.connect(1);
    await this.run(root.change(
      { kind: "addUser", user: "root", password: passwordHash(PASSWORD) },
      { kind: "grantRole", user: "root", role: "root" },
      { kind: "setEnabled", enabled: true },
    ));
    assertEquals(await this.run(root.signIn("root", PASSWORD)), "signedIn");
  }

  /** Adds a user with a role of the same name, which has these grants. */
  async addUser(user: string, grants: readonly Grant[] = []): Promise<void> {
    await this.run(this.root.change(
      { kind: "addUser", user, password: passwordHash(PASSWORD) },
      { kind: "addRole", role: user },
      { kind: "grantRole", user, role: user },
      ...grants.map((grant) => ({ kind: "addGrant", role: user, grant } as const)),
    ));
  }

  /** Connects to a node. */
  async connect(node: number): Promise<UserClient> {
    const { network, clock } = this.cluster;
    const { address } = MemoryCluster.addressOf(node);
    const client = await this.run(UserClient.open({ network, clock, address }));
    this.#connections.push(client);
    return client;
  }

  /** Connects to a node and signs in. */
  async signedIn(user: string, node: number): Promise<UserClient> {
    const client = await this.connect(node);
    assertEquals(await this.run(client.signIn(user, PASSWORD)), "signedIn");
    return client;
  }

  /** The node that leads, and another one. */
  async nodes(): Promise<{ readonly leader: number; readonly follower: number }> {
    let leader: number | null = null;
    await this.cluster.until(async () => {
      const answer = await this.root.ask({ kind: "status" });
      leader = answer.kind === "statusResult" ? answer.status.leader : null;
      return leader !== null;
    });
    assert(leader !== null);
    return { leader, follower: leader === 1 ? 2 : 1 };
  }

  /** Lets time pass until the promise settles. */
  run<T>(promise: Promise<T>): Promise<T> {
    return this.cluster.run(promise);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#connections) connection.close();
    await this.cluster[Symbol.asyncDispose]();
  }
}
