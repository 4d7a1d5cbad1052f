/**
 * A program with Deno's own client of Deno KV, which works while the server is attacked: it writes, reads, counts, lists and
 * watches, and prints a line of JSON each second. It exits with 1 after a wrong answer. Arguments: the URL, and the
 * seconds until it ends.
 */
// deno-lint-ignore-file no-console -- the output of this program
const REPORT_MS = 1_000;
const LISTED_KEYS = 150;

/** A line of the output. */
export interface StockReport {
  readonly calls: number;
  readonly longestMs: number;
  /** The longest time from a write until the watch showed it. */
  readonly longestShownMs: number;
  /** The data of the last line only: null, or the wrong answer. */
  readonly problem: string | null;
}

/** The work of one handle. */
class StockClient {
  readonly #kv: Deno.Kv;
  readonly #key = ["stock", crypto.randomUUID()];
  #calls = 0;
  #reportedAt = 0;
  #longestMs = 0;
  #longestShownMs = 0;

  constructor(kv: Deno.Kv) {
    this.#kv = kv;
  }

  report(): StockReport {
    return {
      calls: this.#calls,
      longestMs: this.#longestMs,
      longestShownMs: this.#longestShownMs,
      problem: null,
    };
  }

  /** Works until the time is over; returns a wrong answer, or null. */
  async run(endAt: number): Promise<string | null> {
    const kv = this.#kv;
    const counter = [...this.#key, "counter"];
    for (let number = 0; number < LISTED_KEYS; number++) {
      await kv.set([...this.#key, "listed", number], number);
    }
    const watched = kv.watch<[number]>([this.#key]).getReader();
    await watched.read();
    for (let number = 1; performance.now() < endAt; number++) {
      await this.#timed(() => kv.set(this.#key, number));
      const writtenAt = performance.now();
      const { value } = await this.#timed(() => kv.get<number>(this.#key));
      if (value !== number) return `set ${number} and got ${value}`;
      await this.#timed(() => kv.atomic().sum(counter, 1n).commit());
      const sum = (await this.#timed(() => kv.get<Deno.KvU64>(counter))).value?.value;
      if (sum !== BigInt(number)) return `${number} sums and the counter is ${sum}`;
      const listed = await this.#timed(() => Array.fromAsync(kv.list({ prefix: [...this.#key, "listed"] })));
      if (listed.length !== LISTED_KEYS) return `a list has ${listed.length} of ${LISTED_KEYS} entries`;
      for (let shown: number | null = 0; shown !== number;) {
        const { value: entries } = await this.#timed(() => watched.read());
        shown = entries?.[0].value ?? null;
      }
      this.#longestShownMs = Math.max(this.#longestShownMs, performance.now() - writtenAt);
    }
    return null;
  }

  async #timed<T>(call: () => Promise<T>): Promise<T> {
    const begin = performance.now();
    const result = await call();
    this.#calls++;
    const nowMs = performance.now();
    this.#longestMs = Math.max(this.#longestMs, nowMs - begin);
    if (nowMs - this.#reportedAt > REPORT_MS) {
      this.#reportedAt = nowMs;
      console.log(JSON.stringify(this.report()));
    }
    return result;
  }
}

if (import.meta.main) {
  const [url = "", seconds = "0"] = Deno.args;
  const client = new StockClient(await Deno.openKv(url));
  const problem = await client.run(performance.now() + Number(seconds) * 1_000);
  console.log(JSON.stringify({ ...client.report(), problem }));
  Deno.exit(problem === null ? 0 : 1);
}
