/** Mutants of the JSON gateway of the etcd front end. */
import { tests } from "../checks.ts";
import { inFile, type Mutant } from "../mutant.ts";

const GATEWAY = tests("gateway", "tests/unit/etcd/gateway");

/** Mutants of the JSON gateway. */
export const ETCD_GATEWAY_MUTANTS: readonly Mutant[] = [
  ...inFile("lib/etcd/gateway/json_values.ts", [GATEWAY], [
    {
      id: "M2830",
      title: "parts of a JSON value are not counted",
      failure: "one request of a client holds up the node for a second",
      from: "if (this.#tokens > MAX_TOKENS) throw tooComplex();",
      to: "",
    },
    {
      id: "M2831",
      title: "the depth of a JSON value has no bound",
      failure: "a body of opening brackets overflows the stack",
      from: "if (this.#depth > MAX_DEPTH)",
      to: "if (this.#depth < 0)",
    },
    {
      id: "M2832",
      title: "a value of a stream may have any size",
      failure: "streams that are never completed take the memory of the node",
      from: "if (this.#at > this.#maxBytes) throw",
      to: "if (this.#at < 0) throw",
    },
    {
      id: "M2833",
      title: "a closing quote is found within escapes",
      failure: "a text that ends in a backslash swallows the rest of the stream",
      from: "if ((quote - before) % 2 === 1) return false;",
      to: "if (quote > before) return false;",
    },
  ]),
  ...inFile("lib/etcd/gateway/json_format.ts", [GATEWAY], [
    {
      id: "M2834",
      title: "long integers are rounded",
      failure: "a request names another member than the client meant",
      from: "LONG_NUMBER.test(text) ? JSON.parse(text, exactly) : JSON.parse(text)",
      to: "JSON.parse(text)",
    },
  ]),
  ...inFile("lib/etcd/gateway/json_gateway.ts", [GATEWAY], [
    {
      id: "M2835",
      title: "the scheme of a token is taken as a part of it",
      failure: "clients that send Bearer are not signed in",
      from: 'given.replace(/^Bearer /i, "")',
      to: "given",
    },
  ]),
  ...inFile("lib/etcd/gateway/json_stream.ts", [GATEWAY], [
    {
      id: "M2836",
      title: "a stream that fails ends as one that succeeds",
      failure: "a client takes the end of its watch for the end of the server's life",
      from: "this.#output.write(new TextEncoder().encode(streamFailureOf(error)));",
      to: "",
    },
  ]),
  ...inFile("lib/etcd/protobuf/field.ts", [GATEWAY], [
    {
      id: "M2837",
      title: "messages within each other have no bound",
      failure: "a request of nested transactions overflows the stack",
      from: "if (levels >= MAX_LEVELS) throw",
      to: "if (levels < 0) throw",
    },
    {
      id: "M2838",
      title: "integers beyond 64 bits are accepted",
      failure: "a lease of another id than the client's is granted",
      from: "value === null || value < min || value > max",
      to: "value === null || min > max",
    },
  ]),
];
