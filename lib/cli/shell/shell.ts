/**
 * The interactive shell: reads lines and runs them one after the other.
 *
 * The prompt names the node that gets the next request, and the leader, and changes with them. An answer comes with its
 * revision and duration. While a command takes longer than half a second, a line says what it waits for. Ctrl-C ends a
 * running command, or else clears the line; Ctrl-D leaves the shell.
 */
import { describeWaiting } from "../cluster_view.ts";
import {
  type CommandContext,
  type Invocation,
  isLong,
  type PasswordSignIn,
  SHELL_LEFT,
  type StoreClient,
  textOfNote,
  textOfParts,
  type View,
} from "../command.ts";
import { type OutputFormat, outputOf } from "../options.ts";
import { readContexts } from "../contexts/contexts_file.ts";
import { argumentHint, complete } from "./completion.ts";
import type { Environment } from "../environment.ts";
import { type Failure, failureOf, SecretArgumentError, UsageError } from "../errors.ts";
import { failureAsJson, jsonText } from "../json.ts";
import type { HistoryFile } from "./history_file.ts";
import { LineEditor } from "./line_editor.ts";
import { parseLine, QUIT } from "../registry.ts";
import { dim, escapeUnprintable, fit } from "../text.ts";
import { LOOK_TIMEOUT_MS, pause, withWaitingLine } from "../waiting.ts";
import { isGatewayId } from "../../client/directory.ts";
import { AbortError, AuthenticationError } from "../../client/errors.ts";
import type { ClusterStatus, ConnectionState } from "../../client/types.ts";
import { assertNever } from "../../platform/assert.ts";

/** Keys that Tab reads. */
const COMPLETED_KEYS = 100;
/** Leases that Tab reads. */
const COMPLETED_LEASES = 100;
/** Deadline of the requests of Tab. */
const COMPLETION_TIMEOUT_MS = 1_000;
/** Lines that wait while one runs, mostly pasted ones; further lines are refused. */
const MAX_WAITING_LINES = 1_000;
/** Deadline of the status for the greeting. */
const GREETING_TIMEOUT_MS = 1_000;
/** How long a command that runs when the shell is left may take to end, as by releasing a lock. */
const LEAVING_TIMEOUT_MS = 3_000;

/** Options of a shell. */
interface ShellOptions {
  readonly environment: Environment;
  readonly client: StoreClient;
  /** Opens another client of the same cluster. */
  connect(): Promise<StoreClient>;
  /** Returns a client that has signed in, and closes the one before. Where that rejects, the one before stays. */
  signIn(signIn: PasswordSignIn): Promise<StoreClient>;
  /** Format of answers unless a line has `--output`. */
  readonly output: OutputFormat;
  readonly timeoutMs: number | null;
  /** As in {@link CommandContext}. */
  readonly commandLine: CommandContext["commandLine"];
  /** The file that keeps the lines; null for none. */
  readonly history: HistoryFile | null;
  /** The source of the name of the cluster, as in Target. */
  readonly origin: string;
}

/** A line that was typed. `problem`: why it is not run; null for a line that is run. */
interface TypedLine {
  readonly line: string;
  readonly problem: string | null;
}

/** Runs a shell until its user leaves. */
export async function runShell(options: ShellOptions): Promise<void> {
  using shell = new Shell(options);
  await shell.run();
}

/**
 * Returns the prompt: the node that gets the next request, and the leader. `n1 (leader)> `, `n2 (leader n1)> `, `n2 (no
 * leader)> `, or `(not connected)> `.
 */
export function promptFor(state: ConnectionState): string {
  switch (state.kind) {
    case "connected": {
      const { node, leader } = state;
      if (isGatewayId(node)) return "gateway> ";
      if (leader === null) return `n${node} (no leader)> `;
      return leader === node ? `n${node} (leader)> ` : `n${node} (leader n${leader})> `;
    }
    case "reconnecting":
      return "(not connected)> ";
    default:
      return assertNever(state);
  }
}

function knowsLeader(state: ConnectionState): boolean {
  return state.kind === "connected" && state.leader !== null;
}

/** Returns `Connected: 3 of 3 nodes, leader n2`, with what names the cluster, `origin`, unless that is a flag. */
export function greetingFor({ leader, nodes }: ClusterStatus, origin = "--cluster"): string {
  const reachable = nodes.filter((node) => node.reachable).length;
  const nouns = nodes.length === 1 ? "node" : "nodes";
  const leading = leader === null ? "no leader" : `leader n${leader}`;
  return `Connected: ${reachable} of ${nodes.length} ${nouns}, ${leading}${sourceText(origin)}`;
}

function sourceText(origin: string): string {
  return origin === "--cluster" ? "" : ` (cluster from ${origin})`;
}

/** Returns the report of a command that Ctrl-C ended. It says whether the command may have been applied. */
function cancelled(error: AbortError): Failure {
  const outcome = error.outcome === "unknown"
    ? "it may have been applied, or may yet be: read before you write again."
    : "nothing was changed.";
  return { ...failureOf(error), message: `cancelled; ${outcome}` };
}

/** Refuses to read data from standard input. */
function refuseStdin(): never {
  throw new UsageError(
    "The shell reads standard input, so it cannot be the data. Use --file, or leave the shell and give one command " +
      "with < file. (-- - is a dash.)",
  );
}

/** Returns whether the up key may bring a line back: not one that has a password or token among its arguments. */
function mayRemember(line: string): boolean {
  try {
    parseLine(line);
    return true;
  } catch (error) {
    return !(error instanceof SecretArgumentError);
  }
}

class Shell implements Disposable {
  readonly #options: ShellOptions;
  readonly #editor: LineEditor;
  readonly #left = Promise.withResolvers<void>();
  readonly #waiting: TypedLine[] = [];
  #client: StoreClient;
  #unfollow: () => void;
  #running: AbortController | null = null;
  #lines: Promise<void> = Promise.resolve();
  #isLeft = false;

  constructor(options: ShellOptions) {
    const { environment, client } = options;
    this.#options = options;
    this.#client = client;
    this.#editor = new LineEditor({
      terminal: environment.openTerminal(),
      prompt: promptFor(client.connectionState()),
      color: environment.wantsColor,
      columns: () => environment.columns(),
      hint: argumentHint,
      complete: (line) =>
        complete(line, {
          keys: (prefix) => this.#keysWith(prefix),
          nodes: () => this.#nodeIds(),
          leases: () => this.#leaseIds(),
          names: (kind) => this.#names(kind),
        }),
      history: options.history?.lines ?? [],
      mayRemember,
      onLine: (line, problem) => this.#takeLine({ line, problem }),
      onInterrupt: (line) => this.#interrupt(line),
      onEnd: () => {
        if (!this.#isLeft) this.#editor.print("\n");
        this.#leave();
      },
    });
    this.#unfollow = this.#follow(client);
  }

  /** Has the prompt show the state of a client. */
  #follow(client: StoreClient): () => void {
    return client.onStateChange((state) => this.#editor.setPrompt(promptFor(state)));
  }

  /** Uses a client that has signed in from now on. */
  async #signIn(signIn: PasswordSignIn): Promise<void> {
    this.#client = await this.#options.signIn(signIn);
    this.#unfollow();
    this.#unfollow = this.#follow(this.#client);
    this.#editor.setPrompt(promptFor(this.#client.connectionState()));
  }

  async run(): Promise<void> {
    const { environment } = this.#options;
    const greeting = await this.#greeting();
    const help = dim("help lists the commands, Tab completes, Ctrl-D leaves.", {
      color: environment.wantsColor,
    });
    this.#editor.print(`${greeting}\n${help}\n`);
    this.#editor.show();
    await this.#left.promise;
    await this.#untilIdle();
  }

  /** Returns the first line. A client without a user can sign in here. */
  async #greeting(): Promise<string> {
    const { origin } = this.#options;
    try {
      return greetingFor(await this.#client.cluster.status({ timeoutMs: GREETING_TIMEOUT_MS }), origin);
    } catch (error) {
      if (!(error instanceof AuthenticationError) || error.reason !== "unauthenticated") throw error;
      return `Connected${sourceText(origin)}. The cluster asks for a user: type auth sign-in <name>.`;
    }
  }

  [Symbol.dispose](): void {
    this.#isLeft = true;
    this.#unfollow();
    this.#editor[Symbol.dispose]();
  }

  /** Waits, not for long, until the command that the leaving of the shell ended has done so. */
  async #untilIdle(): Promise<void> {
    const { clock } = this.#options.environment;
    const idle = new AbortController();
    void this.#lines.finally(() => idle.abort());
    await pause(LEAVING_TIMEOUT_MS, { clock, signal: idle.signal });
  }

  #takeLine(typed: TypedLine): void {
    if (this.#running === null) {
      this.#lines = this.#runLines(typed);
    } else if (this.#waiting.length < MAX_WAITING_LINES) {
      this.#waiting.push(typed);
    } else {
      this.#editor.print(
        `error: ${MAX_WAITING_LINES} lines wait already; this one is dropped: ${typed.line}\n`,
      );
    }
  }

  /** Runs a line and those that were typed meanwhile. */
  async #runLines(first: TypedLine): Promise<void> {
    this.#editor.hide();
    let typed: TypedLine | undefined = first;
    while (typed !== undefined && !this.#isLeft) {
      this.#running = new AbortController();
      const goesOn = await this.#runLine(typed, this.#running.signal);
      this.#running = null;
      if (!goesOn) return this.#leave();
      typed = this.#waiting.shift();
      if (typed !== undefined) {
        this.#editor.print(`${promptFor(this.#client.connectionState())}${typed.line}\n`);
      }
    }
    if (!this.#isLeft) this.#editor.show();
  }

  /** Runs one line and reports its errors. Resolves to false if the line leaves the shell. */
  async #runLine({ line, problem }: TypedLine, signal: AbortSignal): Promise<boolean> {
    let format = this.#options.output;
    try {
      if (problem !== null) throw new UsageError(problem);
      const parsed = parseLine(line);
      this.#keep(line);
      if (parsed === null) return true;
      const { invocation, options } = parsed;
      format = outputOf(options) ?? format;
      if (invocation === null) {
        throw new UsageError("There is no command, only options. help lists the commands.");
      }
      return await this.#runInvocation(invocation, { format, signal });
    } catch (error) {
      const failure = error instanceof AbortError
        ? cancelled(error)
        : failureOf(error, { signInBy: "type auth sign-in <name>" });
      this.#editor.print(
        format === "json" ? `${failureAsJson(failure)}\n` : `error: ${escapeUnprintable(failure.message)}\n`,
      );
      return true;
    }
  }

  /** Adds a line to the history file, if there is one: only a line that is a command, since others may have a password. */
  #keep(line: string): void {
    const failure = this.#options.history?.add(line) ?? null;
    if (failure !== null) this.#editor.print(`error: ${escapeUnprintable(failure)}\n`);
  }

  async #runInvocation(
    invocation: Invocation,
    how: { format: OutputFormat; signal: AbortSignal },
  ): Promise<boolean> {
    const { connect, environment, timeoutMs, commandLine } = this.#options;
    const startedAt = environment.clock.now();
    let isLineShown = false;
    let isAsking = false;
    let askedMs = 0; // the time that typing took is none of the command's
    const showLine = (line: string): void => {
      if (isAsking || (line === "" && !isLineShown)) return;
      isLineShown = line !== "";
      this.#editor.showLine(dim(fit(line, environment.columns() - 1), this.#view()));
    };
    const ask = async <T>(read: () => Promise<T>): Promise<T> => {
      showLine("");
      isAsking = true;
      const askedAt = environment.clock.now();
      const end = await read();
      askedMs += environment.clock.now() - askedAt;
      isAsking = false;
      return end;
    };
    const context: CommandContext = {
      client: () => Promise.resolve(this.#client),
      connect,
      signIn: (signIn) => this.#signIn(signIn),
      stdin: refuseStdin,
      // Ctrl-D ends the command through the signal.
      endOfInput: () => new Promise(() => {}),
      readSecret: (prompt) => ask(() => this.#editor.readSecret(prompt)),
      confirm: (question) => ask(() => this.#editor.confirm(question)),
      terminal: null,
      output: { isTerminal: true, write: (text) => Promise.resolve(this.#editor.print(text)) },
      show: (parts) => {
        showLine("");
        const text = textOfParts(parts, how.format === "json" ? "json" : this.#view());
        return Promise.resolve(this.#editor.print(text));
      },
      note: (remark) => {
        showLine("");
        this.#editor.print(textOfNote(remark, how.format));
      },
      environment,
      showProgress: showLine,
      commandLine,
      timeoutMs,
      connectMs: () => 0,
      signal: how.signal,
    };
    const run = invocation.command.run(invocation, context);
    const answer = await (isLong(invocation) ? run.finally(() => showLine("")) : withWaitingLine(run, {
      clock: environment.clock,
      look: async () => describeWaiting(await this.#client.cluster.status({ timeoutMs: LOOK_TIMEOUT_MS })),
      show: showLine,
      clear: () => showLine(""),
    }));
    if (invocation.command === QUIT) return false;
    if (how.format === "json") {
      this.#editor.print(`${jsonText(answer.json())}\n`);
    } else {
      const { output, note } = answer.text({
        ...this.#view(),
        elapsedMs: environment.clock.now() - startedAt - askedMs,
      });
      this.#editor.print(output);
      this.#editor.print(note);
    }
    return true;
  }

  #interrupt(line: string): void {
    if (this.#running !== null) {
      this.#waiting.length = 0;
      this.#running.abort(new Error("cancelled"));
    } else if (line !== "") {
      this.#editor.clearLine();
    } else {
      this.#editor.hide();
      this.#editor.print("\nCtrl-D or quit leaves.\n");
      this.#editor.show();
    }
  }

  /** Leaves the shell: at quit, at Ctrl-D, and when the terminal is closed. */
  #leave(): void {
    if (this.#isLeft) return;
    this.#isLeft = true;
    this.#running?.abort(new Error(SHELL_LEFT));
    this.#left.resolve();
  }

  /** Returns keys for Tab: with a leader also those just written, else those that some node has. */
  async #keysWith(prefix: Uint8Array): Promise<readonly Uint8Array[]> {
    const client = this.#client;
    const { entries } = await client.list({
      prefix,
      limit: COMPLETED_KEYS,
      consistency: knowsLeader(client.connectionState()) ? "linearizable" : "stale",
      timeoutMs: COMPLETION_TIMEOUT_MS,
    });
    return entries.map(({ key }) => key);
  }

  async #nodeIds(): Promise<readonly number[]> {
    const { nodes } = await this.#client.cluster.status({ timeoutMs: COMPLETION_TIMEOUT_MS });
    return nodes.flatMap(({ id }) => id === null ? [] : [id]).sort((one, other) => one - other);
  }

  async #leaseIds(): Promise<readonly number[]> {
    const { leases } = await this.#client.leases.list({
      limit: COMPLETED_LEASES,
      timeoutMs: COMPLETION_TIMEOUT_MS,
    });
    return leases.map(({ leaseId }) => leaseId);
  }

  /** Returns the names of users, roles, databases or contexts, if this client may read them. */
  async #names(kind: "user" | "role" | "database" | "context"): Promise<readonly string[]> {
    const { auth, databases } = this.#client;
    const options = { timeoutMs: COMPLETION_TIMEOUT_MS };
    switch (kind) {
      case "user":
        return (await auth.users(options)).map(({ name }) => name);
      case "role":
        return ["root", ...(await auth.roles(options)).map(({ name }) => name)];
      case "database":
        return (await databases.databases({ ...options, secrets: false })).databases.map(({ name }) => name);
      case "context":
        return readContexts(this.#options.environment).all.map(({ name }) => name);
      default:
        return assertNever(kind);
    }
  }

  #view(): View {
    const { environment } = this.#options;
    const columns = environment.columns();
    return { isTerminal: true, color: environment.wantsColor, columns, isOneOfMany: false, elapsedMs: null };
  }
}
