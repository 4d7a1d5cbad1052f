/**
 * Invalid input to the port, from clients, peers and other programs, ends at most the connection that sent it: the
 * writers go on, and leader and term do not change.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { ValueType } from "@std/msgpack";
import type { Command } from "../../lib/kv/mod.ts";
import { FRAME_KIND } from "../support/frames/kinds.ts";
import { MAX_FRAME_BYTES } from "../../lib/protocol/limits.ts";
import { paddedCommand } from "../support/padded_command.ts";
import { step } from "../support/step.ts";
import { underLoad } from "../support/processes/under_load.ts";
import { clientHello, frame, Wire } from "../support/wire.ts";

const IDLE_CONNECTIONS = 1_000;
/** Fewer connections than a node admits before their hello. */
const CONNECTIONS_AT_ONCE = 100;
const OTHER_CLUSTER = "0123456789abcdef";

const PUT_A_BYTE: Command = {
  kind: "transaction",
  session: null,
  checks: [],
  mutations: [{ kind: "put", key: new Uint8Array([1]), value: new Uint8Array([1]) }],
};

/** Connects and sends a client's hello. */
async function greeted(port: number): Promise<Wire> {
  const wire = await Wire.connect(port);
  await wire.send(frame(clientHello()));
  await wire.take([FRAME_KIND.welcome]);
  return wire;
}

/** Sends `hello`; expects a refusal that contains `words`, and the end of the connection. */
async function assertRefused(
  port: number,
  { hello, words }: { hello: ValueType; words: string },
): Promise<void> {
  using wire = await Wire.connect(port);
  await wire.send(frame(hello));
  const { elements: [, , message] } = await wire.take([FRAME_KIND.refusal]);
  assertStringIncludes(`${message}`, words);
  await wire.waitForEnd();
}

/** Invalid inputs and their effects. */
const attacks: readonly { readonly name: string; readonly run: (port: number) => Promise<void> }[] = [
  {
    name: "garbage ends the connection",
    async run(port): Promise<void> {
      using wire = await Wire.connect(port);
      await wire.send(crypto.getRandomValues(new Uint8Array(65_536)).fill(0xc1, 0, 8));
      await wire.waitForEnd();
    },
  },
  {
    name: "a length of 4 GiB ends the connection",
    async run(port): Promise<void> {
      using wire = await Wire.connect(port);
      await wire.send(new Uint8Array([0xff, 0xff, 0xff, 0xff, 0x90]));
      await wire.waitForEnd();
    },
  },
  {
    name: "a length over the limit ends the connection after a good hello, too",
    async run(port): Promise<void> {
      using wire = await greeted(port);
      await wire.send(new Uint8Array([0x7f, 0xff, 0xff, 0xff, 0x90]));
      await wire.waitForEnd();
    },
  },
  {
    name: "half a hello and the end of the connection has no effect",
    async run(port): Promise<void> {
      using wire = await Wire.connect(port);
      const hello = frame(clientHello());
      await wire.send(hello.subarray(0, hello.length / 2));
    },
  },
  {
    name: "a client of another cluster is refused with the reason",
    run: (port) =>
      assertRefused(port, { hello: clientHello({ clusterId: OTHER_CLUSTER }), words: "cluster" }),
  },
  {
    name: "a peer of another cluster is refused with the reason",
    run: (port) =>
      assertRefused(port, {
        hello: [0, "kvraft", 1, 1, 1, OTHER_CLUSTER, 2, 1, null, 9, "127.0.0.1:7002"],
        words: "cluster",
      }),
  },
  {
    name: "protocol version 999 is refused with the reason",
    run: (port) =>
      assertRefused(port, { hello: clientHello({ minVersion: 999, maxVersion: 999 }), words: "999" }),
  },
  {
    name: "a newer client that also supports version 1 is welcomed",
    async run(port): Promise<void> {
      using wire = await Wire.connect(port);
      await wire.send(frame(clientHello({ minVersion: 1, maxVersion: 999 })));
      const { elements: [, version] } = await wire.take([FRAME_KIND.welcome]);
      assertEquals(version, 1);
    },
  },
  {
    name: "a frame of an unknown kind is answered with unknownKind, and the connection stays open",
    async run(port): Promise<void> {
      using wire = await greeted(port);
      await wire.send(frame([199, 5, "from the future"]));
      const { elements: [, , code] } = await wire.take([FRAME_KIND.error]);
      assertEquals(code, "unknownKind");
      await wire.send(frame([FRAME_KIND.status, 6]));
      const { elements: [, requestId] } = await wire.take([FRAME_KIND.statusResult]);
      assertEquals(requestId, 6);
    },
  },
  {
    name: "a put of one byte, padded to nearly a frame, is refused",
    async run(port): Promise<void> {
      using wire = await greeted(port);
      await wire.send(frame([FRAME_KIND.write, 7, paddedCommand(PUT_A_BYTE, MAX_FRAME_BYTES - 100)]));
      const { elements: [, requestId, code] } = await wire.take([FRAME_KIND.error]);
      assertEquals([requestId, code], [7, "invalidRequest"]);
    },
  },
  {
    name: "a member's address of megabytes is refused, and the message quotes only its beginning",
    async run(port): Promise<void> {
      using wire = await greeted(port);
      await wire.send(frame([FRAME_KIND.changeMembership, 8, [6, 2, "a".repeat(16_000_000)], false]));
      const { elements: [, requestId, code, message] } = await wire.take([FRAME_KIND.error]);
      assertEquals([requestId, code], [8, "invalidRequest"]);
      assert(`${message}`.length < 500, `a message of ${`${message}`.length} characters`);
    },
  },
  {
    name: "a member can't be moved to an address that can't be dialled",
    async run(port): Promise<void> {
      for (const address of ["0.0.0.0:7001", "[::]:7001", "255.255.255.255:7001", "localhost:0"]) {
        using wire = await greeted(port);
        await wire.send(frame([FRAME_KIND.changeMembership, 9, [6, 2, address], true]));
        const { elements: [, requestId, code] } = await wire.take([FRAME_KIND.error]);
        assertEquals([requestId, code], [9, "invalidRequest"]);
      }
    },
  },
  {
    name: "a request with a field of the wrong type ends that connection",
    async run(port): Promise<void> {
      using wire = await greeted(port);
      await wire.send(frame([FRAME_KIND.status, "six"]));
      await wire.waitForEnd();
    },
  },
];

Deno.test("hostile input: other clients and peers are not affected by it", async (t) => {
  await underLoad({}, async ({ cluster, progress }) => {
    const leader = await cluster.waitForLeader();
    const port = cluster.port(leader);
    const term = (await cluster.status(leader))?.term;

    // Stays open, in the middle of its hello, during all attacks.
    using silent = await Wire.connect(port);
    await silent.send(frame(clientHello()).subarray(0, 9));
    for (const { name, run } of attacks) await step(t, name, () => run(port));
    const follower = cluster.port(leader === 1 ? 2 : 1);
    for (const { name, run } of attacks) await step(t, `at a follower, ${name}`, () => run(follower));
    await progress();

    await step(t, "a thousand idle connections are held, and the cluster serves", async () => {
      using idle = new DisposableStack();
      const wires: Wire[] = [];
      for (let opened = 0; opened < IDLE_CONNECTIONS; opened += CONNECTIONS_AT_ONCE) {
        const more = await Promise.all(Array.from({ length: CONNECTIONS_AT_ONCE }, () => greeted(port)));
        for (const wire of more) wires.push(idle.use(wire));
      }
      await progress();
      assertEquals(wires.filter((wire) => wire.ended).length, 0);
      using oneMore = await greeted(port);
      assert(!oneMore.ended);
    });

    assertEquals(await cluster.waitForLeader(), leader, cluster.logs());
    assertEquals((await cluster.status(leader))?.term, term, "nothing here was a reason for an election");
  });
});

Deno.test("compare-and-set: seventy failures on a value of 1 MB all return it, through a follower too", async () => {
  await underLoad({}, async ({ cluster, progress }) => {
    const leader = await cluster.waitForLeader();
    const follower = cluster.ids.find((id) => id !== leader);
    assert(follower !== undefined);
    const value = new Uint8Array(1_000_000).fill(7);
    for (const ids of [[leader], [follower]]) {
      await using client = await cluster.connect(ids);
      await client.put("large", value);
      const results = await Promise.all(
        Array.from({ length: 70 }, () => client.compareAndSet("large", { expect: null, value: "taken" })),
      );
      const found = results.map(({ succeeded, current }) => [succeeded, current?.value.length]);
      assertEquals(found, results.map(() => [false, value.length]), cluster.logs());
    }
    await progress();
  });
});
