/**
 * The environment of mutants: a copy of the checkout, into which one fault after the other is inserted and removed. The
 * checkout itself is not changed.
 */
import { join } from "@std/path";
import { copyCheckout } from "../support/checkout.ts";
import { TemporaryFolder } from "../support/temporary.ts";
import type { Check } from "./checks.ts";
import { type Mutant, planted } from "./mutant.ts";

/** The result of a mutant. */
export type Verdict =
  | {
    readonly kind: "caught";
    readonly by: Check;
    /** failed: it reported a failure. hung: it did not end in time. */
    readonly how: "failed" | "hung";
    /** From the first check's start to the last one's end. */
    readonly seconds: number;
  }
  | { readonly kind: "survived"; readonly seconds: number };

/** Thrown when a mutant could not be tested. */
export class LaboratoryError extends Error {
  override readonly name = "LaboratoryError";
}

type Outcome = { readonly kind: "passed" | "failed" | "hung"; readonly output: string };

/** Memory limit of one check, for mutants that allocate without bound. */
const HEAP_FLAG = "--v8-flags=--max-old-space-size=1024";
const TYPE_CHECK_DEADLINE_MS = 120_000;
/** Most characters shown of the output of a command that should have passed. */
const SHOWN_CHARACTERS = 4_000;

/** A copy of the checkout for experiments; removed when its `await using` block ends. */
export class Laboratory implements AsyncDisposable {
  readonly #folder: TemporaryFolder;
  readonly #importFlags: readonly string[];
  /** Checks that passed on the unchanged code. */
  readonly #sound = new Set<string>();

  private constructor(folder: TemporaryFolder, importFlags: readonly string[]) {
    this.#folder = folder;
    this.#importFlags = importFlags;
  }

  /** Copies the checkout. */
  static async make(): Promise<Laboratory> {
    const folder = await TemporaryFolder.make();
    copyCheckout(folder.path);
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-config", "tools/std_imports.ts"],
      cwd: folder.path,
      stderr: "inherit",
    }).output();
    const flags = new TextDecoder().decode(stdout).trim();
    return new Laboratory(folder, flags === "" ? [] : flags.split(" "));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#folder[Symbol.asyncDispose]();
  }

  /**
   * Inserts the mutant and runs `checks` until one detects it. Throws `StaleMutantError` when it can't be inserted, and
   * {@link LaboratoryError} when it does not compile, or when the check that detected it fails without it, too.
   */
  async try(mutant: Mutant, checks: readonly Check[]): Promise<Verdict> {
    const path = join(this.#folder.path, mutant.file);
    const original = Deno.readTextFileSync(path);
    Deno.writeTextFileSync(path, planted(mutant, original));
    try {
      await this.#assertCompiles(mutant);
      return await this.#firstToNotice(checks, () => Deno.writeTextFileSync(path, original));
    } finally {
      Deno.writeTextFileSync(path, original);
    }
  }

  async #firstToNotice(checks: readonly Check[], takeOut: () => void): Promise<Verdict> {
    const start = performance.now();
    for (const check of checks) {
      const { kind } = await this.#run(check);
      if (kind === "passed") continue;
      const seconds = (performance.now() - start) / 1_000;
      takeOut();
      await this.#assertSound(check);
      return { kind: "caught", by: check, how: kind, seconds };
    }
    return { kind: "survived", seconds: (performance.now() - start) / 1_000 };
  }

  /** Throws for a mutant that does not compile: it shows nothing about the tests. */
  async #assertCompiles({ id, file }: Mutant): Promise<void> {
    const { kind, output } = await this.#deno(["check", ...this.#importFlags, file], TYPE_CHECK_DEADLINE_MS);
    if (kind === "passed") return;
    throw new LaboratoryError(`${id} does not compile; write it so that it does.\n${shown(output)}`);
  }

  /** Throws for a check that fails on the unchanged code, too. */
  async #assertSound(check: Check): Promise<void> {
    if (this.#sound.has(check.name)) return;
    const { kind, output } = await this.#run(check);
    if (kind !== "passed") {
      throw new LaboratoryError(`The check "${check.name}" ${kind} without any mutant.\n${shown(output)}`);
    }
    this.#sound.add(check.name);
  }

  #run({ args: [command = "", ...rest], deadlineMs }: Check): Promise<Outcome> {
    const permissions = command === "test" ? ["-P"] : [];
    const flags = [command, "--quiet", "--no-check", HEAP_FLAG, ...permissions, ...this.#importFlags];
    return this.#deno([...flags, ...rest], deadlineMs);
  }

  async #deno(args: readonly string[], deadlineMs: number): Promise<Outcome> {
    const deadline = AbortSignal.timeout(deadlineMs);
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [...args],
      cwd: this.#folder.path,
      env: { NO_COLOR: "1" },
      stdin: "null",
      signal: deadline,
    }).output();
    const output = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    if (success) return { kind: "passed", output };
    return { kind: deadline.aborted ? "hung" : "failed", output };
  }
}

function shown(output: string): string {
  return output.length <= SHOWN_CHARACTERS ? output : `…${output.slice(-SHOWN_CHARACTERS)}`;
}
