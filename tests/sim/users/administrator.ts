/**
 * The administrator of a run with users: it adds users and roles through the client library, enables authentication, and
 * then changes rights, users and tokens while the other clients work. It makes tokens from numbers, so that a seed decides
 * them.
 */
import {
  AuthChangeRefusedError,
  AuthenticationError,
  type ConnectOptions,
  KvraftError,
} from "../../../lib/mod.ts";
import { changeAuth } from "../../../lib/client/auth/changes.ts";
import { clientOn } from "../../../lib/client/client.ts";
import { ClientCore, type ClientPlatform } from "../../../lib/client/core.ts";
import {
  type AuthChange,
  type Grant,
  MIN_SALT_BYTES,
  MIN_SCRYPT_COST,
  type PasswordHash,
  prefixEnd,
  RIGHTS,
  SCRYPT_BLOCK_SIZE,
  SCRYPT_PARALLELISM,
} from "../../../lib/kv/mod.ts";
import { bytesOfText } from "../../../lib/loadgen/mod.ts";
import { publicKeyOf, sha256Of } from "../../../lib/platform/secrets.ts";
import type { SeededRandom } from "../../support/seeded_random.ts";
import type { Process } from "../environment/process.ts";
import type { Coverage } from "../coverage.ts";
import { MAX_WALL_OFFSET_MS, type UsersPlan } from "../plan.ts";

/** Options of an administrator. */
export interface AdministratorOptions {
  readonly process: Process;
  readonly platform: ClientPlatform;
  readonly cluster: () => readonly string[];
  readonly plan: UsersPlan;
  /** Returns milliseconds since 1970, by a clock that is right. */
  readonly wallClock: () => number;
  readonly random: SeededRandom;
  readonly coverage: Coverage;
  readonly isOver: () => boolean;
  readonly violated: (message: string) => void;
  readonly trace: (line: () => string) => void;
}

/** The keys of the clients of restricted users; no other client writes them. */
export const RESTRICTED_PREFIX = "p";
export const RESTRICTED_KEYS = 5;
const ROLES = ["role1", "role2", "role3"];
const WORKER = "worker";
const ROOT = "ada";
const EVERYTHING: Grant = {
  right: "admin",
  keys: { kind: "range", start: new Uint8Array(0), end: null },
};
const TIMEOUT_MS = 3_000;
const RETRY_MS = 300;
/** Least time for which the old token of the workers is good after the new one. */
const OVERLAP_MS = 3_000;
/** Life of a token that expires when the workers have a lasting one again: it is added, used, and then still good so long. */
const LENT_TOKEN_MS = 3 * OVERLAP_MS;
/** Longest time for which authentication is disabled. */
const MAX_DISABLED_MS = 1_500;

/**
 * Whether an error says that a client may not do what it asked: no client that keeps its rights may see one. A sign-in that
 * takes longer than OVERLAP_MS, at a node that is paused, may bring a token that was revoked meanwhile. A write whose first
 * attempt was sent without a user, while authentication was disabled, may end with an unknown outcome once it is enabled: a
 * user does not get the answer to a write of no user.
 */
export function isDenial(error: KvraftError): boolean {
  if (error.outcome === "unknown") return false;
  if (error instanceof AuthenticationError) return error.reason !== "signInFailed";
  return error.code === "permissionDenied";
}

/** A token, whose name is its text, or a password. */
export interface Secret {
  readonly kind: "token" | "password";
  readonly text: string;
  /** Null if it does not expire. */
  readonly expiresAtMs: number | null;
}

/** Returns the stored form of a secret. */
export function storedForm({ kind, text }: Pick<Secret, "kind" | "text">): Uint8Array {
  return kind === "token" ? hashOf(text) : publicKeyOf(hashOf(text));
}

/** Returns the hash of a secret. The nodes compute it in place of scrypt, which takes too much time for a simulation. */
export function hashOf(text: string): Uint8Array {
  return sha256Of(text);
}

/** One administrator. */
export class Administrator {
  readonly #options: AdministratorOptions;
  readonly #onSetUp: (() => void)[] = [];
  /** The tokens and passwords that each restricted user has been given, the newest last. */
  readonly #secrets = new Map<string, Secret[]>();
  /** Called before each change. */
  #onChange: () => void = () => {};
  #made = 0;
  #isSetUp = false;
  #workerToken = "";
  #rotatedAt = 0;
  /** The name of the workers' token before the present one. */
  #oldToken: string | null = null;
  #newToken = "";

  constructor(options: AdministratorOptions) {
    this.#options = options;
  }

  /** The names of the users whose rights change. */
  get restricted(): readonly string[] {
    return Array.from({ length: this.#options.plan.restricted }, (_, position) => `user${position + 1}`);
  }

  /** Options with which a client signs in that keeps its rights; none before there are users. */
  get credentials(): Pick<ConnectOptions, "token"> {
    return this.#isSetUp ? { token: () => this.#workerToken } : {};
  }

  /** The present token of the clients that keep their rights; null before there are users. */
  get workerToken(): string | null {
    return this.#isSetUp ? this.#workerToken : null;
  }

  /** Milliseconds since 1970, by a clock that is right. */
  get wallMs(): number {
    return this.#options.wallClock();
  }

  /** Returns the tokens and passwords that a restricted user has been given, the newest last. */
  secretsOf(user: string): readonly Secret[] {
    return this.#secrets.get(user) ?? [];
  }

  /** Calls back once authentication is enabled. */
  whenSetUp(call: () => void): void {
    if (this.#isSetUp) call();
    else this.#onSetUp.push(call);
  }

  /** Called before each change, so that requests are in progress when it is applied. */
  set onChange(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** Begins to add users. */
  start(): void {
    this.#options.process.wake(() => void this.#run());
  }

  async #run(): Promise<void> {
    const { random, plan, isOver, process } = this.#options;
    const rootToken = await this.#setUp();
    this.#isSetUp = true;
    this.#rotatedAt = process.scheduler.nowMs;
    for (const call of this.#onSetUp.splice(0)) process.scheduler.after(0, null, call);
    while (!isOver()) {
      await this.#with({ token: rootToken }, async (core) => {
        while (!isOver()) {
          await this.#pause(plan.changeMs * random.next());
          await this.#changeSomething(core);
        }
      });
      await this.#pause(RETRY_MS);
    }
  }

  /** Adds all users and enables authentication; returns the token of the one with the role root. */
  async #setUp(): Promise<string> {
    const root = this.#token(ROOT);
    const worker = this.#token(WORKER);
    this.#workerToken = worker.text;
    this.#newToken = worker.change.token;
    const changes: AuthChange[] = [
      { kind: "addUser", user: ROOT, password: null },
      { kind: "grantRole", user: ROOT, role: "root" },
      root.change,
      { kind: "addRole", role: "everything" },
      { kind: "addGrant", role: "everything", grant: EVERYTHING },
      { kind: "addUser", user: WORKER, password: null },
      { kind: "grantRole", user: WORKER, role: "everything" },
      worker.change,
      ...ROLES.flatMap((role): AuthChange[] => [
        { kind: "addRole", role },
        { kind: "addGrant", role, grant: this.#grant() },
      ]),
      ...this.restricted.flatMap((user) => this.#additionOf(user)),
      { kind: "setEnabled", enabled: true },
    ];
    let made = 0;
    while (made < changes.length) {
      // Authentication may be enabled already where the outcome of the last change is not known.
      const hasToken = made > changes.indexOf(root.change);
      await this.#with(hasToken ? { token: root.text } : {}, async (core) => {
        for (const change of changes.slice(made)) {
          await this.#make(core, change);
          made += 1;
        }
      });
      if (made < changes.length) await this.#pause(RETRY_MS);
    }
    return root.text;
  }

  /**
   * Makes a change; where it is refused, it was made before. Rejects if its outcome is not known. At times it writes a key
   * right after the change, which those may not see that lose the right to it.
   */
  async #make(core: ClientCore, change: AuthChange): Promise<void> {
    const { trace, random } = this.#options;
    trace(() => `the administrator makes ${textOf(change)}`);
    this.#onChange();
    const made = changeAuth(core, change, { action: change.kind, options: { timeoutMs: TIMEOUT_MS } });
    const written = random.chance(0.5) ? this.#write(core) : null;
    try {
      await made;
      await written;
    } catch (error) {
      if (!(error instanceof AuthChangeRefusedError)) throw error;
      trace(() => `the administrator: ${error.message}`);
    }
  }

  async #write(core: ClientCore): Promise<void> {
    const key = `${RESTRICTED_PREFIX}${this.#options.random.below(RESTRICTED_KEYS)}`;
    this.#made += 1;
    try {
      await clientOn(core).put(key, `${ROOT}.${this.#made}`, { timeoutMs: TIMEOUT_MS });
    } catch (error) {
      // Its outcome does not matter.
      if (!(error instanceof KvraftError)) throw error;
    }
  }

  async #changeSomething(core: ClientCore): Promise<void> {
    const { random, plan, process } = this.#options;
    const user = random.pick(this.restricted);
    const role = random.pick(ROLES);
    const kind = random.below(100);
    if (kind < 20) return await this.#make(core, { kind: "addGrant", role, grant: this.#grant() });
    if (kind < 40) return await this.#make(core, { kind: "removeGrant", role, grant: this.#grant() });
    if (kind < 50) return await this.#make(core, { kind: "grantRole", user, role });
    if (kind < 60) return await this.#make(core, { kind: "revokeRole", user, role });
    if (kind < 66) return await this.#make(core, { kind: "removeRole", role });
    if (kind < 74) return await this.#makeAll(core, this.#additionOfRole(role));
    if (kind < 78) return await this.#make(core, { kind: "removeUser", user });
    if (kind < 86) return await this.#makeAll(core, this.#additionOf(user));
    if (kind < 90) return await this.#replaceSecret(core, user);
    if (kind < 97 && process.scheduler.nowMs - this.#rotatedAt > OVERLAP_MS) return await this.#rotate(core);
    if (plan.isSwitched) return await this.#switch(core);
    return await this.#tryToLockOut(core);
  }

  async #makeAll(core: ClientCore, changes: readonly AuthChange[]): Promise<void> {
    for (const change of changes) await this.#make(core, change);
  }

  #additionOfRole(role: string): readonly AuthChange[] {
    return [{ kind: "addRole", role }, { kind: "addGrant", role, grant: this.#grant() }];
  }

  #additionOf(user: string): readonly AuthChange[] {
    const { random } = this.#options;
    const grant: AuthChange = { kind: "grantRole", user, role: random.pick(ROLES) };
    return random.chance(0.5)
      ? [{ kind: "addUser", user, password: null }, grant, this.#newTokenOf(user)]
      : [{ kind: "addUser", user, password: this.#newPasswordOf(user) }, grant];
  }

  /** Makes another token or password of a user, at times none, and revokes the tokens before it. */
  async #replaceSecret(core: ClientCore, user: string): Promise<void> {
    const { random } = this.#options;
    const kind = random.below(4);
    if (kind === 0) {
      await this.#make(core, { kind: "setPassword", user, password: this.#newPasswordOf(user) });
    } else if (kind === 1) await this.#make(core, { kind: "setPassword", user, password: null });
    else if (kind === 2) await this.#make(core, this.#newTokenOf(user));
    for (const secret of this.secretsOf(user).slice(-3, -1)) {
      if (secret.kind === "token") await this.#make(core, { kind: "revokeToken", user, token: secret.text });
    }
  }

  /** Replaces the token of the clients that keep their rights: none of them may be refused. */
  async #rotate(core: ClientCore): Promise<void> {
    if (this.#oldToken !== null) {
      await this.#make(core, { kind: "revokeToken", user: WORKER, token: this.#oldToken });
    }
    const { text, change } = this.#token(WORKER);
    await changeAuth(core, change, { action: "rotate", options: { timeoutMs: TIMEOUT_MS } });
    this.#oldToken = this.#newToken;
    this.#newToken = change.token;
    this.#workerToken = text;
    this.#rotatedAt = this.#options.process.scheduler.nowMs;
    if (this.#options.plan.tokenLifeMs !== null) await this.#lend(core, text);
  }

  /** Lends the workers a token that expires after they have the lasting one again: they sign in again, and none is refused. */
  async #lend(core: ClientCore, lasting: string): Promise<void> {
    const { platform, coverage, wallClock } = this.#options;
    const { text, change } = this.#token(WORKER, wallClock() + MAX_WALL_OFFSET_MS + LENT_TOKEN_MS);
    await changeAuth(core, change, { action: "lend", options: { timeoutMs: TIMEOUT_MS } });
    this.#workerToken = text;
    coverage.count("tokensLent");
    platform.clock.after(OVERLAP_MS, () => {
      if (this.#workerToken === text) this.#workerToken = lasting;
    });
  }

  async #switch(core: ClientCore): Promise<void> {
    await this.#make(core, { kind: "setEnabled", enabled: false });
    await this.#pause(MAX_DISABLED_MS * this.#options.random.next());
    await this.#make(core, { kind: "setEnabled", enabled: true });
  }

  /** Tries to take the last way to sign in with the role root, which must be refused. */
  async #tryToLockOut(core: ClientCore): Promise<void> {
    const { random, violated } = this.#options;
    const change = random.pick<AuthChange>([
      { kind: "removeUser", user: ROOT },
      { kind: "revokeRole", user: ROOT, role: "root" },
      { kind: "revokeToken", user: ROOT, token: `${ROOT}-1` },
    ]);
    try {
      await changeAuth(core, change, { action: change.kind, options: { timeoutMs: TIMEOUT_MS } });
      violated(`${textOf(change)} has left no user with the role root who can sign in`);
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
    }
  }

  #newTokenOf(user: string): AuthChange {
    const { random, plan: { tokenLifeMs }, wallClock } = this.#options;
    const expires = tokenLifeMs !== null && random.chance(0.6);
    const { text, change } = this.#token(user, expires ? wallClock() + tokenLifeMs * random.next() : null);
    this.#note(user, { kind: "token", text, expiresAtMs: change.expiresAtMs });
    return change;
  }

  #newPasswordOf(user: string): PasswordHash {
    this.#made += 1;
    const text = `password-${this.#made}`;
    this.#note(user, { kind: "password", text, expiresAtMs: null });
    const parameters = {
      cost: MIN_SCRYPT_COST,
      blockSize: SCRYPT_BLOCK_SIZE,
      parallelism: SCRYPT_PARALLELISM,
    };
    return {
      algorithm: "scrypt",
      ...parameters,
      salt: new Uint8Array(MIN_SALT_BYTES),
      hash: storedForm({ kind: "password", text }),
    };
  }

  #note(user: string, secret: Secret): void {
    this.#secrets.set(user, [...this.secretsOf(user), secret]);
  }

  /** Returns a new token, whose name is its text. */
  #token(user: string, expiryMs: number | null = null): {
    readonly text: string;
    readonly change: Extract<AuthChange, { readonly kind: "addToken" }>;
  } {
    this.#made += 1;
    const text = `${user}-${this.#made}`;
    const expiresAtMs = expiryMs === null ? null : Math.floor(expiryMs);
    return {
      text,
      change: { kind: "addToken", user, token: text, hash: hashOf(text), expiresAtMs },
    };
  }

  /** Returns a right over some of the restricted keys. */
  #grant(): Grant {
    const { random } = this.#options;
    const right = random.pick([...RIGHTS, "read", "write"] as const);
    const key = (): Uint8Array => bytesOfText(`${RESTRICTED_PREFIX}${random.below(RESTRICTED_KEYS)}`);
    const all = bytesOfText(RESTRICTED_PREFIX);
    switch (random.below(4)) {
      case 0:
        return { right, keys: { kind: "key", key: key() } };
      case 1:
        return { right, keys: { kind: "range", start: all, end: bytesOfText(`${RESTRICTED_PREFIX}3`) } };
      default:
        return { right, keys: { kind: "range", start: all, end: prefixEnd(all) } };
    }
  }

  /** Works with a client until it fails; errors of the cluster are ordinary. */
  async #with(
    credentials: Pick<ConnectOptions, "token">,
    work: (core: ClientCore) => Promise<void>,
  ): Promise<void> {
    const { platform, cluster, trace } = this.#options;
    try {
      const options = { cluster: cluster(), timeoutMs: TIMEOUT_MS, ...credentials };
      const core = await ClientCore.connect(options, platform);
      try {
        await work(core);
      } finally {
        await core.pool.close();
      }
    } catch (error) {
      if (!(error instanceof KvraftError)) throw error;
      trace(() => `the administrator failed (${error.code}, ${error.outcome}): ${error.message}`);
    }
  }

  #pause(durationMs: number): Promise<void> {
    return new Promise((resolve) => void this.#options.platform.clock.after(durationMs, resolve));
  }
}

function textOf(change: AuthChange): string {
  const { kind, ...fields } = change;
  const names = Object.values(fields).filter((value) =>
    typeof value === "string" || typeof value === "boolean"
  );
  return [kind, ...names].join(" ");
}
