/** The parts that the watches of one client of the cluster share: sources, and questions how far the nodes are. */
import type { ClientCore } from "../../client/core.ts";
import type { EtcdContext } from "../context.ts";
import { Source, type SourceReader } from "./source.ts";
import type { WatchPlan } from "./watch_plan.ts";

/** The sources of one client. */
export class CoreWatches {
  readonly core: ClientCore;
  readonly #context: Pick<EtcdContext, "view">;
  readonly #sources = new Map<string, Source>();
  /** A question that was not asked yet, for all who want an answer to one that is asked from now on. */
  #nextQuestion: Promise<number | null> | null = null;
  #lastQuestion: Promise<unknown> = Promise.resolve();

  /** Watches nothing yet. */
  constructor(core: ClientCore, context: Pick<EtcdContext, "view">) {
    this.core = core;
    this.#context = context;
  }

  /** Number of sources. */
  get size(): number {
    return this.#sources.size;
  }

  /** Returns the source of a plan, null if there is none. */
  source({ name }: WatchPlan): Source | null {
    return this.#sources.get(name) ?? null;
  }

  /** Begins a source for its first reader; there is none of its plan. */
  begin(plan: WatchPlan, { from, reader }: { readonly from: number; readonly reader: SourceReader }): Source {
    const { name } = plan;
    const source: Source = new Source({
      context: this.#context,
      core: this.core,
      plan,
      from,
      onEnd: () => {
        if (this.#sources.get(name) === source) this.#sources.delete(name);
      },
    });
    source.add(reader);
    this.#sources.set(name, source);
    return source;
  }

  /**
   * Asks the nodes how far they are, after which the sources that have everything know it. Resolves to the revision, null
   * without an answer. One question serves all who ask before it is sent.
   */
  askProgress(): Promise<number | null> {
    if (this.#nextQuestion !== null) return this.#nextQuestion;
    const next = this.#lastQuestion.then(() => {
      this.#nextQuestion = null;
      const answer = this.core.pool.watchProgress();
      this.#lastQuestion = answer;
      return answer;
    });
    this.#nextQuestion = next;
    return next;
  }
}
