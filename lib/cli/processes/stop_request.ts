/** The signals that stop a server or a gateway. */
import type { Environment } from "../environment.ts";
import { ExitCode } from "../errors.ts";

/**
 * Listens for the first signal that asks the process to end; the second one ends it at once.
 *
 * A hangup (SIGHUP) is such a signal if the server was started on a terminal, which is then closed. A server that was
 * started with nohup or by a supervisor has no terminal, continues, and reads its configuration again: whether nohup had
 * the signal ignored cannot be known, because Deno replaces the handler when it starts.
 */
export class StopRequest implements Disposable {
  /** Resolves at the first signal. */
  readonly requested: Promise<"stop">;
  readonly #environment: Environment;
  readonly #name: string;
  readonly #controller = new AbortController();
  readonly #stopListening: readonly (() => void)[];
  readonly #resolve: (stop: "stop") => void;
  #isHangupLogged = false;

  /** `name`: of what stops, for its log line. `onReload`: takes a hangup without a terminal; null where that does nothing. */
  constructor(environment: Environment, name: string, onReload: (() => void) | null = null) {
    const { promise, resolve } = Promise.withResolvers<"stop">();
    this.requested = promise;
    this.#environment = environment;
    this.#name = name;
    this.#resolve = resolve;
    const isOnTerminal = [environment.stdin, environment.stdout, environment.stderr].some(({ isTerminal }) =>
      isTerminal
    );
    this.#stopListening = [
      environment.onEndSignal(() => {
        if (this.signal.aborted) environment.exit(ExitCode.internal);
        else this.#stop();
      }),
      // A terminal that closes may send it twice: by the kernel and by the shell.
      environment.onHangup(() => isOnTerminal ? this.#stop() : (onReload ?? (() => this.#logHangup()))()),
    ];
  }

  /** Aborted at the first signal. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    for (const stopListening of this.#stopListening) stopListening();
  }

  #stop(): void {
    this.#controller.abort();
    this.#resolve("stop");
  }

  #logHangup(): void {
    if (this.#isHangupLogged) return;
    this.#isHangupLogged = true;
    this.#environment.stderr.write(
      `kvraft: ${this.#name} continues after SIGHUP; SIGTERM or SIGINT stops it\n`,
    );
  }
}
