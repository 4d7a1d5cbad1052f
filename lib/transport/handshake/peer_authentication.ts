/**
 * The peer secret in handshakes: what a node offers, proves and checks, as the end that dials and as the one that
 * accepts. The computations are in peer_secret.ts; ../dial.ts and accepting.ts send and receive the frames.
 */
import { assert } from "../../platform/assert.ts";
import { HandshakeError } from "../../protocol/errors.ts";
import {
  type Challenge,
  encodeChallenge,
  encodeHello,
  PEER_NONCE_BYTES,
  type PeerCaller,
  type PeerCredentials,
  type PeerProof,
  type Refusal,
  type SentRefusal,
  type Welcome,
} from "../../protocol/hello.ts";
import type { PeerAuthenticatedBy } from "../../protocol/messages.ts";
import { MessagePackWriter } from "../../protocol/msgpack_writer.ts";
import type { NodeId } from "../../raft/types.ts";
import type { EncodePayload } from "../frame_writer.ts";
import {
  diallerProof,
  isSameProof,
  type PeerKey,
  peerKeyOf,
  refusalProof,
  type Transcript,
  welcomeProof,
} from "./peer_secret.ts";

/** Which peers a node with a secret takes: also those without a proof, while the secret is being introduced; or not. */
export const PEER_AUTH_MODES = ["accept", "require"] as const;
/** One of {@link PEER_AUTH_MODES}. */
export type PeerAuthMode = typeof PEER_AUTH_MODES[number];

/** Why a peer is not authenticated, with how often that was so. */
export interface ProofFailures {
  /** Its hello offered no proof, and one is required. */
  missing: number;
  /** It has no secret of this node. */
  otherSecret: number;
  /** Its proof is wrong. */
  wrongProof: number;
  /** It did not answer the challenge in time. */
  noAnswer: number;
  /** It was dialled, and did not prove that it knows the secret. */
  dialled: number;
}

/** How the two ends of a connection know each other. */
export interface Authenticated {
  readonly by: PeerAuthenticatedBy;
  /** The key that was proved; null without the secret. */
  readonly keyName: string | null;
}

/** Two ends that do not know each other. */
export const NOT_AUTHENTICATED: Authenticated = { by: "none", keyName: null };

/** Why a connection was closed whose secret was replaced: the dialling end connects again with the new one. */
export const SECRET_REPLACED = "the peer secret that was proved on it was replaced";

/** Options of a {@link PeerAuthentication}. */
export interface PeerAuthenticationOptions {
  readonly clusterId: string;
  readonly mode: PeerAuthMode;
  /** The secrets, the preferred one first. */
  readonly secrets: readonly string[];
  /** Returns so many unpredictable bytes. */
  readonly randomBytes: (count: number) => Uint8Array;
}

/** The peer secret of one node in one cluster. */
export class PeerAuthentication {
  readonly failures: ProofFailures = {
    missing: 0,
    otherSecret: 0,
    wrongProof: 0,
    noAnswer: 0,
    dialled: 0,
  };
  readonly #options: PeerAuthenticationOptions;
  #keys: readonly PeerKey[];
  /** Stands for the key of a caller whose key is not known: its proof is computed as well, and is wrong. */
  readonly #noKey: PeerKey;

  constructor(options: PeerAuthenticationOptions) {
    this.#options = options;
    this.#keys = this.#derive(options.secrets);
    this.#noKey = { id: new Uint8Array(0), name: "", bytes: options.randomBytes(PEER_NONCE_BYTES) };
  }

  /** Whether connections without a proof are refused. */
  get isRequired(): boolean {
    return this.#options.mode === "require";
  }

  /** Replaces the secrets; handshakes in progress continue with the ones before. */
  setSecrets(secrets: readonly string[]): void {
    this.#keys = this.#derive(secrets);
  }

  /** Whether a connection is still as authenticated as it was: its secret was not replaced. */
  isCurrent({ keyName }: Authenticated): boolean {
    return keyName === null || this.#keys.some(({ name }) => name === keyName);
  }

  /** Begins the handshake with a node that is dialled. */
  dial(expectedNodeId: NodeId): DiallerHandshake {
    const nonce = this.#options.randomBytes(PEER_NONCE_BYTES);
    return new DiallerHandshake({ keys: this.#keys, nonce, expectedNodeId, authentication: this });
  }

  /** Continues the handshake with a peer that has sent a hello. */
  accept(
    { hello, caller, version, self, binding }: {
      /** The payload of the hello. */
      readonly hello: Uint8Array;
      readonly caller: PeerCaller;
      readonly version: number;
      readonly self: NodeId;
      readonly binding: Uint8Array | null;
    },
  ): AccepterHandshake | "missing" | "otherSecret" | "withoutProof" {
    const { credentials } = caller;
    const [offered] = credentials?.keyIds ?? [];
    if (credentials === null || offered === undefined) {
      if (!this.isRequired) return "withoutProof";
      this.failures.missing += 1;
      return "missing";
    }
    const isOffered = ({ id }: PeerKey): boolean => credentials.keyIds.some((one) => isSameProof(id, one));
    const key = this.#keys.find(isOffered) ?? null;
    if (key === null && !this.isRequired) {
      this.failures.otherSecret += 1;
      return "otherSecret";
    }
    const nonce = this.#options.randomBytes(PEER_NONCE_BYTES);
    const challenge: Challenge = {
      kind: "challenge",
      version,
      nodeId: self,
      // A caller learns from its own key's id in the challenge nothing about the keys of this node.
      keyId: key?.id ?? offered,
      nonce,
    };
    const transcript = { hello, challenge: bytesOf(encodeChallenge, challenge), binding };
    const isMeant = credentials.expectedNodeId === self;
    return new AccepterHandshake({
      key,
      noKey: this.#noKey,
      challenge,
      transcript,
      isMeant,
      authentication: this,
    });
  }

  #derive(secrets: readonly string[]): readonly PeerKey[] {
    return secrets.map((secret) => peerKeyOf(secret, this.#options.clusterId));
  }
}

interface AccepterHandshakeOptions {
  /** Null if this node has none of the caller's keys. */
  readonly key: PeerKey | null;
  readonly noKey: PeerKey;
  readonly challenge: Challenge;
  readonly transcript: Transcript;
  /** Whether the hello names this node as the one that is dialled. */
  readonly isMeant: boolean;
  readonly authentication: PeerAuthentication;
}

/** The accepting end of a handshake, from its challenge on. */
export class AccepterHandshake {
  readonly #options: AccepterHandshakeOptions;
  /** The caller's proof, once it was found right. */
  #proof: Uint8Array | null = null;

  constructor(options: AccepterHandshakeOptions) {
    this.#options = options;
  }

  /** The frame to send first. */
  get challenge(): Challenge {
    return this.#options.challenge;
  }

  /** How the caller is authenticated after its right proof. */
  get authenticated(): Authenticated {
    const { key } = this.#options;
    return this.#proof === null || key === null ? NOT_AUTHENTICATED : { by: "secret", keyName: key.name };
  }

  /**
   * Returns why a caller's proof does not authenticate it, or null if it does. The steps are the same for every result, so
   * that the caller learns nothing from the time that they take.
   */
  check({ proof }: Pick<PeerProof, "proof">): "otherSecret" | "wrongProof" | null {
    const { key, noKey, transcript, isMeant, authentication } = this.#options;
    const isRight = isSameProof(diallerProof(key ?? noKey, transcript), proof);
    // The secret may have been replaced since the challenge.
    const isKnown = key !== null && authentication.isCurrent({ by: "secret", keyName: key.name });
    if (isRight && isMeant && isKnown) {
      this.#proof = proof;
      return null;
    }
    const reason = isKnown ? "wrongProof" : "otherSecret";
    authentication.failures[reason] += 1;
    return reason;
  }

  /** Counts a caller that did not answer the challenge. */
  timedOut(): void {
    this.#options.authentication.failures.noAnswer += 1;
  }

  /** Returns this node's proof for a welcome. */
  proveWelcome(welcome: Welcome): Uint8Array {
    const { key, transcript } = this.#options;
    assert(key !== null && this.#proof !== null, "a node proves nothing before the caller has");
    return welcomeProof(key, transcript, { proof: this.#proof, welcome });
  }

  /** Returns this node's proof for a refusal, whose caller has proved that it knows the secret. */
  proveRefusal(refusal: Refusal): Uint8Array {
    const { key, transcript } = this.#options;
    assert(key !== null && this.#proof !== null, "a node proves nothing before the caller has");
    return refusalProof(key, transcript, { proof: this.#proof, refusal });
  }
}

interface DiallerHandshakeOptions {
  readonly keys: readonly PeerKey[];
  readonly nonce: Uint8Array;
  readonly expectedNodeId: NodeId;
  readonly authentication: PeerAuthentication;
}

/** The dialling end of a handshake. */
export class DiallerHandshake {
  readonly #options: DiallerHandshakeOptions;
  /** Set by {@link prove}. */
  #sent: { readonly key: PeerKey; readonly transcript: Transcript; readonly proof: Uint8Array } | null = null;

  constructor(options: DiallerHandshakeOptions) {
    this.#options = options;
  }

  /** The part of the hello that offers a proof. */
  get credentials(): PeerCredentials {
    const { keys, nonce, expectedNodeId } = this.#options;
    return { keyIds: keys.map(({ id }) => id), nonce, expectedNodeId };
  }

  /** Returns the answer to a challenge. Throws {@link HandshakeError} if another node sent it than the one at `where`. */
  prove(
    { hello, challenge, payload, binding, where }: {
      readonly hello: PeerCaller;
      readonly challenge: Challenge;
      /** The payload of the challenge. */
      readonly payload: Uint8Array;
      readonly binding: Uint8Array | null;
      readonly where: string;
    },
  ): PeerProof {
    const { keys, expectedNodeId } = this.#options;
    if (challenge.nodeId !== expectedNodeId) {
      throw new HandshakeError("wrongNode", wrongNode(where, expectedNodeId, challenge.nodeId));
    }
    const key = keys.find(({ id }) => isSameProof(id, challenge.keyId));
    if (key === undefined) throw this.#unproven(where, "it asks for a proof of another secret");
    const transcript = { hello: bytesOf(encodeHello, hello), challenge: payload, binding };
    const proof = diallerProof(key, transcript);
    this.#sent = { key, transcript, proof };
    return { kind: "peerProof", proof };
  }

  /**
   * Returns how the node at `where` is authenticated that has answered. Throws {@link HandshakeError} for a welcome
   * without a proof after a challenge, or where one is required; and where it is required also for a refusal without one
   * that would stop this node, since any program at that address could send it.
   */
  check(answer: Welcome | SentRefusal, where: string): Authenticated {
    const sent = this.#sent;
    const isProven = sent !== null && answer.proof !== null &&
      isSameProof(expectedProof(answer, sent), answer.proof);
    const { isRequired } = this.#options.authentication;
    if (isProven) return this.#current({ by: "secret", keyName: sent.key.name }, where);
    if (answer.kind === "welcome") {
      if (!isRequired && sent === null) return NOT_AUTHENTICATED;
      throw this.#unproven(where, "it did not prove that it knows the peer secret");
    }
    if (!isRequired || !isFinal(answer)) return NOT_AUTHENTICATED;
    throw this.#unproven(where, `it says, without a proof that it knows the peer secret: ${answer.message}`);
  }

  /** Returns what it is given, unless the secret was replaced since the hello. */
  #current(authenticated: Authenticated, where: string): Authenticated {
    if (this.#options.authentication.isCurrent(authenticated)) return authenticated;
    throw this.#unproven(where, "it proved a secret that was replaced meanwhile");
  }

  #unproven(where: string, reason: string): HandshakeError {
    this.#options.authentication.failures.dialled += 1;
    return new HandshakeError(
      "peerNotAuthenticated",
      `Cannot use the node at ${where}: ${reason}. ${ADVICE}`,
    );
  }
}

/** Advice about a node that is not authenticated. */
const ADVICE = "Start every node with a --peer-secret-file of the same content; while some have none, with " +
  "--peer-auth accept.";

/** Returns the message of the refusal of node `nodeId`: the same for every reason. */
export function peerNotAuthenticated(nodeId: NodeId): string {
  return `node ${nodeId} did not prove that it knows the peer secret of this cluster. ${ADVICE}`;
}

/** Returns why the node at `where` is not used: it is another one. */
export function wrongNode(where: string, expected: NodeId, actual: NodeId): string {
  return `Cannot use the node at ${where} as node ${expected}: it is node ${actual}. ` +
    "Check --node-id, and the addresses of the cluster's members.";
}

/** Whether a refusal stops the node that gets it. */
function isFinal({ code }: Refusal): boolean {
  return code === "removedNode" || code === "otherData";
}

function expectedProof(
  answer: Welcome | SentRefusal,
  { key, transcript, proof }: {
    readonly key: PeerKey;
    readonly transcript: Transcript;
    readonly proof: Uint8Array;
  },
): Uint8Array {
  return answer.kind === "welcome"
    ? welcomeProof(key, transcript, { proof, welcome: answer })
    : refusalProof(key, transcript, { proof, refusal: answer });
}

/** Returns the payload of a frame, as the channel sends it. */
function bytesOf<T>(encode: EncodePayload<T>, message: T): Uint8Array {
  const out = new MessagePackWriter();
  encode(out, message);
  return out.copy();
}
