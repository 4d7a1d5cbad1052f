/** Mutants of what keeps hostile requests of etcd's clients small. */
import { tests } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

const LONG_LISTS = tests("long lists", "tests/unit/etcd/rpc/long_lists_test.ts");
const MESSAGES = tests("messages", "tests/unit/etcd/protobuf");
const OUTPUT = tests("output", "tests/unit/etcd/rpc/grpc_stream_test.ts");
const INPUT = tests("input", "tests/unit/etcd/rpc/grpc_input_test.ts");

/** The mutants. */
export const ETCD_HOSTILE_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/etcd/protobuf/reader.ts", [MESSAGES], [
    {
      id: "M2870",
      title: "parts of a protobuf message are not counted",
      failure: "a request of a million empty messages holds up the node for a second",
      from: "if (this.#parts > MAX_PARTS) throw",
      to: "if (this.#parts < 0) throw",
    },
  ]),
  ...inFile("lib/etcd/protobuf/output.ts", [MESSAGES], [
    {
      id: "M2946",
      title: "a message keeps the buffer that the next one is written into",
      failure: "a client gets the bytes of another client's answer",
      from: "this.#copier.copy(this.#bytes.subarray(this.#start))",
      to: "this.#bytes.subarray(this.#start)",
    },
  ]),
  ...inFile("lib/etcd/protobuf/message.ts", [MESSAGES], [
    {
      id: "M2947",
      title: "what was written of a message that failed stays in the buffer",
      failure: "the next answer ends with a part of another one",
      from: "      OUTPUT.clear();\n",
      to: "",
    },
  ]),
  ...inFile("lib/etcd/protobuf/field.ts", [MESSAGES], [
    {
      id: "M2871",
      title: "repeated values do not count as parts",
      failure: "a list of two million numbers takes many times its bytes",
      from: "          input.countPart();\n          values.push",
      to: "          values.push",
    },
  ]),
  ...inFile("lib/etcd/rpc/grpc.ts", [OUTPUT], [
    {
      id: "M2949",
      title: "messages count as the same if their last parts are",
      failure: "a client gets an event under the ids of another client's watches",
      from: "at >= 0; at--) if (parts[at] !== others[at])",
      to: "at >= parts.length - 1; at--) if (parts[at] !== others[at])",
    },
    {
      id: "M2945",
      title: "a large message overtakes those that were written before it",
      failure: "a client of RangeStream or Watch gets messages in another order",
      from: "    this.#sendGathered();\n    const bytes = new Uint8Array(PREFIX_BYTES + head.length);",
      to: "    const bytes = new Uint8Array(PREFIX_BYTES + head.length);",
    },
    {
      id: "M2876",
      title: "a message is written behind the end of a stream",
      failure: "a client that sends a malformed message on a stream of watches ends the node",
      from: "if (this.#hasEnded) return true;",
      to: "",
    },
    {
      id: "M2877",
      title: "spaces at the ends of a failure's text are sent as they are",
      failure: "a request for a service whose name ends in a space is a fault of the node",
      from: 'encoded.replaceAll(/^ | $/g, "%20")',
      to: "encoded",
    },
  ]),
  ...inFile("lib/etcd/rpc/grpc.ts", [INPUT], [
    {
      id: "M2872",
      title: "the size of a request that is too large is not that of its prefix",
      failure: "clients cannot tell how large the message was",
      from: "error.begin.length >= PREFIX_BYTES)) {",
      to: "error.begin.length < 0)) {",
    },
    {
      id: "M2873",
      title: "a message of a stream may have 2 MiB",
      failure: "streams that never complete their first message take the memory of the node",
      from: "maxBytes: MAX_STREAM_MESSAGE_BYTES }",
      to: "maxBytes: MAX_MESSAGE_BYTES }",
    },
    {
      id: "M2874",
      title: "what is behind the message of a request is ignored",
      failure: "a request with two messages is carried out in part",
      from: "body.length === PREFIX_BYTES + size",
      to: "body.length >= PREFIX_BYTES + size",
    },
  ]),
  ...inFile("lib/etcd/gateway/json_format.ts", [LONG_LISTS], [
    {
      id: "M3032",
      title: "a long list is written to JSON in one turn",
      failure: "a list of all leases holds up every other request for a second",
      from: "const { head, rest } = cutLists(message);",
      to: "const { head, rest } = { head: message, rest: [] as typeof message[] };",
    },
  ]),
  ...inFile("lib/etcd/lease/methods.ts", [LONG_LISTS], [
    {
      id: "M3033",
      title: "all pages of leases are read in one turn",
      failure: "a node alone answers no other request while it reads 250,000 leases",
      from: "    await yieldToOthers();\n",
      to: "",
    },
  ]),
];
