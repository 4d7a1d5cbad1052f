/** Counts the requests of etcd's clients, by method and status. */
import { KvraftError } from "../client/errors.ts";
import type { WebCounts } from "../web/mod.ts";
import { toEtcdError } from "./rpc/failures.ts";
import type { Method } from "./rpc/method.ts";
import { EtcdError, GRPC_STATUS } from "./rpc/status.ts";

/** The answered requests of one method. */
export interface MethodCounts {
  /** With its package: `etcdserverpb.KV`. */
  readonly service: string;
  readonly method: string;
  /** Numbers by the status of gRPC. */
  readonly byStatus: ReadonlyMap<number, number>;
}

/** The numbers of a front end, for metrics and the status page. */
export interface EtcdCounts {
  readonly web: WebCounts;
  /** Of the methods that were used. */
  readonly requests: readonly MethodCounts[];
  /** Streams that are open. */
  readonly streams: number;
}

/** Counts requests; there are as many entries as methods and statuses. */
export class RequestCounts {
  readonly #byMethod = new Map<string, Map<number, number>>();
  #streams = 0;

  /** Returns the numbers so far. */
  counts(): Omit<EtcdCounts, "web"> {
    const requests = [...this.#byMethod].map(([path, byStatus]) => {
      const [, service = "", method = ""] = path.split("/");
      return { service, method, byStatus };
    });
    return { requests, streams: this.#streams };
  }

  /** Returns a method whose answers are counted; a stream counts when it ends. */
  counted(method: Method): Method {
    if (method.kind === "stream") {
      const { run } = method;
      return {
        ...method,
        run: (...request: Parameters<typeof run>) => {
          this.#streams += 1;
          return this.#count(method.path, run(...request)).finally(() => {
            this.#streams -= 1;
          });
        },
      };
    }
    const { run, runInParts } = method;
    const whole = {
      ...method,
      run: (...request: Parameters<typeof run>) => this.#count(method.path, run(...request)),
    };
    if (runInParts === undefined) return whole;
    return { ...whole, runInParts: (body, call) => this.#count(method.path, runInParts(body, call)) };
  }

  async #count<T>(path: string, answer: Promise<T>): Promise<T> {
    try {
      const answered = await answer;
      this.#add(path, GRPC_STATUS.ok);
      return answered;
    } catch (error) {
      this.#add(path, codeOf(error));
      throw error;
    }
  }

  #add(path: string, code: number): void {
    let byStatus = this.#byMethod.get(path);
    if (byStatus === undefined) this.#byMethod.set(path, byStatus = new Map());
    byStatus.set(code, (byStatus.get(code) ?? 0) + 1);
  }
}

function codeOf(error: unknown): number {
  const isNamed = error instanceof EtcdError || error instanceof KvraftError;
  return isNamed ? toEtcdError(error, { hasToken: false }).code : GRPC_STATUS.unknown;
}
