/** Division of one load among several generator processes. */
import type { Assignment } from "./generator_main.ts";

/** Divides `whole` among generators. There are no more of them than connections. */
export function sharesOf(whole: Assignment, generators: number): readonly Assignment[] {
  const { connections, load } = whole;
  const parts = Math.min(generators, load.clients, connections);
  const share = (count: number, part: number): number =>
    Math.floor(count * (part + 1) / parts) - Math.floor(count * part / parts);
  return Array.from({ length: parts }, (_, part): Assignment => ({
    ...whole,
    connections: share(connections, part),
    load: { ...load, clients: share(load.clients, part) },
  }));
}
