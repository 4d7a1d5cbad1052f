/**
 * The access of clients to databases: by access tokens in the metadata exchange, by the data tokens of that exchange afterwards.
 *
 * A client that is refused is refused by the present state of the cluster: what the node does not know, or does not allow by
 * its own state, is looked at again after a linearizable read.
 */
import { timingSafeEqual } from "node:crypto";
import { sha256Of } from "../platform/secrets.ts";
import { WebError, type WebRequest } from "../web/mod.ts";
import { DataTokens } from "./data_tokens.ts";
import type { Directory } from "./directory.ts";
import { badRequest } from "./limits.ts";
import type { ServedDatabase } from "./store.ts";

/** The credential of a client that needs none. */
const NO_CREDENTIAL = 0;

/** A client that may use a database. */
export interface Access {
  readonly database: ServedDatabase;
  /** The access token of the database by which it came; 0 for none. */
  readonly credentialId: number;
}

/** A client of the data path. */
export interface DataAccess extends Access {
  /** Its data token. */
  readonly token: string;
}

/** The answer to a client that is refused. */
type Refused = WebError;

/** The decisions of one front end. */
export class AccessControl {
  readonly #directory: Directory;
  readonly #tokens = new DataTokens();
  readonly #wallClock: () => number;

  /** `wallClock`: milliseconds since 1970, for the expiry of data tokens. */
  constructor(directory: Directory, wallClock: () => number) {
    this.#directory = directory;
    this.#wallClock = wallClock;
  }

  /** Returns the access of a client to a database by its access token; rejects with the answer that refuses it. */
  async byAccessToken(request: WebRequest, name: string): Promise<Access> {
    const token = bearerOf(request);
    const hash = sha256Of(token);
    const decide = (): Access | Refused => this.#exchange(name, hash);
    const access = await this.#afterRefresh(decide);
    // A node that has just started may know the key of a database of this name that was removed: the client would be given a
    // token that opens nothing. By an access token it is found out that the database is another one.
    if (access.credentialId !== NO_CREDENTIAL || this.#directory.isConfirmed) return access;
    await this.#directory.refresh();
    return await this.#afterRefresh(decide);
  }

  /**
   * Returns the access of a client to a database by its data token, at once where the node knows enough to let it through,
   * as for nearly every request. Throws, or rejects with, the answer that refuses it.
   */
  byDataToken(request: WebRequest, name: string): DataAccess | Promise<DataAccess> {
    const token = bearerOf(request);
    // The metadata exchange gives nothing away, and needs no leader; data must not be read by the rights of an old state.
    const mayDecide = this.#directory.isConfirmed && this.#directory.isRecent;
    const access = mayDecide ? this.#dataAccess(token, name) : null;
    return access === null || access instanceof WebError
      ? this.#byDataTokenLater(request, name)
      : ofItsDatabase(request, access);
  }

  async #byDataTokenLater(request: WebRequest, name: string): Promise<DataAccess> {
    if (!this.#directory.isConfirmed) await this.#directory.refresh();
    const access = await this.#afterRefresh(() => this.#dataAccess(bearerOf(request), name));
    return ofItsDatabase(request, access);
  }

  /** Whether a client that was let through before may go on. */
  isAllowed(
    { databaseId, credentialId }: { readonly databaseId: number; readonly credentialId: number },
  ): boolean {
    const database = this.#directory.withId(databaseId);
    return database !== null && this.#holds(database, credentialId);
  }

  /** Decides by the state of the node, and again by the present one before it refuses. */
  async #afterRefresh<T>(decide: () => T | Refused): Promise<T> {
    await this.#directory.whenRecent();
    const first = decide();
    if (!(first instanceof WebError)) return first;
    await this.#directory.refresh();
    const second = decide();
    if (second instanceof WebError) throw second;
    return second;
  }

  #exchange(name: string, hash: Uint8Array): Access | Refused {
    const database = this.#directory.named(name);
    if (database === null) {
      return new WebError(
        404,
        `There is no database ${name}. Create it: kvraft client denokv create ${name}`,
      );
    }
    if (this.#directory.isOpen(database)) return { database, credentialId: NO_CREDENTIAL };
    // Every hash is compared, so that the time does not say which one was alike.
    const found = database.tokens.filter((token) => timingSafeEqual(token.hash, hash));
    const [token] = found;
    if (token !== undefined) return { database, credentialId: token.id };
    return database.tokens.length === 0 ? withoutTokens(name) : new WebError(401, "Invalid access token.");
  }

  #dataAccess(text: string, name: string): DataAccess | Refused {
    const token = this.#tokens.verify(text, (id) => this.#directory.withId(id));
    if (token === null || token.expiresAtMs <= this.#wallClock()) {
      return new WebError(401, "The token is not valid any more, or is of another database.");
    }
    const database = this.#directory.withId(token.databaseId);
    if (database === null || database.name !== name) {
      return new WebError(401, "The token is of another database.");
    }
    const { credentialId } = token;
    if (this.#holds(database, credentialId)) return { database, credentialId, token: text };
    return credentialId === NO_CREDENTIAL
      ? withoutTokens(name)
      : new WebError(401, "The access token was removed.");
  }

  #holds(database: ServedDatabase, credentialId: number): boolean {
    if (credentialId === NO_CREDENTIAL) return this.#directory.isOpen(database);
    return database.tokens.some(({ id }) => id === credentialId);
  }
}

/** Returns the token of a request; throws the answer 401 where its header is none of a token. */
function bearerOf(request: WebRequest): string {
  const header = request.header("authorization") ?? "";
  if (header.slice(0, 7).toLowerCase() !== "bearer " && header.toLowerCase() !== "bearer") {
    throw new WebError(401, "Malformed authorization header.");
  }
  return header.slice(7);
}

/** Returns the access; throws the answer 400 to a client that names another database. */
function ofItsDatabase(request: WebRequest, access: DataAccess): DataAccess {
  const databaseId = request.header("x-denokv-database-id") ?? request.header("x-transaction-domain-id");
  if (databaseId !== null && databaseId !== access.database.uuid) throw badRequest("Invalid database id.");
  return access;
}

function withoutTokens(name: string): WebError {
  return new WebError(
    401,
    `Database ${name} needs an access token. Add one: kvraft client denokv token ${name}`,
  );
}
