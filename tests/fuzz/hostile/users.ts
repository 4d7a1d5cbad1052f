/**
 * Hostile programs in a cluster with users: one that does not sign in, a user without rights, a user with rights over
 * one prefix, and an operator. Every byte that the first three receive is searched for text which only others may read,
 * and the state is compared with the one before: nothing outside their rights is answered or applied.
 */
import { Buffer } from "node:buffer";
import type { KeyValue, KvClient } from "../../../lib/mod.ts";
import type { Connection } from "../../../lib/platform/network.ts";
import { FRAME_KIND } from "../../support/frames/kinds.ts";
import { eventually } from "../../support/eventually.ts";
import { USER_NAMES } from "./commands.ts";
import type { Receiver, SpeakerUser } from "./speaker.ts";
import { MARKER } from "./witness.ts";

/** The keys that the user with rights over one prefix may read and write; hostile programs write others besides. */
const GRANTED_PREFIX = "hostile/1";
const PAGE_ENTRIES = 1_000;
const READ_BYTES = 65_536;
const LENGTH_BYTES = 4;
/** Kinds of frames that a connection without a user may receive. */
const PUBLIC_KINDS: ReadonlySet<number> = new Set([
  FRAME_KIND.welcome,
  FRAME_KIND.refusal,
  FRAME_KIND.challenge,
  FRAME_KIND.error,
  FRAME_KIND.authStatusResult,
  // The answer to a sign-in as no user. After one as a user, other kinds would follow.
  FRAME_KIND.signedIn,
]);

/** State that no hostile user but the operator may change. */
interface Protected {
  readonly entries: readonly KeyValue[];
  readonly members: string;
}

/** The users of a run. */
export class HostileUsers {
  readonly #tokens: ReadonlyMap<string, string>;
  readonly #authRevision: number;
  /** Findings, in order. */
  readonly problems: string[] = [];
  #before: Protected | null = null;

  private constructor(tokens: ReadonlyMap<string, string>, authRevision: number) {
    this.#tokens = tokens;
    this.#authRevision = authRevision;
  }

  /** Adds the users and enables authentication. */
  static async add(client: KvClient): Promise<HostileUsers> {
    const { auth } = client;
    await eventually("the cluster has the feature level of users", async () => {
      await auth.addUser("root", { password: crypto.randomUUID() });
      return true;
    });
    await auth.grantRole("root", "root");
    for (const user of ["bare", "limited", "operator"]) await auth.addUser(user);
    for (const role of ["limited", "operator"]) {
      await auth.addRole(role);
      await auth.grantRole(role, role);
    }
    for (const right of ["read", "write"] as const) {
      await auth.grant("limited", right, { prefix: GRANTED_PREFIX });
    }
    await auth.grant("operator", "admin", { prefix: "" });
    const tokens = new Map<string, string>();
    for (const user of USER_NAMES) {
      tokens.set(user, (await auth.createToken(user, { name: "fuzz" })).token);
    }
    await auth.enable();
    return new HostileUsers(tokens, (await auth.status()).authRevision);
  }

  /** Returns the token of a user. */
  tokenOf(user: typeof USER_NAMES[number]): string {
    const token = this.#tokens.get(user);
    if (token === undefined) throw new TypeError(`there is no token of ${user}`);
    return token;
  }

  /** The hostile programs whose rights do not reach the protected state. */
  get limited(): readonly SpeakerUser[] {
    const bare = { token: this.tokenOf("bare"), isMutating: true, receive: this.#receiver("bare") };
    const limited = { token: this.tokenOf("limited"), isMutating: true, receive: this.#receiver("limited") };
    return [{ token: null, isMutating: true, receive: this.#receiver(null) }, bare, limited, limited];
  }

  /** The hostile program that may do everything but change users. Bytes at random would be valid changes of members. */
  get operator(): SpeakerUser {
    return { token: this.tokenOf("operator"), isMutating: false, receive: null };
  }

  /** Remembers the protected state. */
  async begin(root: KvClient): Promise<void> {
    this.#before = await readProtected(root);
  }

  /** Compares the protected state with that at the beginning. */
  async check(root: KvClient): Promise<void> {
    const after = await readProtected(root);
    const { entries = [], members } = this.#before ?? {};
    if (after.members !== members) {
      this.problems.push(`the members changed: ${members}, now ${after.members}`);
    }
    const known = new Map(entries.map(({ key, modRevision }) => [key.join(), modRevision]));
    const found = new Map(after.entries.map(({ key, modRevision }) => [key.join(), modRevision]));
    for (const { key } of [...entries, ...after.entries]) {
      if (known.get(key.join()) === found.get(key.join())) continue;
      this.problems.push(`the key ${new TextDecoder().decode(key)} was changed without a right to it`);
    }
    await this.checkUsers(root);
  }

  /** Checks that no user, role or token was changed. */
  async checkUsers(root: KvClient): Promise<void> {
    const { authRevision, enabled } = await root.auth.status();
    if (enabled && authRevision === this.#authRevision) return;
    this.problems.push(
      `users were changed: auth revision ${authRevision}, in place of ${this.#authRevision}`,
    );
  }

  /** Returns a reader that reports what the user may not receive. */
  #receiver(user: string | null): Receiver {
    return async (connection: Connection): Promise<void> => {
      const search = new MarkerSearch();
      const kinds = new FrameKinds();
      const buffer = new Uint8Array(READ_BYTES);
      for (let count = await connection.read(buffer); count !== null; count = await connection.read(buffer)) {
        const bytes = buffer.subarray(0, count);
        if (search.finds(bytes)) this.problems.push(`${user} received a value that it may not read`);
        if (user !== null) continue;
        for (const kind of kinds.take(bytes)) {
          if (!PUBLIC_KINDS.has(kind)) {
            this.problems.push(`a frame of kind ${kind} was sent without a sign-in`);
          }
        }
      }
    };
  }
}

/** Finds the marker in a stream of bytes, also across two reads. */
class MarkerSearch {
  #tail = Buffer.alloc(0);

  finds(bytes: Uint8Array): boolean {
    const text = Buffer.concat([this.#tail, bytes]);
    this.#tail = text.subarray(Math.max(0, text.length - MARKER.length + 1));
    return text.includes(MARKER);
  }
}

/** Splits a stream of bytes into frames, of which it keeps the kinds only. */
class FrameKinds {
  #head = new Uint8Array(0);
  #skipped = 0;

  take(bytes: Uint8Array): readonly number[] {
    const kinds: number[] = [];
    let rest = bytes;
    while (rest.length > 0) {
      if (this.#skipped > 0) {
        const count = Math.min(this.#skipped, rest.length);
        this.#skipped -= count;
        rest = rest.subarray(count);
        continue;
      }
      // The length, the array's head of one byte, and the kind.
      const wanted = LENGTH_BYTES + 2 - this.#head.length;
      this.#head = new Uint8Array([...this.#head, ...rest.subarray(0, wanted)]);
      rest = rest.subarray(wanted);
      if (this.#head.length < LENGTH_BYTES + 2) continue;
      kinds.push(this.#head[LENGTH_BYTES + 1] ?? 0);
      this.#skipped = new DataView(this.#head.buffer).getUint32(0) - 2;
      this.#head = new Uint8Array(0);
    }
    return kinds;
  }
}

/** Reads the entries outside of the granted prefix and of the witness, and the members. */
async function readProtected(root: KvClient): Promise<Protected> {
  const entries: KeyValue[] = [];
  const text = new TextDecoder();
  let cursor: string | null = null;
  do {
    const page = await root.list({ prefix: "", limit: PAGE_ENTRIES, ...cursor === null ? {} : { cursor } });
    for (const entry of page.entries) {
      const key = text.decode(entry.key);
      if (!key.startsWith(GRANTED_PREFIX) && !key.startsWith("witness")) entries.push(entry);
    }
    cursor = page.cursor;
  } while (cursor !== null);
  return { entries, members: JSON.stringify(await root.cluster.members()) };
}
