/** The programs of tests/etcd/driver, which use etcd's Go modules; they are built when a test needs them. */
import { join } from "@std/path";
import { CHECKOUT } from "../checkout.ts";
import { within } from "../eventually.ts";

const SOURCE = join(CHECKOUT, "tests", "etcd", "driver");
const CACHE = join(CHECKOUT, ".cache");
const PROGRAM = join(CACHE, "etcd-driver");

/** A message in protobuf's JSON form: bytes in base64, 64-bit integers as text, fields by their names in the .proto file. */
export type Body = Readonly<Record<string, unknown>>;

/** A step of the program `rpc`; rpc.go says what its fields do. */
export type DriverStep =
  | {
    readonly call: string;
    readonly body?: Body;
    readonly raw?: string;
    readonly metadata?: Readonly<Record<string, string>>;
    readonly timeoutMs?: number;
  }
  | {
    readonly open: string;
    readonly call: string;
    readonly metadata?: Readonly<Record<string, string>>;
  }
  | { readonly send: string; readonly body?: Body; readonly raw?: string }
  | { readonly halfClose: string }
  | { readonly close: string }
  | {
    readonly await: string;
    readonly until?: string;
    readonly idleMs?: number;
    readonly timeoutMs?: number;
  };

/** The outcome of a step. */
export interface Outcome {
  readonly bodies: readonly Body[];
  /** A status code of gRPC. */
  readonly code: number;
  readonly message: string;
  /** Whether the awaited stream has ended, with that status. */
  readonly hasEnded: boolean;
  /** Whether the driver gave up: the status is its own. */
  readonly isLate: boolean;
}

/** The attempt of this process to build the program; null before. */
let building: Promise<string | null> | null = null;

/** Builds the program; returns its path, or null where there is no Go or its modules can't be had. */
export async function driverProgram(): Promise<string | null> {
  building ??= build();
  return await building;
}

async function build(): Promise<string | null> {
  await Deno.mkdir(CACHE, { recursive: true });
  // Other tests may run the program, or build it, at the same time.
  const folder = await Deno.makeTempDir({ dir: CACHE, prefix: "etcd-driver-" });
  try {
    const built = join(folder, "driver");
    const args = ["build", "-trimpath", "-o", built, "."];
    const { success } = await new Deno.Command("go", { args, cwd: SOURCE, stderr: "null" }).output();
    if (success) await Deno.rename(built, PROGRAM);
    return success ? PROGRAM : null;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Deadline of a step beyond that of the driver itself. */
const STEP_MS = 60_000;

/** A process that sends requests to one server, one after the other. Use with `await using`. */
export class Driver implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #errors: Promise<string>;
  #rest = "";

  /** Starts the program that {@link driverProgram} returned. */
  constructor(program: string, address: string) {
    this.#child = new Deno.Command(program, {
      args: ["rpc", address],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#lines = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    this.#errors = new Response(this.#child.stderr).text();
  }

  /** Performs a step and returns its outcome. */
  async perform(step: DriverStep): Promise<Outcome> {
    const text = JSON.stringify(step);
    await this.#input.write(new TextEncoder().encode(`${text}\n`));
    const line = await within("the driver answers", this.#line(), {
      deadlineMs: STEP_MS,
      explain: () => text.slice(0, 1_000),
    });
    return JSON.parse(line);
  }

  /** Calls a method, `etcdserverpb.KV/Range`, and returns its outcome. */
  call(call: string, body: Body = {}, metadata: Readonly<Record<string, string>> = {}): Promise<Outcome> {
    return this.perform({ call, body, metadata });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#lines.cancel().catch(() => {});
    await this.#child.status;
    await this.#errors;
  }

  async #line(): Promise<string> {
    const parts = [this.#rest];
    while (true) {
      const last = parts.at(-1) ?? "";
      const end = last.indexOf("\n");
      if (end >= 0) {
        this.#rest = last.slice(end + 1);
        return parts.slice(0, -1).join("") + last.slice(0, end);
      }
      const { value, done } = await this.#lines.read();
      if (done) throw new Error(`The driver ended: ${await this.#errors}`);
      parts.push(value);
    }
  }
}
