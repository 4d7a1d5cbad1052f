/** Handshakes with a peer secret: between nodes, and with attackers at either end. */
import { assert, assertEquals, assertNotEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { HandshakeError } from "../../../../lib/protocol/errors.ts";
import {
  encodeChallenge,
  encodeHello,
  encodePeerProof,
  encodeRefusal,
  encodeWelcome,
  type PeerCaller,
  type SentRefusal,
  type Welcome,
} from "../../../../lib/protocol/hello.ts";
import { PEER_PROOF_TIMEOUT_MS } from "../../../../lib/protocol/limits.ts";
import type {
  PeerAuthentication,
  PeerAuthMode,
} from "../../../../lib/transport/handshake/peer_authentication.ts";
import { settle } from "../../../support/fakes/manual_clock.ts";
import { CALLER, until } from "../../../support/fakes/accepting_node.ts";
import { written } from "../../protocol/formats.ts";
import {
  againstDialler,
  authentication,
  NOT_AUTHENTICATED,
  OTHER_SECRET,
  REMOVED,
  Scene,
  SECRET,
  welcomeOf,
} from "./handshake_scene.ts";

Deno.test("peer handshake: two nodes with the same secret authenticate each other, in either mode", async () => {
  for (const modes of [["require", "require"], ["accept", "require"], ["accept", "accept"]] as const) {
    const scene = new Scene(authentication(modes[0]));
    const welcome = await scene.probe(authentication(modes[1]));
    assertNotEquals(welcome.proof, null);
    assertEquals([welcome.nodeId, welcome.dataId], [1, 101]);
    await scene.close();
  }
});

Deno.test("peer handshake: which nodes take each other, by their secrets and their modes", async () => {
  const table: readonly (readonly [PeerAuthentication | null, PeerAuthentication | null, string])[] = [
    [null, null, "welcome"],
    [null, authentication("accept"), "welcome"],
    [null, authentication("require"), "refused"],
    [authentication("accept"), null, "welcome"],
    [authentication("accept"), authentication("accept", [OTHER_SECRET]), "welcome"],
    [authentication("accept"), authentication("require", [OTHER_SECRET]), "refused"],
    [authentication("require"), null, "refused"],
    [authentication("require"), authentication("accept", [OTHER_SECRET]), "refused"],
    [authentication("require", [OTHER_SECRET, SECRET]), authentication("require"), "welcome"],
    [authentication("require"), authentication("require", [OTHER_SECRET, SECRET]), "welcome"],
  ];
  for (const [accepter, dialler, expected] of table) {
    const scene = new Scene(accepter);
    const outcome = await scene.probe(dialler).then(() => "welcome", (error) => {
      assert(error instanceof HandshakeError);
      assertEquals(error.code, "peerNotAuthenticated");
      return "refused";
    });
    assertEquals(outcome, expected);
    await scene.close();
  }
});

Deno.test("peer handshake: a node with another secret is taken where none is required, and counted and logged", async () => {
  const scene = new Scene(authentication("accept"));
  await scene.probe(authentication("accept", [OTHER_SECRET]));
  assertEquals(scene.accepter?.failures, {
    missing: 0,
    otherSecret: 1,
    wrongProof: 0,
    noAnswer: 0,
    dialled: 0,
  });
  assertEquals(
    scene.node.logger.lines.filter(({ level }) => level === "warn").map(({ message }) => message),
    ["A node has another peer secret than this one, and is taken as one without"],
  );
  await scene.close();
});

Deno.test("peer handshake: no secret, another one and a wrong proof get the same answer; the log has the reason", async () => {
  const scene = new Scene(authentication("require"));
  for (const dialler of [null, authentication("accept", [OTHER_SECRET])]) {
    const error = await scene.refused(dialler);
    assertEquals([error.code, error.message], ["peerNotAuthenticated", NOT_AUTHENTICATED]);
  }
  const speaker = await scene.connect();
  const { credentials } = authentication("accept").dial(1);
  await speaker.send(encodeHello, { ...CALLER, lane: "control", credentials });
  assertEquals((await speaker.answer())?.kind, "challenge");
  await speaker.send(encodePeerProof, { kind: "peerProof", proof: new Uint8Array(32) });
  const answer = await speaker.answer();
  assert(answer?.kind === "refusal");
  assertEquals([NOT_AUTHENTICATED.endsWith(answer.message), answer.proof], [true, null]);
  const { logger, callers } = scene.node;
  assertEquals(
    logger.lines.filter(({ message }) => message === "Cannot authenticate a node").map(({ fields }) =>
      fields
    ),
    ["it has no peer secret", "it has another peer secret", "its proof is wrong"]
      .map((reason) => ({ remote: "here:1", node: 2, reason })),
  );
  assertEquals(scene.accepter?.failures, {
    missing: 1,
    otherSecret: 1,
    wrongProof: 1,
    noAnswer: 0,
    dialled: 0,
  });
  assertEquals(callers, []);
  await scene.close();
});

Deno.test("peer handshake: the secret of another cluster makes no proof in this one", async () => {
  const scene = new Scene(authentication("require"));
  const others = "ffeeddccbbaa9988";
  const wrongCluster = await scene.refused(authentication("require", [SECRET], others), {
    clusterId: others,
  });
  assertEquals(wrongCluster.code, "wrongCluster");
  // A node that claims to belong to this cluster, with the key of the other one.
  const error = await scene.refused(authentication("require", [SECRET], others));
  assertEquals(error.message, NOT_AUTHENTICATED);
  await scene.close();
});

Deno.test("peer handshake: nothing about a node is checked or announced before its proof", async () => {
  let authorized = 0;
  const scene = new Scene(authentication("require"), {
    authorizePeer: () => {
      authorized += 1;
      return REMOVED;
    },
  });
  await scene.refused(null);
  // The own id of the node that is dialled: refused for the missing proof, and not because of its id.
  assertEquals((await scene.refused(null, { nodeId: 1 })).code, "peerNotAuthenticated");
  assertEquals(authorized, 0);
  assertEquals((await scene.refused(authentication("require"))).code, "removedNode");
  assertEquals(authorized, 1);
  await scene.close();
});

Deno.test("peer handshake: a recorded exchange is refused when it is replayed to the same node", async () => {
  const scene = new Scene(authentication("require"));
  const dialler = authentication("require").dial(1);
  const hello = { ...CALLER, lane: "control", credentials: dialler.credentials } as const;
  const speaker = await scene.connect();
  const { challenge, payload } = await speaker.challenged(hello);
  const proof = dialler.prove({ hello, challenge, payload, binding: null, where: "n1:7001" });
  await speaker.send(encodePeerProof, proof);
  assertEquals((await speaker.answer())?.kind, "welcome");

  const replay = await scene.connect();
  await replay.send(encodeHello, hello);
  await replay.send(encodePeerProof, proof);
  assertEquals((await replay.answer())?.kind, "challenge");
  const answer = await replay.answer();
  assertEquals(answer?.kind === "refusal" && answer.code, "peerNotAuthenticated");
  assertEquals(scene.node.callers.length, 1);
  speaker.close();
  await scene.close();
});

Deno.test("peer handshake: a proof for one hello counts for no other node id, lane or data directory", async () => {
  const scene = new Scene(authentication("require"));
  const changes: readonly Partial<PeerCaller>[] = [{ nodeId: 3 }, { lane: "bulk" }, { dataId: 103 }, {
    address: "n9:7009",
  }];
  for (const change of changes) {
    const dialler = authentication("require").dial(1);
    const hello = { ...CALLER, lane: "control", credentials: dialler.credentials } as const;
    const speaker = await scene.connect();
    const { challenge, payload } = await speaker.challenged({ ...hello, ...change });
    await speaker.send(
      encodePeerProof,
      dialler.prove({ hello, challenge, payload, binding: null, where: "" }),
    );
    const answer = await speaker.answer();
    assertEquals(answer?.kind === "refusal" && answer.code, "peerNotAuthenticated");
  }
  await scene.close();
});

Deno.test("peer handshake: a hello that is meant for another node is not accepted, with any proof", async () => {
  const scene = new Scene(authentication("require"));
  // Node 2 dials node 3 at an address of an attacker, who passes its hello on to node 1.
  const dialler = authentication("require").dial(3);
  const hello = { ...CALLER, lane: "control", credentials: dialler.credentials } as const;
  const speaker = await scene.connect();
  const { challenge, payload } = await speaker.challenged(hello);
  // Node 2 notices: the challenge is of node 1.
  const where = "n3:7003";
  const noticed = await assertRejects(
    () => Promise.resolve().then(() => dialler.prove({ hello, challenge, payload, binding: null, where })),
    HandshakeError,
  );
  assertEquals(noticed.code, "wrongNode");
  // So does node 1, even for a right proof.
  const { keyIds } = dialler.credentials;
  const holder = authentication("require").dial(1);
  assertEquals(holder.credentials.keyIds, keyIds);
  await speaker.send(encodePeerProof, holder.prove({ hello, challenge, payload, binding: null, where }));
  const answer = await speaker.answer();
  assertEquals(answer?.kind === "refusal" && answer.code, "peerNotAuthenticated");
  await scene.close();
});

Deno.test("peer handshake: a node in between, with a certificate of its own, is noticed by the node that accepts", async () => {
  const scene = new Scene(authentication("require"));
  const [own, attackers] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
  scene.network.bindings = { dialler: own, accepter: own };
  await scene.probe(authentication("require"));
  for (const bindings of [{ dialler: attackers, accepter: own }, { dialler: null, accepter: own }]) {
    scene.network.bindings = bindings;
    assertEquals((await scene.refused(authentication("require"))).code, "peerNotAuthenticated");
  }
  assertEquals(scene.accepter?.failures.wrongProof, 2);
  await scene.close();
});

Deno.test("peer handshake: a peer that does not answer its challenge is closed in time, and counted", async () => {
  const scene = new Scene(authentication("require"));
  const speaker = await scene.connect();
  const { credentials } = authentication("require").dial(1);
  await speaker.send(encodeHello, { ...CALLER, lane: "control", credentials });
  assertEquals((await speaker.answer())?.kind, "challenge");
  assertEquals(scene.node.listener.counts().pending, 1);
  scene.clock.advance(PEER_PROOF_TIMEOUT_MS);
  assertEquals(await speaker.answer(), null);
  await until("it is not counted any more", () => scene.node.listener.counts().pending === 0);
  assertEquals(scene.accepter?.failures.noAnswer, 1);
  await scene.close();
});

Deno.test("peer handshake: a frame in place of the proof is refused like a wrong proof", async () => {
  const scene = new Scene(authentication("require"));
  for (
    const payload of [
      new Uint8Array(0),
      Uint8Array.of(0x91, 3),
      written((out) => out.raw(Uint8Array.of(0x92, 6, 0xc4, 0))),
    ]
  ) {
    const speaker = await scene.connect();
    const { credentials } = authentication("require").dial(1);
    await speaker.send(encodeHello, { ...CALLER, lane: "control", credentials });
    await speaker.answer();
    await speaker.sendPayload(payload);
    const answer = await speaker.answer();
    assertEquals(answer?.kind === "refusal" && answer.code, "peerNotAuthenticated");
  }
  await scene.close();
});

Deno.test("peer handshake: a challenge of a node is no proof of another: nothing is sent back that it would take", async () => {
  // The attacker sends node 2 its own frames back, and frames of another connection.
  const dialler = authentication("require");
  const reflected = await againstDialler(dialler, async (speaker) => {
    await speaker.hear();
    const keyId = dialler.dial(1).credentials.keyIds[0] ?? new Uint8Array(8);
    const nonce = new Uint8Array(32).fill(9);
    await speaker.send(encodeChallenge, { kind: "challenge", version: 1, nodeId: 1, keyId, nonce });
    const proof = await speaker.hear();
    assert(proof !== null);
    // Its own proof, as that of the node that it has dialled.
    await speaker.send(encodeWelcome, welcomeOf({ proof: proof.slice(-32) }));
  });
  assert(reflected instanceof HandshakeError);
  assertEquals(reflected.code, "peerNotAuthenticated");
  assertStringIncludes(reflected.message, "Cannot use the node at n1:7001: it did not prove that it knows");
  assertEquals(dialler.failures.dialled, 1);
});

Deno.test("peer handshake: a node that requires a proof takes none of what others may say without one", async () => {
  const table: readonly (readonly [Welcome | SentRefusal, PeerAuthMode, string])[] = [
    [welcomeOf(), "require", "peerNotAuthenticated"],
    [welcomeOf({ proof: new Uint8Array(32) }), "require", "peerNotAuthenticated"],
    // These refusals stop a node for good.
    [REMOVED, "require", "peerNotAuthenticated"],
    [{ ...REMOVED, code: "otherData" }, "require", "peerNotAuthenticated"],
    [{ ...REMOVED, proof: new Uint8Array(32) }, "require", "peerNotAuthenticated"],
    [REMOVED, "accept", "removedNode"],
    [{ ...REMOVED, code: "busy" }, "require", "busy"],
  ];
  for (const [answer, mode, expected] of table) {
    const error = await againstDialler(authentication(mode), async (speaker) => {
      await speaker.hear();
      if (answer.kind === "welcome") await speaker.send(encodeWelcome, answer);
      else await speaker.send(encodeRefusal, answer);
    });
    assert(error instanceof HandshakeError);
    assertEquals(error.code, expected);
  }
});

Deno.test("peer handshake: after a challenge a welcome without a right proof is not taken, in either mode", async () => {
  for (const mode of ["accept", "require"] as const) {
    const dialler = authentication(mode);
    const error = await againstDialler(dialler, async (speaker) => {
      await speaker.hear();
      const keyId = dialler.dial(1).credentials.keyIds[0] ?? new Uint8Array(8);
      const nonce = new Uint8Array(32);
      await speaker.send(encodeChallenge, { kind: "challenge", version: 1, nodeId: 1, keyId, nonce });
      await speaker.hear();
      await speaker.send(encodeWelcome, welcomeOf());
    });
    assertEquals(error instanceof HandshakeError && error.code, "peerNotAuthenticated");
  }
});

Deno.test("peer handshake: a challenge that was not asked for, and a second one, end the attempt", async () => {
  const challenge = {
    kind: "challenge",
    version: 1,
    nodeId: 1,
    keyId: authentication("require").dial(1).credentials.keyIds[0] ?? new Uint8Array(8),
    nonce: new Uint8Array(32),
  } as const;
  const second = await againstDialler(authentication("require"), async (speaker) => {
    await speaker.hear();
    await speaker.send(encodeChallenge, challenge);
    await speaker.hear();
    await speaker.send(encodeChallenge, challenge);
  });
  assertStringIncludes(second.message, "it asks for a second proof");
  const unknown = await againstDialler(authentication("require"), async (speaker) => {
    await speaker.hear();
    await speaker.send(encodeChallenge, { ...challenge, keyId: new Uint8Array(8) });
  });
  assertStringIncludes(unknown.message, "it asks for a proof of another secret");
});

Deno.test("peer handshake: a secret that is replaced during a handshake does not count at its end, at either end", async () => {
  const accepter = authentication("require");
  const scene = new Scene(accepter);
  const dialler = authentication("require").dial(1);
  const hello = { ...CALLER, lane: "control", credentials: dialler.credentials } as const;
  const speaker = await scene.connect();
  const { challenge, payload } = await speaker.challenged(hello);
  accepter.setSecrets([OTHER_SECRET]);
  await speaker.send(
    encodePeerProof,
    dialler.prove({ hello, challenge, payload, binding: null, where: "n1:7001" }),
  );
  const answer = await speaker.answer();
  assertEquals(answer?.kind === "refusal" && answer.code, "peerNotAuthenticated");
  await scene.close();

  const changing = authentication("require");
  const other = new Scene(authentication("require"), {
    authorizePeer: () => {
      changing.setSecrets([OTHER_SECRET]);
      return null;
    },
  });
  const error = await other.refused(changing);
  assertStringIncludes(error.message, "it proved a secret that was replaced meanwhile");
  await other.close();
});

Deno.test("peer handshake: each attempt has new random numbers", async () => {
  const scene = new Scene(authentication("require"));
  const nonces: string[] = [];
  for (let attempt = 0; attempt < 2; attempt++) {
    const { credentials } = authentication("require").dial(1);
    nonces.push(String(credentials.nonce));
    const speaker = await scene.connect();
    await speaker.send(encodeHello, { ...CALLER, lane: "control", credentials });
    const answer = await speaker.answer();
    assert(answer?.kind === "challenge");
    nonces.push(String(answer.nonce));
    speaker.close();
  }
  assertEquals(new Set(nonces).size, 4);
  await settle();
  await scene.close();
});
