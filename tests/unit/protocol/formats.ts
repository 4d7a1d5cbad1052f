/**
 * Everything that has a format on the wire, in one form for the tests: how it is encoded and decoded, one sample of
 * each kind for the golden files, and arbitrary values for the property tests.
 */
import fc from "fast-check";
import {
  type ClientRequest,
  decodeClientRequest,
  decodeServerMessage,
  encodeClientRequest,
  encodeServerMessage,
  type ServerMessage,
} from "../../../lib/protocol/client_frames.ts";
import { decodeConfiguration, encodeConfiguration } from "../../../lib/protocol/configuration.ts";
import { decodeCommand, decodeResult, encodeCommand, encodeResult } from "../../../lib/protocol/command.ts";
import {
  type Caller,
  decodeHello,
  decodeHelloAnswer,
  encodeHello,
  encodeRefusal,
  encodeWelcome,
  type Hello,
  type Refusal,
  type Welcome,
} from "../../../lib/protocol/hello.ts";
import { MessagePackWriter } from "../../../lib/protocol/msgpack_writer.ts";
import { decodePeerFrame, encodePeerFrame, type PeerFrame } from "../../../lib/protocol/peer_frames.ts";
import type { Command, CommandResult } from "../../../lib/kv/command.ts";
import type { Configuration } from "../../../lib/raft/types.ts";
import * as arbitrary from "./arbitraries.ts";
import * as samples from "./samples.ts";

/** One family of messages. */
export interface Format<T> {
  readonly name: string;
  readonly encode: (value: T) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => T;
  /** One value of each kind, by the name of its golden file. */
  readonly samples: Readonly<Record<string, T>>;
  /** Any value; its integers go up to `maxInteger`. */
  readonly arbitrary: (maxInteger: number) => fc.Arbitrary<T>;
  /** Whether a value is encoded without an optional last element, whose place others can't take. Missing: none is. */
  readonly isShort?: (value: T) => boolean;
}

/** Calls a generic function with each format: a list of formats of different types has no type of its own. */
export type FormatVisitor = <T>(format: Format<T>) => void;

/** A hello that a test has changed into one of other versions. */
export class OtherVersionsError extends Error {}

/** Shows every format to `visit`. */
export function forEachFormat(visit: FormatVisitor): void {
  visit(peerFrames);
  visit(clientRequests);
  visit(serverMessages);
  visit(commands);
  visit(results);
  visit(configurations);
  visit(hellos);
  visit(answers);
}

const peerFrames: Format<PeerFrame> = {
  name: "peer frames",
  encode: (frame) => written((out) => encodePeerFrame(out, frame)),
  decode: decodePeerFrame,
  samples: samples.PEER_FRAMES,
  arbitrary: arbitrary.peerFrame,
};

const clientRequests: Format<ClientRequest> = {
  name: "client requests",
  encode: (request) => written((out) => encodeClientRequest(out, request)),
  decode: decodeClientRequest,
  samples: samples.CLIENT_REQUESTS,
  arbitrary: arbitrary.clientRequest,
};

const serverMessages: Format<ServerMessage> = {
  name: "server messages",
  encode: (message) => written((out) => encodeServerMessage(out, message)),
  decode: decodeServerMessage,
  samples: samples.SERVER_MESSAGES,
  arbitrary: arbitrary.serverMessage,
};

const commands: Format<Command> = {
  name: "commands",
  encode: encodeCommand,
  decode: decodeCommand,
  samples: samples.COMMANDS,
  arbitrary: arbitrary.command,
  isShort: (command) => command.kind === "transaction" && command.returnCurrent === undefined,
};

const results: Format<CommandResult> = {
  name: "results",
  encode: encodeResult,
  decode: decodeResult,
  samples: samples.RESULTS,
  arbitrary: arbitrary.commandResult,
  isShort: (result) => result.kind === "checksFailed" && result.current === "omitted",
};

const configurations: Format<Configuration> = {
  name: "configurations",
  encode: encodeConfiguration,
  decode: decodeConfiguration,
  samples: samples.CONFIGURATIONS,
  arbitrary: arbitrary.configuration,
};

const hellos: Format<Caller> = {
  name: "hellos",
  encode: (caller) => written((out) => encodeHello(out, caller)),
  decode: (bytes) => callerOf(decodeHello(bytes)),
  samples: samples.HELLOS,
  arbitrary: arbitrary.caller,
};

const answers: Format<Welcome | Refusal> = {
  name: "answers to hellos",
  encode: (answer) =>
    written((out) => answer.kind === "welcome" ? encodeWelcome(out, answer) : encodeRefusal(out, answer)),
  decode: decodeHelloAnswer,
  samples: samples.HELLO_ANSWERS,
  arbitrary: arbitrary.helloAnswer,
};

function written(write: (out: MessagePackWriter) => void): Uint8Array {
  const out = new MessagePackWriter();
  write(out);
  return out.copy();
}

function callerOf(hello: Hello): Caller {
  if (hello.kind === "otherVersions") throw new OtherVersionsError();
  return hello.caller;
}
