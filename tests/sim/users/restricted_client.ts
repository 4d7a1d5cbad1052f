/**
 * The clients of users whose rights change. Each reads, writes, watches and holds leases over connections to nodes of its
 * choice, whether it may or not, and checks what it is shown: the right must have been there in some state from which the
 * answer can be. A refusal is checked as well: the right must have been missing in some such state.
 */
import { type Command, type KeySet, prefixEnd } from "../../../lib/kv/mod.ts";
import { keyText } from "../../../lib/kv/keys.ts";
import { bytesOfText } from "../../../lib/loadgen/mod.ts";
import type { Clock } from "../../../lib/platform/clock.ts";
import type { Network } from "../../../lib/platform/network.ts";
import type { ErrorResponse, Notice } from "../../../lib/protocol/client_frames.ts";
import { encodeCommand } from "../../../lib/protocol/command.ts";
import type { SeededRandom } from "../../support/seeded_random.ts";
import type { Coverage } from "../coverage.ts";
import type { Process } from "../environment/process.ts";
import type { AppliedHistory } from "../invariants/applied_history.ts";
import { type NodeChoice, RawConnection } from "../raw_connection.ts";
import {
  type Administrator,
  RESTRICTED_KEYS,
  RESTRICTED_PREFIX,
  type Secret,
  storedForm,
} from "./administrator.ts";
import { type AppliedUsers, FIRST_KNOWN_REQUEST, type StateSpan } from "./applied_users.ts";
import { type Need, oneKey, rangeOf, secretOfCertificate, type TextRange } from "./user_model.ts";

/** Options of a client. */
export interface RestrictedClientOptions {
  readonly user: string;
  readonly process: Process;
  readonly platform: { readonly network: Network; readonly clock: Clock };
  /** A network on which it shows a certificate of its name; null where nodes do not look at certificates. */
  readonly certifiedNetwork: Network | null;
  readonly nodes: () => readonly NodeChoice[];
  readonly administrator: Administrator;
  readonly users: AppliedUsers;
  readonly history: AppliedHistory;
  /** Returns the index up to which entries are known to be committed. */
  readonly commitIndex: () => number;
  readonly random: SeededRandom;
  readonly coverage: Coverage;
  readonly isOver: () => boolean;
  readonly violated: (message: string) => void;
  readonly trace: (line: () => string) => void;
}

/** A connection with its user. */
interface Signed {
  readonly connection: RawConnection;
  readonly node: NodeChoice;
  /** The hash of its token or password, as the model has it. */
  readonly secret: string;
  /** When the secret expires, in milliseconds of the simulation by the node's clock; Infinity: never. */
  readonly overAtMs: number;
  /** No later message is from a state before this one: a node sends them in order. */
  floor: number;
  /** The keys of the watches, by id. */
  readonly watches: Map<number, TextRange>;
}

/** A request about keys, as its answer is checked. */
interface Asked {
  readonly what: string;
  readonly need: Need;
  /** The earliest state from which it can be answered. */
  readonly first: number;
  /** The earliest state by which it can be refused: at first a node decides by the state that it has. */
  readonly refusedFrom: number;
}

const MAX_STAY_MS = 6_000;
const MAX_THINK_MS = 120;
const RETRY_MS = 150;
const PREFIX = bytesOfText(RESTRICTED_PREFIX);
/** Requests of a client at a change, and the time in which it makes them. */
const BURST_REQUESTS = 3;
const MAX_BURST_MS = 40;
const LEASE_TTL_MS = 2_000;
/** The secret of a user that has none yet. */
const NO_SECRET: Secret = { kind: "token", text: "none", expiresAtMs: null };

/** One client. */
export class RestrictedClient {
  readonly #options: RestrictedClientOptions;
  #made = 0;
  /** The lease that it holds, if that still exists. */
  #leaseId = 1;
  #lastRevision = 0;
  /** Its connection, once it has signed in. */
  #signed: Signed | null = null;

  constructor(options: RestrictedClientOptions) {
    this.#options = options;
  }

  /** Begins to call. */
  start(): void {
    this.#options.process.wake(() => void this.#run());
  }

  /** Makes some requests within a few milliseconds. */
  burst(): void {
    const { process, random } = this.#options;
    for (let left = BURST_REQUESTS; left > 0; left--) {
      process.scheduler.after(MAX_BURST_MS * random.next() ** 2, null, () =>
        process.wake(() => {
          const signed = this.#signed;
          if (signed?.connection.isOpen !== true) return;
          if (random.chance(0.8)) this.#get(signed);
          else this.#watch(signed);
        }));
    }
  }

  async #run(): Promise<void> {
    const { isOver, random, nodes } = this.#options;
    while (!isOver()) {
      try {
        await this.#stayAt(random.pick(nodes()));
      } catch {
        // The node refuses the connection, or does not answer.
      }
      await this.#pause(RETRY_MS);
    }
  }

  async #stayAt(node: NodeChoice): Promise<void> {
    const { platform, certifiedNetwork, random, isOver, trace, user, coverage } = this.#options;
    const requestId = FIRST_KNOWN_REQUEST + random.below(2 ** 30) * 2 ** 20;
    const network = certifiedNetwork !== null && random.chance(0.5) ? certifiedNetwork : platform.network;
    const connection = await RawConnection.open({ ...platform, network }, node.address, requestId);
    const secret = network === certifiedNetwork && random.chance(0.8) ? null : this.#chosenSecret();
    const signed: Signed = {
      connection,
      node,
      secret: secret === null ? secretOfCertificate(user) : keyText(storedForm(secret)),
      overAtMs: secret === null ? Infinity : this.#overAt(secret, node),
      floor: 0,
      watches: new Map(),
    };
    trace(() => `${user} is at ${node.address} with ${secret?.text ?? "its certificate"}`);
    const served = connection.serve((notice) => this.#took(signed, notice));
    if (secret === null) {
      coverage.count("certificatesShown");
      this.#signed = signed;
    } else this.#signIn(signed, secret);
    const leaveAt = platform.clock.now() + MAX_STAY_MS * random.next();
    while (connection.isOpen && !isOver() && platform.clock.now() < leaveAt) {
      await Promise.race([served, this.#pause(MAX_THINK_MS * random.next())]);
      if (connection.isOpen && this.#signed === signed) this.#act(signed);
    }
    connection.close("it goes elsewhere");
    await served;
  }

  /** Returns its newest token or password, at times an older one. */
  #chosenSecret(): Secret {
    const { administrator, user, random } = this.#options;
    const secrets = administrator.secretsOf(user);
    return (random.chance(0.1) ? random.pick(secrets) : secrets.at(-1)) ?? NO_SECRET;
  }

  /** Returns the time of the simulation from which on a node may take a secret no longer. */
  #overAt({ expiresAtMs }: Secret, { wallOffsetMs }: NodeChoice): number {
    if (expiresAtMs === null) return Infinity;
    const { administrator } = this.#options;
    return expiresAtMs - administrator.wallMs - wallOffsetMs + this.#nowMs;
  }

  get #nowMs(): number {
    return this.#options.process.scheduler.nowMs;
  }

  #signIn(signed: Signed, { kind, text }: Secret): void {
    const { users, commitIndex, violated, coverage, user } = this.#options;
    const first = commitIndex();
    const askedMs = this.#nowMs;
    const method = kind === "token"
      ? { kind, token: text } as const
      : { kind, user, password: text } as const;
    signed.connection.send({ kind: "signIn", method }, (answer) => {
      if (answer.kind !== "error") {
        coverage.count("signIns");
        this.#signed = signed;
        if (askedMs >= signed.overAtMs) violated(`${user} has signed in by an expired token`);
        return;
      }
      if (answer.code === "tokenExpired") {
        coverage.count("signInsExpired");
        this.#mustBeExpired(signed, answer.requestId, "a sign-in");
      }
      if (answer.code === "signInFailed" && users.isSecretIn(signed.secret, this.#span(first))) {
        violated(`${user} cannot sign in with a token or password that it has: ${answer.message}`);
      }
      signed.connection.close("it could not sign in");
    });
  }

  #act(signed: Signed): void {
    const { random } = this.#options;
    const kind = random.below(100);
    if (kind < 30) this.#get(signed);
    else if (kind < 45) this.#list(signed);
    else if (kind < 75) this.#write(signed);
    else if (kind < 83) this.#watch(signed);
    else if (kind < 87) this.#grantLease(signed);
    else if (kind < 92) this.#attach(signed);
    else if (kind < 95) {
      this.#send(signed, { kind: "revokeLease", session: null, leaseId: this.#leaseId }, null);
    } else this.#keepAlive(signed);
  }

  #key(): string {
    return `${RESTRICTED_PREFIX}${this.#options.random.below(RESTRICTED_KEYS)}`;
  }

  #keys(): KeySet {
    const { random } = this.#options;
    return random.chance(0.5)
      ? { kind: "key", key: bytesOfText(this.#key()) }
      : { kind: "range", start: PREFIX, end: prefixEnd(PREFIX) };
  }

  #get(signed: Signed): void {
    const { random } = this.#options;
    const key = this.#key();
    const consistency = random.chance(0.5) ? "stale" : "linearizable";
    const asked = this.#asked(signed, `a ${consistency} get of ${key}`, {
      need: { right: "read", keys: oneKey(key) },
      isLinearizable: consistency === "linearizable",
    });
    if (random.chance(0.2)) {
      const revision = this.#lastRevision;
      return signed.connection.send(
        { kind: "getAt", key: bytesOfText(key), revision, consistency },
        (answer) => this.#answered(signed, asked, answer),
      );
    }
    signed.connection.send({ kind: "get", key: bytesOfText(key), consistency }, (answer) => {
      if (answer.kind === "error") return this.#answered(signed, asked, answer);
      this.#shown(signed, asked, answer);
    });
  }

  #list(signed: Signed): void {
    const { random } = this.#options;
    const visibleOnly = random.chance(0.5);
    const keys = rangeOf({ kind: "range", start: PREFIX, end: prefixEnd(PREFIX) });
    const asked = this.#asked(signed, "a list", { need: { right: "read", keys }, isLinearizable: true });
    const request = {
      kind: "list",
      query: { prefix: PREFIX, start: null, end: null, after: null, reverse: random.chance(0.3), limit: 10 },
      consistency: "linearizable",
      visibleOnly,
    } as const;
    signed.connection.send(request, (answer) => {
      if (answer.kind === "error") {
        if (!visibleOnly) this.#answered(signed, asked, answer);
        return;
      }
      const { requestId, page: { entries, revision } } = answer;
      if (!visibleOnly) return this.#shown(signed, asked, { requestId, revision });
      for (const { key } of entries) {
        const what = `a list of the visible keys with ${keyText(key)}`;
        this.#shown(
          signed,
          { ...asked, what, need: { right: "read", keys: oneKey(keyText(key)) } },
          { requestId, revision },
        );
      }
    });
  }

  #write(signed: Signed): void {
    const { random, user } = this.#options;
    const key = this.#key();
    this.#made += 1;
    const value = bytesOfText(`${user}.${this.#made}`);
    const mutation = random.chance(0.8)
      ? { kind: "put", key: bytesOfText(key), value } as const
      : { kind: "delete", key: bytesOfText(key) } as const;
    const command = { kind: "transaction", session: null, checks: [], mutations: [mutation] } as const;
    this.#send(signed, command, { right: "write", keys: oneKey(key) });
  }

  #grantLease(signed: Signed): void {
    this.#leaseId = 1 + this.#options.random.below(2 ** 40);
    this.#send(
      signed,
      { kind: "grantLease", session: null, leaseId: this.#leaseId, ttlMs: LEASE_TTL_MS },
      null,
    );
  }

  /** Puts a key that ends with a lease. Whether that is permitted depends on the other keys of the lease. */
  #attach(signed: Signed): void {
    this.#made += 1;
    const mutation = {
      kind: "expiringPut",
      key: bytesOfText(this.#key()),
      value: bytesOfText(`${this.#options.user}.${this.#made}`),
      leaseId: this.#leaseId,
      expiresAtMs: null,
    } as const;
    this.#send(signed, { kind: "transaction", session: null, checks: [], mutations: [mutation] }, null);
  }

  #keepAlive(signed: Signed): void {
    const refusedFrom = this.#firstOf(signed);
    const askedMs = this.#nowMs;
    signed.connection.send({ kind: "keepAlive", leaseIds: [this.#leaseId] }, (answer) => {
      if (answer.kind === "error") {
        this.#denied(signed, answer, { refusedFrom: 0, need: null, what: "a keep-alive" });
      } else this.#mustBeSigned(signed, "a keep-alive", { atMs: askedMs, span: this.#span(refusedFrom) });
    });
  }

  /** Sends a command. The entries of the log are checked for what it may; here only its refusal is (null: not even that). */
  #send(signed: Signed, command: Command, need: Need | null): void {
    const refusedFrom = this.#firstOf(signed);
    const askedMs = this.#nowMs;
    signed.connection.send({ kind: "write", command: encodeCommand(command) }, (answer) => {
      if (answer.kind === "error") this.#denied(signed, answer, { refusedFrom, need, what: command.kind });
      else this.#mustBeSigned(signed, command.kind, { atMs: askedMs, span: this.#span(refusedFrom) });
    });
  }

  #watch(signed: Signed): void {
    const { random } = this.#options;
    const keys = this.#keys();
    const visibleOnly = random.chance(0.3);
    const range = rangeOf(keys);
    const asked = this.#asked(signed, "a watch", {
      need: { right: "read", keys: range },
      isLinearizable: true,
    });
    const from = random.chance(0.3) ? this.#lastRevision + 1 : null;
    const previous = random.chance(0.5);
    const request = { kind: "watch", keys, from, puts: true, deletes: true, previous, visibleOnly } as const;
    signed.connection.send(request, (answer) => {
      if (answer.kind === "error") {
        if (!visibleOnly) this.#answered(signed, asked, answer);
        return;
      }
      if (!visibleOnly) this.#shown(signed, asked, answer);
      signed.watches.set(answer.requestId, range);
    });
  }

  #took(signed: Signed, notice: Notice): void {
    const { coverage, history } = this.#options;
    if (notice.kind === "watchEnded") {
      signed.watches.delete(notice.watchId);
      if (notice.code === "permissionDenied" || notice.code === "unauthenticated") {
        coverage.count("watchesEndedDenied");
      }
    }
    if (notice.kind !== "watchEvents") return;
    const { revision, events } = notice;
    const index = history.at(revision)?.index ?? 0;
    signed.floor = Math.max(signed.floor, index);
    const span = this.#span(signed.floor);
    const atMs = this.#options.users.timeOfEntry(index);
    this.#mustBeSigned(signed, `an event of revision ${revision}`, { atMs, span });
    for (const event of events) {
      const key = keyText(event.kind === "put" ? event.entry.key : event.key);
      const need: Need = { right: "read", keys: oneKey(key) };
      this.#mustHaveBeen(
        signed,
        { what: `the event of ${key} at revision ${revision}`, need },
        span,
      );
    }
  }

  /** Returns a request of a right over keys. */
  #asked(
    signed: Signed,
    what: string,
    { need, isLinearizable }: { readonly need: Need; readonly isLinearizable: boolean },
  ): Asked {
    const refusedFrom = this.#firstOf(signed);
    const first = isLinearizable ? Math.max(refusedFrom, this.#options.commitIndex()) : refusedFrom;
    return { what, need, first, refusedFrom };
  }

  /** Returns the latest state that the node of a connection is known to have. */
  #firstOf({ node, floor }: Signed): number {
    return Math.max(floor, this.#options.users.appliedBy(node.process()));
  }

  /** Checks an answer from the present of a state with this revision. */
  #shown(
    signed: Signed,
    asked: Asked,
    { requestId, revision }: { readonly requestId: number; readonly revision: number },
  ): void {
    const { history, users } = this.#options;
    this.#lastRevision = Math.max(this.#lastRevision, revision);
    const first = Math.max(asked.first, signed.floor, history.at(revision)?.index ?? 0);
    const last = Math.min(users.lastIndex, (history.at(revision + 1)?.index ?? Infinity) - 1);
    signed.floor = first;
    const span = users.stateOfReply(requestId) ?? { first, last };
    this.#mustBeSigned(signed, asked.what, { atMs: users.timeOfReply(requestId), span });
    this.#mustHaveBeen(signed, asked, span);
  }

  /** Checks a refusal, or an answer about the past, from any state. */
  #answered(
    signed: Signed,
    asked: Asked,
    answer: ErrorResponse | { readonly kind: "getResult"; readonly requestId: number },
  ): void {
    if (answer.kind === "error") return this.#denied(signed, answer, asked);
    const { users } = this.#options;
    const span = users.stateOfReply(answer.requestId) ?? this.#span(Math.max(asked.first, signed.floor));
    this.#mustBeSigned(signed, asked.what, { atMs: users.timeOfReply(answer.requestId), span });
    this.#mustHaveBeen(signed, asked, span);
  }

  /** Checks that the token of a connection had not expired when the node served it (null: not known). */
  #mustBeSigned(
    { overAtMs, node }: Signed,
    what: string,
    { atMs, span }: { readonly atMs: number | null; readonly span: StateSpan },
  ): void {
    const { users, violated, user } = this.#options;
    if (atMs === null || atMs < overAtMs || !users.isEnabledIn(span)) return;
    violated(
      `${user} is served ${what} by ${node.address} at ${atMs} ms, and its token expired at ${overAtMs} ms`,
    );
  }

  /** Checks that the token of a connection had expired when the node said so. */
  #mustBeExpired({ overAtMs, node }: Signed, requestId: number, what: string): void {
    const { users, violated, user } = this.#options;
    const atMs = users.timeOfReply(requestId) ?? this.#nowMs;
    if (atMs >= overAtMs) return;
    violated(
      `${user} is refused ${what} by ${node.address} at ${atMs} ms, and its token expires at ${overAtMs} ms`,
    );
  }

  #mustHaveBeen(
    { secret, node }: Signed,
    { what, need }: { readonly what: string; readonly need: Need },
    span: StateSpan,
  ): void {
    const { users, violated, user } = this.#options;
    if (users.mayIn(secret, need, span)) return;
    violated(
      `${user} is shown ${what} by ${node.address}, and has no right to it in the states ${span.first} to ${span.last}`,
    );
  }

  /** Checks that a refused request was without a right, a null need aside, or without a user. */
  #denied(
    signed: Signed,
    { code, message, requestId }: ErrorResponse,
    { refusedFrom, need, what }: {
      readonly refusedFrom: number;
      readonly need: Need | null;
      readonly what: string;
    },
  ): void {
    const { users, violated, user, coverage, trace, random } = this.#options;
    const { secret, connection, node } = signed;
    trace(() => `${user} is refused ${what} by ${node.address} (${code}): ${message}`);
    const span = this.#span(refusedFrom);
    if (code === "tokenExpired") {
      coverage.count("tokensExpired");
      this.#mustBeExpired(signed, requestId, what);
      // At times it goes on, and must be refused again.
      if (random.chance(0.2)) connection.close("its token has expired");
    }
    if (code === "permissionDenied") {
      coverage.count("requestsDenied");
      if (need === null || !users.mayInAll(secret, need, span)) return;
      violated(`${user} is refused ${what} by ${node.address}, and has the right: ${message}`);
    }
    if (code === "unauthenticated") {
      coverage.count("usersSignedOut");
      if (users.isSecretIn(secret, span)) {
        violated(
          `${user} is refused ${what} by ${node.address} as unknown, and has its token or password: ${message}`,
        );
      }
      connection.close("its user was removed");
    }
  }

  #span(first: number): StateSpan {
    return { first, last: Math.max(first, this.#options.users.lastIndex) };
  }

  #pause(durationMs: number): Promise<void> {
    return new Promise((resolve) => void this.#options.platform.clock.after(durationMs, resolve));
  }
}
