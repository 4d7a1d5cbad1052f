/**
 * The flags of V8 with which `kvraft` runs: those of the task `server` of deno.json.
 *
 * V8 sizes its heap for the memory of the machine. A node has few objects that live long and makes many that die soon, so
 * by default most of its heap is garbage that waits for collection. These flags bound that: a smaller young generation,
 * and a major collection before the heap is twice as large as what survived the last one.
 *
 * V8 also notes which object literals survive. The first requests of a burst all wait at the same time, so their objects do, and
 * by default all later ones of these literals are then allocated among the long-lived objects for as long as the node runs,
 * where they keep what they refer to: with users, a get took 0.79 and a put 0.84 times the CPU after this was switched off
 * (docs/benchmarks/security.md).
 */

/**
 * Returns the flag for Deno's command line in a list; an empty list if the task has none.
 *
 * @param checkout the directory of deno.json
 */
export function v8Flags(checkout: string): readonly string[] {
  const config: { readonly tasks: Readonly<Record<string, { readonly command: string } | string>> } = JSON
    .parse(
      Deno.readTextFileSync(`${checkout}/deno.json`),
    );
  const { server } = config.tasks;
  const command = typeof server === "object" ? server.command : server ?? "";
  return command.match(/--v8-flags=\S+/) ?? [];
}
