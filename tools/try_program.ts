/** Tries a compiled program: its version, and a node that takes and returns a key, in a directory that is removed. */

/** Longest duration of one step, on a busy machine. */
const STEP_MS = 30_000;
const READY_LINE = /ready to serve/;

/** Returns a sentence about what the program cannot do, with its output; null if it works. */
export async function problemOf(
  program: string,
  { runsNode }: { readonly runsNode: boolean },
): Promise<string | null> {
  const config = JSON.parse(await Deno.readTextFile(new URL("../deno.json", import.meta.url)));
  const version = await run(program, ["--version"]);
  if (version.output !== `kvraft ${config.version}\n`) {
    return `It should print its version, ${config.version}:\n${version.output}`;
  }
  if (!runsNode) return null;
  const directory = await Deno.realPath(await Deno.makeTempDir({ prefix: "kvraft-compile-" }));
  try {
    return await problemOfNode(program, directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function problemOfNode(program: string, directory: string): Promise<string | null> {
  const address = `127.0.0.1:${freePort()}`;
  const flags = [
    "--node-id=1",
    `--bind=${address}`,
    `--cluster=1=${address}`,
    `--data-dir=${directory}/data`,
  ];
  const node = new Deno.Command(program, {
    args: ["server", ...flags],
    // Its data is elsewhere, as that of a service.
    cwd: "/",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const timer = setTimeout(() => kill(node), STEP_MS);
  const errors = new Response(node.stderr).text();
  const [forReady, forEnd] = node.stdout.tee();
  const output = new Response(forEnd).text();
  try {
    const ready = await firstText(forReady);
    if (!READY_LINE.test(ready)) return `A node does not start:\n${ready}${await errors}`;
    for (const [args, expected] of [[["put", "key", "value"], /^ok/], [["get", "key"], /^value/]] as const) {
      const { output: answer } = await run(program, ["client", "--cluster", address, ...args]);
      if (!expected.test(answer)) {
        return `A node started, and the client cannot ${args.join(" ")}:\n${answer}`;
      }
    }
    kill(node);
    const { code } = await node.status;
    return code === 0 || Deno.build.os === "windows"
      ? null
      : `A node does not stop cleanly: exit code ${code}\n${await errors}`;
  } finally {
    clearTimeout(timer);
    kill(node);
    await Promise.all([node.status, output, errors]);
  }
}

async function firstText(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  for await (const text of stream.pipeThrough(new TextDecoderStream())) return text;
  return "";
}

/** Ends the process; does nothing if it has ended. */
function kill(process: Deno.ChildProcess): void {
  try {
    process.kill("SIGTERM");
  } catch {
    // It has ended.
  }
}

/** Runs the program until it ends, or for {@link STEP_MS}. Resolves to what it printed, or why it could not be started. */
async function run(program: string, args: readonly string[]): Promise<{ readonly output: string }> {
  const decoder = new TextDecoder();
  try {
    const { stdout, stderr } = await new Deno.Command(program, {
      args: [...args],
      stdin: "null",
      signal: AbortSignal.timeout(STEP_MS),
    }).output();
    return { output: decoder.decode(stdout) + decoder.decode(stderr) };
  } catch (error) {
    // A base binary for another processor, for example.
    return { output: error instanceof Error ? error.message : String(error) };
  }
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
