/** Requests of a user to one node, frame by frame: the client library would choose the node, and sign in by itself. */
import { assert } from "@std/assert";
import {
  type AuthChange,
  type Command,
  type CommandResult,
  type GrantedKeys,
  type PlainCommand,
  prefixEnd,
  type Right,
} from "../../../lib/kv/mod.ts";
import type { Clock } from "../../../lib/platform/clock.ts";
import type { Address, Dialer } from "../../../lib/platform/network.ts";
import type { ClientRequest, ServerMessage } from "../../../lib/protocol/client_frames.ts";
import { decodeResult, encodeCommand } from "../../../lib/protocol/command.ts";
import { type TestWatch, WatchClient, type WatchOptions } from "./watch_client.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A request without its id. */
export type Unnumbered = ClientRequest extends infer R
  ? R extends ClientRequest ? Omit<R, "requestId"> : never
  : never;

/** Returns the keys with a prefix. */
export function prefix(text: string): GrantedKeys {
  return { kind: "range", start: bytes(text), end: prefixEnd(bytes(text)) };
}

/** Returns the put of a key, as a command that is sent once. */
export function putOf(key: string, value = "value"): PlainCommand {
  const mutations = [{ kind: "put", key: bytes(key), value: bytes(value) }] as const;
  return { kind: "transaction", session: null, checks: [], mutations };
}

/** A connection to a node. */
export class UserClient implements Disposable {
  readonly #client: WatchClient;

  private constructor(client: WatchClient) {
    this.#client = client;
  }

  /** Connects to the node at an address, without signing in. */
  static async open(
    options: { readonly network: Dialer; readonly clock: Clock; readonly address: Address },
  ): Promise<UserClient> {
    return new UserClient(await WatchClient.open(options));
  }

  /** Makes a request. */
  async ask(request: Unnumbered): Promise<ServerMessage> {
    const answer = await this.#client.request(request);
    assert(answer !== null, "the connection stays open");
    return answer;
  }

  /** Makes a request; returns the kind of its answer, or the code of its refusal. */
  async outcome(request: Unnumbered): Promise<string> {
    const answer = await this.ask(request);
    return answer.kind === "error" ? answer.code : answer.kind;
  }

  /** Makes a write; returns its result, or the code of its refusal. */
  async write(command: Command): Promise<CommandResult | string> {
    const answer = await this.ask({ kind: "write", command: encodeCommand(command) });
    if (answer.kind === "error") return answer.code;
    assert(answer.kind === "writeResult");
    return decodeResult(answer.result);
  }

  /** Puts a key; returns the kind of the result, the reason why it was refused when applied, or the code of its refusal. */
  async put(key: string, value?: string): Promise<string> {
    const result = await this.write(putOf(key, value));
    if (typeof result === "string") return result;
    return result.kind === "refused" ? result.reason : result.kind;
  }

  /** Reads a key; returns its value, "absent", or the code of the refusal. */
  async get(key: string, consistency: "linearizable" | "stale" = "linearizable"): Promise<string> {
    const answer = await this.ask({ kind: "get", key: bytes(key), consistency });
    if (answer.kind === "error") return answer.code;
    assert(answer.kind === "getResult");
    return answer.entry === null ? "absent" : new TextDecoder().decode(answer.entry.value);
  }

  /** Signs in by password; returns the kind of the answer, or the code of the refusal. */
  signIn(user: string, password: string): Promise<string> {
    return this.outcome({ kind: "signIn", method: { kind: "password", user, password } });
  }

  /** Signs in by token. */
  signInByToken(token: string): Promise<string> {
    return this.outcome({ kind: "signIn", method: { kind: "token", token } });
  }

  /** Makes changes of users and roles, each of which must succeed. */
  async change(...changes: readonly AuthChange[]): Promise<void> {
    for (const change of changes) {
      const result = await this.write({ kind: "changeAuth", session: null, change });
      const text = typeof result === "string" ? result : JSON.stringify(result);
      assert(typeof result !== "string" && result.kind === "authChanged", `${change.kind}: ${text}`);
    }
  }

  /** Adds a right over keys to a role. */
  grant(role: string, right: Right, keys: GrantedKeys): Promise<void> {
    return this.change({ kind: "addGrant", role, grant: { right, keys } });
  }

  /** Begins a watch that must not be refused. */
  watch(options: WatchOptions): Promise<TestWatch> {
    return this.#client.start(options);
  }

  /** Closes the connection. */
  close(): void {
    this.#client.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
