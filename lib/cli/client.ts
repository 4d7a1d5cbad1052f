/** `kvraft client`: one command, commands from standard input, or the shell. */
import { type OptionSpec, refuseReplaced } from "./arguments.ts";
import { describeWaiting } from "./cluster_view.ts";
import {
  type Answer,
  type AnswerPart,
  type CommandContext,
  type Invocation,
  isLong,
  type StoreClient,
  textOfNote,
  textOfParts,
  type View,
} from "./command.ts";
import { COMMON_OPTIONS, type OutputFormat, outputOf, timeoutOf, withWholeDeadline } from "./options.ts";
import { type Target, targetOf } from "./contexts/target.ts";
import type { Environment } from "./environment.ts";
import { ExitCode, failureOf, HalfwayError, OutputClosedError, OutputError, UsageError } from "./errors.ts";
import { clientHelp } from "./help.ts";
import { readLines } from "./input.ts";
import { failureAsJson, jsonText } from "./json.ts";
import { COMMANDS, parseCommand, parseLine, QUIT } from "./registry.ts";
import type { SecretEnd } from "./sign_in/secret_line.ts";
import { SIGN_IN_OPTIONS, type SignIn, signInOf } from "./sign_in/secrets.ts";
import { HistoryFile } from "./shell/history_file.ts";
import { runShell } from "./shell/shell.ts";
import { dim, escapeUnprintable, fit, textOfBytes } from "./text.ts";
import { LOOK_TIMEOUT_MS, withWaitingLine } from "./waiting.ts";
import type { TlsOptions } from "../client/types.ts";
import { CLIENT_TLS_OPTIONS, renewedTlsOf } from "./tls_options.ts";
import { clientOn } from "../client/client.ts";
import { ClientCore } from "../client/core.ts";
import { DatabaseClient } from "../client/databases/database_client.ts";
import { InvalidRequestError } from "../client/errors.ts";

/** Options of the client beside those that every command takes. */
const CLIENT_OPTIONS: readonly OptionSpec[] = [
  {
    name: "cluster",
    placeholder: "<nodes>",
    help: "one or more nodes, as host:port, parted by commas (KVRAFT_CLUSTER)",
  },
  {
    name: "context",
    placeholder: "<name>",
    help: "a cluster that context add has kept, with its options (KVRAFT_CONTEXT; the context in use)",
  },
  ...CLIENT_TLS_OPTIONS,
  ...SIGN_IN_OPTIONS,
  {
    name: "history-file",
    placeholder: "<path>",
    help: "the shell keeps its lines in this file, but none with passwords (off)",
  },
];

/** The options of a connection to a cluster. */
type ConnectTo = {
  readonly cluster: readonly string[];
  readonly timeoutMs?: number;
  readonly tls?: () => TlsOptions;
};

/** Connects to a cluster. */
export type Connect = (options: ConnectTo | (ConnectTo & SignIn)) => Promise<StoreClient>;

/** Connects a client that has the calls on databases of Deno KV too, which are no part of the library. */
export const connectClient: Connect = async (options) => {
  const core = await ClientCore.connect(options);
  return Object.assign(clientOn(core), { databases: new DatabaseClient(core) });
};

/** Dependencies of the command. */
interface ClientDependencies {
  readonly environment: Environment;
  readonly connect: Connect;
}

/** Runs `kvraft client` with these arguments; resolves to the exit code. */
export async function clientCommand(
  args: readonly string[],
  dependencies: ClientDependencies,
): Promise<ExitCode> {
  const client = new Client(dependencies, mentionsJson(args) ? "json" : "text");
  try {
    return await client.run(args);
  } catch (error) {
    return client.report(error);
  } finally {
    await client.close();
  }
}

/** Returns whether errors found before the arguments are parsed are reported as JSON. */
function mentionsJson(args: readonly string[]): boolean {
  return args.some((arg, position) =>
    arg === "--output=json" || (arg === "--output" && args[position + 1] === "json")
  );
}

/** Returns the error for a command that was carried out while its answer could not be written. */
function answerLost(answer: Answer, { code, reason, cause }: OutputError): HalfwayError {
  return new HalfwayError(`Cannot write the answer to standard output: ${reason}. ${answer.outcome}`, {
    code,
    exitCode: ExitCode.output,
    cause,
  });
}

/** Reads a stream to its end. */
async function endOf(stream: ReadableStream<Uint8Array>): Promise<void> {
  await stream.pipeTo(new WritableStream());
}

class Client {
  readonly #environment: Environment;
  readonly #connect: Connect;
  #output: OutputFormat;
  #timeoutMs: number | null = null;
  /** The options of the command line. */
  #options: ReadonlyMap<string, string> = new Map();
  #target: Target | null = null;
  #signIn: Promise<SignIn | null> | null = null;
  #connected: Promise<StoreClient> | null = null;
  #isConnecting = false;
  /** Whether a secret is asked for on the terminal. */
  #isAsking = false;

  constructor({ environment, connect }: ClientDependencies, output: OutputFormat) {
    this.#environment = environment;
    this.#connect = connect;
    this.#output = output;
  }

  async run(args: readonly string[]): Promise<ExitCode> {
    refuseReplaced(args, BYTES_HINT);
    const { invocation, options } = parseCommand(args, CLIENT_OPTIONS);
    this.#output = outputOf(options) ?? "text";
    this.#timeoutMs = timeoutOf(options);
    this.#options = options;
    if (invocation !== null) {
      return await this.#runInvocation(invocation, {
        stdin: () => this.#stdin(),
        endOfInput: () => endOf(this.#stdin()),
        isOneOfMany: false,
      });
    }
    if (options.has("help")) {
      await this.#environment.stdout.write(clientHelp([...CLIENT_OPTIONS, ...COMMON_OPTIONS], COMMANDS));
      return ExitCode.done;
    }
    const { stdin, stdout } = this.#environment;
    if (options.has("password-stdin")) {
      throw new UsageError(
        "--password-stdin needs a command: standard input can have the password or commands.",
      );
    }
    if (!stdin.isTerminal || !stdout.isTerminal) return await this.#runLines();
    const historyFile = options.get("history-file");
    await runShell({
      history: historyFile === undefined ? null : HistoryFile.open(historyFile, this.#environment),
      environment: this.#environment,
      client: await this.#client(),
      connect: () => this.#open(),
      signIn: (signIn) => this.#signInAs(signIn),
      output: this.#output,
      timeoutMs: this.#timeoutMs,
      commandLine: () => commandLineOf(this.#targetOnce()),
      origin: this.#targetOnce().origin,
    });
    return ExitCode.done;
  }

  /** Writes an error to standard error and returns the exit code for it. `where` is put before the message. */
  report(error: unknown, where = ""): ExitCode {
    if (error instanceof OutputClosedError) return ExitCode.done;
    const failure = failureOf(error);
    const message = escapeUnprintable(`${where}${failure.message}${this.#originNote(failure.exitCode)}`);
    const text = this.#output === "json" ? failureAsJson({ ...failure, message }) : `kvraft: ${message}`;
    this.#environment.stderr.write(`${text}\n`);
    return failure.exitCode;
  }

  /** Returns a sentence on what names the cluster, for an error of not reaching it or signing in; else "". */
  #originNote(exitCode: ExitCode): string {
    const isAboutCluster = exitCode === ExitCode.unavailable || exitCode === ExitCode.denied;
    if (!isAboutCluster || this.#target === null || this.#target.origin === "--cluster") return "";
    return ` (The cluster is from ${this.#target.origin}.)`;
  }

  /** Returns the cluster to talk to. Throws {@link UsageError}. */
  #targetOnce(): Target {
    this.#target ??= targetOf(this.#options, this.#environment);
    return this.#target;
  }

  /** Returns standard input as the data of a command. */
  #stdin(): ReadableStream<Uint8Array> {
    if (this.#options.has("password-stdin")) {
      throw new UsageError("Standard input has the password, so it cannot be the data. Use --password-file.");
    }
    return this.#environment.stdin.stream;
  }

  async close(): Promise<void> {
    const client = await this.#connected?.catch(() => null);
    await client?.close();
  }

  /**
   * Runs the lines of standard input one after the other, also after a line that failed. Resolves to the highest exit
   * code, which is the worst.
   */
  async #runLines(): Promise<ExitCode> {
    await this.#client();
    const output = this.#output;
    let worst: ExitCode = ExitCode.done;
    let number = 0;
    for await (const line of readLines(this.#environment.stdin.stream)) {
      number += 1;
      this.#output = output;
      try {
        const text = line.kind === "line" ? textOfBytes(line.bytes) : null;
        if (text === null) throw new UsageError(`The line ${line.kind === "line" ? NOT_UTF8 : TOO_LONG}`);
        const code = await this.#runLine(text);
        if (code === "quit") break;
        if (code > worst) worst = code;
      } catch (error) {
        if (error instanceof OutputClosedError) break;
        const code = this.report(error, `line ${number}: `);
        if (code > worst) worst = code;
      }
    }
    return worst;
  }

  async #runLine(line: string): Promise<ExitCode | "quit"> {
    const parsed = parseLine(line);
    if (parsed === null) return ExitCode.done;
    const { invocation, options } = parsed;
    this.#output = outputOf(options) ?? this.#output;
    if (invocation === null) {
      throw new UsageError("There is no command, only options. help lists the commands.");
    }
    if (invocation.command === QUIT) return "quit";
    const stdin = (): never => {
      throw new UsageError(
        "Standard input has the commands, so it cannot be the data. Use --file, or give the command as arguments.",
      );
    };
    const endOfInput = (): never => {
      throw new UsageError(
        `${invocation.command.name} goes on until standard input ends, which has the commands here. ` +
          "Give the command as arguments.",
      );
    };
    return await this.#runInvocation(invocation, { stdin, endOfInput, isOneOfMany: true });
  }

  async #runInvocation(
    invocation: Invocation,
    { stdin, endOfInput, isOneOfMany }: Pick<CommandContext, "stdin" | "endOfInput"> & {
      readonly isOneOfMany: boolean;
    },
  ): Promise<ExitCode> {
    const { clock } = this.#environment;
    let connectMs = 0;
    const context: CommandContext = {
      client: async () => {
        await this.#credentials(); // the time that typing takes is none of the command's
        const startedAt = clock.now();
        const client = await this.#client();
        connectMs += clock.now() - startedAt;
        return client;
      },
      connect: () => this.#open(),
      signIn: null,
      stdin,
      endOfInput,
      readSecret: async (prompt) => await this.#readSecret(prompt),
      confirm: this.#questions(isOneOfMany),
      output: this.#environment.stdout,
      terminal: this.#terminal(isOneOfMany),
      show: (parts) => this.#showParts(parts),
      note: (remark) => this.#environment.stderr.write(textOfNote(remark, this.#output)),
      environment: this.#environment,
      showProgress: () => {},
      commandLine: () => commandLineOf(this.#targetOnce()),
      timeoutMs: this.#timeoutMs,
      connectMs: () => isLong(invocation) ? 0 : connectMs,
      signal: null,
    };
    const answer =
      await (isLong(invocation)
        ? this.#runLong(invocation, context)
        : this.#withWaitingLine(invocation.command.run(invocation, context), () => this.#look()))
        .catch((error: unknown) => {
          throw withWholeDeadline(error, invocation, context);
        });
    if (invocation.command === QUIT) return ExitCode.done;
    try {
      await this.#show(answer, { isOneOfMany });
    } catch (error) {
      throw error instanceof OutputError ? answerLost(answer, error) : error;
    }
    return answer.exitCode;
  }

  #terminal(isOneOfMany: boolean): CommandContext["terminal"] {
    const { stdin, stdout, wantsColor: color } = this.#environment;
    const isAvailable = stdin.isTerminal && stdout.isTerminal && !isOneOfMany && this.#output === "text";
    return isAvailable ? { open: () => this.#environment.openTerminal(), color } : null;
  }

  /** Runs a long command. The first Ctrl-C asks it to end; the second one ends the process. */
  async #runLong(invocation: Invocation, context: CommandContext): Promise<Answer> {
    const { stderr } = this.#environment;
    const interrupted = new AbortController();
    const unlisten = this.#environment.onEndSignal(() => {
      unlisten();
      interrupted.abort(new Error("interrupted"));
    });
    let isShown = false;
    const showProgress = (line: string): void => {
      if (!stderr.isTerminal || this.#output === "json" || (line === "" && !isShown)) return;
      isShown = line !== "";
      this.#showLine(line);
    };
    try {
      return await invocation.command.run(invocation, {
        ...context,
        show: (parts) => {
          showProgress("");
          return context.show(parts);
        },
        note: (remark) => {
          showProgress("");
          context.note(remark);
        },
        showProgress,
        signal: interrupted.signal,
      });
    } finally {
      showProgress("");
      unlisten();
    }
  }

  async #showParts(parts: readonly AnswerPart[]): Promise<void> {
    const { stdout } = this.#environment;
    await stdout.write(textOfParts(parts, this.#output === "json" ? "json" : this.#view(stdout.isTerminal)));
  }

  async #show(answer: Answer, { isOneOfMany }: { readonly isOneOfMany: boolean }): Promise<void> {
    const { stdout, stderr } = this.#environment;
    if (this.#output === "json") {
      const line = `${jsonText(answer.json())}\n`;
      return answer.hasWrittenData ? stderr.write(line) : await stdout.write(line);
    }
    const { output, note } = answer.text({ ...this.#view(stdout.isTerminal), isOneOfMany });
    if (output.length > 0) await stdout.write(output);
    if (note !== "") stderr.write(note);
  }

  /** Returns what a command waits for; null while connecting, which has a line of its own. */
  async #look(): Promise<string | null> {
    if (this.#isConnecting || this.#isAsking) return null;
    const client = await this.#connected;
    if (client === null) throw new Error("nothing to look at yet");
    return describeWaiting(await client.cluster.status({ timeoutMs: LOOK_TIMEOUT_MS }));
  }

  async #withWaitingLine<T>(work: Promise<T>, look: () => Promise<string | null>): Promise<T> {
    const { stderr, clock } = this.#environment;
    if (!stderr.isTerminal || this.#output === "json") return await work;
    return await withWaitingLine(work, {
      clock,
      look,
      show: (line) => this.#showLine(line),
      clear: () => this.#showLine(""),
    });
  }

  /** Shows a line in place of the one before it, on a terminal. */
  #showLine(line: string): void {
    const { stderr } = this.#environment;
    stderr.showLine(dim(fit(line, this.#environment.columns() - 1), this.#view(true)));
  }

  /** Asks for a secret on the terminal. */
  async #readSecret(prompt: string): Promise<SecretEnd> {
    if (!this.#environment.stdin.isTerminal) {
      throw new UsageError(
        "There is no terminal to ask for a secret on. Take it from a file or standard input.",
      );
    }
    this.#isAsking = true;
    try {
      return await this.#environment.readSecret(prompt);
    } finally {
      this.#isAsking = false;
    }
  }

  /** Returns how to ask on the terminal; null without one, and where the commands themselves are typed there. */
  #questions(isOneOfMany: boolean): CommandContext["confirm"] {
    const { stdin, stderr } = this.#environment;
    if (!stdin.isTerminal || !stderr.isTerminal || isOneOfMany) return null;
    return (question) => this.#environment.confirm(question);
  }

  /** Returns how the client signs in. The password is asked for once and kept in memory. */
  #credentials(): Promise<SignIn | null> {
    const { disk, stdin } = this.#environment;
    const readSecretFile = (path: string, maxBytes: number): Uint8Array =>
      this.#environment.readSecretFile(path, maxBytes);
    const readSecret = (prompt: string): Promise<SecretEnd> => this.#readSecret(prompt);
    this.#signIn ??= signInOf({
      options: this.#targetOnce().options,
      environment: { disk, stdin, readSecretFile, readSecret },
    });
    return this.#signIn;
  }

  /** Returns the client; the first call connects it. */
  #client(): Promise<StoreClient> {
    this.#connected ??= this.#connectFirst();
    return this.#connected;
  }

  async #connectFirst(): Promise<StoreClient> {
    await this.#credentials();
    this.#isConnecting = true;
    const opened = this.#open().finally(() => this.#isConnecting = false);
    return await this.#withWaitingLine(opened, () => Promise.resolve("waiting for a node to answer"));
  }

  /** Connects as another user, and closes the client of the one before. Where that fails, the one before stays. */
  async #signInAs(signIn: SignIn): Promise<StoreClient> {
    const before = { signIn: this.#signIn, client: await this.#connected };
    this.#signIn = Promise.resolve(signIn);
    try {
      this.#connected = Promise.resolve(await this.#open());
    } catch (error) {
      this.#signIn = before.signIn;
      throw error;
    }
    await before.client?.close();
    return await this.#connected;
  }

  async #open(): Promise<StoreClient> {
    const { cluster, options, origin } = this.#targetOnce();
    const signIn = await this.#credentials();
    try {
      const timeout = this.#timeoutMs === null ? {} : { timeoutMs: this.#timeoutMs };
      const tls = renewedTlsOf(options, this.#environment);
      const encryption = tls === null ? {} : { tls };
      return await this.#connect({ cluster: cluster.split(","), ...timeout, ...encryption, ...signIn });
    } catch (error) {
      if (error instanceof InvalidRequestError) {
        throw new UsageError(
          /the option tls/.test(error.message) ? error.message : `${origin}: ${error.message}`,
        );
      }
      throw error;
    }
  }

  #view(isTerminal: boolean): View {
    const color = isTerminal && this.#environment.wantsColor;
    return { isTerminal, color, columns: this.#environment.columns(), isOneOfMany: false, elapsedMs: null };
  }
}

const BYTES_HINT =
  "Write bytes as \\xHH with --escapes (U+FFFD as \\u{fffd}), a key also as --key-base64, a value " +
  "also as - (standard input) or --file.";
const NOT_UTF8 = "is not UTF-8. Write other bytes as \\xHH.";
const TOO_LONG = "is too long. Use put <key> --file <path> for long values.";

/** Returns how to start another client of the same cluster: the given options that do not concern the sign-in. */
function commandLineOf({ cluster, options }: Target): string {
  const names = CLIENT_TLS_OPTIONS.map(({ name }) => name);
  const given = ["cluster", ...names].flatMap((name) => {
    const value = name === "cluster" ? cluster : options.get(name);
    if (value === undefined) return [];
    return [`--${name} ${/^[\w.,:/[\]-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`}`];
  });
  return ["kvraft client", ...given].join(" ");
}
