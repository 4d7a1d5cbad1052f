/** A prefix of unused keys for `bench` and `check`, the clients that work on it, and the removal of its keys. */
import { KvraftError } from "../../../client/errors.ts";
import { MAX_PREFIX_BYTES } from "../../../loadgen/mod.ts";
import type { Random } from "../../../platform/clock.ts";
import type { CommandContext, StoreClient } from "../../command.ts";
import { UsageError } from "../../errors.ts";
import { bytesOfWord, escapeBytes } from "../../text.ts";

/** Clients that connect at the same time: more of them would exceed their deadlines. */
const DIALS = 64;
const PREFIX_LETTERS = 8;
const KEYS_OF_ONE_TRANSACTION = 100;
/** Keys that are listed at once, and then removed by concurrent transactions. */
const KEYS_OF_ONE_PAGE = 1_000;
/** Deadline of each attempt to remove keys. */
const ATTEMPT_TIMEOUT_MS = 5_000;

/** Returns the requested prefix, else a random one: `check/3k9x0fqa/`. Throws {@link UsageError}. */
export function scratchPrefix(
  word: string | undefined,
  { command, random }: { readonly command: string; readonly random: Random },
): Uint8Array {
  const letters = Array.from({ length: PREFIX_LETTERS }, () => Math.floor(random() * 36).toString(36));
  const prefix = bytesOfWord(word ?? `${command}/${letters.join("")}/`);
  if (prefix.length <= MAX_PREFIX_BYTES) return prefix;
  throw new UsageError(`--prefix has ${prefix.length} bytes; at most ${MAX_PREFIX_BYTES} are allowed.`);
}

/** Throws {@link UsageError} if the prefix has keys. */
export async function requireUnused(
  client: StoreClient,
  { prefix, timeoutMs }: { readonly prefix: Uint8Array; readonly timeoutMs: number },
  context: CommandContext,
): Promise<void> {
  const signal = context.signal === null ? {} : { signal: context.signal };
  const { entries: [entry] } = await client.list({ prefix, limit: 1, timeoutMs, ...signal });
  if (entry === undefined) return;
  throw new UsageError(
    `--prefix: there are keys already, ${
      escapeBytes(entry.key)
    } for one. Choose a prefix that no key begins with, ` +
      "or leave it to chance.",
  );
}

/** Connects clients, which `owner` closes. Rejects if one of them fails. */
export async function connectAll(
  count: number,
  { context, owner }: { readonly context: CommandContext; readonly owner: AsyncDisposableStack },
): Promise<readonly StoreClient[]> {
  const clients: StoreClient[] = [];
  while (clients.length < count) {
    const dials = Array.from({ length: Math.min(DIALS, count - clients.length) }, () => context.connect());
    const attempts = await Promise.allSettled(dials);
    const connected = attempts.flatMap((attempt) => attempt.status === "fulfilled" ? [attempt.value] : []);
    for (const client of connected) owner.defer(() => client.close());
    clients.push(...connected);
    const failure = attempts.find((attempt) => attempt.status === "rejected");
    if (failure !== undefined) throw failure.reason;
  }
  return clients;
}

/** Removes the keys within `forMs` as far as possible. Resolves to whether none is left. */
export async function removeKeys(
  client: StoreClient,
  prefix: Uint8Array,
  { context, forMs }: { readonly context: CommandContext; readonly forMs: number },
): Promise<boolean> {
  const { clock } = context.environment;
  const until = clock.now() + forMs;
  try {
    while (true) {
      const timeoutMs = Math.max(1, Math.min(ATTEMPT_TIMEOUT_MS, Math.ceil(until - clock.now())));
      const { entries } = await client.list({ prefix, limit: KEYS_OF_ONE_PAGE, timeoutMs });
      if (entries.length === 0) return true;
      if (clock.now() >= until) return false;
      const mutations = entries.map(({ key }) => ({ kind: "delete", key } as const));
      const parts = Array.from(
        { length: Math.ceil(mutations.length / KEYS_OF_ONE_TRANSACTION) },
        (_, part) => mutations.slice(part * KEYS_OF_ONE_TRANSACTION, (part + 1) * KEYS_OF_ONE_TRANSACTION),
      );
      await Promise.all(parts.map((part) => client.transaction({ mutations: part, timeoutMs })));
    }
  } catch (error) {
    if (error instanceof KvraftError) return false;
    throw error;
  }
}
