/** Runs client commands on a store in memory. */
import { FakeStore } from "./fake_store.ts";
import { FakeEnvironment, type FakeEnvironmentOptions } from "./fake_environment.ts";
import { clientCommand } from "../../../../lib/cli/client.ts";

/** Environment of a client command. */
export interface Run extends FakeEnvironmentOptions {
  readonly store?: FakeStore;
}

/** The result of a client command. */
export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Names a cluster. */
export const CLUSTER = ["--cluster", "127.0.0.1:7001,127.0.0.1:7002"];

/** A client command that runs. */
export interface Running {
  readonly environment: FakeEnvironment;
  readonly ended: Promise<Ended>;
}

/** Runs a client command on a store. */
export async function run(args: readonly string[], options: Run = {}): Promise<Ended> {
  return await start(args, options).ended;
}

/** Starts a client command on a store. */
export function start(
  args: readonly string[],
  { store = new FakeStore(), ...options }: Run = {},
): Running {
  const environment = new FakeEnvironment(options);
  const code = clientCommand([...CLUSTER, ...args], { environment, connect: () => Promise.resolve(store) });
  const { stdout, stderr } = environment;
  return { environment, ended: code.then((code) => ({ code, out: stdout.text, err: stderr.text })) };
}

/** A store with `greeting` = hello, and a key and value that are not text. */
export async function filled(): Promise<FakeStore> {
  const store = new FakeStore();
  await store.put("greeting", "hello");
  await store.put(Uint8Array.of(0xff, 0x0a), Uint8Array.of(0x00, 0x80));
  store.calls.length = 0;
  return store;
}
