/**
 * Compares puts and gets through a leader's own code, and the entries at a follower, with authentication off and on:
 * `deno run -A tests/bench/micro/auth_cost.ts`. The goal is at most 3 % more time for each.
 *
 * Each of both runs in processes of its own, in turn: in one process the code is compiled for the commands of both, and the
 * difference disappears (1.04 times as long, where it was 1.2 times). The least of many times is compared, which other
 * programs on the machine disturb least.
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
import { type AuthChange, type PlainCommand, StateMachine } from "../../../lib/kv/mod.ts";
import { ConnectionIdentity } from "../../../lib/server/auth/connection_identity.ts";
import { Replica } from "../../../lib/server/replica.ts";
import { Reply } from "../../../lib/server/reply.ts";
import type { Entry } from "../../../lib/raft/mod.ts";
import { CHECKOUT } from "../../support/checkout.ts";
import { accessTo, passwordHash } from "../../support/fakes/auth.ts";
import { WritesBench } from "../../support/fakes/writes_bench.ts";
import { denoCommand, Process } from "../../support/processes/process.ts";
import { prefix } from "../../support/frames/user_client.ts";
import { keyAt, VALUE } from "./fixtures.ts";

/** Processes of each. */
const PROCESSES = 6;
/** Rounds of a process, of which the first ones warm it up. */
const ROUNDS = 150;
const WARM_UP_ROUNDS = 75;
/** Entries that a follower applies at a time. */
const BATCH = 64;
const CLIENTS = 64;
/** Writes that each client has in flight. */
const IN_FLIGHT = 16;
const WRITES = CLIENTS * IN_FLIGHT;
const READS = 2_000;

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
  readonly #follower: Replica;
  /** Entries that the follower has not applied. */
  #entries: Entry[] = [];
  #read = 0;
  /** Writes so far of each client. */
  #written = 0;
  readonly #gets: readonly Uint8Array[];
  readonly #out = new MessagePackWriter();

  private constructor(bench: WritesBench) {
    this.bench = bench;
    this.#follower = new Replica(new StateMachine(), bench.start);
    this.#entries.push(...bench.log.entries);
    bench.log.onAppend = ({ entries }): void => {
      this.#entries.push(...entries);
    };
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

  /** Returns the nanoseconds of an entry at a follower. */
  follow(): number {
    const entries = this.#entries;
    this.#entries = [];
    const begin = performance.now();
    for (let from = 0; from < entries.length; from += BATCH) {
      this.#follower.apply(entries.slice(from, from + BATCH));
    }
    return (performance.now() - begin) * 1e6 / entries.length;
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

/** Nanoseconds. */
interface Times {
  put: number;
  follow: number;
  get: number;
}

/** Returns the least of all rounds after the warm-up. */
async function measure(isOn: boolean): Promise<Times> {
  const subject = await Subject.make(isOn);
  const least: Times = { put: Infinity, follow: Infinity, get: Infinity };
  for (let round = 0; round < ROUNDS; round++) {
    const times: Times = { put: await subject.put(), follow: subject.follow(), get: subject.get() };
    if (round >= WARM_UP_ROUNDS) lower(least, times);
  }
  return least;
}

function lower(least: Times, times: Times): void {
  least.put = Math.min(least.put, times.put);
  least.follow = Math.min(least.follow, times.follow);
  least.get = Math.min(least.get, times.get);
}

async function compare(): Promise<void> {
  const least = {
    off: { put: Infinity, follow: Infinity, get: Infinity },
    on: { put: Infinity, follow: Infinity, get: Infinity },
  };
  for (let process = 0; process < PROCESSES; process++) {
    for (const mode of ["off", "on"] as const) {
      const [program, ...args] = denoCommand("tests/bench/micro/auth_cost.ts", {
        permissions: ["--allow-all"],
        args: [mode],
      });
      await using child = Process.start(program, args, { cwd: CHECKOUT, name: mode });
      lower(least[mode], JSON.parse((await child.end()).stdout));
    }
  }
  const { off, on } = least;
  for (const kind of ["put", "follow", "get"] as const) {
    const ratio = (on[kind] / off[kind]).toFixed(3);
    console.log(kind, Math.round(off[kind]), "ns, with users", Math.round(on[kind]), "ns, ratio", ratio);
  }
}

const [mode] = Deno.args;
if (mode === undefined) {
  await compare();
} else {
  console.log(JSON.stringify(await measure(mode === "on")));
  Deno.exit(0);
}
