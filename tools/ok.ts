/**
 * `deno task ok`: all checks before a commit, with one line of output for each step, the fast ones first.
 *
 * It changes nothing. At the first step that fails it prints the output of that step and exits with 1. Its arguments are
 * the flags of tools/std_imports.ts. With `--static` before them it omits the tests: .ci/run does this before README's
 * test command, which runs all tests.
 */
// deno-lint-ignore-file no-console -- a tool writes to its terminal

/** One check. */
interface Step {
  readonly name: string;
  /** Arguments of `deno`. */
  readonly args: readonly string[];
  /** Returns a summary of the output of the step. */
  readonly summary: (output: string) => string;
}

const STEP_DEADLINE_MS = 10 * 60_000;

const isStatic = Deno.args[0] === "--static";
const importFlags = isStatic ? Deno.args.slice(1) : Deno.args;
const docFlags = ["test", "--quiet", "-P", ...importFlags];
/** As in `deno task test`: the types were checked in a step before, and tests that wait leave the machine to others. */
const testFlags = [...docFlags, "--no-check", "--parallel"];
const TEST_FILES_AT_A_TIME = "2";

const steps: readonly Step[] = [
  {
    name: "format",
    args: ["fmt", "--check"],
    summary: (output) => `${firstNumber(output, /Checked (\d+) files?/)} files are formatted`,
  },
  {
    name: "lint",
    args: ["lint"],
    summary: (output) => `${firstNumber(output, /Checked (\d+) files?/)} files have no lint`,
  },
  {
    name: "types",
    args: ["check", "--quiet", ...importFlags, "main.ts", "lib", "tests", "tools", "examples"],
    summary: () => "all files type-check with the strictest settings",
  },
  {
    name: "docs",
    args: ["doc", "--lint", ...importFlags, "lib/mod.ts", "lib/testing.ts", "lib/server.ts", "main.ts"],
    summary: () => "all public symbols are documented and typed",
  },
  {
    name: "examples",
    args: ["check", "--quiet", "--doc", ...importFlags, "lib", "README.md", "docs/auth.md"],
    summary: () => "all examples in the documentation type-check",
  },
  {
    name: "imports",
    args: [
      ...docFlags,
      "--doc",
      "lib/mod.ts",
      "lib/testing.ts",
      "lib/server.ts",
      "lib/client",
      "docs/auth.md",
    ],
    summary: (output) => `${firstNumber(output, /(\d+) passed/)} examples import the package by its name`,
  },
  { name: "tidy", args: [...testFlags, "tests/tidy_test.ts"], summary: passedTests },
  { name: "unit", args: [...testFlags, "tests/unit"], summary: passedTests },
  { name: "golden", args: [...testFlags, "tests/golden"], summary: passedTests },
  { name: "model", args: [...testFlags, "tests/model"], summary: passedTests },
  { name: "sim", args: [...testFlags, "tests/sim"], summary: passedTests },
  { name: "hostile", args: [...testFlags, "tests/fuzz", "tests/mutants"], summary: passedTests },
  { name: "cluster", args: [...testFlags, "tests/cluster", "tests/torture"], summary: passedTests },
  { name: "package", args: [...testFlags, "tests/package"], summary: passedTests },
];

function firstNumber(output: string, pattern: RegExp): string {
  return pattern.exec(output)?.[1] ?? "all";
}

function passedTests(output: string): string {
  return `${firstNumber(output, /(\d+) passed/)} tests passed`;
}

async function run(step: Step): Promise<{ success: boolean; output: string; seconds: string }> {
  const start = performance.now();
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...step.args],
    cwd: new URL("..", import.meta.url),
    env: { NO_COLOR: "1", DENO_JOBS: TEST_FILES_AT_A_TIME },
    stdin: "null",
    signal: AbortSignal.timeout(STEP_DEADLINE_MS),
  }).output();
  const decoder = new TextDecoder();
  return {
    success,
    output: decoder.decode(stdout) + decoder.decode(stderr),
    seconds: ((performance.now() - start) / 1000).toFixed(1),
  };
}

const firstTest = steps.findIndex(({ name }) => name === "tidy");
for (const step of isStatic ? steps.slice(0, firstTest) : steps) {
  const { success, output, seconds } = await run(step);
  if (!success) {
    console.error(`${output}\nfailed  ${step.name.padEnd(8)} after ${seconds} s; its output is above`);
    Deno.exit(1);
  }
  console.log(`ok  ${step.name.padEnd(8)} ${step.summary(output)} (${seconds} s)`);
}
