/**
 * Data tokens: the tokens that a metadata answer carries, and that every other request of its client shows.
 *
 * A token names the database, the access token by which the client came, and the time of its expiry, and is signed by the
 * database's key, which all nodes have. So every node accepts it, and it outlives restarts. Eight random bytes make each
 * token another one, by which the requests of one client differ from those of others (delivered_answers.ts).
 *
 * Invariant: a token is accepted only if its signature is that of the database's present key; {@link DataTokens.verify}
 * computes it once and remembers the token, which a client sends with each of its requests.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { Buffer } from "node:buffer";
import { secretBytes } from "../platform/secrets.ts";

/** The content of a data token. */
export interface DataToken {
  readonly databaseId: number;
  /** The access token of the database by which the client came; 0 for none. */
  readonly credentialId: number;
  /** Wall-clock time, in milliseconds since 1970. */
  readonly expiresAtMs: number;
}

/** A database whose tokens are made and verified. */
export interface SigningDatabase {
  readonly id: number;
  readonly signingKey: Uint8Array;
}

/** The beginning of a token; a later form of tokens has another one. */
const PREFIX = "v1.";
/** Database, credential, expiry, random bytes. */
const CONTENT_BYTES = 4 + 4 + 8 + 8;
const SIGNATURE_BYTES = 32;
/** Characters of a token: 56 bytes in base64url, without padding. */
const TOKEN_CHARACTERS = PREFIX.length + Math.ceil((CONTENT_BYTES + SIGNATURE_BYTES) * 4 / 3);
/** Remembered tokens; when there are more, all are forgotten, and verified again when they come. */
const MAX_REMEMBERED = 4_096;

/** A verified token, and the key by which it was. */
interface Verified {
  readonly token: DataToken;
  signingKey: Uint8Array;
}

/** Returns a token for a client of a database. */
export function createDataToken({ id, signingKey }: SigningDatabase, { credentialId, expiresAtMs }: Omit<
  DataToken,
  "databaseId"
>): string {
  const bytes = Buffer.alloc(CONTENT_BYTES + SIGNATURE_BYTES);
  bytes.writeUInt32BE(id, 0);
  bytes.writeUInt32BE(credentialId, 4);
  bytes.writeBigUInt64BE(BigInt(expiresAtMs), 8);
  bytes.set(secretBytes(8), 16);
  bytes.set(signatureOf(bytes, signingKey), CONTENT_BYTES);
  return `${PREFIX}${bytes.toString("base64url")}`;
}

/** Verifies tokens. */
export class DataTokens {
  readonly #verified = new Map<string, Verified>();

  /**
   * Returns the content of a token, or null if it is not one of the database. `databaseOf` returns the database of an id,
   * or null if there is none. Whether the token is expired, or its access token removed, is not checked here.
   */
  verify(token: string, databaseOf: (id: number) => SigningDatabase | null): DataToken | null {
    const known = this.#verified.get(token);
    if (known !== undefined) {
      const { signingKey = null } = databaseOf(known.token.databaseId) ?? {};
      if (signingKey !== null && areEqual(signingKey, known.signingKey)) {
        known.signingKey = signingKey; // the same object is compared faster the next time
        return known.token;
      }
      this.#verified.delete(token);
    }
    return this.#verifyNow(token, databaseOf);
  }

  #verifyNow(text: string, databaseOf: (id: number) => SigningDatabase | null): DataToken | null {
    if (text.length !== TOKEN_CHARACTERS || !text.startsWith(PREFIX)) return null;
    const bytes = Buffer.from(text.slice(PREFIX.length), "base64url");
    // The decoder skips what is no base64url; and two texts must not stand for one token.
    if (bytes.length !== CONTENT_BYTES + SIGNATURE_BYTES || bytes.toString("base64url") !== text.slice(3)) {
      return null;
    }
    const database = databaseOf(bytes.readUInt32BE(0));
    if (database === null) return null;
    const { signingKey } = database;
    if (!timingSafeEqual(signatureOf(bytes, signingKey), bytes.subarray(CONTENT_BYTES))) return null;
    const token = {
      databaseId: database.id,
      credentialId: bytes.readUInt32BE(4),
      expiresAtMs: Number(bytes.readBigUInt64BE(8)),
    };
    if (this.#verified.size >= MAX_REMEMBERED) this.#verified.clear();
    this.#verified.set(text, { token, signingKey });
    return token;
  }
}

/** Returns HMAC-SHA-256 over the content of a token. */
function signatureOf(token: Uint8Array, signingKey: Uint8Array): Uint8Array {
  return createHmac("sha256", signingKey).update(PREFIX).update(token.subarray(0, CONTENT_BYTES)).digest();
}

function areEqual(one: Uint8Array, other: Uint8Array): boolean {
  if (one === other) return true;
  return one.length === other.length && timingSafeEqual(one, other);
}
