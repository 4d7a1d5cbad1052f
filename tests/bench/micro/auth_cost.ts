/**
 * Compares puts and gets through a leader's own code with authentication off and on, alternating in one run:
 * `deno run -A tests/bench/micro/auth_cost.ts`. The goal is at most 3 % more time for each.
 */
// deno-lint-ignore-file no-console -- this is a command
import { assert } from "@std/assert";
import {
  CLIENT_REQUESTS,
  type ClientRequest,
  decodeClientRequest,
  encodeServerMessage,
} from "../../../lib/protocol/client_frames.ts";
import { encodeCommand } from "../../../lib/protocol/command.ts";
import { MessagePackWriter } from "../../../lib/protocol/msgpack_writer.ts";
import type { AuthChange, PlainCommand } from "../../../lib/kv/mod.ts";
import { ConnectionIdentity } from "../../../lib/server/auth/connection_identity.ts";
import { Reply } from "../../../lib/server/reply.ts";
import { accessTo, passwordHash } from "../../support/fakes/auth.ts";
import { WritesBench } from "../../support/fakes/writes_bench.ts";
import { prefix } from "../../support/frames/user_client.ts";
import { keyAt, VALUE } from "./fixtures.ts";

const ROUNDS = 30;
const CLIENTS = 64;
/** Writes that each client has in flight. */
const IN_FLIGHT = 16;
const WRITES = CLIENTS * IN_FLIGHT;
const READS = 50_000;

const USERS: readonly AuthChange[] = [
  { kind: "addUser", user: "root", password: passwordHash("r") },
  { kind: "grantRole", user: "root", role: "root" },
  { kind: "addUser", user: "alice", password: passwordHash("a") },
  { kind: "addRole", role: "all" },
  ...["bench/", "app/", "jobs/", "logs/"].flatMap((keys) =>
    (["read", "write"] as const).map((right): AuthChange => (
      { kind: "addGrant", role: "all", grant: { right, keys: prefix(keys) } }
    ))
  ),
  { kind: "grantRole", user: "alice", role: "all" },
];

/** A leader, with authentication on or off. */
class Subject {
  readonly bench: WritesBench;
  #read = 0;
  /** Writes so far of each client. */
  #written = 0;
  readonly #gets: readonly Uint8Array[];
  readonly #out = new MessagePackWriter();

  private constructor(bench: WritesBench) {
    this.bench = bench;
    this.#gets = Array.from({ length: WRITES }, (_, position) => {
      const out = new MessagePackWriter();
      CLIENT_REQUESTS.encode(out, { kind: "get", requestId: 1, key: keyAt(position), consistency: "stale" });
      return out.copy();
    });
  }

  static async make(isOn: boolean): Promise<Subject> {
    const subject = new Subject(await WritesBench.leading());
    const { bench } = subject;
    await bench.raiseFeatureLevel();
    const changes: readonly AuthChange[] = isOn ? [...USERS, { kind: "setEnabled", enabled: true }] : USERS;
    for (const change of changes) {
      const command: PlainCommand = { kind: "changeAuth", session: null, change };
      bench.submitForwarded(encodeCommand(command), () => {});
      await bench.drain();
    }
    if (!isOn) return subject;
    const alice = bench.replica.stateMachine.auth.user("alice");
    assert(alice !== null);
    bench.identity = new ConnectionIdentity({ remote: "10.0.0.1:5000", certificate: null }, {
      wallClock: () => 0,
    });
    const { id: userId, passwordRevision: credential } = alice;
    bench.identity.signIn({ userId, credential, via: "password", expiresAtMs: null });
    return subject;
  }

  /** Returns the next puts of all clients, in their sessions: the answers to all earlier ones have arrived. */
  #nextPuts(): readonly Uint8Array[] {
    const acknowledgedBelow = this.#written + 1;
    this.#written += IN_FLIGHT;
    return Array.from({ length: WRITES }, (_, position) => {
      const sequence = acknowledgedBelow + Math.floor(position / CLIENTS);
      const session = { sessionId: 1 + position % CLIENTS, sequence, acknowledgedBelow, openedAt: 0 };
      const mutations = [{ kind: "put", key: keyAt(position), value: VALUE.subarray(0, 100) }] as const;
      return encodeCommand({ kind: "transaction", session, checks: [], mutations });
    });
  }

  /** Returns the nanoseconds of a put. */
  async put(): Promise<number> {
    const { bench } = this;
    const commands = this.#nextPuts();
    let answered = 0;
    const begin = performance.now();
    for (const command of commands) {
      const request = { kind: "write", requestId: 1, command } as const;
      const reply = this.#reply(request);
      const refusal = reply.refusal();
      assert(refusal === null);
      bench.submit(command, (answer) => {
        assert(answer.kind === "result", answer.kind === "error" ? answer.message : "");
        answered++;
        this.#out.clear(1_000_000);
        encodeServerMessage(this.#out, { kind: "writeResult", requestId: 1, result: answer.result });
      });
    }
    await bench.drain();
    const took = performance.now() - begin;
    assert(answered === WRITES, `${answered} answers`);
    return took * 1e6 / WRITES;
  }

  /** Returns the nanoseconds of a get. */
  get(): number {
    const { stateMachine } = this.bench.replica;
    const begin = performance.now();
    for (let read = 0; read < READS; read++) {
      const payload = this.#gets[this.#read++ % WRITES];
      assert(payload !== undefined);
      const request = decodeClientRequest(payload);
      assert(request.kind === "get");
      const reply = this.#reply(request);
      assert(reply.refusal() === null);
      assert(reply.lateRefusal() === null);
      const entry = stateMachine.get(request.key);
      this.#out.clear(1_000_000);
      encodeServerMessage(this.#out, { kind: "getResult", requestId: 1, entry, revision: 1 });
    }
    return (performance.now() - begin) * 1e6 / READS;
  }

  readonly #access = accessTo(() => this.bench.replica.stateMachine);
  readonly #options = {
    leadership: { current: { leader: 1, term: 1 } },
    access: this.#access,
    metrics: null,
  };

  #reply(request: ClientRequest): Reply {
    const target = { identity: this.bench.identity, send: (): void => {}, fail: (): void => {} };
    return new Reply(request, target, this.#options);
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}

const [off, on] = [await Subject.make(false), await Subject.make(true)];
const times = {
  putOff: [] as number[],
  putOn: [] as number[],
  getOff: [] as number[],
  getOn: [] as number[],
};
for (let round = 0; round < ROUNDS; round++) {
  times.putOff.push(await off.put());
  times.putOn.push(await on.put());
  times.getOff.push(off.get());
  times.getOn.push(on.get());
}
for (
  const [name, a, b] of [["put", times.putOff, times.putOn], ["get", times.getOff, times.getOn]] as const
) {
  const ratios = a.map((one, round) => (b[round] ?? 0) / one);
  console.log(
    name,
    "off",
    Math.round(median(a)),
    "ns, on",
    Math.round(median(b)),
    "ns, median ratio",
    median(ratios).toFixed(3),
    "min",
    Math.round(Math.min(...a)),
    Math.round(Math.min(...b)),
  );
}
