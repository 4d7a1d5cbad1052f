/**
 * A hostile program on the HTTP ports of real nodes: mutated requests, many at once, halves that stay open, and answers
 * that it does not read. It has an address of its own, so that its part of the connections is not that of others.
 */
import type { ConnectionFrom } from "../../support/processes/source_address.ts";
import { corpusOf } from "../fuzzer.ts";
import { HTTP_REQUESTS } from "../http_requests.ts";
import { mutated } from "../mutator.ts";
import { type BurstsOptions, runBursts } from "./bursts.ts";

/** The bursts, without the part that the run decides. */
const BURSTS = { source: "127.0.0.2", maxOpen: 100, maxBurst: 20, maxSilenceMs: 100 };

/** One hostile program. */
export class HttpSpeaker {
  readonly #options: Pick<BurstsOptions, "clock" | "ports" | "random">;
  readonly #corpus = [...corpusOf(HTTP_REQUESTS).values()];
  /** Requests sent so far, complete or not. */
  requests = 0;

  constructor(options: Pick<BurstsOptions, "clock" | "ports" | "random">) {
    this.#options = options;
  }

  /** Sends one burst after the other while `goesOn` returns true. */
  run(goesOn: () => boolean): Promise<void> {
    return runBursts({ ...this.#options, ...BURSTS, goesOn, use: (connection) => this.#ask(connection) });
  }

  async #ask(connection: ConnectionFrom): Promise<void> {
    const { random } = this.#options;
    const request = random.chance(0.3)
      ? random.pick(this.#corpus)
      : mutated({ corpus: this.#corpus, tokens: HTTP_REQUESTS.tokens }, random);
    const bytes = random.chance(0.2) ? request.subarray(0, random.below(request.length + 1)) : request;
    if (random.chance(0.3)) connection.stopReading();
    this.requests += 1;
    await connection.send(bytes);
  }
}
