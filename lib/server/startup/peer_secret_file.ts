/**
 * The file of `--peer-secret-file`: one secret a line, or two while one replaces the other. It is read before anything is
 * opened, and again while the server runs.
 */
import { errorMessage } from "../../platform/errors.ts";
import type { Clock, Timer } from "../../platform/clock.ts";
import type { Logger } from "../../platform/logger.ts";
import type { ReadPrivateFile } from "../../platform/private_file.ts";
import { secretBytes } from "../../platform/secrets.ts";
import { MAX_PEER_SECRETS } from "../../protocol/hello.ts";
import { PeerAuthentication } from "../../transport/handshake/peer_authentication.ts";
import type { ServerConfig } from "../config/config.ts";
import { ConfigError } from "../config/config_file.ts";

/** Characters of a secret: at least as many as cannot be guessed if they are random. */
const MIN_SECRET_CHARACTERS = 32;
const MAX_SECRET_CHARACTERS = 256;
const MAX_FILE_BYTES = 4_096;
/** Interval of the checks of the file. */
export const PEER_SECRET_CHECK_MS = 5_000;
/** Time after which a new content must be the same to count: an editor may be writing it. */
export const PEER_SECRET_SETTLE_MS = 500;

/** Returns the secrets of a file's text. Throws an Error whose message is the reason, without anything of the text. */
export function peerSecretsOf(text: string): readonly string[] {
  const secrets: string[] = [];
  for (const [position, line] of text.split("\n").entries()) {
    const secret = line.trim();
    if (secret === "") continue;
    const where = `line ${position + 1}`;
    if (!/^[\x21-\x7e]*$/.test(secret)) {
      throw new Error(`${where} has spaces, or characters that are not of ASCII`);
    }
    if (secret.length < MIN_SECRET_CHARACTERS) {
      throw new Error(
        `${where} has ${secret.length} characters, and a secret has at least ${MIN_SECRET_CHARACTERS}`,
      );
    }
    if (secret.length > MAX_SECRET_CHARACTERS) {
      throw new Error(`${where} has more than ${MAX_SECRET_CHARACTERS} characters`);
    }
    if (secrets.includes(secret)) throw new Error(`${where} repeats another line`);
    secrets.push(secret);
  }
  if (secrets.length === 0) throw new Error("it has no secret");
  if (secrets.length > MAX_PEER_SECRETS) {
    throw new Error(`it has ${secrets.length} secrets, and may have ${MAX_PEER_SECRETS}`);
  }
  return secrets;
}

/** The parts of a platform that a secret needs. */
export interface PeerSecretOptions {
  readonly config: Pick<ServerConfig, "peerSecretFile" | "peerAuth" | "allowGroupReadableKeys">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly readPrivateFile?: ReadPrivateFile;
  readonly randomBytes?: (count: number) => Uint8Array;
}

/** Reads the file that the configuration names; null if it names none. Throws {@link ConfigError}. */
export function openPeerSecret(
  config: PeerSecretOptions["config"],
  platform: Omit<PeerSecretOptions, "config">,
): PeerSecretFile | null {
  const { peerSecretFile, peerAuth } = config;
  if (peerSecretFile === null) return null;
  const file = new PeerSecretFile(peerSecretFile, { ...platform, config });
  if (peerAuth === "accept") {
    platform.logger.warn("Nodes without the peer secret are accepted", {
      remedy: "once all nodes have it, restart without --peer-auth accept",
    });
  }
  return file;
}

/** The peer secret of a server. */
export class PeerSecretFile {
  readonly #path: string;
  readonly #options: PeerSecretOptions;
  #secrets: readonly string[];
  /** A content that differs from the one in use, as it was found at the last check; null without one. */
  #candidate: readonly string[] | null = null;
  /** The reason for which the file could not be used at the last check; null if it could. */
  #problem: string | null = null;
  #onChange: (secrets: readonly string[]) => void = () => {};
  #timer: Timer | null = null;

  /** Reads the file; throws {@link ConfigError} where it cannot be used. */
  constructor(path: string, options: PeerSecretOptions) {
    this.#path = path;
    this.#options = options;
    try {
      this.#secrets = this.#read();
    } catch (error) {
      throw new ConfigError(
        `--peer-secret-file: cannot use ${path}: ${
          errorMessage(error)
        }. Allowed: a file that only its owner may ` +
          `read, with one secret of at least ${MIN_SECRET_CHARACTERS} characters, or two, one a line. Example: ` +
          "(umask 077; kvraft secret new > peer.secret)",
      );
    }
  }

  /** Returns the secrets for a cluster. They stay as they are until {@link watch} says otherwise. */
  authenticationFor(clusterId: string): PeerAuthentication {
    const { config, randomBytes = secretBytes } = this.#options;
    return new PeerAuthentication({ clusterId, mode: config.peerAuth, secrets: this.#secrets, randomBytes });
  }

  /** Calls `onChange` with the secrets whenever the file has others. */
  watch(onChange: (secrets: readonly string[]) => void): void {
    this.#onChange = onChange;
    this.#checkIn(PEER_SECRET_CHECK_MS);
  }

  /** Ends {@link watch}. */
  close(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #read(): readonly string[] {
    const { readPrivateFile, config: { allowGroupReadableKeys: mayGroupRead } } = this.#options;
    if (readPrivateFile === undefined) throw new Error("this platform has no files with secrets");
    return peerSecretsOf(readPrivateFile(this.#path, { maxBytes: MAX_FILE_BYTES, mayGroupRead }));
  }

  #checkIn(ms: number): void {
    this.#timer = this.#options.clock.after(ms, () => this.#check());
  }

  #check(): void {
    const found = this.#readOrLog();
    const isNew = found !== null && !isSame(found, this.#secrets);
    const isSettled = isNew && this.#candidate !== null && isSame(found, this.#candidate);
    this.#candidate = isNew && !isSettled ? found : null;
    this.#checkIn(this.#candidate === null ? PEER_SECRET_CHECK_MS : PEER_SECRET_SETTLE_MS);
    if (!isSettled) return;
    this.#secrets = found;
    this.#options.logger.info("Read the peer secret again; new connections use it", {
      path: this.#path,
      secrets: found.length,
    });
    this.#onChange(found);
  }

  /** Returns the secrets in the file, or null, with a log line when the reason is a new one, where it cannot be used. */
  #readOrLog(): readonly string[] | null {
    try {
      const secrets = this.#read();
      this.#problem = null;
      return secrets;
    } catch (error) {
      const reason = errorMessage(error);
      if (reason !== this.#problem) {
        const path = this.#path;
        this.#options.logger.error("Cannot read the peer secret again; the one before stays in use", {
          path,
          reason,
        });
      }
      this.#problem = reason;
      return null;
    }
  }
}

function isSame(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((secret, position) => secret === others[position]);
}
