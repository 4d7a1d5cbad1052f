/**
 * The accepting end of a handshake: reads the hello of a connection, has a peer prove that it knows the peer secret, and
 * answers with a welcome or a refusal.
 *
 * A peer is authenticated before anything else about it is checked, so that a caller without the secret learns nothing
 * about the members, and every failure to authenticate has the same answer. Until then the connection counts as one without
 * a hello (pending_hellos.ts).
 */
import { FEATURE_LEVEL } from "../../kv/feature_level.ts";
import { MAX_KEY_BYTES } from "../../kv/command.ts";
import type { Clock } from "../../platform/clock.ts";
import { shortened } from "../../platform/errors.ts";
import type { Logger } from "../../platform/logger.ts";
import { DecodeError, type RefusalCode } from "../../protocol/errors.ts";
import {
  type Caller,
  decodeHello,
  decodePeerProof,
  encodeChallenge,
  encodeRefusal,
  encodeWelcome,
  type Hello,
  MAX_PROTOCOL_VERSION,
  MIN_PROTOCOL_VERSION,
  type PeerCaller,
  type Refusal,
  type Welcome,
} from "../../protocol/hello.ts";
import { CLOSE_FLUSH_TIMEOUT_MS, MAX_FRAME_BYTES, PEER_PROOF_TIMEOUT_MS } from "../../protocol/limits.ts";
import type { Member } from "../../protocol/messages.ts";
import type { NodeId } from "../../raft/types.ts";
import { BY_CERTIFICATE, type CertificateRules } from "./certificate_rules.ts";
import type { FrameChannel } from "../frame_channel.ts";
import { describeEnd } from "../frame_reader.ts";
import { HelloDeadlines } from "./hello_deadlines.ts";
import {
  type AccepterHandshake,
  type Authenticated,
  NOT_AUTHENTICATED,
  type PeerAuthentication,
  peerNotAuthenticated,
} from "./peer_authentication.ts";

/** The node's state as of a welcome. */
export interface Situation {
  readonly leader: NodeId | null;
  readonly term: number;
  readonly appliedIndex: number;
}

/** The parts of a server that a handshake needs. */
export interface HandshakeHandlers {
  /** Returns all current nodes, sorted by id; part of the welcome. */
  readonly members: () => readonly Member[];
  readonly situation: () => Situation;
  /** Returns null if a node of this cluster may connect, else the refusal that is sent in place of a welcome. */
  readonly authorizePeer: (caller: PeerCaller) => Refusal | null;
}

/** Options of an {@link AcceptingHandshake}. */
export interface AcceptingHandshakeOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly self: NodeId;
  readonly clusterId: string;
  readonly dataId: number;
  readonly maxValueBytes: number;
  readonly peerAuthentication?: PeerAuthentication | null;
  /** The certificates that are demanded; null, the default, without TLS. */
  readonly tls?: { readonly rules: CertificateRules } | null;
  readonly handlers: () => HandshakeHandlers;
  /** Makes space for one more client; returns the reason for a refusal where there is none. */
  readonly makeSpaceForClient: (remote: string) => string | null;
}

/** A connection that was welcomed. */
export interface Welcomed {
  readonly caller: Caller;
  readonly authenticated: Authenticated;
}

/** The parts of serving a connection before and after its handshake. */
export interface Continuation {
  /** Called once nothing more of the other end is waited for. */
  readonly heard: () => void;
  /** Serves a connection, in the same turn in which it was checked that it may be. */
  readonly serve: (welcomed: Welcomed) => Promise<void>;
}

/** A hello of a version that this program speaks. */
type KnownHello = Extract<Hello, { readonly kind: "hello" }>;

/** A peer's hello, with its payload. */
interface PeerHello {
  readonly payload: Uint8Array;
  readonly version: number;
  readonly caller: PeerCaller;
}

/** A peer that may be answered; `exchange` is null without the peer secret. */
interface Answerable {
  readonly exchange: AccepterHandshake | null;
}

/** Why a node is not authenticated, for the log of this node only: the caller gets one answer for all of them. */
const REASONS = {
  missing: "it has no peer secret",
  otherSecret: "it has another peer secret",
  wrongProof: "its proof is wrong",
} as const;

/** An alert of TLS: fatal, and the version is not supported. Clients that speak TLS show it. */
const NO_TLS = new Uint8Array([0x15, 3, 3, 0, 2, 2, 70]);

/** Carries out the handshakes of a listener. */
export class AcceptingHandshake {
  readonly #options: AcceptingHandshakeOptions;
  readonly #deadlines: HelloDeadlines;
  #refused = 0;

  constructor(options: AcceptingHandshakeOptions) {
    this.#options = options;
    this.#deadlines = new HelloDeadlines(options.clock);
  }

  /** Refused hellos so far. */
  get refused(): number {
    return this.#refused;
  }

  /** Stops its timer. No hello is read any more. */
  stop(): void {
    this.#deadlines.stop();
  }

  /** Reads the hello of a connection, answers it, and serves a connection that was welcomed to its end. */
  async accept(channel: FrameChannel, { heard, serve }: Continuation): Promise<void> {
    const payload = await this.#hear(channel);
    if (payload === null) return heard();
    const hello = this.#checkHello(payload);
    if (hello.kind === "refusal") {
      heard();
      return await this.#refuse(channel, hello);
    }
    const { version, caller } = hello;
    if (caller.role === "client") {
      heard();
      const refused = this.#admitClient(channel);
      if (refused !== null) return await this.#refuse(channel, refused);
      this.#welcome(channel, { version, exchange: null });
      return await serve({ caller, authenticated: NOT_AUTHENTICATED });
    }
    const answerable = await this.#authenticate(channel, { payload, version, caller });
    heard();
    if (answerable === null) return;
    if ("kind" in answerable) return await this.#refuse(channel, answerable);
    const { exchange } = answerable;
    const refused = this.#authorizePeer(caller);
    if (refused !== null) return await this.#refuse(channel, refused, exchange);
    this.#welcome(channel, { version, exchange });
    const withoutSecret = (this.#options.tls ?? null) === null ? NOT_AUTHENTICATED : BY_CERTIFICATE;
    await serve({ caller, authenticated: exchange?.authenticated ?? withoutSecret });
  }

  /** Returns the first frame, or null if none arrived. */
  async #hear(channel: FrameChannel): Promise<Uint8Array | null> {
    const { logger } = this.#options;
    this.#deadlines.add(channel);
    const first = await channel.readFrame();
    this.#deadlines.remove(channel);
    if (first.kind === "frame") return first.payload.slice();
    if (first.kind === "otherProtocol" && first.looksLike === "TLS") {
      await channel.endWith(NO_TLS, describeEnd(first));
    }
    channel.close(describeEnd(first));
    const { remote, closeReason: reason } = channel;
    if (first.kind === "otherProtocol" || first.kind === "frameTooLarge") {
      const looksLike = first.kind === "otherProtocol" ? first.looksLike : "unknown";
      logger.info("Closed a connection that speaks another protocol", { remote, looksLike, reason });
    } else {
      logger.debug("A connection ended without a hello", { remote, reason });
    }
    return null;
  }

  #checkHello(payload: Uint8Array): KnownHello | Refusal {
    let hello: Hello;
    try {
      hello = decodeHello(payload);
    } catch (error) {
      if (error instanceof DecodeError) return refusal("badHello", error.message);
      throw error;
    }
    if (hello.kind === "otherVersions") {
      return refusal(
        "versionMismatch",
        `This node speaks versions ${MIN_PROTOCOL_VERSION} to ${MAX_PROTOCOL_VERSION} of the protocol, the other end ` +
          `${hello.minVersion} to ${hello.maxVersion}. Bring both to releases that have one in common.`,
      );
    }
    const { clusterId } = this.#options;
    const { caller } = hello;
    if (caller.clusterId !== null && caller.clusterId !== clusterId) {
      return refusal(
        "wrongCluster",
        `This node belongs to cluster ${clusterId}, and the connection is meant for ${
          shortened(caller.clusterId)
        }. ` +
          "Check the addresses; all nodes of a cluster are started with the same --cluster.",
      );
    }
    return hello;
  }

  /** Returns why a client is refused, or null. One without the certificate that it needs takes the place of no other. */
  #admitClient({ remote, security, inProcess }: FrameChannel): Refusal | null {
    if (inProcess !== null) return null;
    const { tls = null, makeSpaceForClient } = this.#options;
    const refused = tls?.rules.checkClient(security) ?? null;
    if (refused !== null) return refused;
    const reason = makeSpaceForClient(remote);
    return reason === null ? null : refusal("busy", reason);
  }

  #authorizePeer(caller: PeerCaller): Refusal | null {
    const { self, handlers } = this.#options;
    if (caller.nodeId !== self) return handlers().authorizePeer(caller);
    return refusal(
      "unknownNode",
      `This is node ${self} itself, and no other may have its id. Check --node-id and the addresses.`,
    );
  }

  /** Has a peer prove that it knows the secret; returns the refusal if it does not, and null if the connection ended. */
  async #authenticate(
    channel: FrameChannel,
    { payload, version, caller }: PeerHello,
  ): Promise<Answerable | Refusal | null> {
    const { self, logger, peerAuthentication = null, tls = null, handlers } = this.#options;
    const { members } = handlers();
    const refused = tls?.rules.checkPeer(channel.security, { caller, members: members() }) ?? null;
    if (refused !== null) return refused;
    if (peerAuthentication === null) return { exchange: null };
    const { remote, security: { binding } } = channel;
    const exchange = peerAuthentication.accept({ hello: payload, caller, version, self, binding });
    if (exchange === "withoutProof") return { exchange: null };
    if (exchange === "otherSecret") {
      logger.warn("A node has another peer secret than this one, and is taken as one without", {
        remote,
        node: caller.nodeId,
      });
      return { exchange: null };
    }
    let reason: keyof typeof REASONS = "missing";
    if (exchange !== "missing") {
      channel.send(encodeChallenge, exchange.challenge);
      const proof = await this.#hearProof(channel, exchange);
      if (proof === null) return null;
      const failure = exchange.check(proof);
      if (failure === null) return { exchange };
      reason = failure;
    }
    logger.warn("Cannot authenticate a node", { remote, node: caller.nodeId, reason: REASONS[reason] });
    return refusal("peerNotAuthenticated", peerNotAuthenticated(caller.nodeId));
  }

  /** Returns the proof in the next frame, one without bytes for a frame that is no proof, and null if none arrived. */
  async #hearProof(
    channel: FrameChannel,
    exchange: AccepterHandshake,
  ): Promise<{ readonly proof: Uint8Array } | null> {
    const { clock, logger } = this.#options;
    const timer = clock.after(PEER_PROOF_TIMEOUT_MS, () => {
      exchange.timedOut();
      channel.close(`no answer to its challenge within ${PEER_PROOF_TIMEOUT_MS} ms`);
    });
    const next = await channel.readFrame();
    timer.cancel();
    if (next.kind !== "frame") {
      channel.close(describeEnd(next));
      const { remote, closeReason: reason } = channel;
      logger.debug("A peer's connection ended without an answer to the challenge", { remote, reason });
      return null;
    }
    try {
      return decodePeerProof(next.payload);
    } catch (error) {
      if (error instanceof DecodeError) return { proof: new Uint8Array(0) };
      throw error;
    }
  }

  async #refuse(
    channel: FrameChannel,
    answer: Refusal,
    exchange: AccepterHandshake | null = null,
  ): Promise<void> {
    const { remote } = channel;
    this.#refused += 1;
    this.#options.logger.info("Refused a connection", { remote, code: answer.code, reason: answer.message });
    channel.send(encodeRefusal, { ...answer, proof: exchange?.proveRefusal(answer) ?? null });
    await channel.finish(answer.message, CLOSE_FLUSH_TIMEOUT_MS);
  }

  #welcome(
    channel: FrameChannel,
    { version, exchange }: { readonly version: number } & Answerable,
  ): void {
    const { clusterId, self, dataId, maxValueBytes, handlers } = this.#options;
    const { members, situation } = handlers();
    const welcome: Welcome = {
      kind: "welcome",
      version,
      clusterId,
      nodeId: self,
      ...situation(),
      members: members(),
      limits: { maxKeyBytes: MAX_KEY_BYTES, maxValueBytes, maxFrameBytes: MAX_FRAME_BYTES },
      dataId,
      featureLevel: FEATURE_LEVEL,
      proof: null,
    };
    channel.send(
      encodeWelcome,
      exchange === null ? welcome : { ...welcome, proof: exchange.proveWelcome(welcome) },
    );
  }
}

function refusal(code: RefusalCode, message: string): Refusal {
  return { kind: "refusal", code, message };
}
