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
    dialler: "6c7f44de072fda24700c6fc3da210de8aca4f37712ac3029a18e0148d71139f5",
    welcome: "fef2d6f21384f8d4b616ef79108987ccc73801f70eab3ab8e589c05a96d350d7",
    refusal: "71dcbf6bd97c4f6be2499679395f96564c746133c1d8acd40b4542c2982ea4cf",
  },
  {
    title: "bound to a certificate",
    binding: new Uint8Array(32).fill(0xab),
    dialler: "f8dbf4a0a41180aee45c797e480e9daffd4bc497a1c41327d653d3b08ab1454f",
    welcome: "e4d7fe26e309c2b1f5e2f83ca2755cb594333f2b15252247b08125fedcf5996f",
    refusal: "fd88ba6e050d09bea59e51cc48aec3a3e5184f4f36583526cec48db571c078d7",
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
