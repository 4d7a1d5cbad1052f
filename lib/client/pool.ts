/**
 * The client's connections: at most one to each node, dialed when needed, with the leader's preferred.
 *
 * No call waits for the leader's connection while another one is open: any node forwards requests, so the leader is
 * dialed at the same time and used once it answers. If its address cannot be reached from the client (another network,
 * a container), requests go through a node that can be reached.
 */
import { parseAddress } from "../platform/address.ts";
import { shortened } from "../platform/errors.ts";
import type { Member } from "../protocol/messages.ts";
import { HandshakeError } from "../protocol/errors.ts";
import { isGatewayId, nodeName, type Welcome } from "../protocol/hello.ts";
import type { NodeId } from "../raft/types.ts";
import { CallContext, CloseSignal } from "./call_context.ts";
import { NodeConnection } from "./connection.ts";
import { type Dialled, Dials, HEAD_START_MS } from "./dials.ts";
import type { ClientPlatform } from "./core.ts";
import { Directory } from "./directory.ts";
import type { SignIns } from "./auth/sign_ins.ts";
import { AuthenticationError } from "./errors.ts";
import { BACKOFF_MAX_MS, backoffMs, BUSY_BACKOFF_MAX_MS, type Unreachable } from "./retry.ts";
import type { ConnectionState } from "./types.ts";
import { unreachable } from "./unreachable.ts";

/** The result of dialing the cluster. */
export type Reached = { readonly kind: "open"; readonly connection: NodeConnection } | Unreachable;

/**
 * A connection whose user a node does not accept is opened again after this time, for its certificate: a client whose
 * certificate names no user must not dial for each call.
 */
const RECONNECT_FOR_CERTIFICATE_MS = 5_000;

/** Options of {@link ConnectionPool}. */
export interface ConnectionPoolOptions {
  readonly platform: ClientPlatform;
  /** `host:port`, each in canonical form. */
  readonly addresses: readonly string[];
  /** Signs in on every connection; null for a client without credentials. */
  readonly signIns: SignIns | null;
  /** Whether its connections show a certificate, which may name a user. Default false. */
  readonly showsCertificate?: boolean;
}

/** All connections of one client. */
export class ConnectionPool {
  readonly #platform: ClientPlatform;
  readonly #signIns: SignIns | null;
  readonly #showsCertificate: boolean;
  /** When each connection began to be used. */
  readonly #openedAt = new WeakMap<NodeConnection, number>();
  readonly #directory: Directory;
  readonly #open = new Map<NodeId, NodeConnection>();
  readonly #dials: Dials;
  readonly #reaches = new Map<NodeId | null, Promise<Reached>>();
  /** Loops that end when their connection does, or when the pool is closed. */
  readonly #running = new Set<Promise<void>>();
  readonly #listeners = new Set<(state: ConnectionState) => void>();
  readonly #closing = new CloseSignal();
  #clusterId: string | null = null;
  #newestAppliedIndex = 0;
  /** The position of the open connection that was used last for a stale read. */
  #turn = 0;
  #downReason = "not connected yet";
  #isReconnecting = false;
  #reportedState: ConnectionState | null = null;
  /** The leader at the last check of the watches at other nodes. */
  #verifiedFor: NodeId | null = null;

  /** Connects to nothing yet. */
  constructor({ platform, addresses, signIns, showsCertificate = false }: ConnectionPoolOptions) {
    this.#platform = platform;
    this.#signIns = signIns;
    this.#showsCertificate = showsCertificate;
    this.#directory = new Directory(addresses);
    this.#dials = new Dials({
      dialNow: (address, signal) => this.#dialNow(address, signal),
      isFinal: (error) => error instanceof AuthenticationError,
      clock: platform.clock,
      closing: this.#closing,
    });
  }

  /** The signal that the pool is closed. */
  get closing(): CloseSignal {
    return this.#closing;
  }

  /** The newest log index that some node is known to have applied. */
  get newestAppliedIndex(): number {
    return this.#newestAppliedIndex;
  }

  /** The cluster's id, in hexadecimal; null before the first connection. */
  get clusterId(): string | null {
    return this.#clusterId;
  }

  /** The members that a node reported last, sorted by id. */
  get members(): readonly Member[] {
    return this.#directory.members;
  }

  /** The address of the gateway that is connected; null without one. */
  get gateway(): string | null {
    return [...this.#open.values()].find(({ node, isOpen }) => isOpen && isGatewayId(node))?.address ?? null;
  }

  /** Returns the addresses of a node, best first. */
  addressesOf(node: NodeId): readonly string[] {
    return this.#directory.addressesOf(node);
  }

  /** Dials the addresses whose node is not known; resolves when every dial has ended. */
  async identify(): Promise<void> {
    const unknown = this.#directory.addresses().filter((address) => this.#directory.nodeAt(address) === null);
    await Promise.all(unknown.map((address) => this.dial(address)));
  }

  /** The node that the next request would be sent to. */
  get state(): ConnectionState {
    const connection = this.#current(null);
    return connection === null
      ? { kind: "reconnecting", reason: this.#downReason }
      : { kind: "connected", node: connection.node, leader: this.#directory.leader };
  }

  /** Calls `listener` at each change of {@link state} until the returned function is called. Ignores its errors. */
  onStateChange(listener: (state: ConnectionState) => void): () => void {
    this.#listeners.add(listener);
    this.#keepConnected();
    return () => void this.#listeners.delete(listener);
  }

  /** Records the leader that a node named when it refused a request; null when it knows of none. */
  noteLeader(reporter: NodeId, leader: NodeId | null): void {
    if (!this.#open.has(reporter)) return;
    this.#directory.noteLeader(reporter, leader, null);
    this.#leaderMayHaveChanged();
  }

  /**
   * Returns the open connection for the next request: the leader's, else any; neither the one to `except` nor one that is
   * suspect. While it is not the leader's, the leader is dialed again from time to time. While no connected node knows a leader, all nodes are dialed:
   * the connected ones may be a minority that is cut off, or nodes that wait to be added.
   */
  route(except: NodeId | null): NodeConnection | null {
    const connection = this.#current(except, (one) => !one.isSuspect);
    if (connection === null) return null;
    const { leader } = this.#directory;
    if (leader === null) this.#dialOthers();
    else if (connection.node !== leader) this.#dialLeader();
    return connection;
  }

  /** Returns the open connections in turn, for requests that any node answers by itself, and dials the other nodes. */
  routeToAny(): NodeConnection | null {
    const usable = [...this.#open.values()].filter(({ isOpen }) => isOpen);
    const good = usable.filter(({ isSuspect }) => !isSuspect);
    const open = good.length > 0 ? good : usable;
    if (open.length < this.#directory.members.length) this.#dialOthers();
    this.#turn = (this.#turn + 1) % Math.max(1, open.length);
    return open[this.#turn] ?? null;
  }

  /** Dials in a race until one node answers; suspect connections, and the one to `except`, are used only if no other does. */
  reach(except: NodeId | null): Promise<Reached> {
    let reach = this.#reaches.get(except);
    if (reach === undefined) {
      reach = this.#reachNow(except).finally(() => this.#reaches.delete(except));
      this.#reaches.set(except, reach);
    }
    return reach;
  }

  /** Returns the connection to the node at `address`, and dials it if there is none. */
  dial(address: string): Promise<Dialled> {
    const node = this.#directory.nodeAt(address);
    const connection = node === null ? null : this.#connectionTo(node);
    if (connection !== null) return Promise.resolve({ kind: "open", connection });
    return this.#dials.dial(address);
  }

  /** Dials the leader if one is known and not connected; resolves when the dial has ended. */
  async reachLeader(): Promise<void> {
    await this.#dialLeader();
  }

  /**
   * Signs in again over the connection to a node that does not accept its user any more, or ends it, if its certificate was
   * its sign-in. Rejects with {@link AuthenticationError} if it is refused, or if this client has no credentials.
   */
  async signInAgain(node: NodeId): Promise<void> {
    if (this.#signIns === null) {
      // Closing the connection ends its requests; the one that the node refuses just now has not ended yet.
      await Promise.resolve();
      return this.#showCertificateAgain(node);
    }
    const connection = this.#connectionTo(node);
    // Without a connection there is nothing to do: the next one is signed in before it is used.
    if (connection !== null) await this.#signIns.signInAgain(connection);
  }

  /**
   * Ends the connection to a node that does not accept the user of its certificate any more: it may have expired, and a new
   * connection shows the renewed one, or is refused with the reason. Throws for a connection that was opened just now.
   */
  #showCertificateAgain(node: NodeId): void {
    const connection = this.#connectionTo(node);
    if (connection === null && this.#showsCertificate) return;
    const openedAt = connection === null ? undefined : this.#openedAt.get(connection);
    const ageMs = this.#platform.clock.now() - (openedAt ?? Infinity);
    if (!this.#showsCertificate || ageMs < RECONNECT_FOR_CERTIFICATE_MS) {
      throw withoutCredentials(node, this.#showsCertificate);
    }
    connection?.close("the node does not accept the user of its certificate any more");
  }

  /**
   * Asks the nodes how far they are; the watches that were sent everything up to there get a notice. Resolves to the lowest of
   * these revisions, null if no node with watches has answered.
   */
  async watchProgress(): Promise<number | null> {
    const asked = await Promise.all([...this.#open.values()].map(({ watches }) => watches.progress()));
    const revisions = asked.filter((revision) => revision !== null);
    return revisions.length === 0 ? null : Math.min(...revisions);
  }

  /** Asks each node that owes an answer for a sign of life; one that gives none is suspect, and others are preferred. */
  probe(): void {
    for (const connection of this.#open.values()) connection.probe();
  }

  /** Ends every connection and dial; resolves when nothing of them is left. */
  async close(): Promise<void> {
    this.#downReason = "the client was closed";
    this.#closing.close();
    for (const connection of this.#open.values()) connection.close("the client was closed");
    await Promise.all([this.#dials.settled(), ...this.#reaches.values(), ...this.#running]);
    this.#listeners.clear();
  }

  async #reachNow(except: NodeId | null): Promise<Reached> {
    const { clock, random } = this.#platform;
    const now = clock.now();
    // With another connection open, the call does not wait for an address that has just failed.
    const hasFallback = this.#current(null) !== null;
    const addresses = this.#directory.dialOrder(now, random).filter((address) => {
      const node = this.#directory.nodeAt(address);
      if (node !== null && (node === except || this.#connectionTo(node)?.isSuspect === true)) return false;
      return !(hasFallback && this.#directory.isAvoided(address, now));
    });
    const { connection, failures } = await this.#dials.race(
      addresses,
      ({ node, isSuspect }) => node !== except && !isSuspect,
    );
    if (connection !== null) return { kind: "open", connection };
    const lastResort = this.#current(except) ?? this.#current(null) ??
      (except === null || this.#closing.isClosed ? null : await this.#dialNode(except));
    if (lastResort !== null) return { kind: "open", connection: lastResort };
    const end = unreachable(failures);
    this.#downReason = end.error.message;
    this.#reportState();
    return end;
  }

  /** Dials a node at its addresses in turn; null when none answers. */
  async #dialNode(node: NodeId): Promise<NodeConnection | null> {
    for (const address of this.#directory.addressesOf(node)) {
      const dialled = await this.dial(address);
      if (dialled.kind === "open") return dialled.connection;
    }
    return null;
  }

  async #dialNow(address: string, signal: AbortSignal): Promise<Dialled> {
    const { clock, network } = this.#platform;
    const startedAt = clock.now();
    try {
      // A secret that was refused lately is not sent again, so no connection is needed either.
      await this.#signIns?.secret();
      const connection = await NodeConnection.open({
        address: parseAddress(address),
        network,
        clock,
        clusterId: this.#clusterId,
        signal,
      });
      closeUnneeded(connection, signal);
      this.#meet(connection);
      if (this.#signIns !== null) await this.#signIn(this.#signIns, connection, signal);
      return { kind: "open", connection: this.#add(connection) };
    } catch (error) {
      // One that was ended as soon as it began had no time to fail.
      if (!signal.aborted || clock.now() - startedAt >= HEAD_START_MS) {
        this.#directory.noteFailure(address, clock.now());
      }
      return { kind: "failed", address, error: error instanceof Error ? error : new Error(String(error)) };
    }
  }

  /** Records what the welcome of a new connection says, and serves the connection until it ends. */
  #meet(connection: NodeConnection): void {
    const { welcome, node } = connection;
    this.#clusterId ??= welcome.clusterId;
    if (welcome.clusterId !== this.#clusterId) {
      connection.close("it belongs to another cluster");
      throw new HandshakeError(
        "wrongCluster",
        `Cannot use the node at ${connection.address}: it belongs to cluster ${
          shortened(welcome.clusterId)
        }, ` +
          `and others belong to ${this.#clusterId}. Name the nodes of one cluster only.`,
      );
    }
    this.#directory.noteAnswer(connection.address, node);
    this.#noteMembers(welcome);
    this.#directory.noteLeader(node, welcome.leader, welcome.term);
    this.#own(this.#serve(connection));
  }

  /** Signs in over a new connection, and closes it if that fails. */
  async #signIn(signIns: SignIns, connection: NodeConnection, signal: AbortSignal): Promise<void> {
    try {
      await signIns.signIn(connection, signal);
    } catch (error) {
      connection.close("it is not signed in");
      throw error;
    }
    closeUnneeded(connection, signal);
  }

  /** Adds a connection that can be used. If two addresses lead to one node, the first connection is kept. */
  #add(connection: NodeConnection): NodeConnection {
    const { node } = connection;
    const first = this.#connectionTo(node);
    if (first === null) {
      this.#open.set(node, connection);
      this.#openedAt.set(connection, this.#platform.clock.now());
    } else connection.close("another connection to this node is open");
    this.#leaderMayHaveChanged();
    return first ?? connection;
  }

  /** Handles the notices of a node until its connection ends. */
  async #serve(connection: NodeConnection): Promise<void> {
    const { node } = connection;
    const reason = await connection.serve((notice) => {
      if ((this.#open.get(node) ?? connection) !== connection) return;
      if (notice.kind === "members") this.#noteMembers(notice);
      else this.#directory.noteLeader(node, notice.leader, notice.term);
      this.#leaderMayHaveChanged();
    });
    if ((this.#open.get(node) ?? connection) !== connection) return;
    this.#directory.forgetView(node);
    if (!this.#open.delete(node)) return; // it was never signed in, so it was not used
    this.#directory.noteFailure(connection.address, this.#platform.clock.now());
    this.#downReason = `the connection to ${nodeName(node)} was lost: ${reason}`;
    this.#leaderMayHaveChanged();
    this.#keepConnected();
  }

  /** Records the members and the applied index that a node reported. */
  #noteMembers({ members, appliedIndex }: Pick<Welcome, "members" | "appliedIndex">): void {
    this.#newestAppliedIndex = Math.max(this.#newestAppliedIndex, appliedIndex);
    this.#directory.noteMembers(members, appliedIndex);
  }

  #current(
    except: NodeId | null,
    isUsable: (connection: NodeConnection) => boolean = () => true,
  ): NodeConnection | null {
    const leader = this.#directory.leader;
    const preferred = leader === null || leader === except ? null : this.#connectionTo(leader);
    if (preferred !== null && isUsable(preferred)) return preferred;
    for (const connection of this.#open.values()) {
      if (connection.isOpen && connection.node !== except && isUsable(connection)) return connection;
    }
    return null;
  }

  #connectionTo(node: NodeId): NodeConnection | null {
    const connection = this.#open.get(node);
    return connection !== undefined && connection.isOpen ? connection : null;
  }

  #leaderMayHaveChanged(): void {
    this.#verifyWatches();
    this.#dialLeader();
    this.#reportState();
  }

  /** Asks nodes with watches for a sign of life once another node leads: the former leader may be frozen. */
  #verifyWatches(): void {
    const { leader } = this.#directory;
    if (leader === null || leader === this.#verifiedFor) return;
    this.#verifiedFor = leader;
    for (const connection of this.#open.values()) if (connection.node !== leader) connection.watches.verify();
  }

  /** Dials the leader, unless it is connected or failed lately: then null. */
  #dialLeader(): Promise<Dialled> | null {
    const leader = this.#directory.leader;
    if (leader === null || this.#connectionTo(leader) !== null || this.#closing.isClosed) return null;
    const now = this.#platform.clock.now();
    const address = this.#directory.addressesOf(leader).find((one) => !this.#directory.isAvoided(one, now));
    return address === undefined ? null : this.dial(address);
  }

  /** Dials all nodes that are not connected and did not fail lately; no call waits for them. */
  #dialOthers(): void {
    const now = this.#platform.clock.now();
    for (const address of this.#directory.addresses()) {
      const node = this.#directory.nodeAt(address);
      const isConnected = node !== null && this.#connectionTo(node) !== null;
      if (!isConnected && !this.#directory.isAvoided(address, now)) void this.dial(address); // never rejects
    }
  }

  /** Reconnects to a lost cluster while there is a listener; without one, the next call does. */
  #keepConnected(): void {
    const isNeeded = (): boolean =>
      this.#current(null) === null && this.#listeners.size > 0 && !this.#closing.isClosed;
    if (this.#isReconnecting || !isNeeded()) return;
    this.#isReconnecting = true;
    const { clock, random } = this.#platform;
    const loop = async (): Promise<void> => {
      for (let round = 0; isNeeded(); round++) {
        const reached = await this.reach(null);
        if (!isNeeded()) break;
        const isRefused = reached.kind === "unreachable" && reached.hope === "none";
        const timeoutMs = backoffMs(round, random, isRefused ? BUSY_BACKOFF_MAX_MS : BACKOFF_MAX_MS);
        await new CallContext({ clock, timeoutMs, signal: null, closing: this.#closing }).untilStopped();
      }
      this.#isReconnecting = false;
    };
    this.#own(loop());
  }

  #reportState(): void {
    const state = this.state;
    if (this.#reportedState !== null && isSameState(state, this.#reportedState)) return;
    this.#reportedState = state;
    for (const listener of this.#listeners) {
      try {
        listener(state);
      } catch {
        // An error of a listener must not end the connection.
      }
    }
  }

  /** Keeps a promise that never rejects, so that close() waits for it. */
  #own(work: Promise<void>): void {
    const owned = work.finally(() => this.#running.delete(owned));
    this.#running.add(owned);
  }
}

function isSameState(a: ConnectionState, b: ConnectionState): boolean {
  if (a.kind === "connected") return b.kind === "connected" && a.node === b.node && a.leader === b.leader;
  return b.kind === "reconnecting" && a.reason === b.reason;
}

/** Closes a connection that nothing waits for any more, and throws. */
function closeUnneeded(connection: NodeConnection, signal: AbortSignal): void {
  if (!signal.aborted) return;
  connection.close("it is not needed any more");
  throw new Error("The client was closed, or reached another node before.");
}

function withoutCredentials(node: NodeId, showsCertificate: boolean): AuthenticationError {
  const reason = showsCertificate
    ? "no user has the name of this client's certificate, or the certificate has expired"
    : "this client has no credentials";
  return new AuthenticationError(
    `Cannot sign in at ${nodeName(node)}: ${reason}. Connect with a user and its password, or with a token.`,
    { reason: "unauthenticated", user: null },
  );
}
