/**
 * The client's connections: at most one to each node, dialled when needed, the leader's preferred.
 *
 * Nobody waits for the leader's connection while another is open: any node passes requests on, so the leader is
 * dialled beside the traffic and used once it answers. Where its address can't be reached from here (another
 * network, a container), everything still works through a node that can.
 */
import { MAX_VALUE_BYTES } from "../kv/command.ts";
import { parseAddress } from "../net/address.ts";
import type { Member } from "../net/client_messages.ts";
import { HandshakeError } from "../net/errors.ts";
import type { Welcome } from "../net/hello_codec.ts";
import type { NodeId } from "../raft/types.ts";
import { CallScope } from "./call_scope.ts";
import { Closing } from "./closing.ts";
import { NodeConnection } from "./connection.ts";
import { Directory } from "./directory.ts";
import { ConnectionError, type KvraftError, VersionMismatchError } from "./errors.ts";
import { backoffMs } from "./retry.ts";
import type { ClientPlatform, ConnectionState } from "./types.ts";

/** A dial that brought no connection. */
interface FailedDial {
  readonly kind: "failed";
  readonly error: Error;
}

/** What a dial came to. Dials never reject. */
export type Dialled = { readonly kind: "open"; readonly connection: NodeConnection } | FailedDial;

/** What reaching for the cluster came to. */
export type Reached =
  | { readonly kind: "open"; readonly connection: NodeConnection }
  | { readonly kind: "unreachable"; readonly error: KvraftError };

/** What a pool is made of. */
export interface ConnectionPoolOptions {
  readonly platform: ClientPlatform;
  /** `host:port`, each in its one written form. */
  readonly addresses: readonly string[];
}

/** All connections of one client. */
export class ConnectionPool {
  readonly #platform: ClientPlatform;
  readonly #directory: Directory;
  readonly #open = new Map<NodeId, NodeConnection>();
  readonly #dials = new Map<string, Promise<Dialled>>();
  readonly #reaches = new Map<NodeId | null, Promise<Reached>>();
  /** Loops that end when their connection does, or when the pool is closed. */
  readonly #running = new Set<Promise<void>>();
  readonly #listeners = new Set<(state: ConnectionState) => void>();
  readonly #closing = new Closing();
  #clusterId: string | null = null;
  #newestAppliedIndex = 0;
  /** Whose turn it was, of the open connections. */
  #turn = 0;
  #maxValueBytes = MAX_VALUE_BYTES;
  #downReason = "not connected yet";
  #isReconnecting = false;
  #toldState: ConnectionState | null = null;

  /** Connects to nothing yet. */
  constructor({ platform, addresses }: ConnectionPoolOptions) {
    this.#platform = platform;
    this.#directory = new Directory(addresses);
  }

  /** Closed with the pool. */
  get closing(): Closing {
    return this.#closing;
  }

  /** The newest log index that some node is known to have applied. */
  get newestAppliedIndex(): number {
    return this.#newestAppliedIndex;
  }

  /** The longest value that the node reached last takes. */
  get maxValueBytes(): number {
    return this.#maxValueBytes;
  }

  /** The members that a node told of last, sorted by id. */
  get members(): readonly Member[] {
    return this.#directory.members;
  }

  /** Where a node can be dialled, best first. */
  addressesOf(node: NodeId): readonly string[] {
    return this.#directory.addressesOf(node);
  }

  /** Dials the addresses of which it is not known who answers there; resolves whatever came of it. */
  async identify(): Promise<void> {
    const unknown = this.#directory.addresses().filter((address) => this.#directory.nodeAt(address) === null);
    await Promise.all(unknown.map((address) => this.dial(address)));
  }

  /** Where the next request would go. */
  get state(): ConnectionState {
    const connection = this.#current(null);
    return connection === null
      ? { kind: "reconnecting", reason: this.#downReason }
      : { kind: "connected", node: connection.node, leader: this.#directory.leader };
  }

  /** Calls `listener` at each change of {@link state}; the function given back ends that. What it throws is dropped. */
  onStateChange(listener: (state: ConnectionState) => void): () => void {
    this.#listeners.add(listener);
    this.#keepConnected();
    return () => void this.#listeners.delete(listener);
  }

  /** A node that refused a request said who leads; null when it knows of no leader. */
  noteLeader(teller: NodeId, leader: NodeId | null): void {
    if (!this.#open.has(teller)) return;
    this.#directory.noteLeader(teller, leader, null);
    this.#leaderMayHaveChanged();
  }

  /**
   * The open connection for the next request: the leader's, else any; not that to `except`. While it is not the
   * leader's, that is dialled again from time to time; while no connected node knows who leads, everybody is: those
   * may be a minority that is cut off, or nodes that wait to be added.
   */
  route(except: NodeId | null): NodeConnection | null {
    const connection = this.#current(except);
    if (connection === null) return null;
    const { leader } = this.#directory;
    if (leader === null) this.#dialOthers();
    else if (connection.node !== leader) this.#dialLeader();
    return connection;
  }

  /** The open connections in turn, for requests that any node answers by itself. Who is not connected is dialled beside. */
  routeToAny(): NodeConnection | null {
    const open = [...this.#open.values()].filter(({ isOpen }) => isOpen);
    if (open.length < this.#directory.members.length) this.#dialOthers();
    this.#turn = (this.#turn + 1) % Math.max(1, open.length);
    return open[this.#turn] ?? null;
  }

  /** Dials until one node answers; the connection to `except` is used only if no other does. */
  reach(except: NodeId | null): Promise<Reached> {
    let reach = this.#reaches.get(except);
    if (reach === undefined) {
      reach = this.#reachNow(except).finally(() => this.#reaches.delete(except));
      this.#reaches.set(except, reach);
    }
    return reach;
  }

  /** The connection over which `address` is reached, dialled if there is none. */
  dial(address: string): Promise<Dialled> {
    const node = this.#directory.nodeAt(address);
    const connection = node === null ? null : this.#connectionTo(node);
    if (connection !== null) return Promise.resolve({ kind: "open", connection });
    let dial = this.#dials.get(address);
    if (dial === undefined) {
      dial = this.#dialNow(address).finally(() => this.#dials.delete(address));
      this.#dials.set(address, dial);
    }
    return dial;
  }

  /** Dials the leader if one is known and not connected; resolves whatever came of it. */
  async reachLeader(): Promise<void> {
    await this.#dialLeader();
  }

  /** Ends every connection and dial; resolves when nothing of them is left. */
  async close(): Promise<void> {
    this.#downReason = "the client was closed";
    this.#closing.close();
    for (const connection of this.#open.values()) connection.close("the client was closed");
    await Promise.all([...this.#dials.values(), ...this.#reaches.values(), ...this.#running]);
    this.#listeners.clear();
  }

  async #reachNow(except: NodeId | null): Promise<Reached> {
    const { clock, random } = this.#platform;
    const failures: FailedDial[] = [];
    for (const address of this.#directory.dialOrder(clock.now(), random)) {
      if (except !== null && this.#directory.nodeAt(address) === except) continue;
      // With a connection to fall back on, nobody waits for an address that has just failed.
      if (this.#current(null) !== null && this.#directory.isAvoided(address, clock.now())) continue;
      if (this.#closing.isClosed) break;
      const dialled = await this.dial(address);
      if (dialled.kind === "failed") failures.push(dialled);
      else if (dialled.connection.node !== except) return dialled;
    }
    const lastResort = this.#current(null) ?? (except === null ? null : await this.#dialNode(except));
    if (lastResort !== null) return { kind: "open", connection: lastResort };
    const error = unreachableError(failures);
    this.#downReason = error.message;
    this.#tellState();
    return { kind: "unreachable", error };
  }

  /** Dials a node at its addresses in turn; null when none answers. */
  async #dialNode(node: NodeId): Promise<NodeConnection | null> {
    for (const address of this.#directory.addressesOf(node)) {
      const dialled = await this.dial(address);
      if (dialled.kind === "open") return dialled.connection;
    }
    return null;
  }

  async #dialNow(address: string): Promise<Dialled> {
    const { clock, network } = this.#platform;
    try {
      const connection = await NodeConnection.open({
        address: parseAddress(address),
        network,
        clock,
        clusterId: this.#clusterId,
        signal: this.#closing.signal,
      });
      if (this.#closing.isClosed) {
        connection.close("the client was closed");
        throw new Error("The client was closed.");
      }
      return { kind: "open", connection: this.#admit(connection) };
    } catch (error) {
      this.#directory.noteFailure(address, clock.now());
      return { kind: "failed", error: error instanceof Error ? error : new Error(String(error)) };
    }
  }

  /** Takes a new connection in. Two addresses may lead to one node: then the first connection stays. */
  #admit(connection: NodeConnection): NodeConnection {
    const { welcome, node } = connection;
    this.#clusterId ??= welcome.clusterId;
    if (welcome.clusterId !== this.#clusterId) {
      connection.close("it belongs to another cluster");
      throw new HandshakeError(
        "wrongCluster",
        `Cannot use the node at ${connection.address}: it belongs to cluster ${welcome.clusterId}, ` +
          `and others belong to ${this.#clusterId}. Name the nodes of one cluster only.`,
      );
    }
    this.#maxValueBytes = welcome.limits.maxValueBytes;
    this.#directory.noteAnswer(connection.address, node);
    this.#noteMembers(welcome);
    this.#directory.noteLeader(node, welcome.leader, welcome.term);
    const first = this.#connectionTo(node);
    if (first === null) this.#open.set(node, connection);
    else connection.close("another connection to this node is open");
    this.#own(this.#serve(connection));
    this.#leaderMayHaveChanged();
    return first ?? connection;
  }

  /** Follows what the node says unasked until its connection ends. */
  async #serve(connection: NodeConnection): Promise<void> {
    const { node } = connection;
    const reason = await connection.serve((notice) => {
      if (this.#open.get(node) !== connection) return;
      if (notice.kind === "members") this.#noteMembers(notice);
      else this.#directory.noteLeader(node, notice.leader, notice.term);
      this.#leaderMayHaveChanged();
    });
    if (this.#open.get(node) !== connection) return;
    this.#open.delete(node);
    this.#directory.forgetView(node);
    this.#directory.noteFailure(connection.address, this.#platform.clock.now());
    this.#downReason = `the connection to node ${node} was lost: ${reason}`;
    this.#leaderMayHaveChanged();
    this.#keepConnected();
  }

  /** A node told who the members are, and what it has applied. */
  #noteMembers({ members, appliedIndex }: Pick<Welcome, "members" | "appliedIndex">): void {
    this.#newestAppliedIndex = Math.max(this.#newestAppliedIndex, appliedIndex);
    this.#directory.noteMembers(members, appliedIndex);
  }

  #current(except: NodeId | null): NodeConnection | null {
    const leader = this.#directory.leader;
    const preferred = leader === null || leader === except ? null : this.#connectionTo(leader);
    if (preferred !== null) return preferred;
    for (const connection of this.#open.values()) {
      if (connection.isOpen && connection.node !== except) return connection;
    }
    return null;
  }

  #connectionTo(node: NodeId): NodeConnection | null {
    const connection = this.#open.get(node);
    return connection !== undefined && connection.isOpen ? connection : null;
  }

  #leaderMayHaveChanged(): void {
    this.#dialLeader();
    this.#tellState();
  }

  /** Dials the leader, unless it is connected or failed lately: then null. */
  #dialLeader(): Promise<Dialled> | null {
    const leader = this.#directory.leader;
    if (leader === null || this.#connectionTo(leader) !== null || this.#closing.isClosed) return null;
    const now = this.#platform.clock.now();
    const address = this.#directory.addressesOf(leader).find((one) => !this.#directory.isAvoided(one, now));
    return address === undefined ? null : this.dial(address);
  }

  /** Dials all who are not connected and did not fail lately. Nobody waits for them: they are used once they answer. */
  #dialOthers(): void {
    const now = this.#platform.clock.now();
    for (const address of this.#directory.addresses()) {
      const node = this.#directory.nodeAt(address);
      const isConnected = node !== null && this.#connectionTo(node) !== null;
      if (!isConnected && !this.#directory.isAvoided(address, now)) void this.dial(address); // never rejects
    }
  }

  /** While somebody watches the state, a lost cluster is reached for again and again; else the next call does. */
  #keepConnected(): void {
    const isNeeded = (): boolean =>
      this.#current(null) === null && this.#listeners.size > 0 && !this.#closing.isClosed;
    if (this.#isReconnecting || !isNeeded()) return;
    this.#isReconnecting = true;
    const { clock, random } = this.#platform;
    const loop = async (): Promise<void> => {
      for (let round = 0; isNeeded(); round++) {
        await this.reach(null);
        if (!isNeeded()) break;
        const timeoutMs = backoffMs(round, random);
        await new CallScope({ clock, timeoutMs, signal: null, closing: this.#closing }).untilStopped();
      }
      this.#isReconnecting = false;
    };
    this.#own(loop());
  }

  #tellState(): void {
    const state = this.state;
    if (this.#toldState !== null && isSameState(state, this.#toldState)) return;
    this.#toldState = state;
    for (const listener of this.#listeners) {
      try {
        listener(state);
      } catch {
        // A listener's mistake must not end the connection whose news it was told.
      }
    }
  }

  /** Work that nobody waits for: it never rejects, and close() waits for it. */
  #own(work: Promise<void>): void {
    const owned = work.finally(() => this.#running.delete(owned));
    this.#running.add(owned);
  }
}

function isSameState(a: ConnectionState, b: ConnectionState): boolean {
  if (a.kind === "connected") return b.kind === "connected" && a.node === b.node && a.leader === b.leader;
  return b.kind === "reconnecting" && a.reason === b.reason;
}

/** One error for all addresses that were tried; the one reason by its own class where there is only one. */
function unreachableError(failures: readonly FailedDial[]): KvraftError {
  const reasons = failures.map(({ error }) => error.message).join(" ");
  const message =
    `Cannot reach the cluster. ${reasons} Check that its nodes run and the addresses are right.`;
  const isVersion = failures.length > 0 &&
    failures.every(({ error }) => error instanceof HandshakeError && error.code === "versionMismatch");
  return isVersion ? new VersionMismatchError(message) : new ConnectionError(message);
}
