/** Keys and proofs, compared with values that a Python program has computed with its hmac and hashlib modules. */
import { assert, assertEquals } from "@std/assert";
import { decodeHelloAnswer } from "../../../../lib/protocol/hello.ts";
import {
  diallerProof,
  isSameProof,
  peerKeyOf,
  refusalProof,
  type Transcript,
  welcomeProof,
} from "../../../../lib/transport/handshake/peer_secret.ts";
import { goldenBytes } from "../../protocol/formats.ts";

const SECRET = "correct-horse-battery-staple-0123456789";
const KEY = peerKeyOf(SECRET, "00112233aabbccdd");
const TRANSCRIPT: Transcript = {
  hello: goldenBytes("hello_provingPeer"),
  challenge: goldenBytes("challenge"),
  binding: null,
};
const WELCOME = decodeHelloAnswer(goldenBytes("welcome"));
const REMOVED = { code: "removedNode" } as const;

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

Deno.test("peerKeyOf: the key and its id depend on the secret and on the cluster", () => {
  assertEquals(hex(KEY.bytes), "f1b04b9b125b948e34e1ffdfa0de88da5a2a0f8ec25cf6cfc8493fe42fedb5c8");
  assertEquals([hex(KEY.id), KEY.name], ["0e755d95c14f4b99", "0e755d95c14f4b99"]);
  assertEquals(peerKeyOf(SECRET, "ffeeddccbbaa9988").name, "5ffe69c3fefba593");
});

const VECTORS = [
  {
    title: "on a plain connection",
    binding: null,
    dialler: "3bf2ca9cad93e77890866c2c244646b7d659dd7bd4d9674c9340dd3bdddfcf39",
    welcome: "64cd1f7f26b2452f2ae93deb913a3f4e0ed208c4c0837e89fcf6701f33549247",
    refusal: "80aed3ca346b2006d1592a55e8abbcf93f12fbd2dee331ba1723703ce067aca9",
  },
  {
    title: "bound to a certificate",
    binding: new Uint8Array(32).fill(0xab),
    dialler: "4808716259b8e9056daecf665af98684b454c4d587fc3ea464dcc53c6f3e57ce",
    welcome: "fab548bdda239fc68b4af0a4446860081c4fe9328debdfe5d76cbbb5d1cd1f03",
    refusal: "2d8896ae819ac6153bf0b95c28cb4dcb954787b02f69321c87288d68eef9a1e4",
  },
];

for (const { title, binding, ...expected } of VECTORS) {
  Deno.test(`proofs ${title}: those of the dialler, of a welcome and of a refusal are the known ones`, () => {
    assert(WELCOME.kind === "welcome");
    const transcript = { ...TRANSCRIPT, binding };
    const proof = diallerProof(KEY, transcript);
    assertEquals(hex(proof), expected.dialler);
    assertEquals(hex(welcomeProof(KEY, transcript, { proof, welcome: WELCOME })), expected.welcome);
    assertEquals(hex(refusalProof(KEY, transcript, { proof, refusal: REMOVED })), expected.refusal);
  });
}

Deno.test("proofs: each field of the transcript and of the answer changes them", () => {
  assert(WELCOME.kind === "welcome");
  const welcome = WELCOME;
  const changed = (bytes: Uint8Array): Uint8Array =>
    bytes.map((byte, at) => at === bytes.length - 1 ? byte ^ 1 : byte);
  const transcripts: readonly Transcript[] = [
    TRANSCRIPT,
    { ...TRANSCRIPT, hello: changed(TRANSCRIPT.hello) },
    { ...TRANSCRIPT, challenge: changed(TRANSCRIPT.challenge) },
    { ...TRANSCRIPT, binding: new Uint8Array(32) },
    // The same bytes, divided elsewhere.
    {
      hello: TRANSCRIPT.hello.subarray(0, -1),
      challenge: Uint8Array.of(TRANSCRIPT.hello.at(-1) ?? 0, ...TRANSCRIPT.challenge),
      binding: null,
    },
  ];
  const proofs = transcripts.map((transcript) => diallerProof(KEY, transcript));
  const [proof = new Uint8Array(), other = new Uint8Array()] = proofs;
  const welcomes = [
    welcome,
    { ...welcome, clusterId: "ffeeddccbbaa9988" },
    { ...welcome, nodeId: welcome.nodeId + 1 },
    { ...welcome, dataId: welcome.dataId + 1 },
    { ...welcome, featureLevel: welcome.featureLevel + 1 },
  ];
  const answers = [
    ...welcomes.map((one) => welcomeProof(KEY, TRANSCRIPT, { proof, welcome: one })),
    welcomeProof(KEY, TRANSCRIPT, { proof: other, welcome }),
    refusalProof(KEY, TRANSCRIPT, { proof, refusal: REMOVED }),
    refusalProof(KEY, TRANSCRIPT, { proof, refusal: { code: "otherData" } }),
  ];
  const all = [...proofs, ...answers].map(hex);
  assertEquals(new Set(all).size, all.length);
});

Deno.test("isSameProof: proofs of another length and with another bit are not the same", () => {
  const proof = diallerProof(KEY, TRANSCRIPT);
  assert(isSameProof(proof, proof.slice()));
  assert(!isSameProof(proof, proof.subarray(1)));
  assert(!isSameProof(proof, new Uint8Array(0)));
  for (let bit = 0; bit < 8 * proof.length; bit++) {
    const other = proof.map((byte, at) => at === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte);
    assert(!isSameProof(proof, other));
  }
});
