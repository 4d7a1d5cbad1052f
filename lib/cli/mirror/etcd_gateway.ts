/**
 * A client of etcd's JSON gateway, which every etcd from 3.4 on has on its client port under `/v3/`. It has the requests that
 * a mirror makes, and none that writes.
 */
import { concat } from "@std/bytes";
import { errorMessage } from "../../platform/errors.ts";
import type { Timer } from "../../platform/clock.ts";
import type { Stopwatch } from "../environment.ts";
import { readLines } from "../input.ts";
import {
  errorOfAnswer,
  EtcdError,
  type EtcdPage,
  type EtcdPosition,
  pageOf,
  tokenOf,
  type WatchMessage,
  watchMessagesOf,
} from "./etcd_answers.ts";

/** Bytes of an answer. A value of etcd has at most 1.5 MiB unless it was configured otherwise, 2 MiB in base64. */
const MAX_ANSWER_BYTES = 67_108_864;
/** Time until the answer to a request is complete, or that of a watch begins. */
const ANSWER_TIMEOUT_MS = 60_000;
/** The same of a request whose answer is short, after which a connection counts as lost. */
const CHECK_TIMEOUT_MS = 10_000;

/** How an etcd is reached. */
export interface EtcdTarget {
  /** `http://host:port` of its members; the next one is used where one fails. */
  readonly endpoints: readonly string[];
  /** The user who signs in; null for none. The password is asked for at each sign-in. */
  readonly user: { readonly name: string; readonly password: () => string } | null;
  /** Connections with certificates of the user's choice; null for those of the system. */
  readonly http: Deno.HttpClient | null;
  readonly clock: Stopwatch;
}

/** A range of keys: `end` is null behind the last key. */
export interface EtcdRange {
  readonly start: Uint8Array;
  readonly end: Uint8Array | null;
}

/** The client. */
export class EtcdGateway {
  readonly #target: EtcdTarget;
  #endpoint = 0;
  #token: string | null = null;

  constructor(target: EtcdTarget) {
    this.#target = target;
  }

  /** The member that is asked first. */
  get endpoint(): string {
    return this.#target.endpoints[this.#endpoint] ?? "";
  }

  /** Returns a page of a range, of the present or of a revision. Rejects with {@link EtcdError}. */
  async range(
    { start, end }: EtcdRange,
    { limit, revision, signal }: {
      readonly limit: number;
      readonly revision: number | null;
      readonly signal: AbortSignal;
    },
  ): Promise<EtcdPage> {
    const request = { ...encoded({ start, end }), limit, revision: revision ?? 0 };
    return await this.#ask("/v3/kv/range", request, { signal, timeoutMs: ANSWER_TIMEOUT_MS, read: pageOf });
  }

  /** Returns the present revision, which no majority of the members can be behind. Rejects with {@link EtcdError}. */
  async position({ start }: EtcdRange, signal: AbortSignal): Promise<EtcdPosition> {
    const request = { key: encoded({ start, end: null }).key, keys_only: true };
    const options = { signal, timeoutMs: CHECK_TIMEOUT_MS, read: pageOf };
    return (await this.#ask("/v3/kv/range", request, options)).position;
  }

  /** Returns the changes of a range from a revision on, until the connection ends. Rejects with {@link EtcdError}. */
  async *watch(
    range: EtcdRange,
    { from, signal }: { readonly from: number; readonly signal: AbortSignal },
  ): AsyncGenerator<WatchMessage> {
    const request = {
      create_request: { ...encoded(range), start_revision: from, fragment: true, progress_notify: true },
    };
    const response = await this.#authenticated(signal, async () => {
      const limit = this.#timeout(ANSWER_TIMEOUT_MS, signal);
      try {
        return await this.#post("/v3/watch", request, limit.signal);
      } finally {
        limit.timer.cancel();
      }
    });
    const lines = readLines(chunksOf(response), MAX_ANSWER_BYTES);
    for await (const line of lines) {
      if (line.kind === "tooLong") throw tooLarge();
      for (const message of watchMessagesOf(new TextDecoder().decode(line.bytes))) {
        if (message.kind !== "ended") {
          yield message;
          continue;
        }
        if (message.error.kind === "unauthenticated") this.#token = null;
        throw message.error;
      }
    }
    throw new EtcdError("unreachable", "it has ended the watch");
  }

  async #ask<Answer>(
    path: string,
    request: unknown,
    { signal, timeoutMs, read }: {
      readonly signal: AbortSignal;
      readonly timeoutMs: number;
      readonly read: (text: string) => Answer;
    },
  ): Promise<Answer> {
    return await this.#authenticated(signal, async () => {
      const limit = this.#timeout(timeoutMs, signal);
      try {
        return read(await textOf(await this.#post(path, request, limit.signal)));
      } finally {
        limit.timer.cancel();
      }
    });
  }

  /** Makes a request with a token, and repeats it with a new one if etcd does not take it any more. */
  async #authenticated<Result>(signal: AbortSignal, request: () => Promise<Result>): Promise<Result> {
    try {
      await this.#signIn(signal);
      return await request();
    } catch (error) {
      if (!(error instanceof EtcdError) || error.kind !== "unauthenticated" || this.#target.user === null) {
        throw error;
      }
      this.#token = null;
      await this.#signIn(signal);
      return await request();
    }
  }

  async #signIn(signal: AbortSignal): Promise<void> {
    const { user } = this.#target;
    if (user === null || this.#token !== null) return;
    const limit = this.#timeout(CHECK_TIMEOUT_MS, signal);
    try {
      const request = { name: user.name, password: user.password() };
      this.#token = tokenOf(await textOf(await this.#post("/v3/auth/authenticate", request, limit.signal)));
    } finally {
      limit.timer.cancel();
    }
  }

  /** Sends a request to the members in turn until one answers. */
  async #post(path: string, request: unknown, signal: AbortSignal): Promise<Response> {
    const { endpoints } = this.#target;
    for (let attempt = 1;; attempt++) {
      try {
        return await this.#postTo(`${this.endpoint}${path}`, request, signal);
      } catch (error) {
        const isLost = error instanceof EtcdError && error.kind === "unreachable" && !signal.aborted;
        if (isLost) this.#endpoint = (this.#endpoint + 1) % endpoints.length;
        if (!isLost || attempt === endpoints.length) throw error;
      }
    }
  }

  async #postTo(url: string, request: unknown, signal: AbortSignal): Promise<Response> {
    const { http } = this.#target;
    const headers = this.#token === null ? {} : { Authorization: this.#token };
    const init = {
      method: "POST",
      body: JSON.stringify(request),
      headers,
      signal,
      redirect: "error",
    } as const;
    let response: Response;
    try {
      response = await fetch(url, http === null ? init : { ...init, client: http });
    } catch (error) {
      throw connectionError(error);
    }
    if (!response.ok) throw errorOfAnswer(response.status, await textOf(response));
    return response;
  }

  /** Returns a signal that is aborted with another one, and after a time. */
  #timeout(timeoutMs: number, signal: AbortSignal): { readonly signal: AbortSignal; readonly timer: Timer } {
    const late = new AbortController();
    const error = new EtcdError("unreachable", `it does not answer within ${timeoutMs / 1_000} s`);
    const timer = this.#target.clock.after(timeoutMs, () => late.abort(error));
    return { signal: AbortSignal.any([signal, late.signal]), timer };
  }
}

/** Returns the names of a range in etcd: a zero byte stands for the first key, and for the end behind the last one. */
function encoded({ start, end }: EtcdRange): { readonly key: string; readonly range_end: string } {
  const zero = new Uint8Array(1).toBase64();
  return {
    key: start.length === 0 ? zero : start.toBase64(),
    range_end: end === null ? zero : end.toBase64(),
  };
}

async function* chunksOf({ body }: Response): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of body ?? []) yield chunk;
  } catch (error) {
    throw connectionError(error);
  }
}

/** Returns the text of a whole answer. Throws {@link EtcdError} for one above the limit. */
async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunksOf(response)) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw tooLarge();
    chunks.push(chunk);
  }
  return new TextDecoder().decode(concat(chunks));
}

function tooLarge(): EtcdError {
  return new EtcdError("tooLarge", `an answer has more than ${MAX_ANSWER_BYTES} bytes`);
}

/** Returns the error of a connection that failed; that of a timeout is the reason of its signal. */
function connectionError(error: unknown): unknown {
  if (!(error instanceof TypeError)) return error;
  // The message is "fetch failed"; the cause has the address, and then the reason.
  const text = errorMessage(error.cause ?? error).replace(/ \(os error \d+\)/, "");
  const reason = /client error \([^)]*\): (.*)$/s.exec(text)?.[1] ?? text;
  return new EtcdError("unreachable", reason, { cause: error });
}
