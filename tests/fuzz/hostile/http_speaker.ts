/**
 * A hostile program on the HTTP ports of real nodes: mutated requests, many at once, halves that stay open, and answers
 * that it does not read. It has an address of its own, so that its part of the connections is not that of others.
 */
import type { Clock } from "../../../lib/platform/clock.ts";
import type { SeededRandom } from "../../support/seeded_random.ts";
import { ConnectionFrom } from "../../support/processes/source_address.ts";
import { corpusOf } from "../fuzzer.ts";
import { HTTP_REQUESTS } from "../http_requests.ts";
import { mutated } from "../mutator.ts";

const SOURCE = "127.0.0.2";
/** Connections that stay open; one more closes the oldest. */
const MAX_OPEN = 100;
const MAX_BURST = 20;
const MAX_SILENCE_MS = 100;

/** One hostile program. */
export class HttpSpeaker {
  readonly #clock: Clock;
  readonly #ports: readonly number[];
  readonly #random: SeededRandom;
  readonly #corpus = [...corpusOf(HTTP_REQUESTS).values()];
  readonly #open: ConnectionFrom[] = [];
  /** Requests sent so far, complete or not. */
  requests = 0;

  constructor({ clock, ports, random }: {
    readonly clock: Clock;
    readonly ports: readonly number[];
    readonly random: SeededRandom;
  }) {
    this.#clock = clock;
    this.#ports = ports;
    this.#random = random;
  }

  /** Sends one burst after the other while `goesOn` returns true. */
  async run(goesOn: () => boolean): Promise<void> {
    while (goesOn()) {
      const port = this.#random.pick(this.#ports);
      await Promise.all(Array.from({ length: 1 + this.#random.below(MAX_BURST) }, () => this.#ask(port)));
      const pauseMs = this.#random.below(MAX_SILENCE_MS);
      await new Promise<void>((resolve) => void this.#clock.after(pauseMs, resolve));
      while (this.#open.length > MAX_OPEN) this.#open.shift()?.[Symbol.dispose]();
    }
    for (const connection of this.#open) connection[Symbol.dispose]();
  }

  async #ask(port: number): Promise<void> {
    const random = this.#random;
    const request = random.chance(0.3)
      ? random.pick(this.#corpus)
      : mutated({ corpus: this.#corpus, tokens: HTTP_REQUESTS.tokens }, random);
    const bytes = random.chance(0.2) ? request.subarray(0, random.below(request.length + 1)) : request;
    // A node that refuses connections for a moment is no failure here; another program checks that it answers.
    const connection = await ConnectionFrom.open(SOURCE, port).catch(() => null);
    if (connection === null) return;
    this.#open.push(connection);
    if (random.chance(0.3)) connection.stopReading();
    this.requests += 1;
    await connection.send(bytes);
  }
}
