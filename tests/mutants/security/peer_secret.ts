/** Mutants of the peer secret: its proofs, its modes, and its file. */
import { type Check, tests } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

const HANDSHAKE: Check = tests("handshake", "tests/unit/transport/handshake");
const SECRETS: Check = tests(
  "secrets",
  "tests/unit/server/startup/peer_secret_file_test.ts",
  "tests/unit/server/membership/peer_secret_test.ts",
);

export const PEER_SECRET_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/transport/handshake/peer_authentication.ts", [HANDSHAKE, SECRETS], [
    {
      id: "M900",
      title: "a peer with a key that this node has needs no right proof",
      failure: "a program that has read the id of a key on the wire is taken for any node",
      from: "const isRight = isSameProof(diallerProof(key ?? noKey, transcript), proof);",
      to: "const isRight = isSameProof(proof, proof);",
    },
    {
      id: "M901",
      title: "a right proof counts on every node, also on one that was not dialled",
      failure: "an exchange with one node is passed on to another one",
      from: "isRight && isMeant && isKnown",
      to: "isRight && isKnown",
    },
    {
      id: "M902",
      title: "a hello without credentials is taken though a proof is required",
      failure: "the secret protects against nothing",
      from: 'if (!this.isRequired) return "withoutProof";',
      to: 'if (this.isRequired || !this.isRequired) return "withoutProof";',
    },
    {
      id: "M903",
      title: "after a challenge, a welcome without a proof is taken where none is required",
      failure: "a program that asks for a proof and has no secret is taken for a node that has it",
      from: "if (!isRequired && sent === null) return NOT_AUTHENTICATED;",
      to: "if (!isRequired) return NOT_AUTHENTICATED;",
    },
    {
      id: "M904",
      title: "a node proves the secret to another node than it has dialled",
      failure: "a program at the address of one node has the exchange with another one made for it",
      from: "challenge.nodeId !== expectedNodeId",
      to: "challenge.nodeId === 0",
    },
    {
      id: "M905",
      title: "a node stops for a refusal that no node has proved",
      failure: "a program at the address of a node ends the others for good",
      from: "if (!isRequired || !isFinal(answer)) return NOT_AUTHENTICATED;",
      to: "if (!isRequired || answer.code.length > 0) return NOT_AUTHENTICATED;",
    },
    {
      id: "M906",
      title: "connections of a secret that was replaced stay",
      failure:
        "a node that knows only a secret that was given away has its part in the cluster until it restarts",
      from: "return keyName === null || this.#keys.some(({ name }) => name === keyName);",
      to: "return keyName === null || this.#keys.length > 0;",
    },
  ]),
  ...inFile("lib/transport/handshake/peer_secret.ts", [HANDSHAKE], [
    {
      id: "M907",
      title: "proofs are the same for all certificates",
      failure: "a node between two others, with a certificate of its own, passes their proofs on",
      from: "binding ?? PLAIN",
      to: "binding === null ? PLAIN : PLAIN",
    },
  ]),
  ...inFile("lib/server/startup/peer_secret_file.ts", [SECRETS], [
    {
      id: "M908",
      title: "a new content of the file counts at once",
      failure: "a file that is being written makes a node lose its connections",
      from: "const isSettled = isNew && this.#candidate !== null && isSame(found, this.#candidate);",
      to: "const isSettled = isNew;",
    },
  ]),
  ...inFile("lib/server/startup/identity.ts", [SECRETS], [
    {
      id: "M909",
      title: "a new node joins a cluster that has proved nothing",
      failure: "a program at the address of --join gives the data directory to a cluster of its own",
      from: 'config.peerAuth === "accept" || isMember',
      to: 'config.peerAuth !== "accept" || isMember',
    },
  ]),
];
